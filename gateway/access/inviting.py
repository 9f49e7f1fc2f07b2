"""An invitation made and told in one transaction: what was not told was not made."""

from collections.abc import Awaitable, Callable

import msgspec

from store.access import invitations, managing
from store.access.invitations import NewInvitation
from store.audit_line import Actor
from store.engine.transaction import Transaction


class InvitationLetter(msgspec.Struct, frozen=True):
    """What whoever is invited is told. It holds a token: whoever reads it comes in."""

    account_id: int
    code: str
    name: str
    email: str
    language: str
    invited_by: str
    """The name of whoever invites; empty: somebody at the terminal."""
    token: str
    ends_ms: int
    """UTC."""


TellInvitation = Callable[[Transaction, InvitationLetter], Awaitable[int | None]]
"""Writes a letter down to be sent, in the transaction that is given; returns the campaign by which it leaves, None
where it leaves by none."""


def link_of(public_url: str, token: str) -> str:
    """Where an invitation is taken up. The token stands behind the `#`, which no browser sends and no log keeps."""
    return f"{public_url.rstrip('/')}/invitation#{token}"


async def invited(tx: Transaction, account_id: int, by: Actor, name: str, tell: TellInvitation | None) -> NewInvitation:
    """A new invitation of an account that has a mail address; those before it are worth nothing any more. `name`: of
    whoever invites."""
    made = await invitations.make(tx, account_id, by)
    found = await managing.of_id(tx.conn, account_id)
    assert found is not None
    if tell is not None:
        letter = InvitationLetter(
            account_id=account_id,
            code=found.code,
            name=found.name,
            email=found.email,
            language=found.language,
            invited_by=name,
            token=made.token,
            ends_ms=made.ends_ms,
        )
        campaign_id = await tell(tx, letter)
        if campaign_id is not None:
            await invitations.has_notice(tx, made.id, campaign_id)
    return made
