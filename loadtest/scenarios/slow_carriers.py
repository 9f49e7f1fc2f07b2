"""(e) Carriers that answer late, that throttle, and one of two that dies at 30 % of a campaign: each with a gateway of
its own. What a delay allows follows from the law of windows: units in flight / time that an answer takes.
"""

import asyncio
import math
import time
from dataclasses import dataclass

from loadtest import verdict
from loadtest.accounting import Disagreements
from loadtest.arrivals import Arrivals
from loadtest.ground import Ground
from loadtest.outcome import RunOutcome, Sheet
from loadtest.picture import Curve
from loadtest.scenarios import shared_lines
from loadtest.stage import RunTerms, end, kill
from loadtest.trial import Trial
from loadtest.verdict import VerdictLine

_WARM_S = 4.0
_MEMBERS = 6_000
_NETWORKS = 10
_SHARE_GOAL = 0.9
_DIES_AT = 0.3
_DIE_WITHIN_S = 60.0
_OVER_S = 180.0
_SILENCE_S = 1.0
"""Design section 7, invariant 12: no carrier holds up the next one for longer."""
_TAIL = 0.97
"""What comes after this share are the messages sent again after the wait for receipts."""
_REPLIES = 2
"""A mail takes two answers, one after the other: to its envelope and to its final dot."""


@dataclass(frozen=True, slots=True)
class CarrierStretch:
    name: str
    terms: RunTerms
    allowed: dict[str, float]
    """By channel, the most that these carriers let through: messages a second."""


@dataclass(frozen=True, slots=True)
class Result:
    part: CarrierStretch
    reached: dict[str, float]
    findings: Disagreements
    cpu_s: float
    seconds: float
    memory_mib: float


def delayed(delay_s: float, *, window: int, connections: int, sms_per_s: float) -> CarrierStretch:
    """What they allow is the contract or the law of windows, whichever is less."""
    terms = RunTerms(
        sms_per_s=sms_per_s,
        sms_window=window,
        connections=connections,
        smsc_flags=(("--answer-delay-s", str(delay_s)),),
        smtp_flags=("--reply-delay", str(delay_s)),
    )
    sms = min(sms_per_s, terms.binds * window / delay_s)
    email = min(terms.email_per_s, connections / (_REPLIES * delay_s))
    name = f"answers after {delay_s * 1000:.0f} ms, {terms.binds} x {window}"
    return CarrierStretch(name, terms, {"sms": sms, "email": email})


def throttling(sms_per_s: int, email_per_s: int) -> CarrierStretch:
    """Peers that take less than their contract says."""
    terms = RunTerms(
        smsc_flags=(("--max-rate-per-s", str(sms_per_s)),),
        smtp_flags=("--throttle", str(email_per_s)),
    )
    return CarrierStretch("throttling", terms, {"sms": float(sms_per_s), "email": float(email_per_s)})


_SLOW = (
    delayed(0.05, window=50, connections=64, sms_per_s=600),  # the contract is less
    delayed(0.2, window=50, connections=64, sms_per_s=600),  # the law is less: 500/s
    delayed(0.05, window=20, connections=64, sms_per_s=1_000),  # the law is less: 800/s
    throttling(300, 1_000),
)
_DYING = RunTerms(smscs=2, smtps=2, email_per_s=600.0)


async def slow_carriers(ground: Ground, seconds: int, size: int) -> RunOutcome:
    """`seconds` is of each part."""
    outcome = RunOutcome()
    results = [await _slow(ground, outcome, part, seconds, size or _MEMBERS) for part in _SLOW]
    results += [await _dying(ground, outcome, kind, seconds, size or seconds * 1_000) for kind in ("news", "alert")]
    outcome.lines += [
        verdict.told("deliveries compared one by one", outcome.findings.deliveries),
        verdict.told("the SMS sink's own limit, segments/s", ground.limits["smsc_per_s"]),
        verdict.told("the e-mail sink's own limit, mails/s", ground.limits["smtp_per_s"]),
    ]
    outcome.sheets.append(_sheet(results))
    return outcome


# ---- late answers, throttling --------------------------------------------------------------------------------


async def _slow(ground: Ground, outcome: RunOutcome, part: CarrierStretch, seconds: int, members: int) -> Result:
    async with ground.trial(part.terms, name=part.name.replace(" ", "-").replace(",", "")) as trial:
        await trial.set_up(members, networks=_NETWORKS)
        async with trial.watched():
            for channel, per_s in part.allowed.items():
                await trial.flood(channel, math.ceil((seconds + _WARM_S + 4) * per_s))
            await asyncio.sleep(_WARM_S)
            start_s = time.time()
            await asyncio.sleep(seconds)
            end_s = time.time()
            trial.note()
            await trial.come_to_rest(stop=True)
        arrived = await trial.arrived()
        findings = await trial.account(arrived)
        reached = {c: _taken(arrived[c], start_s, end_s) / (end_s - start_s) for c in part.allowed}
        outcome.findings += findings
        for channel, word in (("sms", "SMS/s"), ("email", "e-mails/s")):
            goal = _SHARE_GOAL * part.allowed[channel]
            outcome.lines.append(verdict.goal_at_least(f"{part.name}: {word} taken", reached[channel], goal))
        outcome.lines += _nobody_lost(part.name, findings)
        outcome.lines.append(verdict.at_most(f"{part.name}: in doubt at the end", findings.in_doubt, 0))
        outcome.lines.append(verdict.at_most(f"{part.name}: given up", _failed(findings), 0))
        outcome.curves += _curves(part, arrived, start_s, end_s)
        return _result(trial, part, reached, findings, start_s, end_s)


