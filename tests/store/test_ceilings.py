"""Ceilings hold in ANY window, over nodes, restarts, stalls and clock steps; and are used."""

import asyncio
import bisect
import heapq
import random
from contextlib import AsyncExitStack
from itertools import pairwise
from math import ceil

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from store.clock import Clock
from store.engine.database import open_database
from store.outbox.ceilings import Ceiling, Slots, believable, plan, take
from store.outbox.fence import OpenCarrier
from tests.store import makers as make

S = 1_000_000
HORIZON_US = 250_000
T0 = 1_700_000_000 * S

VOICE = Ceiling("voice", count=600, window_s=60, guard_s=0.4)
SMS = Ceiling("smsc", count=100, window_s=1, guard_s=0.01)
CEILINGS = [
    VOICE,
    SMS,
    Ceiling("fast", count=2500, window_s=1, guard_s=0.01),
    Ceiling("slow", count=1, window_s=1, guard_s=0.1),
    Ceiling("mail", count=3000, window_s=60, guard_s=0.2),
    Ceiling("odd", count=7, window_s=3, guard_s=0.05),
]
IDS = [c.name for c in CEILINGS]


def instants(slots: Slots) -> list[int]:
    return [slots.start_us + i * slots.spacing_us for i in range(slots.units)]


def most_in_any_window(left_us: list[int], window_us: int) -> int:
    left = sorted(left_us)
    return max((bisect.bisect_left(left, t + window_us) - n for n, t in enumerate(left)), default=0)


# ---- the arithmetic --------------------------------------------------------------------------------------


