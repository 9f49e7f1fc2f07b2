"""Instants at which a unit may leave: the arithmetic of ceilings (pure) and the rows that make it hold everywhere.

One row a ceiling and mode, moved in the transaction that moves the cursor: over nodes, restarts and crashes an
instant is given once. Instants that pass unused are never given again. The rows are locked in the order of their
names, whatever the order in which carriers are asked: two nodes never wait for each other in a circle.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence

import msgspec
import sqlalchemy as sa

from store.engine.json_rows import json_rows, pack
from store.engine.prepared_statement import Prepared
from store.engine.transaction import Transaction
from store.tables import slot


class Ceiling(msgspec.Struct, frozen=True):
    """At most `count` units in ANY `window_s`, if each leaves at its slot or at most `guard_s` later."""

    name: str
    count: float
    window_s: float
    guard_s: float

    @property
    def spacing_us(self) -> int:
        """Between two slots: (window + guard) / count, rounded up, so that lateness within the guard cannot
        squeeze one unit too many into a window (docs/design.md section 4, Slots)."""
        return -int(-(self.window_s + self.guard_s) * 1_000_000 // self.count)

    @property
    def window_us(self) -> int:
        return int(self.window_s * 1_000_000)


class Slots(msgspec.Struct, frozen=True):
    """Consecutive instants: unit i leaves at `start_us + i * spacing_us`."""

    start_us: int
    spacing_us: int
    units: int
    messages: int

    @property
    def end_us(self) -> int:
        """The first instant that may be given next."""
        return self.start_us + self.units * self.spacing_us


def plan(
    now_us: int, next_us: Sequence[int], ceilings: Sequence[Ceiling], horizon_us: int, units: Sequence[int]
) -> Slots:
    """Slots for the longest prefix of messages (`units` of each) that may start before `now + horizon`.

    A message takes the slots of all its units or waits; the first may reach over the horizon, so that a long SMS
    on a slow carrier is not starved. At least one ceiling; `next_us` has one instant for each.
    """
    spacing = max(c.spacing_us for c in ceilings)
    start = max([now_us, *(believable(now_us, n, c, horizon_us) for n, c in zip(next_us, ceilings, strict=True))])
    end = now_us + horizon_us
    at, messages = start, 0
    for wanted in units:
        last = at + (wanted - 1) * spacing
        if at > end or (messages and last > end):
            break
        at += wanted * spacing
        messages += 1
    return Slots(start, spacing, (at - start) // spacing, messages)


def believable(now_us: int, next_us: int, ceiling: Ceiling, horizon_us: int) -> int:
    """A next slot far ahead is the trace of a clock that was stepped back: wait a window, then go on.

    The window begins when the step is first seen, so the answer must be kept (`take` does).
    """
    return min(next_us, now_us + horizon_us + ceiling.window_us + 50 * ceiling.spacing_us)


_names = json_rows("names", value=str)
_these = sa.and_(slot.c.mode == sa.bindparam("mode_"), slot.c.ceiling.in_(sa.select(_names.c.value)))
_select_locked = Prepared(
    sa.select(slot.c.ceiling, slot.c.next_us).where(_these).order_by(slot.c.ceiling).with_for_update(of=slot)
)
_select_free = Prepared(
    sa.select(slot.c.ceiling, slot.c.next_us)
    .where(_these)
    .order_by(slot.c.ceiling)
    .with_for_update(skip_locked=True, of=slot)
)
_select_known = Prepared(sa.select(slot.c.ceiling).where(_these))
_update = Prepared(sa.update(slot).where(_these).values(next_us=sa.bindparam("next_us_")))


_insert = Prepared(
    sa.text("INSERT INTO slot (ceiling, mode, next_us) VALUES (:ceiling, :mode, 0) ON CONFLICT DO NOTHING")
)


async def take(
    tx: Transaction,
    mode: str,
    ceilings: Sequence[Ceiling],
    horizon_us: int,
    units: Sequence[int],
    head_start_us: int = 0,
    kept: Mapping[str, int] | None = None,
) -> Slots:
    """Take slots under all the ceilings at once, for as many of the messages as fit; `messages` may be 0. The first
    is `head_start_us` away at least: the time until whoever asks has the answer. `kept`: what `lock` has found.

    A ceiling that comes before one which this transaction holds already is not waited for: while another has it, it
    has no slot to give."""
    names = [c.name for c in ceilings]
    found = await lock(tx, mode, names) if kept is None else kept
    if any(name not in found for name in names):
        return Slots(tx.now_us, 0, 0, 0)
    slots = plan(tx.now_us + head_start_us, [found[n] for n in names], ceilings, horizon_us, units)
    if slots.messages:
        await tx.run(_update, {"mode_": mode, "names": _packed(names), "next_us_": slots.end_us})
        return slots
    for ceiling in ceilings:
        next_us = believable(tx.now_us, found[ceiling.name], ceiling, horizon_us)
        if next_us != found[ceiling.name]:
            await tx.run(_update, {"mode_": mode, "names": _packed([ceiling.name]), "next_us_": next_us})
    return slots


async def lock(tx: Transaction, mode: str, names: Collection[str]) -> dict[str, int]:
    """Ceiling -> next instant, of those that this transaction holds from here on: all of the names, but for those
    that another holds and that may not be waited for (see `take`)."""
    wanted = sorted(set(names))
    values = {"mode_": mode, "names": _packed(wanted)}
    statement = _select_locked if _in_order(tx, mode, wanted) else _select_free
    found = {r.ceiling: int(r.next_us) for r in await tx.rows(statement, values)}
    if len(found) < len(wanted):
        known = {row.ceiling for row in await tx.rows(_select_known, values)}
        await _create(tx, mode, [name for name in wanted if name not in known])
        # All that were not found: one of them may have been made and committed since by another node.
        missing = [name for name in wanted if name not in found]
        found |= {r.ceiling: int(r.next_us) for r in await tx.rows(statement, values | {"names": _packed(missing)})}
    tx.ceilings.update((mode, name) for name in found)
    return found


def _in_order(tx: Transaction, mode: str, wanted: Sequence[str]) -> bool:
    """Whether nothing is wanted that comes before what is held, but for what is held itself."""
    fresh = [(mode, name) for name in wanted if (mode, name) not in tx.ceilings]
    return not fresh or not tx.ceilings or fresh[0] > max(tx.ceilings)


def _packed(names: Iterable[str]) -> str:
    return pack((name,) for name in names)


async def _create(tx: Transaction, mode: str, names: Sequence[str]) -> None:
    for name in names:
        await tx.run(_insert, {"ceiling": name, "mode": mode})
