"""A carriers' process: makes the carriers that it is told of, keeps their slots, and tells what becomes of messages.

    python -m channels.processes.child SOCKET BEGUN PARENT NAME

`SOCKET` and `BEGUN` are descriptors that its parent left open, `PARENT` is its parent's process id. It knows no store
and decides nothing: what is granted comes down, what peers answer goes up. It never outlives its parent, and writes
nothing after the end of the socket.
"""

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import uvloop

from channels.begun import BegunBytes, shared
from channels.catalogue import make_carrier
from channels.contract import Carrier, Content, Outcome, Permission, Receipt, ReceiptsRefused, Withdraw
from channels.processes import frames
from channels.processes.die_with import die_with
from channels.processes.frames import Down, FaultyFrame, FrameReader, Up, encoded
from channels.slots import SlotKeeper

TOLD_S = 0.02
"""Outcomes are gathered for so long."""
BEAT_S = 0.1
"""A sign of life goes up at least so often."""
MOST_LOG_BYTES = 1_048_576
"""Of what has not gone up: beyond that, lines of the log are dropped and counted."""


@dataclass(slots=True)
class _Posted:
    """One carrier, and what is before it."""

    carrier: Carrier
    slots: SlotKeeper
    task: asyncio.Task[None] | None = None
    told_state: frames.State | None = None


@dataclass(slots=True)
class _Handover:
    permissions: tuple[int, ...]
    unanswered: int
    withdraw: Withdraw = lambda: None


@dataclass(slots=True)
class _Permitted:
    permission: Permission
    handovers: int = 0