@pytest.mark.parametrize("ceiling", CEILINGS, ids=IDS)
def test_lateness_within_the_guard_cannot_squeeze_one_unit_too_many_into_a_window(ceiling):
    """The worst case: the first of a window as late as they may be, all others on time."""
    guard_us = int(ceiling.guard_s * S)
    on_time = [T0 + i * ceiling.spacing_us for i in range(int(ceiling.count) * 3)]

    for late in {0, 1, int(ceiling.count) // 2, int(ceiling.count) - 1}:
        left = [t + (guard_us if n <= late else 0) for n, t in enumerate(on_time)]
        assert most_in_any_window(left, ceiling.window_us) <= ceiling.count


@pytest.mark.parametrize("ceiling", CEILINGS[:3], ids=IDS[:3])
def test_the_guard_costs_at_most_one_hundredth(ceiling):
    assert ceiling.window_us / (ceiling.count * ceiling.spacing_us) >= 0.99


def test_slots_begin_now_or_where_the_last_ended():
    assert plan(T0, [0], [SMS], HORIZON_US, [1]).start_us == T0
    assert plan(T0, [T0 + 7], [SMS], HORIZON_US, [1]).start_us == T0 + 7


def test_instants_that_passed_unused_are_not_given_again():
    first = plan(T0, [0], [SMS], HORIZON_US, [1] * 10)

    second = plan(T0 + 5 * S, [first.end_us], [SMS], HORIZON_US, [1] * 10)

    assert second.start_us == T0 + 5 * S
    assert second.messages == 10, "no more than the horizon at once, however long nothing was sent"


def test_no_slot_starts_beyond_the_horizon():
    slots = plan(T0, [0], [SMS], HORIZON_US, [1] * 1000)

    assert instants(slots)[-1] <= T0 + HORIZON_US
    assert slots.messages == HORIZON_US // SMS.spacing_us + 1
    assert plan(T0, [T0 + HORIZON_US + 1], [SMS], HORIZON_US, [1]).messages == 0


def test_a_long_sms_takes_the_slots_of_all_its_segments_or_waits():
    room = HORIZON_US // SMS.spacing_us + 1

    slots = plan(T0, [0], [SMS], HORIZON_US, [1] * (room - 2) + [3])

    assert slots.messages == room - 2
    assert slots.units == room - 2
    assert plan(slots.end_us, [slots.end_us], [SMS], HORIZON_US, [3]).units == 3


def test_a_long_sms_on_a_slow_carrier_is_not_starved():
    slow = Ceiling("slow", 1, 1, 0.1)

    slots = plan(T0, [0], [slow], HORIZON_US, [5, 1])

    assert (slots.messages, slots.units) == (1, 5)


def test_under_two_ceilings_the_slower_pace_and_the_later_row_count():
    trunk = Ceiling("trunk", 10, 1, 0.01)

    slots = plan(T0, [T0 + 30_000, T0 + 90_000], [VOICE, trunk], HORIZON_US, [1] * 5)

    assert slots.start_us == T0 + 90_000
    assert slots.spacing_us == max(VOICE.spacing_us, trunk.spacing_us)


def test_without_messages_nothing_is_taken():
    assert plan(T0, [0], [SMS], HORIZON_US, []) == Slots(T0, SMS.spacing_us, 0, 0)


@given(
    ceiling=st.sampled_from(CEILINGS),
    ahead_us=st.integers(-10 * S, 3600 * S),
    units=st.lists(st.integers(1, 9), max_size=40),
)
def test_a_plan_is_a_prefix_of_whole_messages_that_starts_within_the_horizon(ceiling, ahead_us, units):
    slots = plan(T0, [T0 + ahead_us], [ceiling], HORIZON_US, units)

    assert slots.units == sum(units[: slots.messages])
    assert slots.start_us >= T0
    if slots.messages:
        assert slots.start_us <= T0 + HORIZON_US
        assert slots.messages == 1 or instants(slots)[-1] <= T0 + HORIZON_US
    kept = believable(T0, T0 + ahead_us, ceiling, HORIZON_US)
    assert believable(T0, kept, ceiling, HORIZON_US) == kept, "what is kept is believed the next time"


# ---- nodes on a fake clock -------------------------------------------------------------------------------


class World:
    """Nodes that share one row of a ceiling, in true time; the store's clock may be stepped when all restart."""

    def __init__(self, ceiling: Ceiling, seed: int) -> None:
        self.ceiling, self.random = ceiling, random.Random(seed)
        self.next_us = 0
        self.step_us = 0
        self.pending: list[tuple[int, int]] = []
        """(leaves at, node)"""
        self.left: list[int] = []

    def ask(self, now_us: int, node: int, units: list[int]) -> int:
        """One `take`; returns the true time of the last slot, or 0."""
        store_us = now_us + self.step_us
        slots = plan(store_us, [self.next_us], [self.ceiling], HORIZON_US, units)
        if not slots.messages:
            self.next_us = believable(store_us, self.next_us, self.ceiling, HORIZON_US)
            return 0
        self.next_us = slots.end_us
        guard_us = int(self.ceiling.guard_s * S)
        true = [t - self.step_us for t in instants(slots)]
        self.pending += [(t + self.random.choice((0, guard_us, self.random.randint(0, guard_us))), node) for t in true]
        return true[-1]

    def stall(self, now_us: int, node: int) -> None:
        """Whatever this node had still to send is late when it wakes: dropped."""
        self.left += [t for t, n in self.pending if n == node and t <= now_us]
        self.pending = [p for p in self.pending if p[1] != node]

    def restart(self, now_us: int, nodes: int, step_us: int = 0) -> None:
        for node in range(nodes):
            self.stall(now_us, node)
        self.step_us += step_us

    def end(self) -> list[int]:
        self.left += [t for t, _ in self.pending]
        return self.left


@settings(max_examples=100, deadline=None)
@given(
    ceiling=st.sampled_from(CEILINGS[1:]),
    seed=st.integers(0, 2**16),
    steps=st.lists(
        st.tuples(
            st.integers(0, 2 * S),
            st.sampled_from(["ask", "ask", "ask", "stall", "restart", "back", "ahead"]),
            st.integers(0, 1),
            st.lists(st.integers(1, 4), min_size=1, max_size=30),
        ),
        max_size=60,
    ),
)
def test_never_more_than_the_ceiling_in_any_window_whatever_happens(ceiling, seed, steps):
    """A clock stepped ahead while all were down leaves no trace: the first unit after it may stand one too close."""
    world = World(ceiling, seed)
    now_us = T0
    for wait_us, what, node, units in steps:
        now_us += wait_us
        if what == "ask":
            world.ask(now_us, node, units)
        elif what == "stall":
            world.stall(now_us, node)
        else:
            world.restart(now_us, 2, {"restart": 0, "back": -3600 * S, "ahead": 90 * S}[what])

    steps_ahead = sum(1 for _, what, _, _ in steps if what == "ahead")
    assert most_in_any_window(world.end(), ceiling.window_us) <= ceil(ceiling.count) + steps_ahead


@pytest.mark.parametrize(("ceiling", "use"), [(VOICE, 0.99), (SMS, 0.985)], ids=["voice", "smsc"])
def test_twenty_minutes_of_demand_use_the_ceiling_and_never_break_it(ceiling, use):
    """Two nodes; one is frozen for three seconds every two minutes, both are restarted once. Of a ceiling per second
    the guard alone costs a hundredth."""
    world = World(ceiling, seed=1)
    minutes = 20
    end_us = T0 + minutes * 60 * S
    wakes = [(T0, 0), (T0 + 1000, 1)]
    stalls = [T0 + m * 60 * S for m in range(1, minutes, 2)]
    restarts = [T0 + 10 * 60 * S]
    while wakes:
        now_us, node = heapq.heappop(wakes)
        if now_us >= end_us:
            continue
        if stalls and now_us >= stalls[0] and node == 0:
            stalls.pop(0)
            world.stall(now_us, 0)
            heapq.heappush(wakes, (now_us + 3 * S, 0))
            continue
        if restarts and now_us >= restarts[0]:
            restarts.pop()
            world.restart(now_us, 2)
        last_us = world.ask(now_us, node, [1] * 400)
        heapq.heappush(wakes, (max(last_us - 100_000, now_us + 50_000), node))

    left = [t for t in world.end() if t < end_us]

    assert most_in_any_window(left, ceiling.window_us) <= ceiling.count
    assert len(left) >= use * ceiling.count * minutes * 60 / ceiling.window_s


# ---- the rows --------------------------------------------------------------------------------------------


class Steps(Clock):
    """A clock that a test sets."""

    def __init__(self, now_us: int) -> None:
        self.us = now_us

    def now_us(self) -> int:
        return self.us


async def test_two_workers_on_one_row_never_share_an_instant(store_url, engine):
    """Two nodes on PostgreSQL; on SQLite two tasks of its one process."""
    ceiling = Ceiling("shared", 500, 1, 0)
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(open_database(store_url))
        second = await stack.enter_async_context(open_database(store_url)) if engine == "postgresql" else first

        async def work(tx):
            return await take(tx, "live", [ceiling], 10 * S, [1, 2, 1])

        found = await asyncio.gather(*(d.write(work) for _ in range(20) for d in (first, second)))

    given_out = sorted(t for slots in found for t in instants(slots))
    assert len(given_out) == 40 * 4
    assert all(b - a >= ceiling.spacing_us for a, b in pairwise(given_out))


async def test_slots_survive_a_restart(store_url):
    ceiling = Ceiling("kept", 10, 1, 0)

    async def work(tx):
        return await take(tx, "live", [ceiling], 10 * S, [1] * 20)

    async with open_database(store_url) as database:
        before = await database.write(work)
    async with open_database(store_url) as database:
        after = await database.write(work)

    assert after.start_us == before.end_us


async def test_live_and_simulation_have_their_own_slots(database):
    ceiling = Ceiling("carrier", 1, 1, 0)

    async def work(tx):
        return [await take(tx, mode, [ceiling], HORIZON_US, [1]) for mode in ("live", "simulation", "live")]

    live, simulated, again = await database.write(work)

    assert (live.messages, simulated.messages, again.messages) == (1, 1, 0)


async def test_what_is_taken_under_a_shared_ceiling_counts_for_every_carrier_below_it(database):
    shared = Ceiling("voice", 10, 1, 0)
    trunks = [Ceiling("trunk a", 100, 1, 0), Ceiling("trunk b", 100, 1, 0)]

    async def work(tx):
        return [await take(tx, "live", [shared, trunk], 10 * S, [1] * 5) for trunk in trunks]

    first, second = await database.write(work)

    assert second.start_us == first.end_us == first.start_us + 5 * 100_000


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
async def test_after_the_clock_was_stepped_back_a_ceiling_waits_a_window_and_goes_on(store_url):
    clock = Steps(T0)
    async with open_database(store_url, clock=clock) as database:

        async def work(tx):
            return await take(tx, "live", [SMS], HORIZON_US, [1] * 5)

        await database.write(work)
        clock.us -= 3600 * S
        at_once = await database.write(work)
        clock.us += 2 * SMS.window_us
        later = await database.write(work)

    assert at_once.messages == 0
    assert later.messages == 5


# ---- the order of locks ----------------------------------------------------------------------------------


async def test_ceilings_that_are_asked_in_crossed_orders_are_never_waited_for_in_a_circle(database):
    """The second of two carriers is asked when the first has nothing free; of two nodes each begins with another."""
    first, second = (Ceiling(name, count=10, window_s=1, guard_s=0) for name in ("A", "B"))
    for ceiling in (first, second):
        await database.write(lambda tx, c=ceiling: take(tx, "live", [c], HORIZON_US, [1]))
    has_one, gone_on = asyncio.Barrier(2), []

    async def node(order):
        async def work(tx):
            if gone_on or tx.sqlite:  # one writer there: nobody to meet
                return "again"
            await take(tx, "live", [order[0]], 0, [1])
            await has_one.wait()
            gone_on.append(order)
            await take(tx, "live", [order[1]], 0, [1])
            return "at once"

        return await database.write(work)

    async with asyncio.timeout(5):
        answers = await asyncio.gather(node([first, second]), node([second, first]))

    assert answers == (["again"] * 2 if database.sqlite else ["at once"] * 2), "no deadlock, no repetition"


async def test_a_ceiling_out_of_order_that_another_holds_gives_nothing_and_one_that_is_free_gives(database):
    first, second = (Ceiling(name, count=10, window_s=1, guard_s=0) for name in ("A", "B"))

    async def crossed(tx):
        b = await take(tx, "live", [second], HORIZON_US, [1])
        a = await take(tx, "live", [first], HORIZON_US, [1])
        again = await take(tx, "live", [first, second], HORIZON_US, [1])
        return b.messages, a.messages, again.messages

    assert await database.write(crossed) == (1, 1, 1)
    if database.sqlite:
        return

    async def holding(tx):
        await take(tx, "live", [first], HORIZON_US, [1])
        return await database.write(crossed)

    async with asyncio.timeout(5):
        assert await database.write(holding) == (1, 0, 0)


async def test_two_nodes_that_try_two_carriers_in_different_order_do_not_deadlock(database):
    await make.a_campaign(database, 60, batch_size=30)
    carriers = [OpenCarrier(name, (Ceiling(f"sms:{name}", 20, 1.0, 0.0),), 100) for name in ("A", "B")]

    async def node(name, order):
        held = await make.must_claim(database, node=name)
        for n in range(30):
            await make.advance(database, held, 1, skip=n, carriers=order)

    before = await deadlocks(database)
    await asyncio.gather(node("a", carriers), node("b", carriers[::-1]))

    assert await deadlocks(database) == before


async def deadlocks(database):
    if database.sqlite:
        return 0
    async with database.read() as conn:
        counted = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        return (await conn.execute(sa.text(counted))).scalar_one()
