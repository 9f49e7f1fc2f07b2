"""Nobody can stop it: whatever a stranger, an account with one small right or a peer does, an urgent alert has its
answer and its first SMS within the promise, and the process does not grow."""

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

from tests.acceptance.attacks import ATTACKS, BABBLE, FLOODS, Target
from tests.acceptance.world import (
    Client,
    Process,
    Server,
    Words,
    World,
    alert,
    free_port,
    now_ms,
    opened,
    relay,
    smsc_account,
    until,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]

PROMISE_S = 2.0
SECONDS = float(os.environ.get("ATTACK_SECONDS", "5"))
"""Of each attack; `make proof` has more of them."""
ALERTS_EVERY_S = 1.0
MOST_GROWTH_MIB = 250
NETWORK = "PLP-5301-1"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with opened(tmp_path) as made:
        made.people(members=300)
        rights = [
            {"action": a, "zone": "5301", "kind": "news", "channel": "email"} for a in ("launch", "read", "submit")
        ]
        made.seed.append(made.account("small", rights, senders=["cic@police.example"]))
        yield made


@dataclass
class Promise:
    """What became of the alerts that were posted meanwhile."""

    answered_s: list[float]
    first_s: list[float]

    @property
    def slowest_s(self) -> float:
        return max(*self.answered_s, *self.first_s)


async def alerts_meanwhile(world: World, client: Client, name: str, seconds: float = SECONDS) -> Promise:
    """An urgent alert a second to one network, each with words of its own."""
    posted: dict[str, tuple[int, float]] = {}
    until_s = time.monotonic() + seconds
    while time.monotonic() < until_s:
        headline = f"{name} {len(posted)}"
        at_ms, began = now_ms(), time.monotonic()
        status, answer = await client.submit(
            alert({NETWORK: world.ring(NETWORK)}, words=[Words("nl-BE", headline)], channels="sms")
        )
        assert status == 202, answer
        posted[headline] = at_ms, time.monotonic() - began
        await asyncio.sleep(max(0.0, ALERTS_EVERY_S - (time.monotonic() - began)))

    def arrived() -> dict[str, int]:
        found: dict[str, int] = {}
        for got in world.sms("good"):
            for headline in posted:
                if f"{headline}." in got.text:
                    found[headline] = min(found.get(headline, got.at_ms), got.at_ms)
        return found

    await until(lambda: len(arrived()) == len(posted), 20)
    first = arrived()
    return Promise(
        [answered for _, answered in posted.values()], [(first[h] - at) / 1000 for h, (at, _) in posted.items()]
    )


def resident_mib(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


async def up(world: World, flood: Process | None = None, port: int = 0, kind: str = "") -> tuple[Server, Client, int]:
    """With a good SMSC; where there is a flooding one, beside it."""
    await world.smsc("good")
    await world.smtp("relay", bodies=False)
    bounces = free_port()
    tables = world.ways_out()
    tables["email"] |= {"bounces": {"enabled": True, "port": bounces}, "bounce_domain": "bounces.example"}
    if flood is not None and kind == BABBLE:
        tables["email"]["carriers"] = {"babbling": relay(port, 100.0)}
    elif flood is not None:
        tables["sms"]["carriers"]["flooding"] = smsc_account(port, "flooding", 500.0)
    server, client = await world.up(tables)
    return server, client, bounces


@pytest.mark.parametrize("name", ATTACKS)
async def test_alerts_keep_the_promise_while(world: World, name: str) -> None:
    server, client, bounces = await up(world)
    port = int(server.url.rsplit(":", 1)[1])
    small = world.client(server, "small")
    news = {"zone": "5301", "kind": "news", "title": "t", "channels": ["email"], "terms_confirmed": True}
    news |= {"texts": [{"language": "nl", "email": "Nieuws"}], "targets": {"networks": [NETWORK]}}
    status, launched = await small.post("/api/v1/campaigns", news)
    assert status == 202, launched
    target = Target(server.url, port, bounces, world.token("small"), NETWORK, "5301", launched["campaign"])
    quiet = await alerts_meanwhile(world, client, "quiet", min(SECONDS / 3, 10))
    before = resident_mib(server.pid)
    attack = await world._start("attack", ["-m", "tests.acceptance.attacks", name, json.dumps(asdict(target))], name)

    kept = await alerts_meanwhile(world, client, name)

    assert attack.running, attack.said()
    grown = resident_mib(server.pid) - before
    ratio = kept.slowest_s / quiet.slowest_s
    told = f"{kept.slowest_s:.2f} s of {len(kept.first_s)} alerts, {ratio:.1f} times the quiet one"
    print(f"{name}: slowest {told}, {grown:+.0f} MiB")
    assert kept.slowest_s <= PROMISE_S
    assert grown < MOST_GROWTH_MIB
    await attack.end(signal.SIGKILL)
    assert server.logged("request-failed") == []
    assert await server.end(signal.SIGTERM) == 0


@pytest.mark.parametrize("kind", [*FLOODS, BABBLE])
async def test_alerts_keep_the_promise_while_a_peer_floods_with(world: World, kind: str) -> None:
    flood = await world._start("flood", ["-m", "tests.acceptance.attacks", kind], f"flood-{kind}")
    started = await world._until_said(flood, lambda said: said if "\n" in said else "")
    server, client, _ = await up(world, flood, int(json.loads(started)["port"]), kind)
    before = resident_mib(server.pid)

    kept = await alerts_meanwhile(world, client, kind, SECONDS / 2)

    grown = resident_mib(server.pid) - before
    print(f"{kind}: slowest {kept.slowest_s:.2f} s of {len(kept.first_s)} alerts, {grown:+.0f} MiB")
    assert kept.slowest_s <= PROMISE_S
    assert grown < MOST_GROWTH_MIB
    assert await server.end(signal.SIGTERM) == 0
