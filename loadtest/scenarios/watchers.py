"""(d) A thousand consoles follow campaigns while every lane is busy: what they are shown, how late, at what cost."""

import asyncio
import math
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec
import numpy as np

from loadtest import verdict
from loadtest.arrivals import Arrivals, Instants
from loadtest.ground import Ground
from loadtest.outcome import RunOutcome
from loadtest.picture import Curve
from loadtest.scenarios import shared_lines
from loadtest.stage import RunTerms, StageFailed
from loadtest.trial import Trial
from loadtest.verdict import VerdictLine
from loadtest.watching import Plan, SeenEvent, ShownSnapshot

_WATCHERS = 1_000
_WARM_S = 8.0
"""A thousand connections are made in some seconds."""
_LAUNCH_S = 5.0
_CROWD = {"CicSystem": 2, "Coordinator": 3, "FeedReader": 10}
_CALLS_PER_S = 10.5


async def watchers(ground: Ground, seconds: int, size: int) -> RunOutcome:
    count = size or _WATCHERS
    members = min(max(seconds * 1000, 10_000), 200_000)
    async with ground.trial(RunTerms()) as trial:
        await trial.set_up(members, networks=max(2, members // 50))
        idle_mib = trial.note().memory_mib["gateway"]
        async with trial.watched():
            launched = await _launched(trial, seconds + _WARM_S + _LAUNCH_S)
            plan = _plan(trial, launched, count, seconds + _WARM_S)
            child = await trial.stage.watching(plan)
            async with trial.crowd(seconds + _WARM_S, _CROWD):
                await asyncio.sleep(_WARM_S)
                start_s = time.time()
                await asyncio.sleep(seconds)
                end_s = time.time()
                trial.note()
            async with asyncio.timeout(60.0):
                await child.process.wait()
            seen = await _seen(Path(plan.out))
            rest_s = await trial.come_to_rest(stop=True)
        arrived = await trial.arrived()
        instants = {n: await _sent(trial, arrived, campaign) for n, campaign in enumerate(plan.campaigns)}
        outcome = RunOutcome(lines=_promises(seen, plan, seconds))
        outcome.lines += _lags(seen.shown, instants, start_s, end_s)
        outcome.lines += _goals(arrived, start_s, end_s)
        outcome.lines += shared_lines.ceilings(trial.stage.terms, arrived)
        shared_lines.add_api(outcome, trial, start_s, end_s)
        await shared_lines.add_accounting(outcome, trial, arrived)
        shared_lines.add_costs(outcome, trial, arrived, start_s, end_s)
        outcome.lines.append(verdict.told("gateway's memory before the watchers", idle_mib, "MiB"))
        outcome.lines.append(verdict.told("time to come to rest", rest_s, "s"))
        outcome.curves = [_snapshots(seen.shown, start_s, end_s), *shared_lines.curves(trial, arrived, start_s, end_s)]
        return outcome


async def _launched(trial: Trial, seconds: float) -> dict[str, list[str]]:
    """Public ids of what fills each channel for so long."""
    terms = trial.stage.terms
    launched: dict[str, list[str]] = {}
    for channel, per_s in (("sms", terms.sms_per_s), ("voice", _CALLS_PER_S), ("email", terms.email_per_s)):
        before = len(trial.bulk)
        await trial.flood(channel, math.ceil(seconds * per_s))
        launched[channel] = trial.bulk[before:]
    return launched


def _plan(trial: Trial, launched: Mapping[str, list[str]], count: int, seconds: float) -> Plan:
    """A third of the watchers for each channel: its campaigns in turn."""
    turns = max(len(ids) for ids in launched.values())
    dealt = [ids[n % len(ids)] for n in range(turns) for ids in launched.values()]
    stage = trial.stage
    out = str(stage.folder / "seen.json")
    return Plan(stage.url, stage.token("operator"), tuple(dealt), count, seconds, out)


async def _seen(path: Path) -> SeenEvent:
    if not await asyncio.to_thread(path.exists):
        raise StageFailed(f"the watchers ended without an account: see {path.parent}/watching.log")
    return msgspec.json.decode(await asyncio.to_thread(path.read_bytes), type=SeenEvent)


async def _sent(trial: Trial, arrived: dict[str, Arrivals], campaign: str) -> Instants:
    """When its messages were handed over. A call is told when it has ended: its start says nothing of that."""
    instants = await trial.instants(arrived, campaign)
    return np.sort(np.concatenate((instants["sms"], instants["email"])))


def _promises(seen: SeenEvent, plan: Plan, seconds: float) -> list[VerdictLine]:
    return [
        verdict.at_least("watchers with an open stream at the end", seen.open_at_end, plan.watchers),
        verdict.at_most("watchers that were shown nothing", seen.never, 0),
        verdict.at_most("snapshots that went back", seen.went_back, 0),
        verdict.at_most("streams refused or broken", sum(seen.refused.values()), 0),
        verdict.told("snapshots shown a second, all watchers", seen.snapshots / (seconds + _WARM_S)),
    ]


def _lags(
    shown: Iterable[ShownSnapshot], instants: Mapping[int, Instants], start_s: float, end_s: float
) -> list[VerdictLine]:
    inside = [s for s in shown if start_s <= s.first_s < end_s]
    first_s = [lag_s(s.sent, s.first_s, instants[s.campaign]) for s in inside if len(instants[s.campaign])]
    last_s = [lag_s(s.sent, s.last_s, instants[s.campaign]) for s in inside if len(instants[s.campaign])]
    spread_ms = [1000 * (s.last_s - s.first_s) for s in inside if s.watchers > 1]
    if not last_s or not spread_ms:
        return [verdict.at_least("snapshots that could be timed", 0, 1)]
    return [
        verdict.told("lag of what the first watcher is shown, p50", float(np.percentile(first_s, 50)), "s"),
        verdict.told("lag of what the last watcher is shown, p50", float(np.percentile(last_s, 50)), "s"),
        verdict.told("lag of what the last watcher is shown, p99", float(np.percentile(last_s, 99)), "s"),
        verdict.told("lag of what the last watcher is shown, worst", max(last_s), "s"),
        verdict.told("from the first watcher to the last, p99", float(np.percentile(spread_ms, 99)), "ms"),
    ]


def lag_s(sent: int, at_s: float, instants: Instants) -> float:
    """Age of the oldest message at the sinks that a snapshot of `sent` messages does not tell yet; 0 when none is."""
    return max(0.0, at_s - float(instants[sent])) if sent < len(instants) else 0.0


def _goals(arrived: dict[str, Arrivals], start_s: float, end_s: float) -> list[VerdictLine]:
    """The promise is made without watchers; with a thousand of them it is what is wanted next."""
    seconds = end_s - start_s
    per_s = {channel: a.between(start_s, end_s) / seconds for channel, a in arrived.items()}
    return [
        verdict.goal_at_least("SMS segments/s at the sink", per_s["sms"], verdict.SMS_FLOOR),
        verdict.goal_at_least("e-mails/s at the sink", per_s["email"], verdict.EMAIL_FLOOR),
        verdict.goal_at_least(
            "call starts a minute", 60 * per_s["voice"], verdict.CALLS_CEILING * verdict.CALL_USE_FLOOR
        ),
    ]


def _snapshots(shown: Iterable[ShownSnapshot], start_s: float, end_s: float) -> Curve:
    seconds = max(1, round(end_s - start_s))
    counted = [0.0] * seconds
    for each in shown:
        second = math.floor(each.first_s - start_s)
        if 0 <= second < seconds:
            counted[second] += each.watchers
    return Curve("snapshots a second, all watchers together", tuple(counted))
