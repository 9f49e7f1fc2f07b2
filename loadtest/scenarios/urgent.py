"""(b) Urgent alerts to some 300 members each, in the middle of a newsletter to a million: who waits, and how long.

Times run from the first byte of the POST to the message at the sink, by one clock of one machine.
"""

import asyncio
import math
import time
from dataclasses import dataclass

import numpy as np

from loadtest import verdict
from loadtest.arrivals import Arrivals, Instants
from loadtest.documents import alert, new_mark, plp
from loadtest.ground import Ground
from loadtest.outcome import RunOutcome, Sheet
from loadtest.scenarios import shared_lines
from loadtest.stage import RunTerms, StageFailed
from loadtest.trial import Trial
from loadtest.verdict import VerdictLine

_NEWSLETTER = 1_000_000
_PER_NETWORK = 300
_ALERTS = 20
_VOICE_EVERY_S = 36.0
"""Three hundred calls take the trunk 30 s: some alerts have them, so that they do not wait for one another."""
_WARM_S = 5.0
_OUT_S = 120.0


@dataclass(frozen=True, slots=True)
class _Posted:
    """An urgent alert."""

    campaign: str
    at_s: float
    """When its POST began, UTC."""
    answered_ms: float
    voice: bool


@dataclass(frozen=True, slots=True)
class _Told:
    """One that has arrived: seconds from the POST, by channel; a channel without messages is missing."""

    posted: _Posted
    first_s: dict[str, float]
    last_s: dict[str, float]
    messages: dict[str, int]


