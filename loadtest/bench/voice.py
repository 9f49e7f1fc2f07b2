"""What a call start costs the gateway: the simulated trunk at the ceiling, beside the same process idle."""

import asyncio
import time

from loadtest.bench.figures import Claim, Figure
from loadtest.bench.ground import BenchGround, GatewayProcess
from loadtest.sinks.voice import starts
from loadtest.stage import RunTerms

TITLE = "calls on the simulated trunk, at the ceiling of 600 starts a minute"
_CEILING_PER_MIN = 600
_SETTLE_S = 2.0


async def measure(ground: BenchGround) -> list[Figure]:
    seconds = 4.0 if ground.quick else 30.0
    async with ground.stage(RunTerms()) as stage:
        stage.voice_dump.unlink(missing_ok=True)
        async with ground.gateway(stage) as gateway:
            await asyncio.sleep(_SETTLE_S)
            idle = await _cpu(gateway, seconds / 3)
            await gateway.launch(["voice"])
            await asyncio.sleep(_SETTLE_S)
            began_ms = time.time_ns() // 1_000_000
            busy = await _cpu(gateway, seconds)
            ended_ms = time.time_ns() // 1_000_000
            at_ms = [start.at_ms for start in await asyncio.to_thread(lambda: list(starts(stage.voice_dump)))]
    calls = sum(began_ms <= at < ended_ms for at in at_ms)
    per_min = calls * 60_000 / (ended_ms - began_ms)
    used_us = 1e6 * busy * (ended_ms - began_ms) / 1000 / max(calls, 1)
    idle_us = 1e6 * idle * (ended_ms - began_ms) / 1000 / max(calls, 1)
    return [
        Figure(
            what="call starts",
            value=per_min,
            unit="a minute",
            claims=(Claim("of the ceiling", per_min / _CEILING_PER_MIN, 0.99),),
            settings=f"counted in the trunk's own file over {seconds:.0f} s; calls talk ten times faster than life",
        ),
        Figure(
            what="gateway: CPU a call",
            value=used_us,
            unit="us",
            claims=(Claim("us of it is the process idle", idle_us),),
            settings="user and system of the whole process, which at ten calls a second mostly waits",
        ),
        Figure(what="gateway idle, of one core", value=100 * idle, unit="%"),
    ]


async def _cpu(gateway: GatewayProcess, seconds: float) -> float:
    """Cores used on average."""
    before_s, started_s = gateway.child.cpu_s(), time.monotonic()
    await asyncio.sleep(seconds)
    return (gateway.child.cpu_s() - before_s) / (time.monotonic() - started_s)
