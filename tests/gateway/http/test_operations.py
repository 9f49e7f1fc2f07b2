"""Whether it lives, whether it is ready, who is asking, and what Prometheus reads."""

import asyncio

from channels.contract import Channel, Mode
from channels.simulated.carrier import SimulatedCarrier, SimulatedSettings
from gateway.campaigns.refused import RefusedDocuments
from gateway.http.health import MachineHealth
from gateway.http.metrics import Metrics
from gateway.http.services import HealthCheck, Measure
from gateway.operations.loop_lag import LoopLag
from store.campaigns.refused_documents import RefusedQuota
from store.engine.database import Database
from store.errors import StoreUnavailable
from tests.gateway.http.doorway import Doorway


def keeping(database: Database) -> RefusedDocuments:
    return RefusedDocuments(database, RefusedQuota(200, 1_000_000), 90)


async def test_the_index_links_to_routes_that_exist(door: Doorway):
    links = (await door.get("/")).json["links"]

    statuses = {name: (await door.ask("HEAD", link)).status for name, link in links.items()}
    assert statuses.pop("docs") == (404 if door.door.assets.faults else 200)
    assert set(statuses.values()) <= {200, 401, 405}
    assert statuses["health"] == statuses["feed"] == 200


async def test_ready_is_503_when_a_vital_check_fails_and_only_then(door: Doorway):
    well = await door.get("/readyz")
    door.checks.append(HealthCheck("sms live", False, "smpp-1 down", vital=False))
    limping = await door.get("/readyz")
    door.checks.append(HealthCheck("disk", False, "full"))
    ill = await door.get("/readyz")

    assert (well.status, limping.status, ill.status) == (200, 200, 503)
    assert ill.json["ready"] is False
    assert "Retry-After" in ill.headers
    assert (await door.get("/healthz")).status == 200


async def test_whoami_tells_the_account_and_its_rights_in_words(door: Doorway):
    said = (await door.get("/api/v1/whoami", "a")).json

    assert said["account"] == "a"
    assert "May post CAP alerts for zone A: any kind, any channel." in {r["text"] for r in said["rights"]}
    assert "secret" not in str(said)
    assert (await door.get("/api/v1/whoami", "none")).json["rights"] == []


async def test_metrics_count_requests_by_route_and_show_the_house(door: Doorway):
    await door.get("/api/v1/campaigns/anything", "a")
    await door.get("/no/such/path")
    await door.ask("PROPFIND", "/")

    text = (await door.get("/metrics", "all")).body.decode()

    assert 'tocsin_http_request_seconds_count{method="GET",route="/api/v1/campaigns/{id}",status="404"} 1.0' in text
    assert 'method="GET",route="none",status="404"' in text
    assert 'method="other"' in text
    assert 'tocsin_test{channel="sms"} 3.0' in text
    assert "anything" not in text


async def test_the_store_and_the_loop_tell_how_long_they_have_others_wait(database: Database):
    machine = MachineHealth(database, [], lambda: True, keeping(database), LoopLag())
    await database.require_writable()

    text = Metrics().text(await machine.measures()).decode()

    assert 'tocsin_store_writes_total{within_s="inf"}' in text
    assert "tocsin_store_commits_total" in text
    assert 'tocsin_loop_calls_total{within_s="0.05"} 0.0' in text


def test_two_servers_in_one_process_do_not_count_each_other():
    one, two = Metrics(), Metrics()
    one.answered("GET", "/", 200, 0.1)

    assert b'route="/"' in one.text([Measure("m", "M.", "counter", 1)])
    assert b"m_total 1.0" in one.text([Measure("m", "M.", "counter", 1)])
    assert b'route="/"' not in two.text([])


class Way:
    """A lane as the machine sees it, over a real carrier."""

    def __init__(self) -> None:
        from gateway.dispatch.carriers import Gate, LaneCarriers
        from store.outbox.ceilings import Ceiling

        settings = SimulatedSettings(name="sim-1", channel=Channel.SMS)
        self.carrier = SimulatedCarrier(settings, lambda: 0)
        self.carriers = LaneCarriers([Gate(self.carrier, (Ceiling("sms:sim-1", 10.0, 1.0, 0.05),))], 10)
        self.channel, self.mode, self.batches_held = Channel.SMS, Mode.SIMULATION, 2


async def test_the_machine_says_how_its_store_disk_carriers_and_outbox_are(database: Database):
    room = True
    machine = MachineHealth(database, [Way()], lambda: room, keeping(database), LoopLag())  # type: ignore[list-item]

    checks = {check.name: check for check in await machine.readiness()}
    names = {measure.name for measure in await machine.measures()}

    assert checks["store"].well
    assert checks["disk"].well
    assert not checks["sms simulation"].vital
    assert checks["sms simulation"].text.startswith("Carriers: 1, up: "), "no names: anybody may ask"
    assert {"tocsin_carrier_up", "tocsin_lane_batches", "tocsin_holds", "tocsin_receipts_unmatched"} <= names

    room = False
    machine = MachineHealth(database, [], lambda: room, keeping(database), LoopLag())
    assert [c.name for c in await machine.readiness() if not c.well] == ["disk"]


async def test_a_store_that_cannot_write_is_not_ready_and_is_asked_once_a_second(database: Database):
    asked = 0

    class Away:
        async def require_writable(self) -> None:
            nonlocal asked
            asked += 1
            raise StoreUnavailable("disk I/O error")

    machine = MachineHealth(Away(), [], lambda: True, keeping(Away()), LoopLag())  # type: ignore[arg-type]

    answers = await asyncio.gather(*(machine.readiness() for _ in range(50)))

    assert answers[0][0] == HealthCheck("store", False, "disk I/O error")
    assert asked == 1
