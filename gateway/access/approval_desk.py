"""The desk of approvals: what is dangerous is asked of a second person, and done by the decision itself.

Who changes accounts calls `gate` in the transaction of the change, and nothing else: what is harmless is made there and
then, and what is not waits. A decision is one transaction: the approval is looked up and locked, everything that it was
asked under is looked at again, and the act is done and told. What has become untrue meanwhile is not done.
"""

import logging
import secrets
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec

from gateway.access import second_person
from gateway.access.dangerous import (
    MOST_CHANGES,
    SUBJECT,
    ApprovalAct,
    ChangeToAccount,
    Danger,
    OpenAccount,
    ResetFactors,
    Rights,
    act_of,
    digest_of,
    judge,
    read_act,
    summary_of,
    written,
)
from gateway.access.granting import Appliers, rights_of, rows_of
from gateway.access.rights import Action, Caller
from gateway.errors import Later, Reason, Refusal
from store.access import administrators, approvals
from store.access.accounts import id_of
from store.access.administrators import AccountStanding
from store.access.approvals import Approval, NewApproval
from store.audit_line import SERVER, Actor
from store.engine.database import Database
from store.engine.transaction import Transaction
from store.errors import StoreUnavailable

log = logging.getLogger(__name__)

MOST_ALONE = 10
"""An hour, of one account: each is told, and none of that is held back."""
_HOUR_MS = 3_600_000
_STILL_COUNTS_MS = 7 * 86_400_000
"""So long after an administrator was disabled, or lost the right, nobody is the only one for that."""


