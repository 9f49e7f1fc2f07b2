"""The handlers of invitations: which there are, one more, one taken back."""

from typing import Annotated, Any

import msgspec

from gateway.http import readings
from gateway.http.asking import Answer, Asked, NoQuery
from gateway.http.pages import USUAL, Cursor, Limit, heading, link
from store.access.invitations import Invitation, InvitationState

PATH = "/api/v1/invitations"


class FindInvitations(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    account: Annotated[str, msgspec.Meta(max_length=64)] = ""
    """The code of an account: of that one alone."""
    after: Cursor = ""
    limit: Limit = USUAL


class ListedInvitation(msgspec.Struct, frozen=True, kw_only=True):
    """An invitation without its token, which is kept nowhere."""

    id: str
    href: str
    account: str
    name: str
    email: str
    state: InvitationState
    """made: nothing has left yet; sent: a relay has taken the mail; delivered: it was confirmed; bounced: it came
    back; opened: somebody has followed the link; withdrawn: taken back, or another one came after it."""
    made_ms: int
    made_by: str | None
    """The code of the account that made it; null: somebody at the terminal."""
    ends_ms: int


class InvitationList(msgspec.Struct, frozen=True, omit_defaults=True):
    invitations: tuple[ListedInvitation, ...]
    next: str = ""
    """Where the list goes on; absent at its end."""


async def listing(asked: Asked[FindInvitations, None]) -> Answer:
    """The newest first: of the accounts that the caller sees. That they were read is a line of the audit."""
    query, desk = asked.query, asked.context.services.invitations
    found, more = await desk.listing(asked.caller, query.account, query.after, query.limit)
    said = {"account": query.account} if query.account else {}
    await readings.keep(asked, readings.reading_of(asked, "invitations-read", "invitations", apart=said))
    next_ = link(PATH, account=query.account, after=found[-1].public_id, limit=query.limit) if more else ""
    return Answer(InvitationList(tuple(_shown(asked, one) for one in found), next_), headers=heading(next_))


async def read(asked: Asked[NoQuery, None]) -> Answer:
    """Of an account that the caller sees."""
    return Answer(_shown(asked, await asked.context.services.invitations.read(asked.caller, asked.id)))


async def invite(asked: Asked[NoQuery, None]) -> Answer:
    """A new link by mail, for seven days; the one before is worth nothing from then on."""
    made = _shown(asked, await asked.context.services.invitations.invite(asked.caller, asked.id))
    return Answer(made, 201, {"Location": made.href})


async def withdraw(asked: Asked[NoQuery, None]) -> Answer:
    """Its link is worth nothing from then on. The account stays invited, until it is invited again or ended."""
    return Answer(_shown(asked, await asked.context.services.invitations.withdraw(asked.caller, asked.id)))


def _shown(asked: Asked[Any, Any], invitation: Invitation) -> ListedInvitation:
    return ListedInvitation(
        id=invitation.public_id,
        href=f"{PATH}/{invitation.public_id}",
        account=invitation.code,
        name=invitation.name,
        email=invitation.email,
        state=invitation.state(asked.context.services.database.clock.now_ms()),
        made_ms=invitation.made_ms,
        made_by=invitation.made_by,
        ends_ms=invitation.ends_ms,
    )
