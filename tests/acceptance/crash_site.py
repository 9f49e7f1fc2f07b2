"""Where gateways are killed: people with a number and a mailbox of their own each, slow peers, and clients whose
server may be gone before it answers."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from tests.acceptance.world import CIC, Client, Line, Server, Tables, Words, World, alert, opened

ZONE = "5301"
NETWORK = "PLP-5301-1"
OFFICER = "officer-5301"
CRASHING = "tests.acceptance.crashing"


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


@dataclass(slots=True)
class Site:
    world: World
    config: Path
    pace: Pace
    lives: list[Server] = field(default_factory=list)

    @property
    def store_url(self) -> str:
        return self.world.store_url

    async def start(self, *how: str, wait: bool = True) -> Server:
        """One life of a gateway. `how`: where it dies (`crashing`); `wait`: until its door is open."""
        server = await self.world.serve(self.config, CRASHING, *how, wait=wait)
        self.lives.append(server)
        return server

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
            status, body = await self.client(server).post("/api/v1/campaigns", request)
        except aiohttp.ClientError:
            return None
        return Answer(status, body.get("href", ""), body)

    def alarm(self, marker: str, channels: str = "") -> bytes:
        """An urgent alert for everybody, in one SMS each: what is in doubt is sent again."""
        words = Words("nl", marker, description="Kort.", instruction="Bel 101.")
        return alert({"PLP": self.world.ring(NETWORK)}, [words], channels=channels)


def message(marker: str, kind: str = "news", channels: tuple[str, ...] = ("sms", "email")) -> Line:
    """A composed message for everybody: what is in doubt is reported."""
    return {
        "zone": ZONE,
        "kind": kind,
        "title": marker,
        "texts": [{"language": "nl", "sms": f"{marker}: kort nieuws.", "subject": marker, "email": f"{marker}."}],
        "targets": {"networks": [NETWORK]},
        "channels": list(channels),
        "terms_confirmed": True,
        "key": marker,
    }


def members(people: int) -> list[Line]:
    """Each with a mobile number and a mailbox that nobody else has."""
    return [
        {
            "type": "member", "zone": ZONE, "reference": f"r{n}", "name": f"Zoë {n}", "language": "nl",
            "networks": [{"code": NETWORK}],
            "contacts": [
                {"type": "mobile", "value": f"+32470{n:06d}"}, {"type": "email", "value": f"p{n}@example.org"},
            ],
        }
        for n in range(people)
    ]  # fmt: skip


def _edit(line: Line) -> None:
    both = ["sms", "email"]
    if line["type"] == "zone":
        line["policy"] = {"alert_channels": both, "preventive_channels": both, "news_channels": both}
    elif line["type"] == "lot":
        line["amount_millieuro"] = 100_000_000


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
async def site(folder: Path, *, people: int, pace: Pace, store_url: str = "") -> AsyncIterator[Site]:
    folder.mkdir(parents=True, exist_ok=True)
    async with opened(folder, store_url) as world:
        world.people(members=0, zones=1, networks=1, edit=_edit)
        world.seed += members(people)
        await world.smsc("first", answer_delay_s=pace.answer_s, receipt_delay_s=pace.receipt_s)
        # A mail is two replies: to its commands, and to its final dot.
        await world.smtp("relay", reply_delay=pace.answer_s / 2)
        config = world.settings(settings(world, pace))
        await world.load(config)
        yield Site(world, config, pace)
