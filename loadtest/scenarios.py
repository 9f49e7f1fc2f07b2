"""The scenarios: what each of them does to a gateway and what it is held to. One function a letter."""

import asyncio
import contextlib
import itertools
import math
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

from loadtest import verdict
from loadtest.accounting import Findings
from loadtest.arrivals import Arrivals
from loadtest.picture import Curve
from loadtest.stage import Terms
from loadtest.trial import Trial
from loadtest.verdict import Line, Times

SMS_FLOOR, EMAIL_FLOOR = 500.0, 2500.0
CALLS_CEILING, CALL_USE_FLOOR = 600, 0.99
CONTRACT_SLACK = 1.01
"""Design section 7, invariant 4: in any second, measured at the sink."""
WARM_S = 3.0


@dataclass(slots=True)
class Outcome:
    """What a scenario came to."""

    lines: list[Line] = field(default_factory=list)
    times: list[Times] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)
    findings: Findings | None = None
    facts: dict[str, object] = field(default_factory=dict)
    """For the JSON file: settings and figures that no line shows."""


@dataclass(frozen=True, slots=True)
class Scenario:
    name: str
    title: str
    seconds: int
    """By default."""
    run: Callable[[Trial, int, int], Awaitable[Outcome]]
    """(trial, seconds, size) -> outcome; `size` is 0 where the user gave none."""
    terms: Terms = field(default_factory=Terms)


# ---- (a) all three lanes at once -----------------------------------------------------------------------------

_EVERYBODY = {"CicSystem": 4, "Coordinator": 6, "FeedReader": 20, "Console": 12}


