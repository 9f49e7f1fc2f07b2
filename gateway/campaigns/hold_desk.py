"""The desk of holds: the brake, for whoever operates a zone or the whole machine, and is not at its terminal."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec

from channels.contract import Channel
from gateway.access.rights import Action, Caller
from gateway.campaigns import rights_over_holds
from gateway.errors import Reason, Refusal, first_of
from gateway.fault_words import CAUSES, NAMES
from gateway.value_faults import LONGEST_SAID
from store.campaigns import reading as campaigns
from store.engine.database import Database
from store.engine.transaction import Connection, Transaction, follow
from store.engine.turns import Turn
from store.outbox import hold_statements, holds
from store.outbox.hold_statements import Hold
from store.register import reading as directory

HoldScope = Literal["all", "channel", "carrier", "zone", "campaign"]
Words = Annotated[str, msgspec.Meta(max_length=500)]
MOST_AT_ONCE = 500
_LOOKS = 5
"""Pages of the store read for one page of an answer, where most holds are not the caller's business."""
_MOST_CHOICES = 40
"""Names that a refusal lists."""
_ENDED = Reason("H-ENDED", "This campaign has ended: nothing more of it leaves.", path="$.subject", pointer="/subject")


class HoldRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is to be held, and why. A channel, a carrier, a zone or a campaign is named; `all` is everything, and names
    nothing."""

    scope: HoldScope
    subject: Annotated[str, msgspec.Meta(max_length=200)] = ""
    """sms, email or voice; a carrier's name in the settings; a zone's code; a campaign's id."""
    reason: Words = ""
    """Shown to whoever comes next."""


class HoldChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A merge patch of a hold (RFC 7396): of what it holds nothing can be changed."""

    reason: Words | msgspec.UnsetType | None = msgspec.UNSET
    """null: no reason is given any more."""


class PlacedHold(msgspec.Struct, frozen=True):
    hold: Hold
    created: bool
    """False: it stood already."""


class _Thing(msgspec.Struct, frozen=True):
    """What is to be held, as the store calls it."""

    scope: str
    subject: str
    reason: str


@dataclass(frozen=True, slots=True)
class HoldDesk:
    database: Database
    carriers: tuple[str, ...]
    """The names in the settings."""
    wake: Callable[[], None]
    """Rings the lanes: something may leave again."""

    async def listing(self, caller: Caller, after: int, most: int) -> tuple[list[Hold], int | None]:
        """What stands behind this place and concerns the caller, the oldest first; and where to go on, None at the
        end."""
        found: list[Hold] = []
        async with self.database.read() as conn:
            for _ in range(_LOOKS):
                page = await holds.page(conn, after=after, most=most)
                for one in page:
                    after = one.number
                    if rights_over_holds.sees(caller, one.zone_id):
                        found.append(one)
                    if len(found) == most:
                        return found, after
                if len(page) < most:
                    return found, None
        return found, after

    async def read(self, caller: Caller, public_id: str) -> Hold:
        """Raises Refusal 404, also for one that does not concern the caller: that it exists is not told."""
        async with self.database.read() as conn:
            found = await holds.by_public_id(conn, public_id)
        if found is None or not rights_over_holds.sees(caller, found.zone_id):
            raise Refusal(404, "no-such-hold", "There is no such hold.")
        return found

    async def place(self, caller: Caller, wish: HoldRequest) -> PlacedHold:
        """Places a hold: once it is durable nothing more is granted, and what was granted leaves within a quarter of a
        second. Raises Refusal: 422 where there is nothing of that name in the caller's zones, or what there is has
        ended; 403 without the right."""
        async with self.database.read() as conn:
            [thing] = await self._things(conn, caller, (wish,))
        if isinstance(thing, Refusal):
            raise thing
        return await self.database.write(lambda tx: _placed(tx, thing, caller), turn=Turn.FIRST)

    async def place_all(
        self, caller: Caller, wishes: Sequence[HoldRequest], *, in_part: bool
    ) -> list[PlacedHold | Refusal]:
        """Places several holds in one transaction; of each wish what became of it. `in_part`: also where some are
        refused; else Refusal 422 is raised then, with the first faults at their places among the wishes."""
        async with self.database.read() as conn:
            things = await self._things(conn, caller, wishes)
        refused = [(index, thing) for index, thing in enumerate(things) if isinstance(thing, Refusal)]
        if refused and not in_part:
            raise _refused_whole(refused)

        async def work(tx: Transaction) -> list[PlacedHold | Refusal]:
            return [one if isinstance(one, Refusal) else await _placed(tx, one, caller) for one in things]

        return await self.database.write(work, turn=Turn.FIRST)

    async def change(self, caller: Caller, seen: Hold, change: HoldChange) -> Hold | None:
        """Gives a hold another reason; None where it is no longer as it was seen. Raises Refusal: 403 without the
        right, 409 where a restore holds it."""
        _require(caller, seen)
        reason = "" if change.reason is None else change.reason
        if reason is msgspec.UNSET or reason == seen.reason:
            return seen

        async def work(tx: Transaction) -> Hold | None:
            if not await holds.give_reason(tx, seen, reason, caller.code, caller.actor):
                return None
            return await holds.by_public_id(tx.conn, seen.public_id)

        return await self.database.write(work)

    async def lift(self, caller: Caller, seen: Hold) -> bool:
        """Lifts a hold: what waited goes on. False where it is no longer as it was seen. Raises Refusal: 403 without
        the right, 409 where a restore holds it."""
        _require(caller, seen)
        lifted = await self.database.write(lambda tx: holds.lift_seen(tx, seen, caller.actor))
        if lifted:
            self.wake()
        return lifted

    async def _things(self, conn: Connection, caller: Caller, wishes: Sequence[HoldRequest]) -> list[_Thing | Refusal]:
        zones: dict[str, int] = {}
        if any(wish.scope == "zone" for wish in wishes):
            known = await directory.zones(conn)
            zones = {zone.code: zone.id for zone in known if caller.may_in(Action.OPERATE, zone.id)}
        return [await self._thing(conn, caller, wish, zones) for wish in wishes]

    async def _thing(
        self, conn: Connection, caller: Caller, wish: HoldRequest, zones: Mapping[str, int]
    ) -> _Thing | Refusal:
        """`zones`: those of the caller, by code."""
        match wish.scope:
            case "zone":
                zone_id = zones.get(wish.subject)
                if zone_id is None:
                    return _unknown(wish.subject, tuple(zones))
                return _allowed(caller, wish, str(zone_id), zone_id)
            case "campaign":
                found = await campaigns.by_public_id(conn, wish.subject)
                if found is None or not caller.may_in(Action.OPERATE, found.zone_id):
                    return _unknown(wish.subject, ())
                thing = _allowed(caller, wish, str(found.id), found.zone_id)
                over = await follow(conn, hold_statements.is_over(wish.scope, str(found.id)))
                return _nothing(_ENDED) if over and isinstance(thing, _Thing) else thing
            case "all":
                return (
                    _allowed(caller, wish, "", None) if not wish.subject else _nothing(_of_subject("needless", "all"))
                )
            case "channel":
                return _named(caller, wish, tuple(Channel))
            case "carrier":
                return _named(caller, wish, self.carriers)


def _named(caller: Caller, wish: HoldRequest, names: Sequence[str]) -> _Thing | Refusal:
    """What is of every zone. Who may not hold it is told so before what there is."""
    thing = _allowed(caller, wish, wish.subject, None)
    return thing if isinstance(thing, Refusal) or wish.subject in names else _unknown(wish.subject, names)


async def _placed(tx: Transaction, thing: _Thing, caller: Caller) -> PlacedHold:
    while True:
        created = await holds.place(tx, thing.scope, thing.subject, thing.reason, caller.code, caller.actor)
        found = await holds.of_thing(tx.conn, thing.scope, thing.subject)
        if found is not None:  # PostgreSQL: the one that stood there may have been lifted just now
            return PlacedHold(found, created)


def _allowed(caller: Caller, wish: HoldRequest, subject: str, zone_id: int | None) -> _Thing | Refusal:
    if rights_over_holds.holds(caller, zone_id):
        return _Thing(wish.scope, subject, wish.reason)
    return _forbidden(zone_id)


def _require(caller: Caller, seen: Hold) -> None:
    """That the caller may change and lift this, and that anybody may who is not at the terminal."""
    if not rights_over_holds.holds(caller, seen.zone_id):
        raise _forbidden(seen.zone_id)
    if seen.of_restore:
        remedy = (
            f"At the machine's terminal: tocsin retire {seen.name} gives it up, tocsin resume campaign {seen.name} "
        )
        reason = Reason(
            "H-RESTORE",
            "It may have been sent, stopped or cancelled since the backup, and whoever was told would be told again.",
            remedy=f"{remedy}sends what is left.",
            cause="undecided",
            facts=(seen.name,),
        )
        raise Refusal(409, "held-by-a-restore", "A restore holds this: it is not decided over HTTP.", (reason,))


def _forbidden(zone_id: int | None) -> Refusal:
    title = "This account may not hold or let go of this."
    return Refusal(403, "not-yours-to-hold", title, (rights_over_holds.missing(zone_id),))


def _refused_whole(refused: Sequence[tuple[int, Refusal]]) -> Refusal:
    return Refusal(422, "batch-refused", "Nothing of the batch was done.", first_of(_placed_reasons(refused)))


def _placed_reasons(refused: Sequence[tuple[int, Refusal]]) -> Iterator[Reason]:
    """Each at its place among the wishes."""
    for index, refusal in refused:
        for reason in refusal.reasons:
            yield msgspec.structs.replace(
                reason, path=f"$.holds[{index}]{reason.path[1:]}", pointer=f"/holds/{index}{reason.pointer}"
            )


def _unknown(subject: str, names: Sequence[str]) -> Refusal:
    said = subject[:LONGEST_SAID]
    if not names:
        return _nothing(_of_subject("not-there", said))
    listed = ", ".join(names[:_MOST_CHOICES]) + (", ..." if len(names) > _MOST_CHOICES else "")
    return _nothing(_of_subject("choice", said, listed, choices=tuple(names[:_MOST_CHOICES])))


def _of_subject(cause: str, *facts: str, choices: tuple[str, ...] = ()) -> Reason:
    """What is wrong with the subject of a wish."""
    text, remedy = (words.format(*facts) for words in {**CAUSES, **NAMES}[cause])
    return Reason(
        "JSON", text, path="$.subject", pointer="/subject", remedy=remedy, cause=cause, facts=facts, choices=choices
    )  # fmt: skip


def _nothing(reason: Reason) -> Refusal:
    return Refusal(422, "nothing-to-hold", "There is nothing of this name to hold.", (reason,))
