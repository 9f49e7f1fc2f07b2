"""What is looked at for alarms: the store, the disk, the carriers, the queue, the money, this process. Reads only."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import msgspec

from channels.contract import CarrierState
from channels.processes.supervisor import ProcessView
from gateway.notices.occasions import euros
from gateway.operations.alarms import AlarmKind, Observation
from gateway.settings import Settings
from store import copies
from store.engine.database import Database
from store.engine.wait_times import WaitTimes
from store.notices import alarms as rows
from store.notices import webhooks
from store.notices.alarms import WaitingChannel, ZoneBalance
from store.outbox.overview import NodeView, nodes

ALIVE_MS = 20_000
"""A server gives a sign of life every 5 s."""
_GONE_MS = 30 * 60_000
"""A server that has been silent for longer was taken away, or is missed already."""
_LATE_S = 1.0
_MONEY_MS = 60_000
_DAY_MS = 86_400_000
_MIB = 1_048_576
_WELL_AGAIN = 1.2
"""How far above its bound a figure must be to be well again."""
_WEBHOOK_FAILS_MS = 600_000

CertificateWarning = Callable[[int], str]
"""(now) -> what is wrong with the door's certificate, or will be soon; empty for nothing."""


class MachineFacts(msgspec.Struct, frozen=True):
    observed: tuple[Observation, ...]
    complete: frozenset[AlarmKind]
    """Of these kinds all was looked at."""
    failing: frozenset[str]
    """The paths of which it is known that nothing leaves by them: email, sms, webhook."""
    low: tuple[ZoneBalance, ...] = ()


@dataclass(slots=True)
class FactFinder:
    database: Database
    settings: Settings
    host: str
    """What this machine calls itself."""
    loop_times: WaitTimes
    processes: Callable[[], Sequence[ProcessView]] = tuple
    certificate: CertificateWarning = lambda now_ms: ""
    _late: int = 0
    """Calls that were late at the last look."""
    _money_ms: int = -_MONEY_MS
    _balances: tuple[ZoneBalance, ...] = ()

    async def look(self) -> MachineFacts:
        """Raises StoreUnavailable."""
        now_ms = self.database.clock.now_ms()
        async with self.database.read() as conn:
            seen = await nodes(conn)
            waiting = await rows.waiting(conn)
            held = await rows.held_channels(conn)
            taken_out = await rows.quarantined(conn, now_ms - _DAY_MS)
            last = await copies.last_backup(conn)
            outside = {one.name: one for one in await webhooks.outside_views(conn)}
            if now_ms - self._money_ms >= _MONEY_MS:
                self._balances = tuple(await rows.balances(conn, now_ms)) if self._low_millieuro else ()
                self._money_ms = now_ms
        alive = [node for node in seen if now_ms - node.seen_ms < ALIVE_MS]
        queue = list(self._queue(waiting, now_ms))
        observed = [
            *_carriers(alive),
            *queue,
            *self._disk(),
            *self._backup(None if last is None else now_ms - last.at_ms),
            *(
                Observation(AlarmKind.QUARANTINE, f"line {row.id}", bad=True, value=f"audit {row.id}")
                for row in taken_out
            ),
            *self._money(),
            *self._certificate(now_ms),
            *self._loop(),
            *self._processes(),
            *_silent(seen, alive, now_ms),
        ]
        complete = {AlarmKind.QUARANTINE, AlarmKind.QUEUE_OLD, AlarmKind.BALANCE_LOW, AlarmKind.PROCESS_SILENT}
        complete |= {AlarmKind.CARRIER_DOWN, AlarmKind.CARRIER_REFUSES} if alive else set()
        hook = outside.get("webhook")
        failing = _failing(alive, held, queue, room=self._room())
        if hook is not None and hook.fails and now_ms - hook.failed_ms < _WEBHOOK_FAILS_MS:
            failing |= {"webhook"}
        low = tuple(one for one in self._balances if one.balance_millieuro < self._low_millieuro)
        return MachineFacts(tuple(observed), frozenset(complete), failing, low)

    @property
    def _low_millieuro(self) -> int:
        return self.settings.alarms.balance_low_eur * 1000

    @property
    def _disk_low(self) -> int:
        return (self.settings.alarms.disk_low_mib or 2 * self.settings.store.min_free_mib) * _MIB

    def _room(self) -> bool:
        free = self.database.free_bytes()
        return free is None or free >= self.settings.store.min_free_mib * _MIB

    def _queue(self, waiting: Sequence[WaitingChannel], now_ms: int) -> Iterator[Observation]:
        old_ms = self.settings.alarms.queue_old_s * 1000
        for one in waiting:
            since_ms = one.moved_ms if one.alert_moved_ms is None else min(one.moved_ms, one.alert_moved_ms)
            value = f"{one.queued}, {(now_ms - since_ms) // 1000} s"
            yield Observation(AlarmKind.QUEUE_OLD, one.channel, bad=now_ms - since_ms > old_ms, value=value)

    def _disk(self) -> Iterator[Observation]:
        free = self.database.free_bytes()
        if free is not None:
            bad = _below(free, self._disk_low)
            yield Observation(AlarmKind.DISK_LOW, self.host, bad=bad, value=f"{self.host}, {free // _MIB} MiB")

    def _backup(self, age_ms: int | None) -> Iterator[Observation]:
        backup = self.settings.backup
        if not backup.folder or self.database.path is None:
            return
        # The first one is made within minutes of the start; without any there is no age to tell.
        if age_ms is not None:
            hours = age_ms / 3_600_000
            bad = hours > 2 * backup.every_h
            yield Observation(AlarmKind.BACKUP_OLD, "store", bad=bad, value=f"{hours:.0f} h")

    def _money(self) -> Iterator[Observation]:
        for one in self._balances:
            bad = _below(one.balance_millieuro, self._low_millieuro)
            yield Observation(AlarmKind.BALANCE_LOW, one.code, bad=bad, value=euros(one.balance_millieuro))

    def _certificate(self, now_ms: int) -> Iterator[Observation]:
        warning = self.certificate(now_ms)
        yield Observation(AlarmKind.CERTIFICATE_ENDS, self.host, bad=bool(warning), value=warning)

    def _loop(self) -> Iterator[Observation]:
        within = dict(self.loop_times.within())
        late = within[math.inf] - within[_LATE_S]
        new, self._late = late - self._late, late
        yield Observation(AlarmKind.LOOP_LATE, self.host, bad=new > 0, value=f"> {_LATE_S:g} s")

    def _processes(self) -> Iterator[Observation]:
        for view in self.processes():
            about = f"{self.host} {view.name}"
            yield Observation(AlarmKind.PROCESS_SILENT, about, bad=view.pid == 0, value=f"{view.lives}")


