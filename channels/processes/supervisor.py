"""A carriers' process as the gateway's process sees it: made, set up, listened to, and made anew when it has ended.

A process that ends is a carrier that died. One that says nothing for a second has its carriers counted as down; a
little later it is ended by force, for only of a dead one is it certain that nothing more leaves.
"""

import asyncio
import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import cast

from channels.begun import BegunBytes
from channels.catalogue import CarrierSettings, make_carrier
from channels.contract import Channel, Content, Mode, Permission
from channels.loop_share import LoopShare
from channels.processes import frames
from channels.processes.frames import CarrierOrder, FaultyFrame, FrameReader, encoded
from channels.processes.remote import RemoteCarrier
from channels.sms.smpp.ids import other_readings
from channels.standstill import Deadline, RunningClock

log = logging.getLogger(__name__)

MODULE = "channels.processes.child"
SILENT_S = 1.0
"""Without a word for so long, its carriers are down."""
DEAD_S = 2.0
"""Silent for so long beyond that, it is ended by force."""
RENEW_S = 0.1
"""How often it is told of permissions that were moved on."""
TOLD_TO = "it was told to"
_STEADY_S = 10.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 5.0
_START_S = 30.0
"""How long it may take to be there."""
_MOST_WORDS = 256
_ENVIRONMENT = (
    "PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TZDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "OPENSSL_CONF",
    "PYTHONDONTWRITEBYTECODE", "PYTHONHASHSEED",
)  # fmt: skip
_PART = 0.5
"""Of the event loop, that one process may take with what it says."""


@dataclass(frozen=True, slots=True)
class ProcessView:
    """What an operator sees of it."""

    name: str
    pid: int
    """0: it is not there."""
    lives: int
    """How often it was made."""


@dataclass(slots=True)
class _Permit:
    number: int
    permission: Permission
    """Kept, so that its identity is nobody else's."""
    told: float
    holders: int = 0


