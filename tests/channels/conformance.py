"""The carrier contract as tests: every carrier passes the same ones.

A carrier's own test module makes a subclass of `CarrierContract` with a `bench`: the carrier with a peer of its
kind on this machine. Times are the event loop's.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol

import msgspec
import pytest

from channels.begun import BegunBytes, begun_bytes
from channels.catalogue import CarrierSettings
from channels.contract import (
    Accepted,
    Carrier,
    CarrierState,
    InDoubt,
    NotSent,
    Outcome,
    Outgoing,
    Permission,
    Receipt,
    ReceiptsRefused,
)
from channels.processes.remote import RemoteCarrier
from channels.processes.supervisor import CarriersProcess

PATIENCE_S = 5.0
EARLY_S = 0.002  # uvloop and the peers count milliseconds


class Bench(Protocol):
    """One carrier, not yet running, and what stands at its other end."""

    carrier: Carrier
    reports: bool
    """Receipts come back through `run`, unasked, soon after the answer."""
    longest_units: int
    """Units of the longest message that `message` can make."""

    def message(
        self, number: int, *, due: Sequence[float], expires_ms: int | None = None, address: str | None = None
    ) -> Outgoing:
        """A message of `len(due)` units with the reference `f"test-{number}"`."""
        ...

    def arrivals(self) -> list[tuple[str, float]]:
        """(address, time) of every unit that the peer has been given, in order."""
        ...


class Inbox:
    """A sink that refuses as often as it is told to, and keeps the rest."""

    def __init__(self, refusals: int = 0) -> None:
        self.refusals = refusals
        self.offered = 0
        self.kept: list[Receipt] = []

    async def __call__(self, receipts: Sequence[Receipt]) -> None:
        self.offered += 1
        if self.refusals > 0:
            self.refusals -= 1
            raise ReceiptsRefused
        self.kept.extend(receipts)


@asynccontextmanager
async def running(carrier: Carrier, inbox: Inbox | None = None) -> AsyncIterator["asyncio.Task[None]"]:
    """The carrier with its sessions up; the task may be cancelled inside."""
    task = asyncio.create_task(carrier.run(inbox or Inbox()))
    try:
        await until(lambda: carrier.room > 0 or task.done())
        assert not task.done()
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task], timeout=PATIENCE_S)
        assert task.cancelled(), "run() ends by cancellation and by nothing else"


async def until(condition: Callable[[], object], patience_s: float = PATIENCE_S) -> None:
    """Poll until the condition holds: a contract has no event for what only an onlooker waits for."""
    async with asyncio.timeout(patience_s):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def answers(carrier: Carrier, group: Sequence[Outgoing]) -> AsyncIterator[tuple[int, Outcome]]:
    """(index, outcome) of a group as they are told; whoever stops listening withdraws it."""
    told: asyncio.Queue[tuple[int, Outcome]] = asyncio.Queue()
    withdraw = carrier.send(group, lambda index, outcome: told.put_nowait((index, outcome)))
    try:
        for _ in group:
            yield await told.get()
        assert told.empty(), "exactly one outcome a message"
    finally:
        withdraw()


async def outcomes(
    carrier: Carrier, group: Sequence[Outgoing], patience_s: float = PATIENCE_S
) -> list[tuple[int, Outcome]]:
    async with asyncio.timeout(patience_s):
        async with contextlib.aclosing(answers(carrier, group)) as told:
            return [pair async for pair in told]


def now() -> float:
    return asyncio.get_running_loop().time()


def under(permission: Permission, messages: Sequence[Outgoing]) -> list[Outgoing]:
    return [msgspec.structs.replace(message, permission=permission) for message in messages]


def begun_of(bench: Bench) -> BegunBytes:
    """Those of the process that writes, where the carrier lives in one of its own."""
    return bench.carrier.begun if isinstance(bench.carrier, RemoteCarrier) else begun_bytes(100)


def noted(begun: BegunBytes, messages: Sequence[Outgoing]) -> list[Outgoing]:
    return [msgspec.structs.replace(message, number=begun.allot(), begins=begun) for message in messages]


@asynccontextmanager
async def in_its_own_process(bench: Bench, settings: CarrierSettings) -> AsyncIterator[None]:
    """The carrier of the bench is one of those settings that lives in another process."""
    here = bench.carrier
    process = CarriersProcess("tocsin-test", begun_bytes(1_000), lambda: time.time_ns() // 1_000_000)
    bench.carrier = process.add(here.name, here.channel, here.mode, settings, guard_s=5.0)
    living = asyncio.create_task(process.run())
    try:
        await until(lambda: process.is_ready or living.done())
        yield
    finally:
        living.cancel()
        await asyncio.wait([living], timeout=PATIENCE_S)
        assert living.cancelled()


class CarrierContract:
    """`channels.contract.Carrier`, sentence by sentence."""

    def bench(self, *, silent: bool = False) -> AbstractAsyncContextManager[Bench]:
        """Answer timeout of half a second, window of 100 or less; a `silent` peer takes and never answers."""
        raise NotImplementedError

    async def test_each_message_has_exactly_one_outcome(self):
        async with self.bench() as bench, running(bench.carrier):
            group = [bench.message(number, due=[now()]) for number in range(20)]

            answered = await outcomes(bench.carrier, group)

        assert sorted(index for index, _ in answered) == list(range(20))
        assert all(isinstance(outcome, Accepted) for _, outcome in answered)
        assert sorted(address for address, _ in bench.arrivals()) == sorted(message.address for message in group)

    async def test_each_message_is_said_to_begin_before_a_byte_of_it_leaves(self):
        async with self.bench() as bench, running(bench.carrier):
            begun = begun_of(bench)
            group = noted(begun, [bench.message(number, due=[now() + 0.01 * number]) for number in range(10)])
            numbers = {message.address: message.number for message in group}

            async def look() -> None:
                while True:
                    assert all(begun.has_begun(numbers[address]) for address, _ in bench.arrivals())
                    await asyncio.sleep(0.001)

            looking = asyncio.create_task(look())
            answered = await outcomes(bench.carrier, group)
            looking.cancel()
            await asyncio.wait([looking])

        assert looking.cancelled()
        assert all(isinstance(outcome, Accepted) for _, outcome in answered)
        assert all(begun.has_begun(message.number) for message in group)

    async def test_what_never_leaves_is_never_said_to_begin(self):
        async with self.bench() as bench, running(bench.carrier):
            begun = begun_of(bench)
            group = noted(
                begun,
                [
                    bench.message(number, due=[now() + 0.1], expires_ms=1 if number else None) for number in range(4)
                ],
            )  # fmt: skip
            answered = await outcomes(bench.carrier, group)

        assert [type(outcome) for _, outcome in sorted(answered, key=lambda a: a[0])] == [Accepted] + [NotSent] * 3
        assert [begun.has_begun(message.number) for message in group] == [True, False, False, False]

    async def test_a_group_never_waits_for_another(self):
        async with self.bench() as bench, running(bench.carrier):
            later = [bench.message(1, due=[now() + 0.5])]
            order: list[str] = []

            async def send(name: str, group: list[Outgoing]) -> None:
                await outcomes(bench.carrier, group)
                order.append(name)

            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(send("later", later))
                await asyncio.sleep(0.01)
                for number in range(2, 6):
                    tasks.create_task(send("now", [bench.message(number, due=[now()])]))

        assert order == ["now", "now", "now", "now", "later"]

    async def test_room_falls_while_messages_are_in_hand_and_comes_back(self):
        async with self.bench() as bench, running(bench.carrier):
            before = bench.carrier.room
            group = [bench.message(number, due=[now() + 0.2]) for number in range(5)]
            sending = asyncio.create_task(outcomes(bench.carrier, group))
            await until(lambda: bench.carrier.room <= before - 5)
            await sending
            await until(lambda: bench.carrier.room == before)

    async def test_a_carrier_that_is_down_has_no_room_and_sends_nothing(self):
        async with self.bench() as bench:
            assert bench.carrier.room == 0
            assert bench.carrier.status().state is CarrierState.DOWN

            answered = await outcomes(bench.carrier, [bench.message(number, due=[now()]) for number in range(3)])

            assert sorted(index for index, _ in answered) == [0, 1, 2]
            assert all(isinstance(outcome, NotSent) and outcome.withdrawn for _, outcome in answered)
            assert bench.arrivals() == []

    async def test_nothing_leaves_before_it_is_due(self):
        async with self.bench() as bench, running(bench.carrier):
            start = now() + 0.1
            group = [bench.message(number, due=[start + number * 0.02]) for number in range(8)]

            await outcomes(bench.carrier, group)

            due = {message.address: message.due[0] for message in group}
            assert [address for address, _ in bench.arrivals()] == [message.address for message in group]
            for address, arrived in bench.arrivals():
                assert arrived >= due[address] - EARLY_S

    async def test_every_unit_of_a_long_message_keeps_its_own_time(self):
        async with self.bench() as bench, running(bench.carrier):
            if bench.longest_units < 3:
                pytest.skip("a message on this channel is one unit")
            start = now() + 0.05
            message = bench.message(1, due=[start, start + 0.1, start + 0.2])

            answered = await outcomes(bench.carrier, [message])

            assert len(answered) == 1
            arrived = [at for _, at in bench.arrivals()]
            assert len(arrived) == 3
            assert all(at >= due - EARLY_S for at, due in zip(arrived, message.due, strict=True))

    async def test_a_message_that_expired_before_it_was_written_is_not_sent(self):
        async with self.bench() as bench, running(bench.carrier):
            group = [bench.message(1, due=[now()], expires_ms=1), bench.message(2, due=[now()])]

            answered = dict(await outcomes(bench.carrier, group))

            assert isinstance(answered[0], NotSent)
            assert answered[0].withdrawn, "its end is its own, and nothing against the carrier"
            assert isinstance(answered[1], Accepted)
            assert [address for address, _ in bench.arrivals()] == [group[1].address]

    async def test_a_message_whose_permission_has_ended_is_withdrawn(self):
        async with self.bench() as bench, running(bench.carrier):
            ended = under(Permission(now() - 0.001), [bench.message(1, due=[now()])])
            lasting = under(Permission(now() + 60), [bench.message(2, due=[now()])])

            answered = dict(await outcomes(bench.carrier, ended + lasting))

            assert isinstance(answered[0], NotSent)
            assert answered[0].withdrawn
            assert isinstance(answered[1], Accepted)
            assert [address for address, _ in bench.arrivals()] == [lasting[0].address]

    async def test_what_is_not_due_when_its_permission_ends_is_withdrawn_then_and_not_when_it_is_due(self):
        async with self.bench() as bench, running(bench.carrier):
            before = bench.carrier.room
            group = under(Permission(now() + 0.2), [bench.message(number, due=[now() + 60]) for number in range(5)])

            answered = await outcomes(bench.carrier, group)

            assert sorted(index for index, _ in answered) == [0, 1, 2, 3, 4]
            assert all(isinstance(outcome, NotSent) and outcome.withdrawn for _, outcome in answered)
            assert bench.arrivals() == []
            await until(lambda: bench.carrier.room == before)

    async def test_a_permission_that_is_renewed_in_time_has_not_ended(self):
        async with self.bench() as bench, running(bench.carrier):
            permission = Permission(now() + 0.6)
            group = under(permission, [bench.message(1, due=[now() + 0.8]), bench.message(2, due=[now() + 60])])
            asyncio.get_running_loop().call_later(0.1, permission.renew, now() + 1.6)

            answered = dict(await outcomes(bench.carrier, group))

            assert isinstance(answered[0], Accepted)
            assert isinstance(answered[1], NotSent)
            assert answered[1].withdrawn

    async def test_what_waits_for_room_is_withdrawn_when_its_permission_ends(self):
        async with self.bench(silent=True) as bench, running(bench.carrier):
            ends = now() + 0.4  # sooner than a peer that is silent is given up
            group = under(Permission(ends), [bench.message(number, due=[now()]) for number in range(200)])

            answered = dict(await outcomes(bench.carrier, group))

            arrived = bench.arrivals()
            held_back = [outcome for outcome in answered.values() if isinstance(outcome, NotSent)]
            assert 0 < len(arrived) < 200
            assert len(answered) == 200
            assert len(held_back) == 200 - len(arrived)
            assert all(outcome.withdrawn for outcome in held_back)
            assert max(at for _, at in arrived) < ends + 0.1

    async def test_of_a_long_message_nothing_more_leaves_once_its_permission_has_ended(self):
        async with self.bench() as bench, running(bench.carrier):
            if bench.longest_units < 3:
                pytest.skip("a message on this channel is one unit")
            start = now() + 0.05
            message = bench.message(1, due=[start, start + 0.8, start + 1.0])

            [(_, outcome)] = await outcomes(bench.carrier, under(Permission(start + 0.5), [message]))

            assert isinstance(outcome, InDoubt)
            assert outcome.code == "cut"
            assert len(outcome.refs) == (1 if bench.reports else 0)
            await asyncio.sleep(max(0.0, start + 1.1 - now()))
            assert len(bench.arrivals()) == 1

    async def test_of_a_group_that_is_withdrawn_nothing_more_leaves(self):
        async with self.bench() as bench, running(bench.carrier):
            before = bench.carrier.room
            group = [bench.message(number, due=[now() + 0.2]) for number in range(3)]
            sending = asyncio.create_task(outcomes(bench.carrier, group))
            await until(lambda: bench.carrier.room < before)

            sending.cancel()
            await asyncio.wait([sending], timeout=PATIENCE_S)

            assert sending.cancelled()
            await asyncio.sleep(0.3)
            assert bench.arrivals() == []
            await until(lambda: bench.carrier.room == before)

    async def test_what_was_written_and_not_answered_is_in_doubt(self):
        async with self.bench(silent=True) as bench, running(bench.carrier):
            answered = await outcomes(bench.carrier, [bench.message(number, due=[now()]) for number in range(3)])

        assert sorted(index for index, _ in answered) == [0, 1, 2]
        assert all(isinstance(outcome, InDoubt) for _, outcome in answered)

    async def test_when_the_session_goes_the_written_is_in_doubt_and_the_rest_not_sent(self):
        async with self.bench(silent=True) as bench, running(bench.carrier) as run:
            group = [bench.message(1, due=[now()]), bench.message(2, due=[now() + 30])]
            sending = asyncio.create_task(outcomes(bench.carrier, group))
            await until(lambda: len(bench.arrivals()) == 1)

            run.cancel()
            answered = dict(await sending)

        assert isinstance(answered[0], InDoubt)
        assert isinstance(answered[1], NotSent)
        assert answered[1].withdrawn, "that we stop says nothing against the carrier"

    async def test_run_leaves_nothing_behind_when_it_is_cancelled(self):
        async with self.bench() as bench:
            before = asyncio.all_tasks()
            async with running(bench.carrier):
                await outcomes(bench.carrier, [bench.message(1, due=[now()])])

            assert bench.carrier.room == 0
            assert bench.carrier.status().state is CarrierState.DOWN
            await until(lambda: asyncio.all_tasks() <= before)

    async def test_a_receipt_names_the_message_as_its_outcome_did(self):
        inbox = Inbox()
        async with self.bench() as bench, running(bench.carrier, inbox):
            if not bench.reports:
                pytest.skip("receipts of this carrier come in by a door of their own")
            message = bench.message(1, due=[now()] * min(bench.longest_units, 2))

            [(_, outcome)] = await outcomes(bench.carrier, [message])

            assert isinstance(outcome, Accepted)
            await until(lambda: len(inbox.kept) == max(1, len(outcome.refs)))
        if inbox.kept[0].echoed:
            assert {receipt.ref for receipt in inbox.kept} == {message.reference}
        else:
            assert {receipt.ref for receipt in inbox.kept} == set(outcome.refs)
        assert {receipt.carrier for receipt in inbox.kept} == {bench.carrier.name}

    async def test_receipts_that_could_not_be_kept_come_again(self):
        inbox = Inbox(refusals=2)
        async with self.bench() as bench, running(bench.carrier, inbox):
            if not bench.reports:
                pytest.skip("receipts of this carrier come in by a door of their own")

            await outcomes(bench.carrier, [bench.message(number, due=[now()]) for number in range(3)])

            await until(lambda: len({receipt.ref for receipt in inbox.kept}) == 3)
        assert inbox.offered > 2

    async def test_a_receipt_comes_while_messages_are_in_flight(self):
        inbox = Inbox()
        async with self.bench() as bench, running(bench.carrier, inbox):
            if not bench.reports:
                pytest.skip("receipts of this carrier come in by a door of their own")
            waiting = asyncio.create_task(outcomes(bench.carrier, [bench.message(1, due=[now() + 1.5])]))

            await outcomes(bench.carrier, [bench.message(2, due=[now()])])
            await until(lambda: inbox.kept)

            assert not waiting.done()
            waiting.cancel()
            await asyncio.wait([waiting], timeout=PATIENCE_S)
