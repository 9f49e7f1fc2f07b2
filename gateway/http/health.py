"""How the machine is, for /readyz and /metrics: the store, the disk, the carriers, the outbox at a glance."""

import asyncio
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from channels.contract import CarrierState
from channels.processes.supervisor import CarriersProcess
from gateway.campaigns.refused import RefusedDocuments
from gateway.dispatch.lane import Lane
from gateway.http.services import HealthCheck, Measure
from gateway.operations.loop_lag import LoopLag
from gateway.server_certificate import RenewedCertificate
from store.engine.database import Database
from store.engine.wait_times import WaitTimes
from store.errors import StoreUnavailable
from store.outbox.overview import Overview, overview

_WRITE_S = 2.0
_LIFE_S = 1.0


@dataclass(slots=True)
class MachineHealth:
    database: Database
    lanes: Sequence[Lane]
    room_on_disk: Callable[[], bool]
    refused: RefusedDocuments
    loop_lag: LoopLag
    processes: Sequence[CarriersProcess] = ()
    certificate: RenewedCertificate | None = None
    _one: asyncio.Lock = field(default_factory=asyncio.Lock)
    _looked_s: float = -_LIFE_S
    _checks: list[HealthCheck] = field(default_factory=list)

    async def readiness(self) -> list[HealthCheck]:
        """A channel without any carrier up is shown, and is not vital: the others go on (design section 7, 12), and
        alerts are still taken. Looked at once a second: anybody may ask, and a transaction is not for nothing."""
        async with self._one:
            now_s = asyncio.get_running_loop().time()
            if now_s - self._looked_s >= _LIFE_S:
                self._checks = [await self._store(), self._disk(), *(self._lane(lane) for lane in self.lanes)]
                self._looked_s = now_s
            return self._checks

    async def trouble(self) -> list[str]:
        """What is vital and not well, as names."""
        return [check.name for check in await self.readiness() if check.vital and not check.well]

    async def _store(self) -> HealthCheck:
        try:
            async with asyncio.timeout(_WRITE_S):
                await self.database.require_writable()
        except (StoreUnavailable, TimeoutError) as exc:
            return HealthCheck("store", False, str(exc) or f"No transaction within {_WRITE_S:g} s.")
        return HealthCheck("store", True, "Writable.")

    def _disk(self) -> HealthCheck:
        room = self.room_on_disk()
        return HealthCheck("disk", room, "Enough room." if room else "Too little room: nothing is launched or claimed.")

    def _lane(self, lane: Lane) -> HealthCheck:
        """Numbers, no names and no peer's words: anybody may ask. `tocsin status` has those."""
        now_s = asyncio.get_running_loop().time()
        views = [gate.view(now_s) for gate in lane.carriers.gates]
        up = sum(view.state is CarrierState.UP for view in views)
        refusing = sum(bool(view.refuses_us) for view in views)
        text = f"Carriers: {len(views)}, up: {up}" + (f", refuses us: {refusing}." if refusing else ".")
        return HealthCheck(f"{lane.channel} {lane.mode}", lane.carriers.any_up(), text, vital=False)

    async def measures(self) -> list[Measure]:
        async with self.database.read() as conn:
            view = await overview(conn, self.database.clock.now_ms())
        found = [*_outbox(view), *(m for lane in self.lanes for m in _lane(lane)), *_processes(self.processes)]
        text = "Refused documents that were not kept, because too many came at once."
        found.append(Measure("tocsin_refused_not_kept", text, "counter", self.refused.passed_over))
        text = "Writes that were durable within so many seconds."
        found += _within("tocsin_store_writes", text, self.database.write_times)
        text = "Calls of the event loop that were late by so many seconds at most."
        found += _within("tocsin_loop_calls", text, self.loop_lag.times)
        text = "Transactions that were written."
        found.append(Measure("tocsin_store_commits", text, "counter", self.database.commits))
        if self.certificate is not None:
            end_s = self.certificate.current.end_ms / 1000
            text = "When the certificate in use expires, in seconds since 1970 UTC."
            found.append(Measure("tocsin_certificate_expires_timestamp_seconds", text, "gauge", end_s))
        free = self.database.free_bytes()
        if free is not None:
            found.append(Measure("tocsin_disk_free_bytes", "Free space where the store lies.", "gauge", free))
        return found


def _processes(processes: Sequence[CarriersProcess]) -> Iterator[Measure]:
    for view in (process.view() for process in processes):
        labels = {"process": view.name}
        yield Measure("tocsin_carriers_process_up", "1 while it is there.", "gauge", float(view.pid > 0), labels)
        text = "Processes that were made under this name."
        yield Measure("tocsin_carriers_process_starts", text, "counter", view.lives, labels)


def _within(name: str, text: str, times: WaitTimes) -> Iterator[Measure]:
    for bound_s, count in times.within():
        yield Measure(name, text, "counter", count, {"within_s": "inf" if bound_s == math.inf else f"{bound_s:g}"})


def _outbox(view: Overview) -> Iterator[Measure]:
    for channel in view.channels:
        labels = {"channel": channel.channel, "mode": channel.mode}
        for state in ("queued", "retry", "unknown", "accepted"):
            yield Measure(
                "tocsin_deliveries",
                "Deliveries of campaigns that are not sealed, by state that is not final.",
                "gauge",
                getattr(channel, state),
                labels | {"state": state},
            )
        for state in ("ready", "leased", "waiting"):
            count = getattr(channel, f"{state}_batches")
            yield Measure("tocsin_batches", "Batches that are not done.", "gauge", count, labels | {"state": state})
        text = "Leases that ended and were not taken back."
        yield Measure("tocsin_late_leases", text, "gauge", channel.late_leases, labels)
    yield Measure("tocsin_receipts_unmatched", "Receipts that match no message.", "gauge", view.open_receipts)
    yield Measure("tocsin_campaigns_running", "Campaigns that are sending.", "gauge", view.campaigns_running)
    yield Measure("tocsin_campaigns_unsealed", "Campaigns without a final report.", "gauge", view.campaigns_unsealed)
    yield Measure("tocsin_holds", "Holds that stand.", "gauge", view.holds)


def _lane(lane: Lane) -> Iterator[Measure]:
    own = {"channel": str(lane.channel), "mode": str(lane.mode)}
    yield Measure("tocsin_lane_batches", "Batches that a lane holds.", "gauge", lane.batches_held, own)
    now_s = asyncio.get_running_loop().time()
    for gate in lane.carriers.gates:
        status = gate.carrier.status()
        labels = own | {"carrier": status.name}
        up = float(status.state is CarrierState.UP)
        yield Measure("tocsin_carrier_up", "1 when the carrier is up.", "gauge", up, labels)
        closed = float(gate.breaker.closed(now_s))
        yield Measure("tocsin_carrier_usable", "1 when its breaker is closed.", "gauge", closed, labels)
        refuses = float(bool(gate.complaint(now_s)))
        yield Measure("tocsin_carrier_refuses_us", "1 while it refuses everybody.", "gauge", refuses, labels)
        yield Measure("tocsin_carrier_in_flight", "Units without an answer yet.", "gauge", status.in_flight, labels)
        yield Measure("tocsin_carrier_window", "Units that may be without an answer.", "gauge", status.window, labels)
