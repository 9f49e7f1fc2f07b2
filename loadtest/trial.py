"""One run of the product under load: set it up, make it work, watch it, let it come to rest, hold it to account."""

import asyncio
import contextlib
import json
import os
import random
import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from loadtest import arrivals
from loadtest.accounting import Accounting, Disagreements, sms_heads
from loadtest.arrivals import Arrivals, Instants
from loadtest.documents import new_mark
from loadtest.door import GatewayDoor
from loadtest.stage import ChildProcess, Stage, StageFailed, cpu_of, end, machine_cpu_s, machine_stolen_s, memory_of
from store.campaigns import reading as campaigns
from store.engine.database import open_database

REST_S = 120.0
"""How long what is in hand and its receipts may take after the last campaign was stopped."""
_ASK_S = 10.0
_STILL_OPEN = ("queued", "retry")


@dataclass(slots=True)
class ProcessSample:
    """The processes at one instant."""

    at_s: float
    cpu_s: dict[str, float]
    """By process; `machine` is every core's, `stolen` what the host kept of them."""
    memory_mib: dict[str, float]
    switches: int = 0
    """Of the gateway's contexts: each time that one of its threads waited, or had to."""


@dataclass(slots=True)
class Trial:
    stage: Stage
    session: aiohttp.ClientSession
    draw: random.Random = field(default_factory=lambda: random.Random(7))
    samples: list[ProcessSample] = field(default_factory=list)
    limits: dict[str, float] = field(default_factory=dict)
    """What the sinks can take, measured before the run."""
    bulk: list[str] = field(default_factory=list)
    """Public ids of the campaigns that the run itself launched."""
    requests: list[tuple[float, str, float, bool]] = field(default_factory=list)
    """What Locust's users saw; see `loadtest.locustfile`."""
    errors: list[dict[str, Any]] = field(default_factory=list)
    metrics: list[tuple[float, dict[str, float]]] = field(default_factory=list)
    """What the gateway said of itself, every ten seconds, and when."""
    posts: list[tuple[str, float]] = field(default_factory=list)
    """(mark, seconds UTC) of the alerts that Locust's users posted."""

    @property
    def gateway(self) -> ChildProcess:
        return self.stage.children["gateway"]

    @property
    def operator(self) -> GatewayDoor:
        return GatewayDoor(self.session, self.stage.url, self.stage.token("operator"))

    def door(self, account: str) -> GatewayDoor:
        return GatewayDoor(self.session, self.stage.url, self.stage.token(account))

    async def set_up(self, members: int, networks: int) -> float:
        """Register, sinks, server, all ready; seconds that loading the register took."""
        stage = self.stage
        stage.write_settings()
        took_s = await stage.populate(members, networks)
        if not self.limits:
            self.limits = await stage.limits()
        await stage.sinks()
        stage.write_settings()
        await stage.server()
        if not await self.operator.until_ready(60.0):
            raise StageFailed(f"the gateway did not come up: see {stage.folder}/gateway.log")
        return took_s

    # ---- work ----------------------------------------------------------------------------------------

    async def flood(self, channel: str, units: int, kind: str = "news") -> int:
        """Launch messages to whole zones until there is so much to send; returns how much there is."""
        launched = 0
        while launched < units:
            for zone in self.stage.lines["zone"]:
                if launched < units:
                    launched += await self.launch(zone["code"], [channel], {"whole_zone": True}, kind)
        return launched

    async def launch(self, zone: str, channels: list[str], targets: dict[str, Any], kind: str = "news") -> int:
        """Units of the campaign, by its preview."""
        title = f"{new_mark(self.draw)} Wegenwerken"
        answer = await self.door(f"officer-{zone}").launch(zone, title, channels, targets, kind)
        self.bulk.append(answer["campaign"])
        return sum(int(c["units"]) for c in answer["preview"]["channels"])

    @contextlib.asynccontextmanager
    async def crowd(self, seconds: float, counts: dict[str, int], **plan: Any) -> AsyncIterator[None]:
        """Locust's users at the door for so long; waits for their end on the way out."""
        out = self.stage.folder / f"locust-{time.time_ns()}.json"
        child = await self.stage.locust(seconds, list(counts), self._plan(out, counts, plan))
        yield
        async with asyncio.timeout(seconds + 60):
            await child.process.wait()
        if not out.exists():
            raise StageFailed(f"Locust ended without its figures: see {self.stage.folder}/locust.log")
        said = json.loads(await asyncio.to_thread(out.read_text, encoding="utf-8"))
        self.requests += [(r[0], r[1], r[2], r[3]) for r in said["requests"]]
        self.errors += said["errors"]
        self.posts += [(mark, at_s) for mark, at_s in said["posts"]]

    def _plan(self, out: Path, counts: dict[str, int], more: dict[str, Any]) -> dict[str, Any]:
        stage = self.stage
        coordinators = stage.accounts("coordinator-")
        return {
            "out": str(out),
            "url": stage.url,
            "users": sum(counts.values()),
            "counts": counts,
            "cic": stage.token("cic-demo"),
            "operator": stage.token("operator"),
            "networks": [
                {"zone": n["zone"], "code": n["code"], "ring": n["territory"][0]} for n in stage.lines["network"]
            ],
            "coordinators": [
                {
                    "zone": code.split("-")[2],
                    "network": code.removeprefix("coordinator-"),
                    "token": stage.token(code),
                }
                for code in coordinators[:200]
            ],
            "campaigns": self.bulk,
        } | more

    @contextlib.asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Note what the processes use, once a second."""
        tasks = {
            asyncio.create_task(self._watch(), name="samples"),
            asyncio.create_task(self._ask(), name="metrics"),
        }
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            self.note()

    async def _ask(self) -> None:
        """A gateway that is being killed, or stands still, says nothing: the next look may find it."""
        while True:
            with contextlib.suppress(aiohttp.ClientError, TimeoutError, ValueError):
                self.metrics.append((time.time(), await self.operator.metrics()))
            await asyncio.sleep(_ASK_S)

    async def _watch(self) -> None:
        while True:
            self.note()
            await asyncio.sleep(1.0)

    def note(self) -> ProcessSample:
        children = self.stage.children
        apart = children["gateway"].made() if "gateway" in children else {}
        sample = ProcessSample(
            time.time(),
            {name: child.cpu_s() for name, child in children.items()}
            | {name: cpu_of(pid) for name, pid in apart.items()}
            | {"run": time.process_time(), "machine": machine_cpu_s(), "stolen": machine_stolen_s()},
            {name: child.memory_mib() for name, child in children.items()}
            | {name: memory_of(pid) for name, pid in apart.items()},
            children["gateway"].switches() if "gateway" in children else 0,
        )
        self.samples.append(sample)
        return sample

    def cpu_between(self, name: str, start_s: float, end_s: float) -> float:
        """CPU seconds of a process, by the samples next to these instants."""
        inside = [s.cpu_s[name] for s in self.samples if start_s <= s.at_s <= end_s and s.cpu_s.get(name)]
        return inside[-1] - inside[0] if inside else 0.0

    @property
    def gateway_processes(self) -> list[str]:
        """The gateway's own process first, then those that it has made."""
        known = {name for sample in self.samples for name in sample.cpu_s}
        return ["gateway", *sorted(known - {*self.stage.children, "run", "machine", "stolen"})]

    def cpu_of_others(self, start_s: float, end_s: float) -> float:
        """CPU seconds of whatever else ran on this machine meanwhile."""
        names = {*self.stage.children, *self.gateway_processes, "run"}
        ours = sum(self.cpu_between(name, start_s, end_s) for name in names)
        return max(0.0, self.cpu_between("machine", start_s, end_s) - ours)

    def given(self, start_s: float, end_s: float) -> float:
        """The share of a core that the machine had for the gateway, beside all else that ran on it; 1 at most."""
        used_s = self.cpu_between("machine", start_s, end_s)
        used_s -= sum(self.cpu_between(name, start_s, end_s) for name in self.gateway_processes)
        used_s += self.cpu_between("stolen", start_s, end_s)
        return min(max((os.cpu_count() or 1) - used_s / (end_s - start_s), 0.0), 1.0)

    def switches_between(self, start_s: float, end_s: float) -> int:
        """Context switches of the gateway, by the samples next to these instants."""
        inside = [s.switches for s in self.samples if start_s <= s.at_s <= end_s and s.switches]
        return inside[-1] - inside[0] if inside else 0

    def most_memory_mib(self, name: str) -> float:
        return max((s.memory_mib.get(name, 0.0) for s in self.samples), default=0.0)

    # ---- the end -------------------------------------------------------------------------------------

    async def come_to_rest(self, *, stop: bool, within_s: float = REST_S, receipts: bool = True) -> float:
        """Stop what still runs (or let it end by itself), wait for what is in hand and its receipts; seconds taken.
        What never comes to rest is left as it is: the accounting will say so. Without `receipts` they are not waited
        for: a carrier that died sends none."""
        loop = asyncio.get_running_loop()
        started_s = loop.time()
        rested: set[str] = set()
        stopped: set[str] = set()
        while loop.time() - started_s < within_s:
            # Looked up anew: who hung up in the middle of a request may have been understood all the same.
            waiting = [c for c in await self.operator.campaigns() if c["id"] not in rested]
            if not waiting:
                break
            for campaign in waiting:
                if stop and campaign.get("ended") is None and campaign["id"] not in stopped:
                    stopped.add(campaign["id"])
                    await self.operator.post(f"/api/v1/campaigns/{campaign['id']}/stop")
                if _at_rest(await self.page(campaign["id"]), receipts=receipts):
                    rested.add(campaign["id"])
            await asyncio.sleep(0.2)
        return loop.time() - started_s

    async def arrived(self) -> dict[str, Arrivals]:
        """By channel, from the sinks' dumps. Ends the sinks: only then is everything written down."""
        for name, child in self.stage.children.items():
            if name.startswith(("smsc", "smtp")):
                await end(child)
        return await asyncio.to_thread(self._arrived)

    def _arrived(self) -> dict[str, Arrivals]:
        return {
            "sms": arrivals.sms(*self.stage.smsc_dumps),
            "email": arrivals.email(*self.stage.smtp_dumps),
            "voice": arrivals.voice(self.stage.voice_dump),
        }

    async def account(self, arrived: dict[str, Arrivals]) -> Disagreements:
        """Every person of every campaign against the sinks."""
        accounting = Accounting(arrived["sms"], arrived["email"], arrived["voice"])
        numbers = await self.numbers([line["id"] for line in await self.operator.campaigns()])
        for campaign, number in numbers.items():
            page = await self.page(campaign)
            report = await self.operator.get(f"/api/v1/campaigns/{campaign}/report")
            resent = {c["channel"]: c["resent"] > 0 for c in report["channels"]}
            account = accounting.campaign(number, page)
            async for delivery in self.operator.deliveries(campaign):
                account.delivery(delivery, resent=resent[delivery["channel"]])
            account.report(report)
        return accounting.close()

    # ---- looking -------------------------------------------------------------------------------------

    async def page(self, campaign: str) -> dict[str, Any]:
        found: dict[str, Any] = await self.operator.get(f"/api/v1/campaigns/{campaign}")
        return found

    async def numbers(self, public_ids: Iterable[str]) -> dict[str, int]:
        """The store's own number of each campaign: references on the wire bear that one."""
        found: dict[str, int] = {}
        async with open_database(self.stage.store_url) as database, database.read() as conn:
            for public_id in public_ids:
                campaign = await campaigns.by_public_id(conn, public_id)
                assert campaign is not None, public_id
                found[public_id] = campaign.id
        return found

    async def instants(self, arrived: dict[str, Arrivals], campaign: str) -> dict[str, Instants]:
        """When the messages of one campaign arrived, by channel, ascending. Sinks may still be running."""
        number = (await self.numbers([campaign]))[campaign]
        heads = sms_heads(await self.page(campaign))
        return {
            "sms": arrived["sms"].of(*heads),
            "email": arrived["email"].of(number),
            "voice": arrived["voice"].of(number),
        }


def _at_rest(page: dict[str, Any], *, receipts: bool) -> bool:
    """Nothing is open, and every SMS that a carrier took has its receipt."""
    channels = page["progress"]["channels"]
    if any(c[state] for c in channels for state in _STILL_OPEN):
        return False
    waiting = receipts and any(c["accepted"] for c in channels if c["channel"] == "sms")
    return page.get("ended") is not None and not waiting
