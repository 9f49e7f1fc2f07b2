"""(c) Fifty small alerts a second, a few members each: what an alert costs beside its messages."""

import asyncio
import time

import numpy as np

from loadtest import verdict
from loadtest.arrivals import Arrivals, mark_of
from loadtest.ground import Ground
from loadtest.outcome import RunOutcome
from loadtest.scenarios import shared_lines
from loadtest.stage import RunTerms
from loadtest.trial import Trial
from loadtest.verdict import VerdictLine

_PER_S = 50
_PER_NETWORK = 5
_MEMBERS = 5_000
_WARM_S = 3.0
_USED = 0.98
"""Share of what is posted that must be answered with 202 in the same time."""
_P99_GOAL_MS = 100.0
"""Design section 8, of durable 202s."""


async def small_alerts(ground: Ground, seconds: int, size: int) -> RunOutcome:
    members = size or _MEMBERS
    async with ground.trial(RunTerms()) as trial:
        await trial.set_up(members, networks=max(2, members // _PER_NETWORK))
        async with trial.watched():
            async with trial.crowd(seconds + _WARM_S + 1, {"AlertStorm": _PER_S}):
                await asyncio.sleep(_WARM_S)
                start_s = time.time()
                await asyncio.sleep(seconds)
                end_s = time.time()
                trial.note()
            rest_s = await trial.come_to_rest(stop=False, within_s=60.0 + seconds)
        arrived = await trial.arrived()
        outcome = RunOutcome()
        shared_lines.add_api(outcome, trial, start_s, end_s)
        taken = next((t for t in outcome.times if t.name == "post: Alert"), verdict.times("post: Alert", [], 0))
        outcome.lines = [
            verdict.at_least("alerts taken (202) a second", taken.requests / seconds, _PER_S * _USED, speed=True),
            verdict.goal_at_most("POST to 202, p99", taken.p99_ms, _P99_GOAL_MS, "ms"),
            *_first_messages(trial, arrived),
            *outcome.lines,
            *shared_lines.ceilings(trial.stage.terms, arrived),
        ]
        await shared_lines.add_accounting(outcome, trial, arrived)
        outcome.lines.append(verdict.told("campaigns", outcome.findings.campaigns))
        shared_lines.add_costs(outcome, trial, arrived, start_s, end_s)
        outcome.lines.append(verdict.told("time to come to rest", rest_s, "s"))
        outcome.curves = shared_lines.curves(trial, arrived, start_s, end_s)
        return outcome


def _first_messages(trial: Trial, arrived: dict[str, Arrivals]) -> list[VerdictLine]:
    """From each POST to its first SMS: they bear the mark of their alert."""
    first_s: dict[str, float] = {}
    for head, times_s in arrived["sms"].by_campaign.items():
        mark = mark_of(str(head))
        first_s[mark] = min(first_s.get(mark, float(times_s[0])), float(times_s[0]))
    waits_s = [first_s[mark] - at_s for mark, at_s in trial.posts if mark in first_s]
    if not waits_s:
        return [verdict.at_least("alerts with an SMS at a sink", 0, len(trial.posts))]
    p50, p99 = np.percentile(waits_s, (50, 99), method="higher")
    return [
        verdict.told("alerts with an SMS at a sink, of those posted", f"{len(waits_s):,} of {len(trial.posts):,}"),
        verdict.told("POST to first SMS, p50", float(p50), "s"),
        verdict.told("POST to first SMS, p99", float(p99), "s"),
        verdict.told("POST to first SMS, worst", max(waits_s), "s"),
    ]
