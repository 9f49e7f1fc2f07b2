"""The lines that scenarios share: what is promised of lanes, API and accounting, and what a run cost."""

import itertools
import math
from collections.abc import Iterable

from loadtest import verdict
from loadtest.arrivals import Arrivals
from loadtest.outcome import RunOutcome
from loadtest.picture import Curve
from loadtest.stage import RunTerms
from loadtest.trial import Trial
from loadtest.verdict import VerdictLine

_NOT_RUNNING = ("load", "limits", "limit-smsc", "limit-smtp", "machine", "run")


def floors(arrived: dict[str, Arrivals], start_s: float, end_s: float) -> list[VerdictLine]:
    """The service's promise of rates (design section 8), between two instants."""
    seconds = end_s - start_s
    per_s = {channel: a.between(start_s, end_s) / seconds for channel, a in arrived.items()}
    used = arrived["voice"].between(start_s, end_s) / (seconds * verdict.CALLS_CEILING / 60)
    return [
        verdict.at_least("SMS segments/s at the sink", per_s["sms"], verdict.SMS_FLOOR, speed=True),
        verdict.at_least("e-mails/s at the sink, each addressed", per_s["email"], verdict.EMAIL_FLOOR, speed=True),
        verdict.at_least("call starts used of 600/min", used, verdict.CALL_USE_FLOOR, speed=True),
    ]


def ceilings(terms: RunTerms, arrived: dict[str, Arrivals]) -> list[VerdictLine]:
    """A sink that stood still reads at once what came over a while: only what surely came in one second breaks a
    contract. Call starts are stamped by the trunk itself."""
    sms, email = terms.sms_per_s * terms.smscs, terms.email_per_s * terms.smtps
    return [
        verdict.at_most("most call starts in any 60 s", arrived["voice"].most_in(60.0), verdict.CALLS_CEILING),
        _in_any_second("most SMS segments in any second", arrived["sms"], sms * verdict.CONTRACT_SLACK),
        _in_any_second("most e-mails in any second", arrived["email"], email * verdict.CONTRACT_SLACK),
    ]


def _in_any_second(what: str, arrived: Arrivals, ceiling: float) -> VerdictLine:
    why = f"the sink stood still for up to {1000 * arrived.stood_still_s():.0f} ms"
    return verdict.at_most_surely(what, arrived.most_in(1.0), arrived.surely_in(1.0), ceiling, why)


def add_api(outcome: RunOutcome, trial: Trial, start_s: float, end_s: float) -> None:
    """What Locust's users met between two instants."""
    outcome.times = verdict.by_name(trial.requests, start_s, end_s)
    everything = outcome.times[-1]
    outcome.lines += [
        verdict.at_most("API p99", everything.p99_ms, verdict.API_P99_MS, "ms", speed=True),
        verdict.at_most("API requests that failed", everything.failed, 0),
        verdict.told("API requests/s", everything.requests / (end_s - start_s)),
    ]
    outcome.facts["errors"] = trial.errors


async def add_accounting(
    outcome: RunOutcome, trial: Trial, arrived: dict[str, Arrivals], *, carriers_die: bool = False
) -> None:
    """Everybody, one by one. Where carriers die, their doubt and their receipts are told and not judged here."""
    findings = await trial.account(arrived)
    outcome.findings += findings
    outcome.lines += [
        verdict.told("deliveries compared one by one", findings.deliveries),
        verdict.at_most("unaccounted", findings.unaccounted, 0),
        verdict.at_most("unfinished at the end", findings.unfinished, 0),
    ]
    if not carriers_die:
        outcome.lines += [
            verdict.at_most("in doubt at the end", findings.in_doubt, 0),
            verdict.at_most("sent again after doubt", findings.again, 0),
            verdict.told("called again, having been busy or out", findings.called_again),
            verdict.at_most("SMS without their receipt at the end", findings.states["sms accepted"], 0),
        ]


def add_costs(outcome: RunOutcome, trial: Trial, arrived: dict[str, Arrivals], start_s: float, end_s: float) -> None:
    """What the run took of the machine, and how fast the sinks themselves are."""
    seconds = end_s - start_s
    units = sum(a.between(start_s, end_s) for a in arrived.values())
    outcome.facts |= {"sinks' own limits": trial.limits, "terms": trial.stage.terms}
    outcome.lines += [
        verdict.told("the SMS sink's own limit, segments/s", trial.limits["smsc_per_s"]),
        verdict.told("the e-mail sink's own limit, mails/s", trial.limits["smtp_per_s"]),
    ]
    for word, channel in (("SMS", "sms"), ("e-mail", "email")):
        stood_ms = 1000 * arrived[channel].stood_still_s()
        outcome.lines.append(verdict.told(f"longest that the {word} sink stood still", stood_ms, "ms"))
    apart = trial.gateway_processes[1:]
    for name in [*trial.stage.children, *apart]:
        if name in _NOT_RUNNING:
            continue
        used_s = trial.cpu_between(name, start_s, end_s)
        told = f"{100 * used_s / seconds:,.0f} % ({used_s:,.1f} s)"
        outcome.lines.append(verdict.told(f"CPU of {name}, of one core", told))
        outcome.facts[f"cpu_s {name}"] = used_s
    others_s = trial.cpu_of_others(start_s, end_s)
    used_s = trial.cpu_between("gateway", start_s, end_s)
    outcome.lines += [
        verdict.told("CPU of everything else on this machine, of one core", 100 * others_s / seconds, "%"),
        verdict.told("gateway's CPU per message (all channels, API included)", 1e6 * used_s / max(units, 1), "us"),
        *_with_carriers(outcome, used_s, apart, units),
        verdict.told("gateway's memory, most", trial.most_memory_mib("gateway"), "MiB"),
        verdict.told("gateway's context switches per message", trial.switches_between(start_s, end_s) / max(units, 1)),
    ]
    outcome.given = trial.given(start_s, end_s)
    outcome.facts["share of a core that the machine had for the gateway"] = outcome.given
    outcome.lines.append(verdict.told("what the machine had for the gateway, of one core", 100 * outcome.given, "%"))
    inside = [said for said in trial.metrics if start_s <= said[0] <= end_s]
    if len(inside) > 1:
        (first_s, first), (last_s, last) = inside[0], inside[-1]
        sent = sum(a.between(first_s, last_s) for a in arrived.values())
        outcome.lines += _said_of_itself(first, last, max(sent, 1))


