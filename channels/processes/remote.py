"""A carrier that lives in another process: to everybody here it is a carrier like any other (`contract.Carrier`).

A whole window goes over at once; the slots are kept there (`channels.slots`). What is known here of room, state and
limits is a tenth of a second old at most. One event loop.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import dataclass
from typing import Protocol

from channels.begun import BegunBytes
from channels.contract import (
    CarrierLimits,
    CarrierState,
    CarrierStatus,
    Channel,
    Content,
    InDoubt,
    Mode,
    NotSent,
    Outcome,
    Outgoing,
    Permission,
    Receipt,
    ReceiptSink,
    ReceiptsRefused,
    Told,
    Withdraw,
)
from channels.processes import frames
from channels.processes.frames import CarrierOrder, FaultyFrame

log = logging.getLogger(__name__)

NOT_RUNNING = NotSent("the carrier is not running", withdrawn=True)
NO_PROCESS = NotSent("the carrier's process is not there")


class Link(Protocol):
    """What a carrier needs of its process."""

    is_ready: bool
    """It takes messages."""
    life: int
    """Counts the processes that there were."""
    begun: BegunBytes

    def say(self, frame: frames.Down) -> None: ...

    def handover(self) -> int:
        """The number of the next handover."""
        ...

    def words(self, content: Content) -> int:
        """The number of these words, which the process has. Raises TypeError."""
        ...

    def permit(self, permission: Permission) -> int:
        """The number of this permission, which is told as it is renewed until it is let go."""
        ...

    def let_go(self, permissions: Collection[Permission]) -> None:
        """Each of them has one user less."""
        ...


@dataclass(slots=True)
class Sent:
    """What was handed over together."""

    messages: Sequence[Outgoing]
    subjects: Sequence[Hashable]
    told: Told
    unanswered: set[int]
    permissions: tuple[Permission, ...]


class RemoteCarrier:
    """`order` names it; `number` is its place among those of its process. `limits`: until its process tells others."""

    def __init__(
        self,
        number: int,
        order: CarrierOrder,
        link: Link,
        limits: CarrierLimits,
        readings: Callable[[str], Sequence[str]],
        now_ms: Callable[[], int],
    ) -> None:
        self.order = order
        self.limits = limits
        self.held = 0
        """Units handed over of which nothing has been told."""
        self.slots = _SlotsThere(self)
        self._number, self._link, self._readings, self._now_ms = number, link, readings, now_ms
        self.sent: dict[int, Sent] = {}
        """Handovers of which something is still to be told."""
        self._is_wanted = False
        self._sink: ReceiptSink | None = None
        self._writing: set[asyncio.Task[None]] = set()
        self._stopped: asyncio.Future[None] | None = None
        self._room = self._waiting = self._heard = 0
        self._unheard: dict[int, int] = {}
        """Handover -> units of those that the last tidings know nothing of."""
        self._status: CarrierStatus | None = None
        self._down = "its process is being started"
        """Why it counts as down, whatever its last status was; empty for nothing."""
        self._since_ms = now_ms()

    @property
    def name(self) -> str:
        return self.order.name

    @property
    def channel(self) -> Channel:
        return self.order.channel

    @property
    def mode(self) -> Mode:
        return self.order.mode

    @property
    def begun(self) -> BegunBytes:
        """Set by its process."""
        return self._link.begun

    @property
    def room(self) -> int:
        """Units that `send` can take up now: what waits for its slot there, or is on its way, is counted."""
        return max(0, self.own_room - self._waiting - sum(self._unheard.values()))

    @property
    def own_room(self) -> int:
        """Units that the carrier itself can take up, by its last tidings."""
        return self._room if self._is_wanted and not self._down else 0

    def status(self) -> CarrierStatus:
        if self._status is not None and not self._down:
            return self._status
        return CarrierStatus(
            self.name, self.channel, self.mode, CarrierState.DOWN, self._down, self.held, 0, self._since_ms
        )

    def send(self, group: Sequence[Outgoing], told: Told) -> Withdraw:
        return self.hand_over(group, told)

    async def run(self, receipts: ReceiptSink) -> None:
        self._sink, self._is_wanted = receipts, True
        self.starts()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await self._stop()

    # ---- slots ---------------------------------------------------------------------------------------

    def hand_over(self, messages: Sequence[Outgoing], told: Told, subjects: Sequence[Hashable] = ()) -> Withdraw:
        """As `channels.slots.CarrierSlots`."""
        if not self._is_wanted or not self._link.is_ready:
            return _refused(len(messages), told, NO_PROCESS if self._is_wanted else NOT_RUNNING)
        # Once each: a handover lets go of it once, however many of its messages share it.
        permissions = tuple({id(m.permission): m.permission for m in messages if m.permission is not None}.values())
        numbers = {id(permission): self._link.permit(permission) for permission in permissions}
        sent = Sent(messages, subjects, told, set(range(len(messages))), permissions)
        frame = frames.HandOver(
            self._number,
            handover := self._link.handover(),
            tuple((numbers[id(permission)], permission.not_after) for permission in permissions),
            tuple(
                frames.SentMessage(
                    m.reference,
                    m.address,
                    m.name,
                    self._link.words(m.content),
                    m.due,
                    m.expires_ms,
                    -1 if m.permission is None else numbers[id(m.permission)],
                    m.message,
                    m.number if m.begins is not None else 0,
                )
                for m in messages
            ),
        )
        self.sent[handover] = sent
        units = sum(len(m.due) for m in messages)
        self.held += units
        self._unheard[handover] = units
        self._link.say(frame)

        def withdraw() -> None:
            if self.sent.get(handover) is sent:
                self._link.say(frames.CallOff(handover))
                self._drop(handover, sent)

        return withdraw

    def call_back(self, subjects: Collection[Hashable]) -> None:
        """As `channels.slots.CarrierSlots`."""
        for handover, sent in self.sent.items():
            if not sent.subjects:
                continue
            indexes = tuple(index for index in sorted(sent.unanswered) if sent.subjects[index] in subjects)
            if indexes:
                self._link.say(frames.CallBack(self._number, handover, indexes))

    # ---- what its process tells ----------------------------------------------------------------------

    def starts(self) -> None:
        """Its process is there."""
        if self._is_wanted and self._link.is_ready:
            self._link.say(frames.Run(self._number))

    async def ends(self) -> None:
        """End its sessions in order, and wait until that is done or its process has ended."""
        self._stopped = asyncio.get_running_loop().create_future()
        self._link.say(frames.Stop(self._number))
        await self._stopped

    def is_at(self, frame: frames.State) -> None:
        if (frame.status.name, frame.status.channel, frame.status.mode) != (self.name, self.channel, self.mode):
            raise FaultyFrame("a status of another carrier")
        self._status, self.limits, self._down = frame.status, frame.limits, ""

    def has_room(self, room: int, waiting: int, heard: int) -> None:
        self._room, self._waiting = room, waiting
        while self._unheard and (first := next(iter(self._unheard))) <= heard:
            del self._unheard[first]

    def hear(self, handover: int, index: int, outcome: Outcome) -> None:
        """An outcome of one of its messages. Raises FaultyFrame."""
        sent = self.sent[handover]
        if index not in sent.unanswered:
            raise FaultyFrame("a second outcome of one message")
        self._tell(sent, index, outcome)
        if not sent.unanswered:
            self._drop(handover, sent)

    def reports(self, frame: frames.Receipts) -> None:
        """Receipts that its process acknowledges once it is told that they are kept."""
        receipts = [frames.receipt(self.name, r, self._readings) for r in frame.reported]
        task = asyncio.create_task(self._keep(frame.receipts, receipts), name=f"{self.name} receipts")
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    def has_stopped(self) -> None:
        if self._stopped is not None and not self._stopped.done():
            self._stopped.set_result(None)

    def is_down(self, why: str) -> None:
        """Its process is silent, or has ended."""
        if not self._down:
            self._since_ms = self._now_ms()
        self._down = why

    def is_heard(self) -> None:
        """Its process was silent, and is not any more."""
        if self._status is not None:
            self._down = ""

    def has_died(self, why: str) -> None:
        """Its process is dead for certain: what had not begun is not sent, what had is in doubt."""
        self.is_down(why)
        self._status, self._room, self._waiting = None, 0, 0
        self._unheard.clear()
        for handover, sent in list(self.sent.items()):
            for index in sorted(sent.unanswered):
                message = sent.messages[index]
                begun = message.begins is not self._link.begun or self._link.begun.has_begun(message.number)
                self._tell(sent, index, InDoubt(why) if begun else NotSent(why, withdrawn=not self._is_wanted))
            self._drop(handover, sent)
        self.has_stopped()

    # ---- inside --------------------------------------------------------------------------------------

    async def _stop(self) -> None:
        self._is_wanted = False
        if self._stopped is not None and not self._stopped.done():
            await self._stopped  # its process is leaving
        elif self._link.is_ready:
            await self.ends()
        self.is_down("stopped")
        self._status = None
        for task in self._writing:
            task.cancel()
        await asyncio.gather(*self._writing, return_exceptions=True)

    async def _keep(self, number: int, receipts: Sequence[Receipt]) -> None:
        refused: str | None = None
        life = self._link.life
        try:
            assert self._sink is not None
            await self._sink(receipts)
        except ReceiptsRefused as exc:
            refused = str(exc)
        except Exception as exc:
            log.exception("receipts were not taken in", extra={"action": "contract-broken", "carrier": self.name})
            refused = type(exc).__name__
        if self._link.life == life:
            self._link.say(frames.Kept(number, refused))

    def _tell(self, sent: Sent, index: int, outcome: Outcome) -> None:
        sent.unanswered.discard(index)
        self.held -= len(sent.messages[index].due)
        try:
            sent.told(index, outcome)
        except Exception:
            # Whoever hears it raises nothing, by contract; if they do, all others are told all the same.
            log.exception("an outcome was not taken in", extra={"action": "contract-broken"})

    def _drop(self, handover: int, sent: Sent) -> None:
        """Nobody waits for it any more."""
        if self.sent.pop(handover, None) is None:
            return
        self.held -= sum(len(sent.messages[index].due) for index in sent.unanswered)
        sent.unanswered.clear()
        self._link.let_go(sent.permissions)


@dataclass(slots=True)
class _SlotsThere:
    """`channels.slots.CarrierSlots` of a carrier in another process, which keeps them."""

    carrier: RemoteCarrier

    @property
    def held(self) -> int:
        return self.carrier.held

    @property
    def room(self) -> int:
        return self.carrier.own_room

    def hand_over(self, messages: Sequence[Outgoing], told: Told, subjects: Sequence[Hashable] = ()) -> Withdraw:
        return self.carrier.hand_over(messages, told, subjects)

    def call_back(self, subjects: Collection[Hashable]) -> None:
        self.carrier.call_back(subjects)


def _refused(count: int, told: Told, outcome: NotSent) -> Withdraw:
    """All of them are told so, in the next turn of the loop."""
    waiting = set(range(count))

    def tell() -> None:
        for index in sorted(waiting):
            waiting.discard(index)
            told(index, outcome)

    asyncio.get_running_loop().call_soon(tell)
    return waiting.clear
