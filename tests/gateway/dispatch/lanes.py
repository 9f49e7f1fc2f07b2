"""A lane with carriers that do what a test says, over a real store."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from channels.contract import (
    Accepted,
    CarrierLimits,
    CarrierState,
    CarrierStatus,
    Channel,
    Content,
    Fit,
    Mode,
    NoLimits,
    Outcome,
    Outgoing,
    ReceiptSink,
    Told,
    Withdraw,
)
from channels.permissions import ENDED, has_ended
from channels.sms import segments
from gateway.dispatch.carriers import Gate, LaneCarriers
from gateway.dispatch.lane import Lane, LaneRules
from store.engine.database import Database
from store.outbox.ceilings import Ceiling
from store.outbox.records import Batch
from tests.store.makers import tick

Answer = Callable[[Outgoing], Awaitable[Outcome]]


async def take(message: Outgoing) -> Outcome:
    return Accepted((f"id-{message.reference}",))


@dataclass
class _ByAddress:
    fits: Callable[[str], Fit]
    chooses_by_address: bool = True

    def fit(self, address: str, content: Content) -> Fit:
        return self.fits(address)


@dataclass
class Carrier:
    """Keeps what it sent and when; `answer` decides the outcome of each message by itself."""

    name: str = "one"
    answer: Answer = take
    window: int = 100
    channel: Channel = Channel.SMS
    mode: Mode = Mode.LIVE
    up: bool = True
    fits: Callable[[str], Fit] | None = None
    """By address; None: everything."""
    handed: list[tuple[float, Outgoing]] = field(default_factory=list)
    in_flight: int = 0

    @property
    def room(self) -> int:
        return self.window - self.in_flight if self.up else 0

    @property
    def addresses(self) -> list[str]:
        return [message.address for _, message in self.handed]

    @property
    def limits(self) -> CarrierLimits:
        return NoLimits() if self.fits is None else _ByAddress(self.fits)

    def status(self) -> CarrierStatus:
        state = CarrierState.UP if self.up else CarrierState.DOWN
        return CarrierStatus(self.name, self.channel, self.mode, state, "", self.in_flight, self.window, 0)

    def send(self, group: Sequence[Outgoing], told: Told) -> Withdraw:
        self.in_flight += len(group)
        answers = [asyncio.ensure_future(self._sent(n, message, told)) for n, message in enumerate(group)]

        def withdraw() -> None:
            for answer in answers:
                answer.cancel()

        return withdraw

    async def _sent(self, index: int, message: Outgoing, told: Told) -> None:
        loop = asyncio.get_running_loop()
        try:
            await asyncio.sleep(message.due[0] - loop.time())
            if has_ended(message.permission, loop.time()):
                outcome: Outcome = ENDED
            else:
                self.handed.append((loop.time(), message))
                outcome = await self.answer(message)
        finally:
            self.in_flight -= 1
        told(index, outcome)

    async def run(self, receipts: ReceiptSink) -> None:
        await asyncio.Event().wait()


def a_lane(
    database: Database,
    *carriers: Carrier,
    rate_per_s: float = 10_000,
    guard_s: float = 0.05,
    batches_at_once: int = 4,
    lease_ms: int = 15_000,
    retry_delays_ms: Sequence[int] = (50,),
    resend_wait_ms: int = 50,
    text: str = "Water in de Dorpstraat",
    room_on_disk: Callable[[], bool] = lambda: True,
) -> Lane:
    first = carriers[0]

    async def prepare(batch: Batch) -> dict[str, segments.SmsText]:
        return {"nl": segments.prepare(text)}

    gates = [Gate(c, (Ceiling(f"{c.channel}:{c.name}", rate_per_s, 1.0, guard_s),)) for c in carriers]
    return Lane(
        channel=first.channel,
        mode=first.mode,
        database=database,
        carriers=LaneCarriers(gates, most_messages=1000),
        rules=LaneRules(
            batches_at_once=batches_at_once,
            lease_ms=lease_ms,
            retry_delays_ms=retry_delays_ms,
            most_attempts=3,
            most_resends=3,
            resend_wait_ms=resend_wait_ms,
        ),
        generation="gen",
        node="test",
        prepare=prepare,
        room_on_disk=room_on_disk,
    )


@contextlib.asynccontextmanager
async def running(*lanes: Lane) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(lane.run()) for lane in lanes]
    try:
        yield
    finally:
        for lane in lanes:
            lane.stop()
        _, late = await asyncio.wait(tasks, timeout=5)
        for task in late:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in tasks:
        if not task.cancelled():
            task.result()


async def until(condition: Callable[[], object], timeout_s: float = 30.0) -> None:
    """Wait for something that is true soon; fail when it is not."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "this should have happened by now"
        await asyncio.sleep(0.005)


async def until_async(condition: Callable[[], Awaitable[object]], timeout_s: float = 30.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not await condition():
        assert time.monotonic() < deadline, "this should have happened by now"
        await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def ticking(database: Database) -> AsyncIterator[None]:
    """The slow hand of the clock, twenty times a second."""

    async def keep() -> None:
        while True:
            await tick(database)
            await asyncio.sleep(0.05)

    task = asyncio.create_task(keep())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
