"""What the platform itself tells reaches people through real carriers: over kills, and by another path if one fails."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from gateway.notices.outside import signature
from tests.acceptance.world import Line, Tables, World, opened, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

KEY = bytes(range(32))
DUTY, MOBILE = "duty@example.org", "+32470123456"


class Outside:
    """What lies outside: a webhook and a ping."""

    def __init__(self) -> None:
        self.calls: list[Line] = []
        self.pings = 0
        self.url = ""

    async def hook(self, request: web.Request) -> web.Response:
        body = await request.text()
        at_s = int(request.headers["webhook-timestamp"])
        expected = signature(KEY, request.headers["webhook-id"], at_s, body)
        assert request.headers["webhook-signature"] == expected
        self.calls.append(json.loads(body))
        return web.Response()

    async def ping(self, _: web.Request) -> web.Response:
        self.pings += 1
        return web.Response()


@pytest.fixture
async def outside() -> AsyncIterator[Outside]:
    found = Outside()
    app = web.Application()
    app.router.add_post("/hook", found.hook)
    app.router.add_get("/ping", found.ping)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield found
    await runner.cleanup()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with opened(tmp_path) as made:
        made.people(members=5, zones=1)
        yield made


def alarms(world: World, outside: Outside, **more: object) -> Tables:
    """The settings of alarms, with their secrets in files."""
    secret, ping = world.folder / "hook.secret", world.folder / "ping.secret"
    secret.write_text("whsec_" + base64.b64encode(KEY).decode())
    ping.write_text(f"{outside.url}/ping")
    own: Tables = {"emails": [DUTY], "mobiles": [MOBILE], "language": "nl", "escalate_s": 3, "ping_every_s": 1}
    own |= {"webhook_url": f"{outside.url}/hook", "webhook_secret": f"file:{secret}", "ping_url": f"file:{ping}"}
    return {"alarms": own | more}


def texts(world: World) -> list[str]:
    return [got.text for got in world.sms() if got.address == MOBILE]


async def told_of(world: World, settings: Path, words: str) -> str:
    """What `tocsin status` says, once it says these words."""
    for _ in range(40):
        _, said = await world.tocsin("status", "--config", str(settings))
        if words in said:
            return said
        await asyncio.sleep(1.0)
    raise AssertionError(said)


async def test_an_alarm_is_tried_by_every_path_and_what_was_told_before_a_kill_leaves_after_it(
    world: World, outside: Outside
) -> None:
    relay, smsc = await world.smtp(), await world.smsc("first")
    settings = world.settings(world.ways_out() | alarms(world, outside))
    await world.load(settings)
    server = await world.serve(settings)
    for sink in (relay, smsc):
        await sink.end()

    code, said = await world.tocsin("alarm", "test", "--wait", "0", "--config", str(settings))
    assert code == 0, said
    await server.kill()
    assert world.mails() == texts(world) == []

    await world.smtp()
    await world.smsc("first")
    server = await world.serve(settings)
    await until(lambda: world.mails() and texts(world) and outside.calls)
    assert texts(world)[0].startswith("Tocsin: ALARM: Een test, gevraagd aan de terminal")
    assert outside.calls[0]["type"] == "alarm.test"
    assert {got.address for got in world.mails()} == {DUTY}

    code, said = await world.tocsin("alarm", "test", "--config", str(settings))
    assert code == 0, said
    assert "email d…@example.org: accepted" in said
    assert "sms +324…56: " in said
    assert "webhook: taken" in said
    assert DUTY not in said

    await until(lambda: outside.pings)
    _, status = await world.tocsin("status", "--config", str(settings))
    assert "ping: last taken" in status
    assert server.running


async def test_where_mail_is_down_the_alarm_comes_by_sms_and_where_that_is_too_by_webhook(
    world: World, outside: Outside
) -> None:
    relay = await world.smtp()
    smsc = await world.smsc("first")
    settings = world.settings(world.ways_out() | alarms(world, outside))
    await world.load(settings)
    server = await world.serve(settings)
    client = world.client(server)
    await world.until_ready(client)

    await relay.end()
    await until(lambda: any("relay" in text for text in texts(world)), timeout_s=100.0)
    [text] = [text for text in texts(world) if "relay" in text]
    assert text.startswith("Tocsin: ALARM: email relay ligt uit")
    assert world.mails() == []

    pinged = outside.pings
    await smsc.end()
    await until(lambda: any("sms first" in call["data"]["about"] for call in outside.calls), timeout_s=100.0)
    assert outside.pings > pinged, "somebody has heard of it: nobody outside need call"
    status = await told_of(world, settings, "told by webhook")
    assert "ALARM since" in status


async def test_what_reaches_nobody_ends_the_ping(world: World, outside: Outside) -> None:
    await world.smtp()
    settings = world.settings(
        world.ways_out()
        | alarms(world, outside, mobiles=[], webhook_url="http://127.0.0.1:9/none", emails=[DUTY], disk_low_mib=10**9)
        | {"email": {"carriers": {}}}
    )
    await world.load(settings)
    server = await world.serve(settings)
    await until(lambda: outside.pings)

    await told_of(world, settings, "held back: alarm disk-low")
    assert server.running
