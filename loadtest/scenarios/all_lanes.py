"""(a) More to send on every channel than the contracts allow, and everybody at the door: the service's promise."""

import asyncio
import contextlib
import math
import time
from collections.abc import Sequence

from loadtest import verdict
from loadtest.ground import Ground
from loadtest.outcome import RunOutcome
from loadtest.scenarios import shared_lines
from loadtest.stage import RunTerms
from loadtest.trial import Trial
from loadtest.verdict import Times, VerdictLine

WARM_S = 3.0
EVERYBODY = {"CicSystem": 4, "Coordinator": 6, "FeedReader": 20, "Console": 12}
CHANNELS = ("voice", "sms", "email")
_CALLS_PER_S = 10.5


async def all_lanes(ground: Ground, seconds: int, size: int) -> RunOutcome:
    members = size or min(max(seconds * 1000, 10_000), 200_000)
    async with ground.trial(RunTerms()) as trial:
        await trial.set_up(members, networks=max(2, members // 50))
        async with trial.watched():
            await flood(trial, seconds + WARM_S + 5, ground.lanes or CHANNELS)
            async with trial.crowd(seconds + WARM_S, EVERYBODY) if not ground.lanes else contextlib.nullcontext():
                await asyncio.sleep(WARM_S)
                start_s = time.time()
                await asyncio.sleep(seconds)
                end_s = time.time()
                trial.note()
            rest_s = await trial.come_to_rest(stop=True)
        return await _judged(trial, start_s, end_s, rest_s)


async def flood(trial: Trial, seconds: float, lanes: Sequence[str]) -> None:
    """As much on each of these channels as its contract allows in this time."""
    terms = trial.stage.terms
    per_s = {"voice": _CALLS_PER_S, "sms": terms.sms_per_s, "email": terms.email_per_s}
    for channel in lanes:
        await trial.flood(channel, math.ceil(seconds * per_s[channel]))


async def _judged(trial: Trial, start_s: float, end_s: float, rest_s: float) -> RunOutcome:
    arrived = await trial.arrived()
    outcome = RunOutcome(
        lines=[
            *shared_lines.floors(arrived, start_s, end_s),
            *shared_lines.ceilings(trial.stage.terms, arrived),
        ]
    )
    shared_lines.add_api(outcome, trial, start_s, end_s)
    outcome.lines.append(_conditional(outcome.times))
    await shared_lines.add_accounting(outcome, trial, arrived)
    shared_lines.add_costs(outcome, trial, arrived, start_s, end_s)
    outcome.lines.append(verdict.told("time to come to rest", rest_s, "s"))
    outcome.curves = shared_lines.curves(trial, arrived, start_s, end_s)
    return outcome


def _conditional(times: list[Times]) -> VerdictLine:
    """What caches spare the gateway: GETs that named what they have, and those answered with 304."""
    count = {t.name: t.requests for t in times}
    asked = {name: n for name, n in count.items() if name.endswith((": 304", ": 200 for another"))}
    unchanged = sum(n for name, n in asked.items() if name.endswith(": 304"))
    return verdict.told("conditional GETs of feed readers, and of them 304", f"{sum(asked.values()):,}, {unchanged:,}")