class ApprovalDecision(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The second person's word about what was seen."""

    grant: bool
    """true: it is done with this answer; false: it is refused for good."""
    digest: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
    """Of the approval that was seen."""
    reason: Annotated[str, msgspec.Meta(max_length=500)] = ""
    """Shown to whoever has asked."""


class Applied(msgspec.Struct, frozen=True):
    """It was not dangerous, and is done."""


class AwaitsSecond(msgspec.Struct, frozen=True):
    """It is dangerous: nothing is done yet."""

    approval: Approval


class ApprovalNews(msgspec.Struct, frozen=True):
    """What is told of an approval, and to which accounts. Of what its asker grants alone everybody hears who keeps
    accounts of the zone, and whom it is about."""

    event: Literal["asked", "alone", "done", "refused", "withdrawn", "expired"]
    approval: Approval
    to: tuple[int, ...]


TellApproval = Callable[[Transaction, ApprovalNews], Awaitable[None]]
"""Tells people in the transaction of what it tells of: either both are kept, or neither."""


class ActMoot(Exception):
    """What was asked for cannot be done as it was asked."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


@dataclass(frozen=True, slots=True)
class ApprovalDesk:
    database: Database
    appliers: Appliers
    tellers: tuple[TellApproval, ...] = ()
    shut: Callable[[int], None] = lambda account_id: None
    """Called when an account's sessions were ended by what was decided here: this node believes them no more."""

    # ---- asking ------------------------------------------------------------------------------------------------

    async def gate(self, tx: Transaction, caller: Caller, changes: Sequence[ChangeToAccount]) -> Applied | AwaitsSecond:
        """Makes changes to accounts, all of them, or asks a second person where they are dangerous. Whether the caller
        may make them at all is asked before.

        Raises Refusal, and then the transaction must fail: 403 where somebody may not give this, 404 and 409 for
        accounts that there are not, or are; 409 where something else is asked about one of them; 422 for too many."""
        if len(changes) > MOST_CHANGES:
            title = f"One act holds {MOST_CHANGES} changes at most."
            raise Refusal(422, "too-many-changes", title)
        standing = await administrators.by_codes(tx, {change.account for change in changes})
        before = _before(changes, standing)
        danger = judge(changes, before)
        if not danger.is_any:
            await self._make(tx, changes, caller.actor)
            return Applied()
        if not second_person.keeps_all(await _fresh_rights(tx, caller.account_id, caller.behalf_id), danger.zones):
            raise _forbidden("not-yours-to-grant", "This account may not give this.", danger.zone_id)
        return AwaitsSecond(await self._ask(tx, caller, act_of(changes, before), danger))

    async def _ask(self, tx: Transaction, caller: Caller, act: ApprovalAct, danger: Danger) -> Approval:
        text = written(act)
        alone = await self._is_only_one(tx, caller, danger)
        if alone and await approvals.granted_alone(tx, caller.account_id, tx.now_ms - _HOUR_MS) >= MOST_ALONE:
            detail = f"Alone {MOST_ALONE} grants an hour are made: everybody whom they concern is told of each."
            raise Later("too-many-grants", "This account grants too much alone.", _HOUR_MS / 1000, detail)
        new = NewApproval(
            public_id=secrets.token_hex(10),
            subject=SUBJECT,
            zone_id=danger.zone_id,
            act=text,
            summary=summary_of(act),
            digest=digest_of(text),
            asked_by=caller.account_id,
            asked_behalf=caller.behalf_id,
            ends_ms=tx.now_ms + second_person.LIFE_MS,
            targets=tuple(sorted(act.targets)),
            not_before_ms=tx.now_ms + second_person.ALONE_MS if alone else None,
        )
        earlier = await approvals.by_the_try_before(tx, new)
        if earlier is not None:
            return earlier
        other = await approvals.ask(tx, new, caller.actor)
        kept = await approvals.by_public_id(tx.conn, other or new.public_id)
        assert kept is not None
        if other:
            title = "Something is asked about one of these accounts already."
            raise Refusal(409, "approval-pending", title, members={"approval": kept.public_id})
        await self._tell(tx, "alone" if alone else "asked", kept, await _whom_it_concerns(tx, kept, act, all_=alone))
        return kept

    async def _is_only_one(self, tx: Transaction, caller: Caller, danger: Danger) -> bool:
        """Whether somebody may grant this alone, later: a person, who keeps the accounts of the one zone that it is
        about, and is alone in that, and has not become so by taking it from the others."""
        zone_id = danger.zone_id
        if zone_id is None or danger.takes_two or not caller.person or caller.behalf_id is not None:
            return False
        since_ms = tx.now_ms - _STILL_COUNTS_MS
        found = [one for one in await administrators.of_zone(tx, zone_id) if not one.everywhere]
        counting = {one.account_id for one in found if one.disabled_ms is None or one.disabled_ms > since_ms}
        if counting != {caller.account_id}:
            return False
        return not await administrators.was_another(tx, zone_id, caller.code, since_ms)

    # ---- reading -----------------------------------------------------------------------------------------------

    async def listing(self, caller: Caller, *, open_only: bool, after: str, most: int) -> tuple[list[Approval], str]:
        """The newest first, those that are the caller's business; and behind which one the next page begins, empty at
        the end. Raises Refusal 404 for an `after` that is none."""
        last = (await self.read(caller, after)).number if after else None
        zones = caller.whole_zones(Action.ADMINISTER)
        async with self.database.read() as conn:
            found = await approvals.page(conn, zones, caller.account_id, open_only=open_only, before=last, most=most)
        return found, found[-1].public_id if len(found) == most else ""

    async def read(self, caller: Caller, public_id: str) -> Approval:
        """Raises Refusal 404, also for one that is not the caller's business: that it exists is not told."""
        async with self.database.read() as conn:
            found = await approvals.by_public_id(conn, public_id)
        if found is None or not second_person.sees(caller, found.zone_id, found.asked_by):
            raise Refusal(404, "no-such-approval", "There is no such approval.")
        return found

    # ---- deciding ----------------------------------------------------------------------------------------------

    async def decide(self, caller: Caller, public_id: str, decision: ApprovalDecision) -> Approval:
        """Grants an approval, which does what it asks for, or refuses it. The same decision of the same person again
        changes nothing.

        Raises Refusal: 404; 403 where somebody may not decide it; 409 where it is another act than was seen, is
        decided, has ended, or cannot be done as it was asked."""
        await self.read(caller, public_id)
        outcome = await self.database.write(lambda tx: self._decide(tx, caller, public_id, decision))
        if isinstance(outcome, Refusal):
            raise outcome
        if outcome.state == "done":
            await self._let_go(read_act(outcome.act))
        return outcome

    async def _let_go(self, act: ApprovalAct) -> None:
        async with self.database.read() as conn:
            ids = [await id_of(conn, one.account) for one in act.changes if isinstance(one, ResetFactors)]
        for account_id in ids:
            if account_id is not None:
                self.shut(account_id)

    async def _decide(
        self, tx: Transaction, caller: Caller, public_id: str, decision: ApprovalDecision
    ) -> Approval | Refusal:
        seen = await approvals.locked(tx, public_id)
        assert seen is not None
        if seen.digest != decision.digest:
            title = "What is asked for is not what this decision names."
            return Refusal(409, "approval-differs", title, members={"digest": seen.digest})
        if not seen.is_open and _is_that_decision(seen, caller, decision):
            return seen
        fault = _closed(seen, tx.now_ms) or await self._forbids(tx, caller, seen)
        if fault is not None:
            return fault
        evidence = {"by": "session", "reason": decision.reason}
        if not decision.grant:
            return await self._refuse(tx, caller, seen, evidence)
        return await self._do(tx, seen, evidence, caller.actor, caller.account_id)

    async def withdraw(self, caller: Caller, public_id: str) -> Approval:
        """Takes back what was asked for, or what its asker has granted alone and is not done yet: whoever asked, or
        keeps the accounts that it is about. Raises Refusal 404, 409."""
        await self.read(caller, public_id)

        async def work(tx: Transaction) -> Approval | Refusal:
            seen = await approvals.locked(tx, public_id)
            assert seen is not None
            if seen.state == "withdrawn":
                return seen
            return _closed(seen, tx.now_ms) or await self._end(tx, seen, "withdrawn", caller.actor)

        outcome = await self.database.write(work)
        if isinstance(outcome, Refusal):
            raise outcome
        return outcome

    async def run_due(self) -> bool:
        """Does what was granted alone and whose time has come, and ends what nobody has decided; each once, on
        whichever node. True when there may be more."""
        async with self.database.read() as conn:
            due = await approvals.due(conn, self.database.clock.now_ms())
        for public_id in due:
            await self._run_alone(public_id)
        return len(due) == approvals.AT_ONCE

    async def _run_alone(self, public_id: str) -> None:
        """One that cannot be done must not stop the others: it ends when its time is over."""
        try:
            await self.database.write(lambda tx: self._run_one(tx, public_id))
        except StoreUnavailable:
            raise
        except Exception:
            log.exception("an approval was not done", extra={"action": "approval-failed", "approval": public_id})

    async def _run_one(self, tx: Transaction, public_id: str) -> None:
        seen = await approvals.locked(tx, public_id)
        if seen is None or not seen.is_open:
            return
        if seen.ends_ms <= tx.now_ms:
            await self._end(tx, seen, "expired", SERVER)
        elif seen.state == "granted" and seen.not_before_ms is not None and seen.not_before_ms <= tx.now_ms:
            await self._do(tx, seen, {"by": "alone"}, SERVER, None)

    async def _forbids(self, tx: Transaction, caller: Caller, seen: Approval) -> Refusal | None:
        """Why this is not the second one; as the rights are now, whatever the door still believes."""
        ids = {caller.account_id, *([caller.behalf_id] if caller.behalf_id is not None else [])}
        standing = await administrators.by_ids(tx, ids)
        if any(id_ not in standing or standing[id_].disabled_ms is not None for id_ in ids):
            return _forbidden("not-yours-to-decide", _NOT_YOURS, seen.zone_id)
        own = standing[caller.account_id if caller.behalf_id is None else caller.behalf_id]
        targets = read_act(seen.act).targets
        why = second_person.hindrance(caller, rights_of(own.rights), seen.zone_id, seen.asked_by, targets, own.code)
        return None if why is None else Refusal(403, "not-yours-to-decide", _NOT_YOURS, (why,))

    async def _do(
        self, tx: Transaction, seen: Approval, evidence: Mapping[str, Any], by: Actor, decided_by: int | None
    ) -> Approval | Refusal:
        """What was asked for, if all that it was asked under still holds; else it is refused for that."""
        act = read_act(seen.act)
        try:
            await _require_unchanged(tx, seen, act)
        except ActMoot as moot:
            ended = await self._refuse(tx, None, seen, {**evidence, "moot": moot.cause}, by)
            text, remedy = MOOT[moot.cause]
            reason = Reason("G-MOOT", text, remedy=remedy, cause=moot.cause)
            members = {"approval": ended.public_id}
            return Refusal(409, "approval-moot", "It cannot be done as it was asked.", (reason,), members=members)
        apart = {"reason": evidence["reason"]} if evidence.get("reason") else None
        await approvals.close(tx, seen, "done", by, decided_by=decided_by, evidence=evidence, apart=apart)
        await self._make(tx, act.changes, Actor(account_id=seen.asked_by, behalf_id=seen.asked_behalf))
        done = await _again(tx, seen)
        to = await _whom_it_concerns(tx, done, act, all_=seen.not_before_ms is not None)
        await self._tell(tx, "done", done, {*to, seen.asked_by})
        return done

    async def _refuse(
        self, tx: Transaction, caller: Caller | None, seen: Approval, evidence: Mapping[str, Any], by: Actor = SERVER
    ) -> Approval:
        actor, decider = (by, None) if caller is None else (caller.actor, caller.account_id)
        apart = {"reason": evidence["reason"]} if evidence.get("reason") else None
        await approvals.close(tx, seen, "refused", actor, decided_by=decider, evidence=evidence, apart=apart)
        refused = await _again(tx, seen)
        await self._tell(tx, "refused", refused, {seen.asked_by})
        return refused

    async def _end(
        self, tx: Transaction, seen: Approval, state: Literal["withdrawn", "expired"], by: Actor
    ) -> Approval:
        await approvals.close(tx, seen, state, by)
        ended = await _again(tx, seen)
        to = await _whom_it_concerns(tx, ended, read_act(seen.act), all_=seen.not_before_ms is not None)
        await self._tell(tx, state, ended, {*to, seen.asked_by})
        return ended

    async def _make(self, tx: Transaction, changes: Sequence[ChangeToAccount], by: Actor) -> None:
        for change in changes:
            await self.appliers[type(change)](tx, change, by)

    async def _tell(self, tx: Transaction, event: Any, about: Approval, to: Collection[int]) -> None:
        news = ApprovalNews(event, about, tuple(sorted(to)))
        for tell in self.tellers:
            await tell(tx, news)


_NOT_YOURS = "This account does not decide this."
MOOT: Mapping[str, tuple[str, str]] = {
    "asker": ("Whoever has asked for it may not do so any more.", "Whoever may ask for it asks anew."),
    "account": ("An account that it is about is not there, or is there already.", "Ask anew, for what there is."),
    "rights": ("The rights of an account that it is about have changed meanwhile.", "Ask anew, for what there is."),
    "place": ("A zone or a network that it is about is not there any more.", "Ask anew, for what there is."),
}
"""Why an act is not done, and what mends that."""


def _before(changes: Sequence[ChangeToAccount], standing: Mapping[str, AccountStanding]) -> dict[str, Rights]:
    """The rights of the accounts that there are. Raises Refusal where one is not there, or is there already."""
    there = set(standing)
    for change in changes:
        if isinstance(change, OpenAccount):
            if change.account in there:
                raise Refusal(409, "account-exists", "There is an account of this code already.")
            there.add(change.account)
        elif change.account not in there:
            raise Refusal(404, "no-such-account", "There is no such account.")
    return {code: rights_of(one.rights) for code, one in standing.items()}


async def _require_unchanged(tx: Transaction, seen: Approval, act: ApprovalAct) -> None:
    """That what an act was asked under holds. Raises ActMoot."""
    standing = await administrators.by_codes(tx, act.targets)
    if set(standing) != set(act.rights_before):
        raise ActMoot("account")
    before = {code: rights_of(one.rights) for code, one in standing.items()}
    if any(before[code] != frozenset(rights) for code, rights in act.rights_before.items()):
        raise ActMoot("rights")
    danger = judge(act.changes, before)
    if not second_person.keeps_all(await _fresh_rights(tx, seen.asked_by, seen.asked_behalf), danger.zones):
        raise ActMoot("asker")
    given = rows_of(right for change in act.changes for right in getattr(change, "rights", ()))
    there = await administrators.places(tx, given)
    wanted = {(r.zone_id, r.network_id) for r in given if r.zone_id is not None}
    if not wanted <= there:
        raise ActMoot("place")


async def _fresh_rights(tx: Transaction, account_id: int, behalf_id: int | None) -> Rights:
    """The rights by which somebody acts, as they are now; none where he, or the one on whose behalf, is disabled."""
    standing = await administrators.by_ids(tx, {account_id, *([behalf_id] if behalf_id is not None else [])})
    own = standing.get(account_id if behalf_id is None else behalf_id)
    if own is None or any(one.disabled_ms is not None for one in standing.values()):
        return frozenset()
    return rights_of(own.rights)


async def _whom_it_concerns(tx: Transaction, about: Approval, act: ApprovalAct, *, all_: bool) -> set[int]:
    """Who may decide it, and where it is granted alone whom it is about as well; never who has asked."""
    keepers = {one.account_id for one in await administrators.of_zone(tx, about.zone_id) if one.disabled_ms is None}
    theirs = await administrators.by_codes(tx, act.targets) if all_ else {}
    return (keepers | {one.account_id for one in theirs.values()}) - {about.asked_by}


async def _again(tx: Transaction, seen: Approval) -> Approval:
    found = await approvals.by_public_id(tx.conn, seen.public_id)
    assert found is not None
    return found


def _closed(seen: Approval, now_ms: int) -> Refusal | None:
    """Why nothing is to be decided any more."""
    if seen.is_open and now_ms < seen.ends_ms:
        return None
    state = "expired" if seen.is_open else seen.state
    members = {"state": state, "decided_by": seen.decided_code, "decided_ms": seen.decided_ms}
    return Refusal(409, "approval-closed", "This is decided, withdrawn or past its time.", members=members)


def _is_that_decision(seen: Approval, caller: Caller, decision: ApprovalDecision) -> bool:
    """Whether it is how it is because of this very decision, which came again."""
    state = "done" if decision.grant else "refused"
    return seen.state == state and seen.decided_by == caller.account_id and seen.asked_by != caller.account_id


def _forbidden(code: str, title: str, zone_id: int | None) -> Refusal:
    return Refusal(403, code, title, (second_person.missing(zone_id),))
