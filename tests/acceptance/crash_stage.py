"""Where gateways are killed: people with a number and a mailbox of their own each, slow peers, and clients whose
server may be gone before it answers."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from tests.acceptance.world import CIC, READY_S, Client, Line, Server, Tables, Words, World, alert, opened

ZONE = "5301"
NETWORK, OTHER_NETWORK = "PLP-5301-1", "PLP-5301-2"
OFFICER = "officer-5301"
CRASHING = "tests.acceptance.dying_server"


NEWS, ALARM = "NIEUWS-A", "ALARM-B"
"""What stands in the words of two campaigns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast the gateway may send and how slowly its peers answer; messages a second, seconds."""

    sms_per_s: float = 150.0
    mail_per_s: float = 150.0
    answer_s: float = 0.05
    receipt_s: float = 0.3
    lease_s: float = 2.0


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    location: str
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Life:
    """A process that waits to be told to begin."""

    server: Server
    how: tuple[str, ...]
    go: Path


@dataclass(slots=True)
class Site:
    world: World
    config: Path
    pace: Pace
    _lives: int = 0
    _next: "_Life | None" = None

    @property
    def store_url(self) -> str:
        return self.world.store_url

    async def start(self, *how: str, then: Sequence[str] = (), wait: bool = True) -> Server:
        """One life of a gateway. `how`: where it dies (`dying_server`); `then`: the same of the life after it, which is
        made ready meanwhile; `wait`: until the door is open."""
        life = self._next if self._next and self._next.how == how else await self._prepare(how)
        life.go.touch()
        self._next = None
        if wait:
            await until(lambda: _is_open(life.server), READY_S, every_s=0.02)
            self._next = await self._prepare(tuple(then))
        return life.server

    async def _prepare(self, how: tuple[str, ...]) -> "_Life":
        self._lives += 1
        go = self.world.folder / f"go-{self._lives}"
        server = await self.world.serve(self.config, CRASHING, *how, "--go", str(go), wait=False)
        return _Life(server, how, go)

    def client(self, server: Server, account: str = OFFICER) -> Client:
        return self.world.client(server, account)

    async def alert(self, server: Server, document: bytes) -> Answer | None:
        """None when the server died before it answered."""
        try:
            status, body = await self.client(server, CIC).submit(document)
        except aiohttp.ClientError:
            return None
        return Answer(status, body.get("location", ""), body)

    async def message(self, server: Server, request: Line) -> Answer | None:
        """None when the server died before it answered."""
        try:
            status, body = await self.client(server).post("/api/v1/campaigns", request, key=request["title"])
        except aiohttp.ClientError:
            return None
        return Answer(status, body.get("href", ""), body)

    def alarm(self, marker: str, channels: str = "sms email", networks: Sequence[str] = (NETWORK,)) -> bytes:
        """An urgent alert, one SMS each: what is in doubt is sent again."""
        words = Words("nl", marker, description="Kort.", instruction="Bel 101.")
        return alert({name: self.world.ring(name) for name in networks}, [words], channels=channels)

    async def end(self, server: Server) -> None:
        """The gateway in order, then its peers: their dumps are whole."""
        assert await server.end() == 0, server.said()[-3000:]
        for sink in self.world.sinks.values():
            await sink.end()

    async def until_all_is_said(self, server: Server, timeout_s: float = 90.0) -> None:
        """Nothing is open, nothing of an urgent kind waits to be sent again, every receipt has come."""
        client = self.client(server)

        async def quiet() -> bool:
            _, body = await client.get("/api/v1/campaigns", limit=200)
            pages = [await client.campaign(line["id"]) for line in body["campaigns"]]
            return not any(page["state"] == "running" or _sms(page, "accepted") for page in pages)

        await until(quiet, timeout_s)
        # The receipts of messages in doubt move no counter that could be waited for.
        await asyncio.sleep(self.pace.receipt_s + 0.3)


async def _is_open(server: Server) -> bool:
    opened = server.logged("start")
    assert opened or server.running, f"did not start:\n{server.said()[-3000:]}"
    server.url = str(opened[0]["url"]) if opened else ""
    return bool(opened)


def _sms(page: Line, state: str) -> int:
    return sum(line[state] for line in page["progress"]["channels"] if line["channel"] == "sms")


async def until(check: Callable[[], Awaitable[bool]], timeout_s: float, every_s: float = 0.1) -> None:
    async with asyncio.timeout(timeout_s):
        while True:
            if await check():
                return
            await asyncio.sleep(every_s)


def message(
    marker: str, kind: str = "news", channels: Sequence[str] = ("sms", "email"), networks: Sequence[str] = (NETWORK,)
) -> Line:
    """A composed message: what is in doubt is reported."""
    return {
        "zone": ZONE,
        "kind": kind,
        "title": marker,
        "texts": [{"language": "nl", "sms": f"{marker}: kort nieuws.", "subject": marker, "email": f"{marker}."}],
        "targets": {"networks": list(networks)},
        "channels": list(channels),
        "terms_confirmed": True,
    }


def members(people: int, more: int = 0) -> list[Line]:
    """Each with a mobile number and a mailbox that nobody else has; `more` of them in the other network."""
    return [
        {
            "type": "member", "zone": ZONE, "reference": f"r{n}", "name": f"Zoë {n}", "language": "nl",
            "networks": [{"code": NETWORK if n < people else OTHER_NETWORK}],
            "contacts": [
                {"type": "mobile", "value": f"+32470{n:06d}"}, {"type": "email", "value": f"p{n}@example.org"},
            ],
        }
        for n in range(people + more)
    ]  # fmt: skip


def _edit(line: Line) -> None:
    both = ["sms", "email"]
    if line["type"] == "zone":
        line["policy"] = {"alert_channels": both, "preventive_channels": both, "news_channels": both}
    elif line["type"] == "lot":
        line["amount_millieuro"] = 100_000_000


async def both_launched(here: "Site", server: Server, channels: str = "sms") -> None:
    """Campaign 1: news (`NEWS`), reported; campaign 2: an alert (`ALARM`), resent."""
    news = await here.message(server, message(NEWS, channels=channels.split()))
    assert news is not None
    assert news.status == 202
    alarm = await here.alert(server, here.alarm(ALARM, channels))
    assert alarm is not None
    assert alarm.status == 202


async def died(server: Server, timeout_s: float = 30.0) -> None:
    """By its own hand."""
    async with asyncio.timeout(timeout_s):
        code = await server.handle.wait()
    assert code == -signal.SIGKILL, f"ended with {code}:\n{server.said()[-3000:]}"


def boot(server: Server) -> str:
    """The id under which this life holds leases; empty before it has started."""
    return next((str(line["boot"]) for line in server.logged("start")), "")


def settings(world: World, pace: Pace) -> Tables:
    lanes: Tables = {"sms": {"lease_s": pace.lease_s}, "email": {"lease_s": pace.lease_s}}
    ways = world.ways_out(rate_per_s=pace.sms_per_s, mail_per_s=pace.mail_per_s)
    for relay in ways["email"]["carriers"].values():
        relay["connections"] = 8
    return {name: ways[name] | lanes[name] for name in lanes}


@contextlib.asynccontextmanager
async def site(
    folder: Path, *, people: int, more: int = 0, pace: Pace, store_url: str = "", store: Tables | None = None
) -> AsyncIterator[Site]:
    """`store`: more of its settings."""
    async with opened(folder, store_url) as world:
        world.people(members=0, zones=1, networks=2, edit=_edit)
        world.seed += members(people, more)
        await world.smsc("first", answer_delay_s=pace.answer_s, receipt_delay_s=pace.receipt_s)
        # A mail is two replies: to its commands, and to its final dot.
        await world.smtp("relay", reply_delay=pace.answer_s / 2)
        config = world.settings(settings(world, pace) | ({"store": store} if store else {}))
        await world.load(config)
        yield Site(world, config, pace)