def _below(figure: int, bound: int) -> bool | None:
    """None between bad and well again, so that a figure that goes to and fro calls nobody twice."""
    return True if figure < bound else None if figure < bound * _WELL_AGAIN else False


def _carriers(alive: Sequence[NodeView]) -> Iterator[Observation]:
    """Live carriers, as the servers said of late: one that is up for any of them is up."""
    found: dict[str, list[tuple[str, str, str]]] = {}
    for node in alive:
        for one in node.carriers:
            if one.mode == "live":
                found.setdefault(f"{one.channel} {one.name}", []).append((one.state, one.detail, one.refuses_us))
    for about, views in found.items():
        down = all(state == CarrierState.DOWN for state, _, _ in views)
        refusals = [refusal for _, _, refusal in views if refusal]
        yield Observation(AlarmKind.CARRIER_DOWN, about, bad=down, value=views[0][1])
        yield Observation(AlarmKind.CARRIER_REFUSES, about, bad=bool(refusals), value=next(iter(refusals), ""))


def _silent(seen: Sequence[NodeView], alive: Sequence[NodeView], now_ms: int) -> Iterator[Observation]:
    """Servers that have given no sign of life of late, where none of the same machine has taken their place."""
    hosts = {_host(node) for node in alive}
    for node in seen:
        if _host(node) not in hosts and ALIVE_MS <= now_ms - node.seen_ms < _GONE_MS:
            value = f"{(now_ms - node.seen_ms) // 1000} s"
            yield Observation(AlarmKind.PROCESS_SILENT, _host(node), bad=True, value=value)


def _host(node: NodeView) -> str:
    return node.name.partition(",")[0]


def _failing(
    alive: Sequence[NodeView], held: frozenset[str], queue: Sequence[Observation], *, room: bool
) -> frozenset[str]:
    stuck = {one.about for one in queue if one.bad}
    failing = set()
    for channel in ("email", "sms"):
        ways = [c for node in alive for c in node.carriers if (c.channel, c.mode) == (channel, "live")]
        works = any(c.state == CarrierState.UP and not c.refuses_us for c in ways)
        if not room or stuck & {channel} or held & {"all", channel} or (alive and not works):
            failing.add(channel)
    return frozenset(failing)