@dataclass(slots=True)
class Child(asyncio.Protocol):
    """The child's end of the socket. One event loop."""

    begun_fd: int
    _transport: asyncio.Transport = field(init=False)
    _reader: FrameReader = field(default_factory=lambda: FrameReader(frames.down_decoder.decode))
    _begun: BegunBytes = field(init=False)
    _posted: list[_Posted] = field(default_factory=list)
    _contents: dict[int, Content] = field(default_factory=dict)
    _permissions: dict[int, _Permitted] = field(default_factory=dict)
    _handovers: dict[int, _Handover] = field(default_factory=dict)
    _heard: int = 0
    _told: list[tuple[int, int, Outcome]] = field(default_factory=list)
    _flush_timer: asyncio.TimerHandle | None = None
    _receipts: dict[int, asyncio.Future[str | None]] = field(default_factory=dict)
    _receipts_count: int = 0

    # ---- the socket ----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        # However slowly the parent reads: what goes up is bounded by what came down, and by the carriers' windows.
        self._transport.set_write_buffer_limits(high=frames.MOST_BYTES)

    def data_received(self, data: bytes) -> None:
        try:
            for frame in self._reader.feed(data):
                self._take(frame)
        except FaultyFrame as exc:
            os.write(2, f"the gateway sent no frame: {exc}\n".encode())
            os._exit(2)

    def connection_lost(self, exc: Exception | None) -> None:
        """The gateway's process has ended, or wants this one to: nothing is written any more."""
        os._exit(0)

    def say(self, frame: Up) -> None:
        self._transport.write(encoded(frame))

    @property
    def unsaid_bytes(self) -> int:
        return self._transport.get_write_buffer_size()

    # ---- what comes down -----------------------------------------------------------------------------

    def _take(self, frame: Down) -> None:
        match frame:
            case frames.HandOver():
                self._hand_over(frame)
            case frames.Keep():
                self._contents[frame.content] = frames.kept_content(frame)
            case frames.Renew():
                self._renew(frame.permissions)
            case frames.Kept():
                self._kept(frame)
            case frames.CallBack():
                keys = {(frame.handover, index) for index in frame.indexes}
                self._posted[frame.carrier].slots.call_back(keys)
            case frames.CallOff():
                self._call_off(frame.handover)
            case frames.Forget():
                self._contents.pop(frame.content, None)
            case frames.Setup() | frames.Run() | frames.Stop():
                self._take_order(frame)

    def _take_order(self, frame: frames.Setup | frames.Run | frames.Stop) -> None:
        match frame:
            case frames.Run():
                self._run(frame.carrier)
            case frames.Stop():
                self._stop(frame.carrier)
            case frames.Setup():
                self._set_up(frame)

    def _set_up(self, frame: frames.Setup) -> None:
        logging.getLogger().setLevel(frame.log_level)
        self._begun = shared(self.begun_fd, frame.begun_at, frame.begun_count)
        try:
            for order in frame.carriers:
                carrier = make_carrier(order.name, order.channel, order.mode, order.settings, _now_ms)
                self._posted.append(_Posted(carrier, SlotKeeper(carrier, order.guard_s)))
        except (OSError, ValueError) as exc:
            self.say(frames.CannotMake(f"{type(exc).__name__}: {exc}"))
            self._transport.close()
            return
        self.say(frames.Ready())
        gc.collect()
        gc.freeze()
        gc.set_threshold(20_000)
        self._beat()

    def _run(self, number: int) -> None:
        posted = self._posted[number]

        async def sink(receipts: Sequence[Receipt]) -> None:
            await self._report(number, receipts)

        posted.task = asyncio.create_task(posted.carrier.run(sink), name=f"carrier-{posted.carrier.name}")

    def _stop(self, number: int) -> None:
        posted = self._posted[number]
        posted.slots.call_back_all()

        def stopped(_: object) -> None:
            self._flush()
            self._tell_state(number)
            self.say(frames.Stopped(number))

        if posted.task is None:
            stopped(None)
        else:
            posted.task.add_done_callback(stopped)
            posted.task.cancel()
            posted.task = None

    def _hand_over(self, frame: frames.HandOver) -> None:
        self._heard = frame.handover
        permissions: dict[int, Permission] = {}
        for number, not_after in frame.permissions:
            permitted = self._permissions.setdefault(number, _Permitted(Permission(not_after)))
            permitted.permission.renew(not_after)
            permitted.handovers += 1
            permissions[number] = permitted.permission
        handover = _Handover(tuple(permissions), len(frame.messages))
        self._handovers[frame.handover] = handover
        messages = [
            frames.outgoing(m, self._contents[m.content], permissions.get(m.permission), self._begun)
            for m in frame.messages
        ]
        keys: list[Hashable] = [(frame.handover, index) for index in range(len(messages))]
        number = frame.handover

        def told(index: int, outcome: Outcome) -> None:
            self._hear(number, index, outcome)

        handover.withdraw = self._posted[frame.carrier].slots.hand_over(messages, told, keys)

    def _call_off(self, number: int) -> None:
        handover = self._handovers.pop(number, None)
        if handover is not None:
            handover.withdraw()
            self._let_go(handover)

    def _renew(self, permissions: Sequence[tuple[int, float]]) -> None:
        for number, not_after in permissions:
            if number in self._permissions:
                self._permissions[number].permission.renew(not_after)

    def _kept(self, frame: frames.Kept) -> None:
        waiting = self._receipts.pop(frame.receipts, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(frame.refused)

    def _hear(self, number: int, index: int, outcome: Outcome) -> None:
        handover = self._handovers.get(number)
        if handover is None:
            return
        self._told.append((number, index, outcome))
        handover.unanswered -= 1
        if not handover.unanswered:
            del self._handovers[number]
            self._let_go(handover)
        if self._flush_timer is None:
            self._flush_timer = asyncio.get_running_loop().call_later(TOLD_S, self._flush)

    def _let_go(self, handover: _Handover) -> None:
        for number in handover.permissions:
            permitted = self._permissions[number]
            permitted.handovers -= 1
            if not permitted.handovers:
                del self._permissions[number]

    # ---- what goes up --------------------------------------------------------------------------------

    def _flush(self) -> None:
        if self._flush_timer is not None:
            self._flush_timer.cancel()
            self._flush_timer = None
        told, self._told = self._told, []
        rooms = tuple(posted.carrier.room for posted in self._posted)
        waiting = tuple(posted.slots.waiting for posted in self._posted)
        self.say(frames.Told(tuple(told), rooms, waiting, self._heard))

    def _beat(self) -> None:
        for number in range(len(self._posted)):
            self._tell_state(number)
        self._flush()
        asyncio.get_running_loop().call_later(BEAT_S, self._beat)

    def _tell_state(self, number: int) -> None:
        posted = self._posted[number]
        state = frames.State(number, posted.carrier.status(), posted.carrier.limits)  # type: ignore[arg-type]
        if state != posted.told_state:
            posted.told_state = state
            self.say(state)

    async def _report(self, carrier: int, receipts: Sequence[Receipt]) -> None:
        """Raises ReceiptsRefused."""
        self._receipts_count += 1
        number = self._receipts_count
        waiting = self._receipts[number] = asyncio.get_running_loop().create_future()
        self.say(frames.Receipts(carrier, number, tuple(map(frames.reported, receipts))))
        try:
            refused = await waiting
        finally:
            self._receipts.pop(number, None)
        if refused is not None:
            raise ReceiptsRefused(refused)


class LogUp(logging.Handler):
    """The log of this process is the gateway's: its lines go up. What the socket cannot hold is dropped and counted."""

    def __init__(self, child: Child, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._child, self._loop = child, loop
        self._thread = threading.get_ident()
        self.dropped = 0

    def emit(self, record: logging.LogRecord) -> None:
        try:
            frame = _logged(record)
            encoded(frame)  # half a character, which no frame holds, is found here
        except Exception:
            self.dropped += 1
            return
        if threading.get_ident() == self._thread:
            self._say(frame)
        else:
            self._loop.call_soon_threadsafe(self._say, frame)

    def _say(self, frame: frames.Logged) -> None:
        if self._child.unsaid_bytes > MOST_LOG_BYTES:
            self.dropped += 1
            return
        if self.dropped:
            frame.extra["lines_dropped_before"] = self.dropped
            self.dropped = 0
        self._child.say(frame)


_OWN = frozenset(vars(logging.LogRecord("", 0, "", 0, "", (), None))) | {"message", "asctime", "taskName"}
_MOST_CHARS = 16_000


def _logged(record: logging.LogRecord) -> frames.Logged:
    extra = {name: _plain(value) for name, value in vars(record).items() if name not in _OWN}
    exception = "".join(traceback.format_exception(*record.exc_info)) if record.exc_info else ""
    message = record.getMessage()[:_MOST_CHARS]
    return frames.Logged(record.name, record.levelno, message, record.created, extra, exception[:_MOST_CHARS])


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, bool | int | float) else str(value)[:_MOST_CHARS]


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


async def _live(held: socket.socket, begun_fd: int) -> None:
    loop = asyncio.get_running_loop()
    child = Child(begun_fd)
    await loop.create_unix_connection(lambda: child, sock=held)
    logging.getLogger().addHandler(LogUp(child, loop))
    # A terminal's signals reach a whole group of processes: the gateway's process alone decides what follows.
    loop.add_signal_handler(signal.SIGTERM, lambda: child.say(frames.AskedToEnd()))
    await loop.create_future()


def main(arguments: Sequence[str]) -> None:
    descriptor, begun_fd, parent, name = int(arguments[0]), int(arguments[1]), int(arguments[2]), arguments[3]
    die_with(parent, name)
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    logging.raiseExceptions = False
    uvloop.run(_live(socket.socket(fileno=descriptor), begun_fd))


if __name__ == "__main__":
    main(sys.argv[1:])
