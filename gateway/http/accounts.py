"""The handlers of accounts: who there is, inviting, changing, disabling, ending."""

from typing import Annotated, Any, Literal

import msgspec

from gateway.access.account_desk import (
    AccountChange,
    AccountType,
    AccountWish,
    ActReason,
    SeenAccount,
)
from gateway.directory.seed_lines import RightLine
from gateway.http import approvals, readings
from gateway.http.asking import Answer, Asked, NoQuery
from gateway.http.pages import USUAL, Limit, heading, link
from gateway.http.preconditions import etag_of, require_match
from store.access.managing import AccountState, ManagedAccount, WantedAccounts
from store.errors import Conflict

PATH = "/api/v1/accounts"
_TRIES = 5
"""Of a change that another one came before, though the caller takes any."""


class FindAccounts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    q: Annotated[str, msgspec.Meta(max_length=100)] = ""
    """A part of the code, the name or the mail address, whatever its case and accents."""
    type: AccountType | None = None
    state: AccountState | None = None
    zone: Annotated[str, msgspec.Meta(max_length=64)] = ""
    """With a right in the zone of this code."""
    after: Annotated[str, msgspec.Meta(max_length=64)] = ""
    """The code behind which the page begins, as `next` of the page before says."""
    limit: Limit = USUAL


class ListedAccount(msgspec.Struct, frozen=True, kw_only=True):
    """An account in a list."""

    code: str
    href: str
    name: str
    type: str
    state: AccountState
    """invited: nobody has taken it up yet; ended: for good."""
    email: str
    mobile: str
    language: str
    created_ms: int | None
    """null: before that was kept."""
    revision: int


class AccountList(msgspec.Struct, frozen=True, omit_defaults=True):
    accounts: tuple[ListedAccount, ...]
    next: str = ""
    """Where the list goes on; absent at its end."""


class HeldRight(RightLine, frozen=True, omit_defaults=False):
    """A right that an account has, with every dimension said."""


class AccountInFull(ListedAccount, frozen=True, kw_only=True):
    """An account with its rights in the caller's zones."""

    rights: tuple[HeldRight, ...]
    more_rights: bool
    """It has rights in other zones, too, which are not shown."""
    read_only: bool
    """Of it the caller may change the rights in his zones, or nothing."""
    disabled_ms: int | None
    ended_ms: int | None
    changed_by: str
    """The code of the account that changed it last; empty: the terminal, or a file."""
    changed_ms: int
    approval: str | None = None
    """The id of what this waits for at /api/v1/approvals: dangerous rights, or to be enabled, take a second person.
    null: all of it is done."""


class InvitedAccount(AccountInFull, frozen=True, kw_only=True):
    """An account that was made, and its invitation."""

    invitation: str | None
    """Its id; null: it has no mail address, and is active."""


