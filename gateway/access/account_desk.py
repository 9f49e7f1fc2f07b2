"""The desk of accounts: who administers a zone, or all, invites, changes, disables and ends accounts here.

Rights are read anew in the transaction that uses them: who was an administrator a moment ago changes nothing any more.
"""

import contextlib
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, TypeVar

import msgspec

from channels.email.address import MailboxRefused, normalise_mailbox
from channels.sms.numbers import PhoneRefused, normalise_phone
from gateway.access import rights_over_accounts as rights_over
from gateway.access.account_rights_in_words import Places, places
from gateway.access.addresses import normal_email, normal_mobile
from gateway.access.approval_desk import ApprovalDesk, AwaitsSecond
from gateway.access.dangerous import (
    SUBJECT,
    ChangeToAccount,
    EnableAccount,
    ResetFactors,
    SetAddress,
    SetRights,
    added,
    in_order,
    judge,
)
from gateway.access.inviting import TellInvitation, invited
from gateway.access.keys import with_rights_of
from gateway.access.rights import Caller
from gateway.access.sign_in_parts import TellFactor, nobody_told
from gateway.directory.seed_lines import RightLine
from gateway.errors import Reason, Refusal, first_of
from gateway.unseen_characters import SHOWN_LINE
from store.access import accounts, approvals, invitations, managing
from store.access.accounts import RightRow
from store.access.break_glass import TYPE as PAPER_CODE
from store.access.invitations import NewInvitation
from store.access.managing import AccountState, ManagedAccount, NewAccount, WantedAccounts
from store.engine.database import Database
from store.engine.transaction import Connection, Transaction
from store.errors import Conflict

T = TypeVar("T")
AccountType = Literal[
    "coordinator", "co-coordinator", "officer", "administrator", "cic", "operator", "auditor", "consumer"
]
AccountLanguage = Literal["nl", "fr", "de", "en"]
SYSTEMS = frozenset({"cic", "consumer"})
"""Types behind which a program may stand and no person: without a mail address it comes in by keys alone, at once."""
NewCode = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z", examples=["jo.peeters"])]
PersonName = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=SHOWN_LINE, examples=["Jo Peeters"])]
GivenAddress = Annotated[str, msgspec.Meta(max_length=320)]
GivenNumber = Annotated[str, msgspec.Meta(max_length=40)]
GivenRights = Annotated[tuple[RightLine, ...], msgspec.Meta(max_length=200)]
ActReason = Annotated[str, msgspec.Meta(max_length=500)]


class AccountWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """An account to be made, and the person or system to whom it belongs."""

    code: NewCode
    """By which it is named from then on."""
    name: PersonName
    type: AccountType
    email: GivenAddress = ""
    """Where the invitation goes. Without one only systems (cic, consumer) have an account: it is active at once, and
    comes in by keys."""
    mobile: GivenNumber = ""
    """For alarms and requests by SMS."""
    language: AccountLanguage = "en"
    """In which it is told things."""
    rights: GivenRights = ()
    """At most what the caller holds himself, in zones of which he administers the whole."""


class AccountChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A merge patch of an account (RFC 7396)."""

    name: PersonName | msgspec.UnsetType = msgspec.UNSET
    type: AccountType | msgspec.UnsetType = msgspec.UNSET
    email: GivenAddress | msgspec.UnsetType | None = msgspec.UNSET
    """null: it has none any more. Invitations to the old one are worth nothing from then on."""
    mobile: GivenNumber | msgspec.UnsetType | None = msgspec.UNSET
    language: AccountLanguage | msgspec.UnsetType = msgspec.UNSET
    rights: GivenRights | msgspec.UnsetType = msgspec.UNSET
    """All of them in the caller's zones: what is not in the list is taken. Rights in other zones stay as they are."""