def _taken(arrivals: Arrivals, start_s: float, end_s: float) -> int:
    """Whole messages, not those that were answered with `throttled`."""
    return sum(int(((times_s >= start_s) & (times_s < end_s)).sum()) for times_s in arrivals.by_campaign.values())


def _nobody_lost(name: str, findings: Disagreements) -> list[VerdictLine]:
    return [
        verdict.at_most(f"{name}: unaccounted", findings.unaccounted, 0),
        verdict.at_most(f"{name}: unfinished at the end", findings.unfinished, 0),
    ]


def _failed(findings: Disagreements) -> int:
    return sum(n for state, n in findings.states.items() if state.endswith((" failed", " expired")))


# ---- one of two dies -----------------------------------------------------------------------------------------


async def _dying(ground: Ground, outcome: RunOutcome, kind: str, seconds: int, members: int) -> Result:
    """News may leave messages in doubt and never doubles; an alert is sent again and leaves nobody in doubt."""
    name = f"one of two dies ({kind})"
    part = CarrierStretch(name, _DYING, {"sms": _DYING.sms_per_s, "email": _DYING.email_per_s})
    async with ground.trial(_DYING, name=f"dying-{kind}") as trial:
        await trial.set_up(members, networks=_NETWORKS)
        async with trial.watched():
            start_s = time.time()
            for zone in trial.stage.lines["zone"]:
                await trial.launch(zone["code"], ["sms", "email"], {"whole_zone": True}, kind)
            died_s = await _death(trial)
            await trial.come_to_rest(stop=False, within_s=_OVER_S + seconds, receipts=False)
        arrived = await trial.arrived()
        findings = await trial.account(arrived)
        outcome.findings += findings
        end_s = max(float(arrived[channel].units_s[-1]) for channel in part.allowed)
        reached = {}
        for channel in part.allowed:
            times_s = arrived[channel].units_s[: int(_TAIL * len(arrived[channel].units_s))]
            bulk_end_s = max(float(times_s[-1]), died_s + 0.001)
            reached[channel] = arrived[channel].between(died_s, bulk_end_s) / (bulk_end_s - died_s)
            gap_s = arrived[channel].longest_gap_s(died_s, bulk_end_s)
            outcome.lines.append(verdict.at_most(f"{name}: longest silence, {channel}", gap_s, _SILENCE_S, "s"))
        outcome.lines += _nobody_lost(name, findings) + _doubts(name, kind, findings)
        outcome.curves += _curves(part, arrived, start_s, end_s)
        return _result(trial, part, reached, findings, start_s, end_s)


async def _death(trial: Trial) -> float:
    """At 30 % the first SMSC loses its power and the first relay hangs up; the instant of it, UTC."""
    deadline_s = time.monotonic() + _DIE_WITHIN_S
    while time.monotonic() < deadline_s:
        pages = [await trial.page(campaign) for campaign in trial.bulk]
        counts = [c for page in pages for c in page["progress"]["channels"] if c["channel"] == "sms"]
        if sum(c["accepted"] + c["delivered"] for c in counts) >= _DIES_AT * sum(c["total"] for c in counts):
            break
        await asyncio.sleep(0.05)
    kill(trial.stage.children["smsc-0"])
    died_s = time.time()
    # Its account of what it took is written as it goes: it must not be cut off in the middle of that.
    await end(trial.stage.children["smtp"])
    return died_s


def _doubts(name: str, kind: str, findings: Disagreements) -> list[VerdictLine]:
    """What was in the hands of the dead ones is the most that may be in doubt, or sent again."""
    in_hand = _DYING.binds * _DYING.sms_window + _DYING.connections
    may_doubt, may_repeat = (0, in_hand) if kind == "alert" else (in_hand, 0)
    return [
        verdict.at_most(f"{name}: in doubt at the end", findings.in_doubt, may_doubt),
        verdict.at_most(f"{name}: arrived twice, told as sent again", findings.again, may_repeat),
        verdict.at_most(f"{name}: given up", _failed(findings), 0),
        verdict.told(f"{name}: SMS whose receipt died with its SMSC", findings.states["sms accepted"]),
    ]


# ---- the table -----------------------------------------------------------------------------------------------


def _result(
    trial: Trial, part: CarrierStretch, reached: dict[str, float], findings: Disagreements, start_s: float, end_s: float
) -> Result:
    used_s = trial.cpu_between("gateway", start_s, end_s)
    return Result(part, reached, findings, used_s, end_s - start_s, trial.most_memory_mib("gateway"))


def _curves(part: CarrierStretch, arrived: dict[str, Arrivals], start_s: float, end_s: float) -> list[Curve]:
    """Of SMS and e-mail, against what these carriers allow."""
    found = []
    for channel, word in (("sms", "SMS"), ("email", "e-mails")):
        allowed, counted = part.allowed[channel], arrived[channel].per_second(start_s, end_s)
        title = f"{part.name}: {word} a second at the sink"
        found.append(Curve(title, shared_lines.floats(counted), limit=allowed, limit_word=f"allowed {allowed:,.0f}"))
    return found


def _sheet(results: list[Result]) -> Sheet:
    columns = (
        "carriers", "SMS/s", "allowed", "share", "e-mails/s", "allowed", "share", "in doubt", "again", "CPU", "MiB",
    )  # fmt: skip
    rows = []
    for result in results:
        row = [result.part.name]
        for channel in ("sms", "email"):
            reached, allowed = result.reached[channel], result.part.allowed[channel]
            row += [f"{reached:,.0f}", f"{allowed:,.0f}", f"{100 * reached / allowed:.0f} %"]
        cpu = f"{100 * result.cpu_s / result.seconds:.0f} %"
        rows.append([*row, str(result.findings.in_doubt), str(result.findings.again), cpu, f"{result.memory_mib:.0f}"])
    return Sheet("what went through, and what these carriers allow", columns, rows)