async def urgent(ground: Ground, seconds: int, size: int) -> RunOutcome:
    """`seconds` is what the alerts are spread over."""
    members = size or _NEWSLETTER
    async with ground.trial(RunTerms()) as trial:
        load_s = await trial.set_up(members, networks=max(2, members // _PER_NETWORK))
        async with trial.watched():
            letter_ms = await _newsletter(trial)
            await asyncio.sleep(_WARM_S)
            start_s = time.time()
            posted = [await _post(trial, n, start_s, seconds / _ALERTS) for n in range(_ALERTS)]
            await asyncio.sleep(max(0.0, start_s + seconds - time.time()))
            end_s = time.time()
            await _until_sent(trial, posted)
            rest_s = await trial.come_to_rest(stop=True, within_s=300.0)
        arrived = await trial.arrived()
        told = [await _told(trial, arrived, each) for each in posted]
        outcome = RunOutcome(lines=_promises(told), sheets=[_sheet(told)])
        outcome.lines += _newsletter_lines(arrived, members, start_s, end_s, load_s, letter_ms)
        outcome.lines += shared_lines.ceilings(trial.stage.terms, arrived)
        await shared_lines.add_accounting(outcome, trial, arrived)
        shared_lines.add_costs(outcome, trial, arrived, start_s, end_s)
        outcome.lines.append(verdict.told("time to come to rest", rest_s, "s"))
        outcome.curves = shared_lines.curves(trial, arrived, start_s, end_s)
        return outcome


async def _newsletter(trial: Trial) -> float:
    """To everybody of both zones, on all channels; the slower zone's milliseconds to its 202."""
    slowest_ms = 0.0
    for zone in trial.stage.lines["zone"]:
        began = time.perf_counter()
        await trial.launch(zone["code"], ["sms", "email", "voice"], {"whole_zone": True})
        slowest_ms = max(slowest_ms, (time.perf_counter() - began) * 1000)
    return slowest_ms


async def _post(trial: Trial, n: int, start_s: float, every_s: float) -> _Posted:
    """Each to another network; one that nobody else was alerted in."""
    await asyncio.sleep(max(0.0, start_s + n * every_s - time.time()))
    networks, voice = trial.stage.lines["network"], n % math.ceil(_VOICE_EVERY_S / every_s) == 0
    network = networks[(n * max(1, len(networks) // _ALERTS)) % len(networks)]
    channels = "sms email voice" if voice else "sms email"
    document = alert(f"urgent-{n}", new_mark(trial.draw), plp(network["code"]), channels=channels)
    began, at_s = time.perf_counter(), time.time()
    answer = await trial.door("cic-demo").post_alert(document)
    answered_ms = (time.perf_counter() - began) * 1000
    found = [zone["campaign"] for zone in answer["zones"] if zone.get("campaign")]
    if len(found) != 1:
        raise StageFailed(f"the alert for {network['code']} became {len(found)} campaigns: {answer}")
    return _Posted(found[0], at_s, answered_ms, voice)


async def _until_sent(trial: Trial, posted: list[_Posted]) -> None:
    """Alerts are not stopped before they are out: their times are wanted, the calls' as well. What is never out is
    stopped all the same, and its accounting tells."""
    deadline_s = time.monotonic() + _OUT_S
    for each in posted:
        while time.monotonic() < deadline_s:
            channels = (await trial.page(each.campaign))["progress"]["channels"]
            if not any(c["queued"] for c in channels):
                break  # who was busy is called again in five minutes: that is not waited for
            await asyncio.sleep(0.2)


async def _told(trial: Trial, arrived: dict[str, Arrivals], posted: _Posted) -> _Told:
    instants: dict[str, Instants] = await trial.instants(arrived, posted.campaign)
    there = {channel: times_s for channel, times_s in instants.items() if len(times_s)}
    return _Told(
        posted,
        {channel: float(times_s[0]) - posted.at_s for channel, times_s in there.items()},
        {channel: float(times_s[-1]) - posted.at_s for channel, times_s in there.items()},
        {channel: len(times_s) for channel, times_s in there.items()},
    )


def _promises(told: list[_Told]) -> list[VerdictLine]:
    arrived = [each for each in told if each.first_s]
    lines = [verdict.at_least("urgent alerts with a message at a sink", len(arrived), len(told))]
    for channel, word in (("sms", "SMS"), ("email", "e-mail"), ("voice", "call")):
        firsts_s = [each.first_s[channel] for each in told if channel in each.first_s]
        if firsts_s:
            lines += _firsts(word, firsts_s, judged=channel != "voice")
    last_sms_s = [each.last_s["sms"] for each in told if "sms" in each.last_s]
    if last_sms_s:
        most = max(each.messages.get("sms", 0) for each in told)
        p50 = float(np.percentile(last_sms_s, 50, method="higher"))
        lines.append(
            verdict.goal_at_most(
                f"POST to the last of {most} SMS, worst", max(last_sms_s), verdict.LAST_SMS_GOAL_S, "s"
            )
        )
        lines.append(verdict.told(f"POST to the last of {most} SMS, p50", p50, "s"))
    return [*lines, verdict.told("POST to 202, worst", max(each.posted.answered_ms for each in told), "ms")]


def _firsts(word: str, firsts_s: list[float], *, judged: bool) -> list[VerdictLine]:
    """Each channel by itself: an e-mail in time helps nobody who waits for his SMS. Calls wait for the shared ceiling
    of starts, and for the alert before."""
    p50, p99 = (1000 * float(v) for v in np.percentile(firsts_s, (50, 99), method="higher"))
    if not judged:
        return [verdict.told(f"POST to first {word}, p50", p50, "ms")]
    return [
        verdict.at_most(f"POST to first {word}, worst", max(firsts_s), verdict.FIRST_FLOOR_S, "s", speed=True),
        verdict.goal_at_most(f"POST to first {word}, p99", p99, verdict.FIRST_GOAL_MS, "ms"),
        verdict.told(f"POST to first {word}, p50", p50, "ms"),
    ]


def _newsletter_lines(
    arrived: dict[str, Arrivals], members: int, start_s: float, end_s: float, load_s: float, letter_ms: float
) -> list[VerdictLine]:
    lines = [
        verdict.told("members of the newsletter", members),
        verdict.told("`tocsin load` of the register", load_s, "s"),
        verdict.told("newsletter's POST to 202, the slower zone", letter_ms, "ms"),
    ]
    for channel, word in (("sms", "SMS segments/s meanwhile"), ("email", "e-mails/s meanwhile")):
        lines.append(verdict.told(word, arrived[channel].between(start_s, end_s) / (end_s - start_s)))
    return lines


def _sheet(told: list[_Told]) -> Sheet:
    rows = []
    for n, each in enumerate(told, 1):
        row = [str(n), f"{each.posted.answered_ms:,.0f}"]
        for channel in ("sms", "email", "voice"):
            if channel in each.first_s:
                row += [str(each.messages[channel]), f"{each.first_s[channel]:.3f}", f"{each.last_s[channel]:.3f}"]
            else:
                row += ["", "", ""]
        rows.append(row)
    columns = ["alert", "202, ms"]
    for channel in ("SMS", "e-mails", "calls"):
        columns += [channel, "first, s", "last, s"]
    return Sheet("urgent alerts, from the POST to the sinks", columns, rows)