class CarriersProcess:
    """One process and its carriers. `run` must be running for them to run."""

    def __init__(
        self, name: str, begun: BegunBytes, now_ms: Callable[[], int], locks: Sequence[int] = (), log_level: int = 20
    ) -> None:
        """`locks`: descriptors that it holds open as long as it lives, so that nobody takes our place before it has
        ended."""
        self.name, self.begun = name, begun
        self.carriers: list[RemoteCarrier] = []
        self.is_ready = False
        self.life = 0
        self._now_ms, self._locks, self._log_level = now_ms, tuple(locks), log_level
        self._link: _Link | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._leaving: asyncio.Task[None] | None = None
        self._handovers = 0
        self._words: dict[int, tuple[int, Content]] = {}
        """By the identity of the words, which are kept: there are few, each for many people."""
        self._word_count = 0
        self._permits: dict[int, _Permit] = {}
        """By the identity of the permission."""
        self._permit_count = 0
        self._clock = RunningClock()

    def add(self, name: str, channel: Channel, mode: Mode, settings: CarrierSettings, guard_s: float) -> RemoteCarrier:
        """One more carrier, before `run`. Raises as `make_carrier`."""
        # Made here too, and thrown away: what is wrong with its settings is said before anything runs.
        limits = make_carrier(name, channel, mode, settings, self._now_ms).limits
        order = CarrierOrder(name, channel, mode, settings, guard_s)
        carrier = RemoteCarrier(len(self.carriers), order, self, limits, other_readings, self._now_ms)
        self.carriers.append(carrier)
        return carrier

    def view(self) -> ProcessView:
        return ProcessView(self.name, self._child.pid if self._child else 0, self.life)

    async def run(self) -> None:
        """Until cancelled; then the process has ended. Its carriers should have been stopped before."""
        pause_s = _FIRST_PAUSE_S
        with self._clock.beating():
            while True:
                began_s = asyncio.get_running_loop().time()
                try:
                    why = await self._live()
                except OSError as exc:
                    why = f"it cannot be made: {exc}"
                if asyncio.get_running_loop().time() - began_s > _STEADY_S:
                    pause_s = _FIRST_PAUSE_S
                level = logging.INFO if why == TOLD_TO else logging.ERROR
                about = {"action": "carriers-process-ended", "carriers_process": self.name, "why": why}
                log.log(level, "a carriers' process has ended and is made anew", extra=about)
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    # ---- what its carriers ask -----------------------------------------------------------------------

    def say(self, frame: frames.Down) -> None:
        if self._link is not None:
            self._link.say(frame)

    def handover(self) -> int:
        self._handovers += 1
        return self._handovers

    def words(self, content: Content) -> int:
        known = self._words.get(id(content))
        if known is None:
            self._word_count += 1
            known = (self._word_count, content)
            frame = frames.keep(self._word_count, content)
            while len(self._words) >= _MOST_WORDS:
                number, _ = self._words.pop(next(iter(self._words)))
                self.say(frames.Forget(number))
            self._words[id(content)] = known
            self.say(frame)
        return known[0]

    def permit(self, permission: Permission) -> int:
        found = self._permits.get(id(permission))
        if found is None:
            self._permit_count += 1
            found = self._permits[id(permission)] = _Permit(self._permit_count, permission, permission.not_after)
        found.told = permission.not_after
        found.holders += 1
        return found.number

    def let_go(self, permissions: Collection[Permission]) -> None:
        for permission in permissions:
            permit = self._permits[id(permission)]
            permit.holders -= 1
            if not permit.holders:
                del self._permits[id(permission)]

    @property
    def permissions_told(self) -> int:
        """How many permissions it is told of as they are renewed: those of what it has not answered."""
        return len(self._permits)

    # ---- one life ------------------------------------------------------------------------------------

    async def _live(self) -> str:
        """From its start to its end; returns why it ended."""
        loop = asyncio.get_running_loop()
        self.life += 1
        ours, theirs = socket.socketpair()
        link = _Link(self, self._clock)
        why = "stopped"
        try:
            with theirs:
                self._child = _start(self.name, theirs.fileno(), self.begun.fd, self._locks)
            await loop.create_unix_connection(lambda: link, sock=ours)
            self._link = link
            self._words.clear()
            orders = tuple(carrier.order for carrier in self.carriers)
            link.say(frames.Setup(orders, self.begun.at, self.begun.count, self._log_level))
            link.silent.set(_START_S)
            renewing = asyncio.create_task(self._renew(), name=f"{self.name} permissions")
            try:
                why = await link.lost
            finally:
                renewing.cancel()
        finally:
            self.is_ready, self._link = False, None
            link.close()
            ours.close()
            if self._child is not None:
                # Of a dead process only is it certain that it writes nothing more.
                self._child.kill()
                await asyncio.to_thread(self._child.wait)
                self._child = None
            for carrier in self.carriers:
                carrier.has_died(f"its process has ended: {why}")
        return why

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(RENEW_S)
            moved = [p for p in self._permits.values() if p.permission.not_after > p.told]
            for permit in moved:
                permit.told = permit.permission.not_after
            if moved:
                self.say(frames.Renew(tuple((p.number, p.told) for p in moved)))

    def take(self, frame: frames.Up) -> None:
        """What it says. Raises FaultyFrame."""
        match frame:
            case frames.Told():
                self._told(frame)
            case frames.State():
                self._carrier(frame.carrier).is_at(frame)
            case frames.Receipts():
                self._carrier(frame.carrier).reports(frame)
            case frames.Logged():
                self._log(frame)
            case frames.Ready():
                self.is_ready = True
                for carrier in self.carriers:
                    carrier.starts()
            case frames.Stopped():
                self._carrier(frame.carrier).has_stopped()
            case frames.CannotMake():
                raise FaultyFrame(f"it cannot make its carriers: {frame.why}")
            case frames.AskedToEnd():
                if self.is_ready:
                    self.is_ready = False
                    self._leaving = asyncio.create_task(self._leave(), name=f"{self.name} leaves")

    async def _leave(self) -> None:
        """Somebody has told it alone to end: its carriers are stopped in order, then another one takes its place."""
        link = self._link
        await asyncio.gather(*(carrier.ends() for carrier in self.carriers))
        if link is not None:
            link.end(TOLD_TO)

    def is_silent(self) -> None:
        for carrier in self.carriers:
            carrier.is_down("its process does not answer")

    def is_heard(self) -> None:
        for carrier in self.carriers:
            carrier.is_heard()

    def _told(self, frame: frames.Told) -> None:
        if not len(frame.rooms) == len(frame.waiting) == len(self.carriers):
            raise FaultyFrame("rooms of other carriers")
        for carrier, room, waiting in zip(self.carriers, frame.rooms, frame.waiting, strict=True):
            carrier.has_room(room, waiting, frame.heard)
        told, owner = 0, None
        for handover, index, outcome in frame.outcomes:
            if handover != told or owner is None or handover not in owner.sent:
                if not 0 < handover <= self._handovers:
                    raise FaultyFrame("an outcome of what was never handed over")
                told, owner = handover, next((c for c in self.carriers if handover in c.sent), None)
            if owner is not None:  # else nobody waits for it any more
                owner.hear(handover, index, outcome)

    def _carrier(self, number: int) -> RemoteCarrier:
        if not 0 <= number < len(self.carriers):
            raise FaultyFrame("a carrier that it has not")
        return self.carriers[number]

    def _log(self, frame: frames.Logged) -> None:
        logger = logging.getLogger(frame.logger)
        if not logger.isEnabledFor(frame.level):
            return
        record = logger.makeRecord(frame.logger, frame.level, "", 0, "%s", (frame.message,), None)
        record.created = frame.created_s
        for name, value in frame.extra.items():
            if name not in record.__dict__:
                setattr(record, name, value)
        record.carriers_process = self.name
        if frame.exception:
            record.exception = frame.exception
        logger.handle(record)