class SeenAccount(msgspec.Struct, frozen=True):
    """An account as a caller may see it."""

    account: ManagedAccount
    rights: tuple[RightLine, ...]
    """In the caller's zones."""
    more_rights: bool
    """It has others, in zones that are not his."""
    read_only: bool
    """Of it the caller changes the rights in his zones alone, or nothing."""
    approval: str | None = None
    """The id of what was asked of a second person just now; None: all is done."""


@dataclass(frozen=True, slots=True)
class AccountDesk:
    database: Database
    approvals: ApprovalDesk
    tell: TellInvitation | None = None
    """Sends what an invited person is told; None: nothing is sent."""
    shut: Callable[[int], None] = lambda account_id: None
    """Called when an account's sessions were ended here: this node believes them no more."""
    tell_owner: TellFactor = nobody_told
    """Tells whose account it is what was done to it."""

    async def listing(
        self, caller: Caller, wanted: WantedAccounts, zone: str, most: int
    ) -> tuple[list[ManagedAccount], bool]:
        """A page in the order of the codes, and whether there is more. `zone`: a code, or empty for all. Raises Refusal
        403 for who administers no whole zone."""
        require_administrator(caller)
        async with self.database.read() as conn:
            zones = rights_over.zones_of(caller)
            zone_id = None
            if zone:
                zone_id = (await places(conn, zones)).zones.get(zone)
                if zone_id is None:
                    return [], False
            asked = msgspec.structs.replace(wanted, zones=zones, invited_by=caller.account_id, zone_id=zone_id)
            found = await managing.page(conn, asked, most + 1)
        return found[:most], len(found) > most

    async def read(self, caller: Caller, code: str) -> SeenAccount:
        """Raises Refusal 404, also for one that is no business of the caller's."""
        async with self.database.read() as conn:
            return await _seen(conn, caller, code)

    async def create(self, caller: Caller, wish: AccountWish) -> tuple[SeenAccount, NewInvitation | None]:
        """Makes an account, and its invitation where it has a mail address. What is dangerous of its rights waits for a
        second person. Raises Refusal: 403 for what the caller may not give, 409 for a code or address that is taken,
        422 for what cannot be."""

        async def work(tx: Transaction) -> tuple[SeenAccount, NewInvitation | None]:
            fresh = await standing_of(tx, caller)
            new = await _new(tx.conn, fresh, wish)
            await _require_free(tx, code=new.code, email=new.email)
            at_once = _harmless((), new.rights)
            account_id = await managing.create(
                tx, msgspec.structs.replace(new, rights=at_once), fresh.actor, fresh.code
            )
            invitation = None
            if not new.joins:
                invitation = await invited(tx, account_id, fresh.actor, fresh.name, self.tell)
            seen = await _seen(tx.conn, fresh, wish.code)
            waits = await self._ask(tx, fresh, [] if at_once == new.rights else [_rights_of(new.code, new.rights)])
            return msgspec.structs.replace(seen, approval=waits), invitation

        return await self._written(work)

    async def change(self, caller: Caller, seen: ManagedAccount, wish: AccountChange) -> SeenAccount | None:
        """None where the account is no longer as it was seen. Raises Refusal as `create`."""

        async def work(tx: Transaction) -> SeenAccount:
            fresh = await standing_of(tx, caller)
            if wish.email is not msgspec.UNSET and normal_email(wish.email or "") != seen.email:
                # Before it is changed: it goes to the mailbox that is left, also where it then waits for a second one.
                await self.tell_owner(tx, seen.id, "address-changed")
            before = await managing.rights_of(tx.conn, seen.id)
            to_ask = await _changed(tx, fresh, seen, wish)
            if to_ask is None:
                raise _ChangedMeanwhile
            if set(before) != set(await managing.rights_of(tx.conn, seen.id)):
                await self.tell_owner(tx, seen.id, "rights-changed")
            waits = await self._ask(tx, fresh, to_ask)
            if wish.email is not msgspec.UNSET and not any(isinstance(one, SetAddress) for one in to_ask):
                await invitations.withdraw_all(tx, seen.id)
            # Also where its last right in the caller's zones was taken, and it is no business of his any more.
            found = await managing.of_id(tx.conn, seen.id)
            assert found is not None
            shown = await _as_seen(tx.conn, fresh, found, await managing.rights_of(tx.conn, found.id))
            return msgspec.structs.replace(shown, approval=waits)

        try:
            return await self._written(work)
        except _ChangedMeanwhile:
            return None

    async def step(
        self, caller: Caller, code: str, step: Literal["disable", "enable", "end"], reason: str
    ) -> SeenAccount:
        """Disables, enables or ends an account; what it is already stays as it is. Raises Refusal: 404, 403, 409 for
        one that has ended."""

        async def work(tx: Transaction) -> SeenAccount:
            fresh = await standing_of(tx, caller)
            found, rights = await _managed(tx.conn, fresh, code)
            if found.ended_ms is not None and step != "end":
                raise ended()
            if step == "enable" and not rights_over.answers_for(fresh, rights, found.created_by):
                raise rights_over.beyond_you()
            if step == "enable" and not _is(found.state, step) and _is_dangerous(found.code, rights):
                outcome = await self.approvals.gate(tx, fresh, [EnableAccount(found.code)])
                assert isinstance(outcome, AwaitsSecond)
                shown = await _seen(tx.conn, fresh, code)
                return msgspec.structs.replace(shown, approval=outcome.approval.public_id)
            act = {"disable": managing.disable, "enable": managing.enable, "end": managing.end}[step]
            if step in _TOLD and not _is(found.state, step):
                await self.tell_owner(tx, found.id, _TOLD[step])  # while it still has a mailbox
            if not _is(found.state, step) and not await act(tx, found, fresh.actor, fresh.code, reason):
                raise Conflict
            if step == "end":
                await invitations.withdraw_all(tx, found.id)
            return await _seen(tx.conn, fresh, code)

        for _ in range(_TRIES):
            try:
                done = await self.database.write(work)
            except Conflict:
                continue
            if step != "enable":
                self.shut(done.account.id)
            return done
        raise Conflict

    async def reset_factors(self, caller: Caller, code: str) -> str:
        """Asks a second person to take a person's means of signing in away, so that others are enrolled; returns the
        id of what waits. Raises Refusal: 404, 403, 409."""

        async def work(tx: Transaction) -> str:
            fresh = await standing_of(tx, caller)
            found = await managed(tx.conn, fresh, code, gives=True)
            outcome = await self.approvals.gate(tx, fresh, [ResetFactors(found.code)])
            assert isinstance(outcome, AwaitsSecond)
            return outcome.approval.public_id

        return await self.database.write(work)

    async def _ask(self, tx: Transaction, caller: Caller, changes: Sequence[ChangeToAccount]) -> str | None:
        outcome = await self.approvals.gate(tx, caller, changes) if changes else None
        return outcome.approval.public_id if isinstance(outcome, AwaitsSecond) else None

    async def _written(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        try:
            return await self.database.write(work)
        except Conflict:
            raise _taken(()) from None


class _ChangedMeanwhile(Exception):
    """The account is no longer as it was seen: nothing of the change is kept."""


_TOLD = {"disable": "account-disabled", "end": "account-ended"}
"""What its owner is told of a step."""
_TRIES = 5
"""Of a step that another change came before."""


def require_administrator(caller: Caller) -> None:
    """Raises Refusal 403 for who administers no whole zone."""
    zones = rights_over.zones_of(caller)
    if zones is not None and not zones:
        text = "This takes the right `administer` in the whole of a zone."
        reason = Reason("A-ADMINISTER", text, remedy="Have the right entered for the account.")
        raise Refusal(403, "not-an-administrator", "This account administers no whole zone.", (reason,))


async def standing_of(tx: Transaction, caller: Caller) -> Caller:
    """The caller with the rights that the account has at this instant. Raises Refusal 403 where it may not come in any
    more, or administers no whole zone."""
    row = await accounts.find_account(tx.conn, caller.account_id)
    if row is None or not row.may_come_in:
        raise Refusal(403, "account-not-good", "This account is not good any more.")
    fresh = with_rights_of(caller, row)
    require_administrator(fresh)
    return fresh


@contextlib.contextmanager
def told_as(otherwise: Callable[[], Refusal]) -> Iterator[None]:
    """An account that does not exist for the caller is told as what was asked for: that it exists is not told."""
    try:
        yield
    except Refusal as refusal:
        raise (otherwise() if refusal.status == 404 else refusal) from refusal


def ended() -> Refusal:
    return Refusal(409, "account-ended", "This account has ended.")


async def managed(conn: Connection, caller: Caller, code: str, *, gives: bool) -> ManagedAccount:
    """An account of which the caller gives out a way to come in (`gives`), or takes one back. Raises Refusal 404, 403,
    409 for one that has ended."""
    found, rights = await _managed(conn, caller, code)
    if gives and not rights_over.answers_for(caller, rights, found.created_by):
        raise rights_over.beyond_you()
    if found.ended_ms is not None:
        raise ended()
    return found


async def _managed(conn: Connection, caller: Caller, code: str) -> tuple[ManagedAccount, tuple[RightRow, ...]]:
    found, rights = await visible(conn, caller, code)
    if found.id == caller.account_id:
        raise rights_over.not_yourself()
    if found.type == PAPER_CODE:
        raise rights_over.of_paper_code()
    if not rights_over.manages(caller, rights, found.created_by):
        raise rights_over.not_yours()
    return found, rights


async def visible(conn: Connection, caller: Caller, code: str) -> tuple[ManagedAccount, tuple[RightRow, ...]]:
    """An account that is some business of the caller's, with its rights. Raises Refusal 404."""
    found = await managing.of_code(conn, code)
    rights = () if found is None else await managing.rights_of(conn, found.id)
    if found is None or not rights_over.sees(caller, rights, found.created_by):
        raise rights_over.no_such()
    return found, rights


async def _seen(conn: Connection, caller: Caller, code: str) -> SeenAccount:
    found, rights = await visible(conn, caller, code)
    return await _as_seen(conn, caller, found, rights)


async def _as_seen(conn: Connection, caller: Caller, found: ManagedAccount, rights: Sequence[RightRow]) -> SeenAccount:
    zones = rights_over.zones_of(caller)
    shown = [right for right in rights if zones is None or right.zone_id in zones]
    known = await places(conn, None if zones is None else [right.zone_id for right in shown])
    own = found.id == caller.account_id
    return SeenAccount(
        account=found,
        rights=tuple(known.line(right) for right in shown),
        more_rights=len(shown) < len(rights),
        read_only=own or not rights_over.manages(caller, rights, found.created_by),
    )


# ---- what is asked for -----------------------------------------------------------------------------------------------


async def _new(conn: Connection, caller: Caller, wish: AccountWish) -> NewAccount:
    known = await places(conn, rights_over.zones_of(caller))
    faults = [*_address_faults(wish.email, wish.mobile), *known.faults(wish.rights, rights_over.zones_of(caller))]
    if not wish.email and wish.type not in SYSTEMS:
        remedy = "Give the address to which the invitation is sent."
        faults.append(Reason("A-EMAIL", "A person is invited by mail.", pointer="/email", remedy=remedy))
    _require_sound(faults)
    _require_type(caller, wish.type)
    rights = frozenset(map(known.row, wish.rights))
    _require_given(caller, known, rights)
    return NewAccount(
        code=wish.code,
        name=wish.name,
        type=wish.type,
        email=normal_email(wish.email),
        mobile=normal_mobile(wish.mobile),
        language=wish.language,
        rights=rights,
        joins=not wish.email,
    )


async def _changed(
    tx: Transaction, caller: Caller, seen: ManagedAccount, wish: AccountChange
) -> list[ChangeToAccount] | None:
    """Changes what is harmless; returns what is to be asked of a second person. None where the account is no longer as
    it was seen. Raises Refusal."""
    found, rights = await visible(tx.conn, caller, seen.code)
    if found.id == caller.account_id:
        raise rights_over.not_yourself()
    if found.type == PAPER_CODE:
        raise rights_over.of_paper_code()
    if found.ended_ms is not None:
        raise ended()
    values = _values(wish)
    if values and not rights_over.manages(caller, rights, found.created_by):
        raise rights_over.not_yours()
    if values.keys() & _WAYS_IN and not rights_over.answers_for(caller, rights, found.created_by):
        raise rights_over.beyond_you()
    if "type" in values:
        _require_type(caller, found.type)
        _require_type(caller, values["type"])
    _require_mail(found, values)
    if "email" in values:
        await _require_free(tx, email=values["email"], beside=found.id)
    given = await _given(tx.conn, caller, rights, wish)
    to_ask: list[ChangeToAccount] = []
    if values.get("email", found.email) != found.email:
        await _require_settled(tx, found.code)
        if _is_dangerous(found.code, rights):
            to_ask.append(SetAddress(found.code, values.pop("email")))
    zones = rights_over.zones_of(caller)
    at_once = None if given is None else _harmless(rights, given)
    if not await managing.change(tx, seen, values, caller.actor, caller.code, rights=at_once, within=zones):
        return None
    if given is not None and at_once != given:
        elsewhere = () if zones is None else (right for right in rights if right.zone_id not in zones)
        to_ask.append(_rights_of(found.code, given.union(elsewhere)))
    return to_ask


async def _require_settled(tx: Transaction, code: str) -> None:
    """That no second person is looking at the account just now: what they saw of it stays so. Raises Refusal 409."""
    waits = await approvals.pending(tx.conn, SUBJECT, code)
    if waits:
        title = "Something is asked about one of these accounts already."
        raise Refusal(409, "approval-pending", title, members={"approval": waits})


def _rights_of(code: str, rights: Iterable[RightRow]) -> SetRights:
    return SetRights(code, in_order(map(rights_over.right_of, rights)))


def _harmless(before: Iterable[RightRow], given: frozenset[RightRow]) -> frozenset[RightRow]:
    """Of the rights that are given, those that need no second person."""
    new = added(frozenset(map(rights_over.right_of, before)), frozenset(map(rights_over.right_of, given)))
    return frozenset(right for right in given if rights_over.right_of(right) not in new)


def _is_dangerous(code: str, rights: Iterable[RightRow]) -> bool:
    """Whether it takes two to let an account with these rights come in again."""
    return judge([EnableAccount(code)], {code: frozenset(map(rights_over.right_of, rights))}).is_any


_WAYS_IN = frozenset({"email", "mobile", "type"})
"""By the addresses a person is let in; the type decides what he is shown."""


def _values(wish: AccountChange) -> dict[str, str]:
    """The columns that are to be changed. Raises Refusal 422."""
    given = {
        name: value or ""
        for name in ("name", "type", "email", "mobile", "language")
        if not isinstance(value := getattr(wish, name), msgspec.UnsetType)
    }
    _require_sound(list(_address_faults(given.get("email", ""), given.get("mobile", ""))))
    if "email" in given:
        given["email"] = normal_email(given["email"])
    if "mobile" in given:
        given["mobile"] = normal_mobile(given["mobile"])
    return given


async def _given(
    conn: Connection, caller: Caller, before: Sequence[RightRow], wish: AccountChange
) -> frozenset[RightRow] | None:
    """The rights of the account in the caller's zones, as they are to be; None: as they are. Raises Refusal."""
    if isinstance(wish.rights, msgspec.UnsetType):
        return None
    zones = rights_over.zones_of(caller)
    known = await places(conn, zones)
    _require_sound(list(known.faults(wish.rights, zones)))
    rights = frozenset(map(known.row, wish.rights))
    _require_given(caller, known, rights - set(before))
    return rights


def _require_given(caller: Caller, known: Places, rights: frozenset[RightRow]) -> None:
    """Raises Refusal 403 with each right that is not the caller's to give."""
    beyond = [known.line(right) for right in sorted(rights_over.not_given(caller, rights), key=repr)]
    if beyond:
        title = "Some of these rights are not yours to give."
        raise Refusal(403, "not-yours-to-give", title, first_of(_each(beyond)))


def _each(lines: Sequence[RightLine]) -> Iterator[Reason]:
    remedy = "Let somebody give it who holds it, and administers the whole of its zone."
    for line in lines:
        where = "every zone" if line.zone is None else f"zone {line.zone}"
        where += "" if line.network is None else f", network {line.network}"
        said = f"{line.action} in {where}: {line.kind}, {line.channel}, {line.mode}"
        text = f"You do not hold this yourself: {said}."
        yield Reason("A-GIVE", text, value=said, pointer="/rights", remedy=remedy)


def _require_type(caller: Caller, type_: str) -> None:
    if not rights_over.may_make(caller, type_):
        text = f"An account of type {type_} is not yours to make or to change."
        remedy = "Ask somebody who administers every zone."
        reason = Reason("A-TYPE", text, value=type_, pointer="/type", remedy=remedy)
        raise Refusal(403, "not-yours-to-give", "Some of these rights are not yours to give.", (reason,))


def _require_mail(found: ManagedAccount, values: Mapping[str, str]) -> None:
    """That a person keeps the address by which he is invited, and whoever is invited the one that he answers from."""
    if not values.keys() & {"email", "type"}:
        return
    needs = values.get("type", found.type) not in SYSTEMS or found.joined_ms is None
    if needs and not values.get("email", found.email):
        remedy = "Give the address to which the invitation is sent."
        _require_sound([Reason("A-EMAIL", "A person is invited by mail.", pointer="/email", remedy=remedy)])


async def _require_free(tx: Transaction, *, code: str = "", email: str = "", beside: int = 0) -> None:
    found = await managing.taken(tx, code=code, email=email, beside=beside)
    if found:
        raise _taken(found)


def _taken(names: Sequence[str]) -> Refusal:
    reasons = tuple(
        Reason("A-TAKEN", f"Another account has this {name}.", pointer=f"/{name}", remedy="Choose another one.")
        for name in names
    )
    return Refusal(409, "account-taken", "Another account has this code or this mail address.", reasons)


def _require_sound(faults: Sequence[Reason]) -> None:
    if faults:
        raise Refusal(422, "account-unsound", "The account cannot be like this.", first_of(iter(faults)))


def _address_faults(email: str, mobile: str) -> Iterator[Reason]:
    if email and isinstance(read := normalise_mailbox(email), MailboxRefused):
        text = f"This is no mail address: {read.reason}."
        yield Reason("A-ADDRESS", text, pointer="/email", remedy="Write it like name@example.org.")
    yield from mobile_faults(mobile)


def mobile_faults(mobile: str) -> Iterator[Reason]:
    """What is wrong with a number at which somebody is to have SMS; empty is none."""
    if not mobile:
        return
    read = normalise_phone(mobile)
    if isinstance(read, PhoneRefused):
        yield Reason("A-ADDRESS", read.text, pointer="/mobile", remedy="Write it like +32 470 12 34 56.")
    elif not read.takes_sms:
        text = "This is no mobile number: it takes no SMS."
        yield Reason("A-ADDRESS", text, pointer="/mobile", remedy="Write it like +32 470 12 34 56.")


def _is(state: AccountState, step: Literal["disable", "enable", "end"]) -> bool:
    """Whether the step has been taken already."""
    if step == "enable":
        return state in ("active", "invited")
    return state == ("disabled" if step == "disable" else "ended")
