"""From the POST of an alert to its first and last SMS on the wire: idle, and in the middle of a newsletter."""

import asyncio
import random
import time
from pathlib import Path

import msgspec

from loadtest import documents
from loadtest.arrivals import mark_of
from loadtest.bench.figures import Claim, Failed, Figure, percentiles
from loadtest.bench.ground import PER_NETWORK, ZONE, BenchGround, GatewayProcess
from loadtest.sinks.smsc import Part
from loadtest.stage import RunTerms, Stage

TITLE = f"an alert to {PER_NETWORK} members, from the POST to the wire"
_TERMS = RunTerms()
_APART_S = 1.5
"""An alert's own SMS take half a second at the contract's rate: the next one comes when it has left."""
_REST_S = 3.0
_FIRST_MS, _LAST_MS = 500.0, 1_500.0


class Posted(msgspec.Struct, frozen=True):
    mark: str
    at_ms: float
    """Wall clock, before the request."""
    answered_ms: float
    """How long the 202 took."""


class SeenAlert(msgspec.Struct, frozen=True):
    """One alert at the sink, milliseconds after its POST began."""

    first_ms: float
    last_ms: float
    messages: int


async def measure(ground: BenchGround) -> list[Figure]:
    alerts = 4 if ground.quick else 20
    lines: list[Figure] = []
    for busy in (False, True):
        async with ground.stage(_TERMS) as stage, ground.gateway(stage) as gateway:
            waiting = await _newsletters(gateway, alerts * _APART_S + _REST_S) if busy else 0
            posted = await _post(ground, gateway, stage, alerts)
            await asyncio.sleep(_REST_S)
            seen = await asyncio.to_thread(_seen, stage.smsc_dumps[0], posted)
        lines += _lines(posted, seen, f"{waiting:,} newsletters waiting" if busy else "idle")
    return lines


async def _newsletters(gateway: GatewayProcess, seconds: float) -> int:
    """More than the contracts let out in this time; they are leaving when this returns."""
    sms = email = 0
    while sms < seconds * _TERMS.sms_per_s or email < seconds * _TERMS.email_per_s:
        if sms < seconds * _TERMS.sms_per_s:
            sms += (await gateway.launch(["sms"]))[2]
        if email < seconds * _TERMS.email_per_s:
            email += (await gateway.launch(["email"]))[2]
    await asyncio.sleep(1.0)
    return sms + email


async def _post(ground: BenchGround, gateway: GatewayProcess, stage: Stage, alerts: int) -> list[Posted]:
    cic, draw = ground.cic(stage), random.Random(13)
    networks = [line["code"] for line in stage.lines["network"] if line["zone"] == ZONE]
    posted = []
    for n in range(alerts):
        begun_s = time.monotonic()
        mark = documents.new_mark(draw)
        document = documents.alert(f"bench-{mark}", mark, documents.plp(networks[n % len(networks)]))
        at_ms = time.time_ns() / 1e6
        await cic.post_alert(document)
        posted.append(Posted(mark, at_ms, time.time_ns() / 1e6 - at_ms))
        await asyncio.sleep(max(0.0, _APART_S - (time.monotonic() - begun_s)))
    return posted


def _seen(dump: Path, posted: list[Posted]) -> list[SeenAlert]:
    """Raises Failed when an alert has no SMS at the sink."""
    wanted = {alert.mark: alert.at_ms for alert in posted}
    arrived: dict[str, list[float]] = {mark: [] for mark in wanted}
    decoder = msgspec.json.Decoder(Part)
    for line in dump.read_bytes().splitlines():
        part = decoder.decode(line)
        mark = mark_of(part.text or "")
        if mark in wanted:
            arrived[mark].append(part.at_ns / 1e6 - wanted[mark])
    missing = [mark for mark, instants in arrived.items() if not instants]
    if missing:
        raise Failed(f"of {len(posted)} alerts {len(missing)} have no SMS at the sink")
    return [SeenAlert(min(instants), max(instants), len(instants)) for instants in arrived.values()]


def _lines(posted: list[Posted], seen: list[SeenAlert], when: str) -> list[Figure]:
    first50, first99 = percentiles([one.first_ms for one in seen])
    last50, last99 = percentiles([one.last_ms for one in seen])
    answer50, answer99 = percentiles([one.answered_ms for one in posted])
    messages = sum(one.messages for one in seen) // len(seen)
    settings = (
        f"{len(posted)} alerts one after another, {messages} SMS each on average; SMS at {_TERMS.sms_per_s:,.0f}/s, "
        f"mail at {_TERMS.email_per_s:,.0f}/s by contract; p99 of {len(posted)} is their worst"
    )
    return [
        Figure(
            what=f"first SMS, {when}, p50",
            value=first50,
            unit="ms",
            claims=(Claim("ms p99", first99, _FIRST_MS, at_most=True),),
            settings=settings,
        ),
        Figure(
            what=f"last SMS, {when}, p50",
            value=last50,
            unit="ms",
            claims=(Claim("ms p99", last99, _LAST_MS, at_most=True),),
        ),
        Figure(what=f"202, {when}, p50", value=answer50, unit="ms", claims=(Claim("ms p99", answer99),)),
    ]