class AccountStep(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Why something is done to an account."""

    reason: ActReason = ""
    """For the audit."""


async def listing(asked: Asked[FindAccounts, None]) -> Answer:
    """In the order of their codes: those with a right in a zone that the caller administers, and those that he has
    invited. That they were read is a line of the audit."""
    query, desk = asked.query, asked.context.services.accounts
    wanted = WantedAccounts(
        zones=frozenset(), sought=query.q, type=query.type or "", state=query.state, after=query.after
    )
    found, more = await desk.listing(asked.caller, wanted, query.zone, query.limit)
    asked_for: dict[str, Any] = {"q": query.q, "type": query.type, "state": query.state, "zone": query.zone}
    said = {name: value for name, value in asked_for.items() if value}
    await readings.keep(asked, readings.reading_of(asked, "accounts-read", "accounts", apart=said))
    next_ = link(PATH, **asked_for, after=found[-1].code, limit=query.limit) if more else ""
    return Answer(AccountList(tuple(ListedAccount(**_listed(one)) for one in found), next_), headers=heading(next_))


async def read(asked: Asked[NoQuery, None]) -> Answer:
    """With its ETag, by which it is changed. That it was read is a line of the audit."""
    seen = await asked.context.services.accounts.read(asked.caller, asked.id)
    await readings.keep(asked, readings.reading_of(asked, "account-read", seen.account.code))
    return _answer(seen)


async def create(asked: Asked[NoQuery, AccountWish]) -> Answer:
    """Whoever has a mail address is invited: seven days, once. Rights to send, or to rule others, wait for a second
    person (`approval`). A code or mail address that another account has is refused with 409."""
    seen, invitation = await asked.context.services.accounts.create(asked.caller, asked.body)
    shown = InvitedAccount(**_in_full(seen), invitation=None if invitation is None else invitation.public_id)
    headers = {"ETag": etag_of(seen.account.revision), "Location": href(seen.account)}
    return Answer(shown, 201, headers)


async def change(asked: Asked[NoQuery, AccountChange]) -> Answer:
    """A list of rights is all of them in the caller's zones; those to send, or to rule others, wait for a second person
    (`approval`). Nobody gives what he does not hold himself, and nobody changes his own account here."""
    desk = asked.context.services.accounts
    for _ in range(_TRIES):
        account = (await desk.read(asked.caller, asked.id)).account
        require_match(asked.request, account.revision, account.changed_by, account.changed_ms)
        changed = await desk.change(asked.caller, account, asked.body)
        if changed is not None:
            return _answer(changed)
    raise Conflict


async def disable(asked: Asked[NoQuery, AccountStep]) -> Answer:
    """None of its keys is good from then on; every node hears of it within five seconds. What it has launched goes
    on."""
    return await _step(asked, "disable")


async def enable(asked: Asked[NoQuery, AccountStep]) -> Answer:
    """It is what it was before it was disabled: active, or invited. Of an account that may send, or rule others, a
    second person decides (202)."""
    return await _step(asked, "enable")


async def end(asked: Asked[NoQuery, AccountStep]) -> Answer:
    """For good: its keys and invitations are worth nothing any more, and its mail address is free. Its code stays
    taken, since the audit names it."""
    return await _step(asked, "end")


class AwaitedReset(msgspec.Struct, frozen=True):
    """Nothing is done before a second person has granted it."""

    approval: str
    """Its id at /api/v1/approvals."""


async def reset_factors(asked: Asked[NoQuery, None]) -> Answer:
    """For whoever has lost every factor: two administrators together take them away, and an invitation to enrol others
    leaves by mail. Nobody does it alone."""
    approval = await asked.context.services.accounts.reset_factors(asked.caller, asked.id)
    return Answer(AwaitedReset(approval), 202, {"Location": f"{approvals.PATH}/{approval}"})


async def _step(asked: Asked[NoQuery, AccountStep], step: Literal["disable", "enable", "end"]) -> Answer:
    seen = await asked.context.services.accounts.step(asked.caller, asked.id, step, asked.body.reason)
    return _answer(seen, status=200 if seen.approval is None else 202)


# ---- words -----------------------------------------------------------------------------------------------


def href(account: ManagedAccount) -> str:
    return f"{PATH}/{account.code.replace('/', '%2F')}"


def _answer(seen: SeenAccount, status: int = 200) -> Answer:
    waits = {"Location": f"{approvals.PATH}/{seen.approval}"} if status == 202 else {}
    return Answer(AccountInFull(**_in_full(seen)), status, {"ETag": etag_of(seen.account.revision)} | waits)


def _listed(account: ManagedAccount) -> dict[str, Any]:
    return {
        "code": account.code,
        "href": href(account),
        "name": account.name,
        "type": account.type,
        "state": account.state,
        "email": account.email,
        "mobile": account.mobile,
        "language": account.language,
        "created_ms": account.created_ms or None,
        "revision": account.revision,
    }


def _in_full(seen: SeenAccount) -> dict[str, Any]:
    account = seen.account
    return {
        **_listed(account),
        "rights": tuple(HeldRight(**msgspec.structs.asdict(right)) for right in seen.rights),
        "more_rights": seen.more_rights,
        "read_only": seen.read_only,
        "disabled_ms": account.disabled_ms,
        "ended_ms": account.ended_ms,
        "changed_by": account.changed_by,
        "changed_ms": account.changed_ms,
        "approval": seen.approval,
    }
