"""The handlers of approvals: what waits for a second person, and that person's word."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Literal

import msgspec

from gateway.access import second_person
from gateway.access.approval_desk import ApprovalDecision
from gateway.access.dangerous import (
    ActSummary,
    ApprovalAct,
    ChangeToAccount,
    EnableAccount,
    MakeKey,
    OpenAccount,
    ResetFactors,
    Rights,
    SetAddress,
    SetRights,
    added,
    in_order,
    read_act,
)
from gateway.access.rights import Caller, Right
from gateway.errors import Reason
from gateway.http import readings
from gateway.http.asking import Answer, Asked, NoQuery
from gateway.http.operations import GrantedRight, RightWords, words_of_rights
from gateway.http.pages import USUAL, Limit, heading, link
from store.access import managing
from store.access.approvals import Approval, subject_of

PATH = "/api/v1/approvals"
ApprovalState = Literal["asked", "granted", "refused", "withdrawn", "expired", "done"]
ChangeName = Literal["open-account", "enable-account", "set-address", "set-rights", "make-key", "reset-factors"]


class FindApprovals(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    open: bool = False
    """Only what is not decided yet, or is granted and waits for its time."""
    after: Annotated[str, msgspec.Meta(max_length=64)] = ""
    """The id of the last one of the page before."""
    limit: Limit = USUAL


class ListedApproval(msgspec.Struct, frozen=True, kw_only=True):
    """Something dangerous that one person has asked for."""

    id: str
    href: str
    subject: str
    """What it is about: `rights` of accounts."""
    zone: str | None
    """null: several zones, or every one."""
    state: ApprovalState
    """`granted`: its asker is the only administrator of the zone and grants it alone; it is done at `not_before`,
    unless somebody withdraws or refuses it. What can be done no more as it was asked is `refused`."""
    accounts: tuple[str, ...]
    """Codes of those that it is about, 20 at most."""
    changes: int
    asked_by: str
    behalf: str | None
    """The account on whose behalf it was asked for."""
    asked_ms: int
    not_before_ms: int | None
    ends_ms: int
    """Until then it may be decided."""
    decided_by: str | None
    decided_ms: int | None


class ApprovalList(msgspec.Struct, frozen=True, omit_defaults=True):
    approvals: tuple[ListedApproval, ...]
    next: str = ""
    """Where the list goes on; absent at its end."""


class AskedChange(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is done to one account."""

    what: ChangeName
    account: str
    """Its code."""
    name: str = ""
    """Of an account that there was not."""
    type: str = ""
    rights: tuple[GrantedRight, ...] = ()
    """Those that it has afterwards; of a key, those that its account has."""
    dangerous: tuple[GrantedRight, ...] = ()
    """Those among them for which two are needed."""
    taken: tuple[GrantedRight, ...] = ()
    """Those that it has no more."""
    key_id: str = ""
    note: str = ""
    expires_ms: int | None = None
    email: str = ""
    """The mail address of the account: whoever has that mailbox is invited, and resets a password. Of an account that
    is to have another one, that one."""


class ApprovalInFull(ListedApproval, frozen=True, kw_only=True):
    """Something dangerous that one person has asked for, with all that is done where another grants it."""

    decidable: bool
    """The caller may be its second person."""
    digest: str
    """SHA-256 of all that is done: the decision names it."""
    reason: str
    """Of whoever decided it."""
    moot: Literal["", "asker", "account", "rights", "place"]
    """Why it could not be done when it was granted: its asker may not any more, an account is not there or is there
    already, somebody's rights have changed, a zone or network is gone."""
    acts: tuple[AskedChange, ...]


class _Evidence(msgspec.Struct, frozen=True):
    reason: str = ""
    moot: Literal["", "asker", "account", "rights", "place"] = ""


async def listing(asked: Asked[FindApprovals, None]) -> Answer:
    """The newest first: those of the zones whose accounts the caller keeps, and what the caller has asked for."""
    query = asked.query
    found, after = await asked.context.services.approvals.listing(
        asked.caller, open_only=query.open, after=query.after, most=query.limit
    )
    next_ = link(PATH, open="1" if query.open else "", after=after, limit=query.limit) if after else ""
    shown = tuple(ListedApproval(**_heading(one)) for one in found)
    return Answer(ApprovalList(shown, next_), headers=heading(next_))


async def read(asked: Asked[NoQuery, None]) -> Answer:
    """All that is done where it is granted, and the digest that a decision names."""
    found = await asked.context.services.approvals.read(asked.caller, asked.id)
    await readings.keep(
        asked, readings.reading_of(asked, "approval-read", subject_of(found.public_id), zone_id=found.zone_id)
    )
    return await _in_full(asked, found)