async def all_lanes(trial: Trial, seconds: int, size: int) -> Outcome:
    """More to send on every channel than the contracts allow, and everybody at the door."""
    members = size or min(max(seconds * 1000, 10_000), 200_000)
    await trial.set_up(members, networks=max(2, members // 50))
    terms, span = trial.stage.terms, seconds + WARM_S + 5
    async with _watched(trial):
        await trial.flood("voice", math.ceil(span * 10.5))
        await trial.flood("sms", math.ceil(span * terms.sms_per_s))
        await trial.flood("email", math.ceil(span * terms.email_per_s))
        async with trial.crowd(seconds + WARM_S, _EVERYBODY):
            await asyncio.sleep(WARM_S)
            start_s = time.time()
            await asyncio.sleep(seconds)
            end_s = time.time()
            trial.note()
        rest_s = await trial.come_to_rest(stop=True)
    outcome = await _judged(trial, start_s, end_s)
    outcome.lines.append(verdict.told("time to come to rest", rest_s, "s"))
    return outcome


async def _judged(trial: Trial, start_s: float, end_s: float) -> Outcome:
    """Floors, ceilings, API and accounting of the time between two instants."""
    arrived = await trial.arrived()
    seconds = end_s - start_s
    per_s = {channel: a.between(start_s, end_s) / seconds for channel, a in arrived.items()}
    calls = arrived["voice"].between(start_s, end_s)
    outcome = Outcome(
        lines=[
            verdict.at_least("SMS segments/s at the sink", per_s["sms"], SMS_FLOOR),
            verdict.at_least("e-mails/s at the sink, each addressed", per_s["email"], EMAIL_FLOOR),
            verdict.at_least("call starts used of 600/min", calls / (seconds * CALLS_CEILING / 60), CALL_USE_FLOOR),
            *ceilings(trial.stage.terms, arrived),
        ]
    )
    _add_api(outcome, trial, start_s, end_s)
    await _add_accounting(outcome, trial, arrived)
    _add_costs(outcome, trial, arrived, start_s, end_s)
    outcome.curves = curves(trial, arrived, start_s, end_s)
    return outcome


def ceilings(terms: Terms, arrived: dict[str, Arrivals]) -> list[Line]:
    sms_contract, email_contract = terms.sms_per_s * terms.smscs, terms.email_per_s
    return [
        verdict.at_most("most call starts in any 60 s", arrived["voice"].most_in(60.0), CALLS_CEILING),
        verdict.at_most("most SMS segments in any second", arrived["sms"].most_in(1.0), sms_contract * CONTRACT_SLACK),
        verdict.at_most("most e-mails in any second", arrived["email"].most_in(1.0), email_contract * CONTRACT_SLACK),
    ]


def _add_api(outcome: Outcome, trial: Trial, start_s: float, end_s: float) -> None:
    outcome.times = verdict.by_name(trial.requests, start_s, end_s)
    everything = outcome.times[-1]
    outcome.lines += [
        verdict.at_most("API p99", everything.p99_ms, verdict.API_P99_MS, "ms"),
        verdict.at_most("API requests that failed", everything.failed, 0),
        verdict.told("API requests/s", everything.requests / (end_s - start_s)),
    ]
    outcome.facts["errors"] = trial.errors


async def _add_accounting(outcome: Outcome, trial: Trial, arrived: dict[str, Arrivals]) -> None:
    findings = outcome.findings = await trial.account(arrived)
    waiting = findings.states["sms accepted"]
    outcome.lines += [
        verdict.told("deliveries compared one by one", findings.deliveries),
        verdict.at_most("unaccounted", findings.unaccounted, 0),
        verdict.at_most("unfinished at the end", findings.unfinished, 0),
        verdict.at_most("SMS without their receipt at the end", waiting, 0),
    ]


def _add_costs(outcome: Outcome, trial: Trial, arrived: dict[str, Arrivals], start_s: float, end_s: float) -> None:
    seconds = end_s - start_s
    units = sum(a.between(start_s, end_s) for a in arrived.values())
    outcome.facts["sinks' own limits"] = trial.limits
    outcome.lines += [
        verdict.told("the SMS sink's own limit, segments/s", trial.limits["smsc_per_s"]),
        verdict.told("the e-mail sink's own limit, mails/s", trial.limits["smtp_per_s"]),
    ]
    for name in ("gateway", "smsc-0", "smtp", "locust"):
        used_s = trial.cpu_between(name, start_s, end_s)
        outcome.lines.append(verdict.told(f"CPU of {name}, of one core", 100 * used_s / seconds, "%"))
        outcome.facts[f"cpu_s {name}"] = used_s
    others_s = trial.cpu_of_others(start_s, end_s)
    outcome.lines.append(
        verdict.told("CPU of everything else on this machine, of one core", 100 * others_s / seconds, "%")
    )
    used_s = trial.cpu_between("gateway", start_s, end_s)
    outcome.lines += [
        verdict.told("gateway's CPU per message (all channels, API included)", 1e6 * used_s / max(units, 1), "us"),
        verdict.told("gateway's memory, most", trial.most_memory_mib("gateway"), "MiB"),
    ]


def curves(trial: Trial, arrived: dict[str, Arrivals], start_s: float, end_s: float) -> list[Curve]:
    """The rates of a run over time."""
    terms = trial.stage.terms
    calls = arrived["voice"]
    instants = [start_s + n + 1 for n in range(round(end_s - start_s))]
    slowest = [0.0] * len(instants)
    for at_s, _, took_ms, _ in trial.requests:
        second = math.floor(at_s - start_s)
        if 0 <= second < len(slowest):
            slowest[second] = max(slowest[second], took_ms)
    sms, email = arrived["sms"].per_second(start_s, end_s), arrived["email"].per_second(start_s, end_s)
    return (
        [
            Curve("e-mails a second at the sink", _floats(email), limit=EMAIL_FLOOR, limit_word="floor 2,500"),
            Curve("SMS segments a second at the sink", _floats(sms), limit=SMS_FLOOR, limit_word="floor 500"),
            Curve(
                "call starts in the last 60 s",
                _floats(calls.between(at - 60, at) for at in instants),
                limit=CALLS_CEILING,
                limit_word="ceiling 600",
            ),
            Curve(
                "slowest API request of each second, ms", tuple(slowest), limit=verdict.API_P99_MS, limit_word="200 ms"
            ),
            Curve("gateway's CPU, per cent of one core", _cpu_curve(trial, start_s, end_s)),
        ]
        if terms
        else []
    )


def _floats(values: Iterable[float]) -> tuple[float, ...]:
    return tuple(float(v) for v in values)


def _cpu_curve(trial: Trial, start_s: float, end_s: float) -> tuple[float, ...]:
    inside = [s for s in trial.samples if start_s <= s.at_s <= end_s and "gateway" in s.cpu_s]
    pairs = itertools.pairwise(inside)
    return tuple(
        100 * (b.cpu_s["gateway"] - a.cpu_s["gateway"]) / (b.at_s - a.at_s) for a, b in pairs if b.at_s > a.at_s + 0.5
    )


@contextlib.asynccontextmanager
async def _watched(trial: Trial):  # type: ignore[no-untyped-def]
    task = asyncio.create_task(trial.watch(), name="samples")
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


SCENARIOS = {s.name: s for s in (Scenario("a", "all three lanes at once, API answering", 600, all_lanes),)}
