"""The brake over HTTP: whoever operates holds a campaign that is being sent, and lets it go; everybody is told once."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.acceptance.expected import expect
from tests.acceptance.world import Client, Line, World, now_ms, opened, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

WARDEN = "warden-5301"
HOLDS = "/api/v1/holds"
MESSAGE = {
    "zone": "5301",
    "kind": "news",
    "title": "Buurtfeest",
    "texts": [{"language": "nl", "sms": "Buurtfeest afgelast wegens storm."}],
    "targets": {"networks": ["PLP-5301-1"]},
    "channels": ["sms"],
    "terms_confirmed": True,
}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with opened(tmp_path) as made:
        made.people(members=300, edit=_with_sms)
        made.seed.append(made.account(WARDEN, [{"action": "operate", "zone": "5301"}]))
        yield made


def _with_sms(line: Line) -> None:
    if line["type"] == "zone":
        line["policy"] = {"news_channels": ["sms"]}


async def lift(client: Client, hold: Line) -> int:
    headers = {"If-Match": f'"r{hold["revision"]}"'}
    async with client.session.delete(hold["href"], headers=headers) as response:
        return response.status


@pytest.mark.parametrize(
    ("account", "scope", "subject"),
    [(WARDEN, "zone", "5301"), ("operator", "channel", "sms"), ("operator", "carrier", "first")],
)
async def test_what_is_held_stands_still_and_lifting_it_tells_the_others_once(
    world: World, account: str, scope: str, subject: str
) -> None:
    await world.smsc("first")
    server, _ = await world.up(world.ways_out(rate_per_s=15))
    coordinator, warden = world.client(server, "coordinator-PLP-5301-1"), world.client(server, account)
    _, launched = await coordinator.post("/api/v1/campaigns", MESSAGE)
    await until(lambda: len(world.sms()) >= 10)

    status, hold = await warden.post(HOLDS, {"scope": scope, "subject": subject, "reason": "wrong street"})
    held_ms = now_ms()
    assert status == 201, hold
    await until(lambda: now_ms() > held_ms + 3_000)
    arrived = world.sms()
    assert max(got.at_ms for got in arrived) <= held_ms + 1_000
    # Nothing is in hand any more, and what is left waits.
    counts = await coordinator.until(launched["campaign"], lambda c: c["queued"] == c["total"] - len(arrived))
    assert counts["queued"] > 0

    assert await lift(warden, hold) == 204
    await coordinator.until_sent(launched["campaign"])
    should = expect(world.seed, ["PLP-5301-1"], kind="news", channels=["sms"])["5301"]
    assert sorted(got.address for got in world.sms()) == sorted(should.addresses("sms"))
    rows = await coordinator.deliveries(launched["campaign"])
    assert {row["attempts"] for row in rows} == {1}


async def test_beside_a_held_carrier_the_other_tells_everybody(world: World) -> None:
    await world.smsc("first")
    await world.smsc("second")
    server, _ = await world.up(world.ways_out(rate_per_s=15))
    coordinator, operator = world.client(server, "coordinator-PLP-5301-1"), world.client(server, "operator")
    _, launched = await coordinator.post("/api/v1/campaigns", MESSAGE)
    await until(lambda: len(world.sms("first")) >= 5)

    status, hold = await operator.post(HOLDS, {"scope": "carrier", "subject": "first"})
    held_ms = now_ms()
    assert status == 201, hold
    await coordinator.until_sent(launched["campaign"])

    assert max(got.at_ms for got in world.sms("first")) <= held_ms + 1_000
    should = expect(world.seed, ["PLP-5301-1"], kind="news", channels=["sms"])["5301"]
    assert sorted(got.address for got in world.sms()) == sorted(should.addresses("sms"))