def _with_carriers(outcome: RunOutcome, used_s: float, apart: list[str], units: int) -> list[VerdictLine]:
    """Where carriers have processes of their own."""
    if not apart:
        return []
    all_s = used_s + sum(float(str(outcome.facts[f"cpu_s {name}"])) for name in apart)
    return [verdict.told("the same, with its carriers' processes", 1e6 * all_s / max(units, 1), "us")]


def _said_of_itself(first: dict[str, float], last: dict[str, float], units: int) -> list[VerdictLine]:
    """What the gateway's own counters say of the time between two looks at them, in which so many units were sent."""
    commits = _grown(first, last, "tocsin_store_commits_total")
    writes = _grown(first, last, 'tocsin_store_writes_total{within_s="inf"}')
    return [
        verdict.told("writes of the store per message", writes / units),
        verdict.told("transactions per message", commits / units),
        verdict.told("wait for a commit, p50 and p99", _quantiles(first, last, "tocsin_store_writes_total")),
        verdict.told("event loop late, p50 and p99", _quantiles(first, last, "tocsin_loop_calls_total")),
    ]


def _grown(first: dict[str, float], last: dict[str, float], name: str) -> float:
    return last.get(name, 0.0) - first.get(name, 0.0)


def _quantiles(first: dict[str, float], last: dict[str, float], name: str) -> str:
    """The least bounds that hold half, and 99 %, of what was counted."""
    head = f'{name}{{within_s="'
    grown = {key[len(head) : -2]: _grown(first, last, key) for key in last if key.startswith(head)}
    total = grown.get("inf", 0.0)
    found = []
    for share in (0.5, 0.99):
        bound = next((b for b in sorted(grown, key=float) if total and grown[b] >= share * total), "inf")
        found.append("more than 5 s" if bound == "inf" else f"<= {1000 * float(bound):g} ms")
    return ", ".join(found)


def curves(trial: Trial, arrived: dict[str, Arrivals], start_s: float, end_s: float) -> list[Curve]:
    """The rates of a run over time."""
    calls = arrived["voice"]
    instants = [start_s + n + 1 for n in range(round(end_s - start_s))]
    sms, email = arrived["sms"].per_second(start_s, end_s), arrived["email"].per_second(start_s, end_s)
    in_a_minute = floats(calls.between(at - 60, at) for at in instants)
    found = [
        Curve("e-mails a second at the sink", floats(email), limit=verdict.EMAIL_FLOOR, limit_word="floor 2,500"),
        Curve("SMS segments a second at the sink", floats(sms), limit=verdict.SMS_FLOOR, limit_word="floor 500"),
        Curve("call starts in the last 60 s", in_a_minute, limit=verdict.CALLS_CEILING, limit_word="ceiling 600"),
    ]
    if trial.requests:
        slowest = _slowest(trial, start_s, len(instants))
        title = "slowest API request of each second, ms"
        found.append(Curve(title, slowest, limit=verdict.API_P99_MS, limit_word="200 ms"))
    return [*found, cpu_curve(trial, start_s, end_s)]


def _slowest(trial: Trial, start_s: float, seconds: int) -> tuple[float, ...]:
    slowest = [0.0] * seconds
    for at_s, _, took_ms, _ in trial.requests:
        second = math.floor(at_s - start_s)
        if 0 <= second < seconds:
            slowest[second] = max(slowest[second], took_ms)
    return tuple(slowest)


def floats(values: Iterable[float]) -> tuple[float, ...]:
    return tuple(float(v) for v in values)


def cpu_curve(trial: Trial, start_s: float, end_s: float) -> Curve:
    inside = [s for s in trial.samples if start_s <= s.at_s <= end_s and "gateway" in s.cpu_s]
    used = tuple(
        100 * (b.cpu_s["gateway"] - a.cpu_s["gateway"]) / (b.at_s - a.at_s)
        for a, b in itertools.pairwise(inside)
        if b.at_s > a.at_s + 0.5
    )
    return Curve("gateway's CPU, per cent of one core", used)