async def decide(asked: Asked[NoQuery, ApprovalDecision]) -> Answer:
    """By a second person, who has signed in: neither who has asked nor whom it is about, and no key. Where it is
    granted all of it is done with the answer; where something that it was asked under holds no more, nothing is, and it
    is refused for that (409 `approval-moot`). The same decision again changes nothing."""
    decided = await asked.context.services.approvals.decide(asked.caller, asked.id, asked.body)
    return await _in_full(asked, decided)


async def withdraw(asked: Asked[NoQuery, None]) -> Answer:
    """By whoever has asked for it or keeps the accounts that it is about; also what waits for its ten minutes."""
    withdrawn = await asked.context.services.approvals.withdraw(asked.caller, asked.id)
    return await _in_full(asked, withdrawn)


# ---- words -----------------------------------------------------------------------------------------------


def _heading(found: Approval) -> dict[str, Any]:
    summary = msgspec.json.decode(found.summary, type=ActSummary)
    return {
        "id": found.public_id,
        "href": f"{PATH}/{found.public_id}",
        "subject": found.subject,
        "zone": found.zone,
        "state": found.state,
        "accounts": summary.accounts,
        "changes": summary.changes,
        "asked_by": found.asked_code,
        "behalf": found.behalf_code,
        "asked_ms": found.asked_ms,
        "not_before_ms": found.not_before_ms,
        "ends_ms": found.ends_ms,
        "decided_by": found.decided_code,
        "decided_ms": found.decided_ms,
    }


def _hindrance(caller: Caller, found: Approval, act: ApprovalAct) -> Reason | None:
    """Why the caller is not its second person, as far as the door knows the caller."""
    return second_person.hindrance(caller, caller.rights, found.zone_id, found.asked_by, act.targets, caller.code)


async def _in_full(asked: Asked[Any, Any], found: Approval) -> Answer:
    act, said = read_act(found.act), msgspec.json.decode(found.evidence, type=_Evidence)
    every = {right for change in act.changes for right in getattr(change, "rights", ())}
    words = await words_of_rights(asked, every.union(*act.rights_before.values()))
    shown = ApprovalInFull(
        **_heading(found),
        decidable=found.is_open and _hindrance(asked.caller, found, act) is None,
        digest=found.digest,
        reason=said.reason,
        moot=said.moot,
        acts=tuple(_worded(act, words, await _addresses(asked, act))),
    )
    return Answer(shown)


async def _addresses(asked: Asked[Any, Any], act: ApprovalAct) -> dict[str, str]:
    """By the codes of the accounts that there are."""
    async with asked.context.services.database.read() as conn:
        return await managing.addresses(conn, act.targets)


def _worded(act: ApprovalAct, words: RightWords, addresses: Mapping[str, str]) -> Iterator[AskedChange]:
    held = {code: frozenset(rights) for code, rights in act.rights_before.items()}
    for change in act.changes:
        had = held.get(change.account, frozenset())
        told = _change(change, had, words)
        yield told if told.email else msgspec.structs.replace(told, email=addresses.get(change.account, ""))
        if isinstance(change, OpenAccount | SetRights):
            held[change.account] = frozenset(change.rights)


def _change(change: ChangeToAccount, had: Rights, words: RightWords) -> AskedChange:
    """`had`: the rights of the account just before."""
    what = msgspec.convert(type(change).__struct_config__.tag, ChangeName)

    def said(rights: Iterable[Right]) -> tuple[GrantedRight, ...]:
        return words.of(in_order(rights))

    match change:
        case OpenAccount(rights=given) | SetRights(rights=given):
            new = frozenset(given)
            named = (change.name, change.type) if isinstance(change, OpenAccount) else ("", "")
            return AskedChange(
                what=what, account=change.account, name=named[0], type=named[1], rights=said(new),
                dangerous=said(added(had, new)), taken=said(had - new),
            )  # fmt: skip
        case MakeKey():
            return AskedChange(
                what=what, account=change.account, rights=said(had), dangerous=said(added(frozenset(), had)),
                key_id=change.key_id, note=change.note, expires_ms=change.expires_ms,
            )  # fmt: skip
        case EnableAccount() | ResetFactors() | SetAddress():
            return AskedChange(
                what=what, account=change.account, rights=said(had), dangerous=said(added(frozenset(), had)),
                email=change.email if isinstance(change, SetAddress) else "",
            )  # fmt: skip