class _Link(asyncio.Protocol):
    """Our end of the socket of one life."""

    def __init__(self, process: CarriersProcess, clock: RunningClock) -> None:
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._process = process
        self._reader = FrameReader(frames.up_decoder.decode)
        self._share = LoopShare(_PART)
        self._transport: asyncio.Transport | None = None
        self._clock = clock
        self._is_up = False
        """It has said something: from then on it says something ten times a second."""
        self.silent = Deadline(clock, self._is_silent)
        self._dead = Deadline(clock, self._is_dead)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.silent = Deadline(self._clock, self._is_silent, transport)
        self._dead = Deadline(self._clock, self._is_dead, transport)

    def data_received(self, data: bytes) -> None:
        began_s = time.perf_counter()
        if self._is_up:
            if self._dead.is_set:
                self._dead.clear()
                self._process.is_heard()
            self.silent.set(SILENT_S)
        try:
            for frame in self._reader.feed(data):
                if self.lost.done():
                    return
                self._process.take(frame)
                self._is_up = True
        except FaultyFrame as exc:
            self.end(f"it sent what no carriers' process sends: {exc}")
            return
        except Exception as exc:
            log.exception("what a carriers' process said was not taken in", extra={"action": "contract-broken"})
            self.end(f"what it said was not taken in: {type(exc).__name__}")
            return
        self._give_way(began_s)

    def connection_lost(self, exc: Exception | None) -> None:
        self.end("it closed its socket")

    def say(self, frame: frames.Down) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(encoded(frame))

    def close(self) -> None:
        self.silent.close()
        self._dead.close()
        if self._transport is not None:
            self._transport.abort()
        if not self.lost.done():
            self.lost.cancel()

    def _give_way(self, began_s: float) -> None:
        """However much it says: everybody else has their turn."""
        loop = asyncio.get_running_loop()
        now_s = time.perf_counter()
        self._share.spend(now_s - began_s, now_s)
        wait_s = self._share.wait_s(now_s)
        if wait_s > 0 and self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()
            loop.call_later(max(wait_s, 0.001), self._go_on)

    def _go_on(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def _is_silent(self) -> None:
        self._process.is_silent()
        self._dead.set(DEAD_S)

    def _is_dead(self) -> None:
        self.end("it did not answer")

    def end(self, why: str) -> None:
        if not self.lost.done():
            self.lost.set_result(why)


def arguments(name: str, socket_fd: int, begun_fd: int) -> list[str]:
    """No secret is among them."""
    return [str(socket_fd), str(begun_fd), str(os.getpid()), name]


def _start(name: str, socket_fd: int, begun_fd: int, locks: Sequence[int]) -> subprocess.Popen[bytes]:
    """Where modules are found is the same there. Of our environment, which may hold secrets, it has what it needs."""
    env = {key: os.environ[key] for key in _ENVIRONMENT if key in os.environ}
    env["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    return subprocess.Popen(  # noqa: S603 - this interpreter, and a module of ours
        [sys.executable, "-P", "-m", MODULE, *arguments(name, socket_fd, begun_fd)],
        pass_fds=(socket_fd, begun_fd, *locks),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        env=env,
    )
