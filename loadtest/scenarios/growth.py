"""(f) The same campaign to 1,000, 10,000, 100,000 and 1,000,000: what takes time, what takes memory, and whether either
grows faster than the number of people. Each size has a gateway and a register of its own; ceilings are taken high.
"""

import asyncio
import itertools
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from loadtest import verdict
from loadtest.arrivals import Arrivals
from loadtest.ground import Ground
from loadtest.outcome import RunOutcome, Sheet
from loadtest.picture import Growth, draw_growth
from loadtest.stage import RunTerms
from loadtest.trial import Trial
from loadtest.verdict import VerdictLine
from store.engine.database import open_database
from store.outbox import expansion

_SIZES = (1_000, 10_000, 100_000, 1_000_000)
_PER_NETWORK = 300
_TERMS = RunTerms(sms_per_s=50_000, email_per_s=50_000, sms_window=1_000)
_WORSE = 1.5
"""How many times its share of growth a cost may take from one size to the next."""
_LEAST_S = 0.25
_REPEATED_TO = 10_000
_REPEATS = 3
"""Small campaigns are over in no time: the median of several is told."""
_SLOWEST_PER_S = 200.0
"""What is slower than this at a size is given up."""
_SETTLE_S = 3.0


@dataclass(frozen=True, slots=True)
class GrowthStep:
    """One size. Seconds from the POST; memory is the gateway's."""

    members: int
    messages: int
    load_s: float
    answered_s: float
    first_s: float
    expanded_s: float
    last_s: float
    cpu_s: float
    before_mib: float
    most_mib: float


@dataclass(frozen=True, slots=True)
class Cost:
    """Something that is compared from one size to the next."""

    word: str
    of: Callable[[GrowthStep], float]


COSTS = (
    Cost("POST to 202, s", lambda step: step.answered_s),
    Cost("POST to all rows made, s", lambda step: step.expanded_s),
    Cost("POST to the last message, s", lambda step: step.last_s),
    Cost("gateway's CPU for all of it, s", lambda step: step.cpu_s),
    Cost("`tocsin load` of the register, s", lambda step: step.load_s),
)


async def growth(ground: Ground, seconds: int, size: int) -> RunOutcome:
    """It takes the time it takes: `seconds` counts for nothing here."""
    most = size or _SIZES[-1]
    sizes = [n for n in _SIZES if n < most] + [most]
    outcome = RunOutcome()
    steps = [await _step(ground, outcome, members) for members in sizes]
    outcome.lines += grown(steps)
    findings = outcome.findings
    outcome.lines += [
        verdict.told("deliveries compared one by one", findings.deliveries),
        verdict.at_most("unaccounted", findings.unaccounted, 0),
        verdict.at_most("unfinished at the end", findings.unfinished, 0),
        verdict.at_most("in doubt at the end", findings.in_doubt, 0),
        verdict.told("the SMS sink's own limit, segments/s", ground.limits["smsc_per_s"]),
        verdict.told("the e-mail sink's own limit, mails/s", ground.limits["smtp_per_s"]),
    ]
    outcome.sheets.append(_sheet(steps))
    outcome.facts |= {"terms": _TERMS, "steps": steps}
    outcome.drawing = draw_growth(
        "(f) growth by the number of messages",
        [step.messages for step in steps],
        [
            *(Growth(cost.word, tuple(cost.of(step) for step in steps)) for cost in COSTS),
            Growth("POST to the first message, s", tuple(step.first_s for step in steps)),
            Growth("gateway's memory, most, MiB", tuple(step.most_mib for step in steps)),
        ],
    )
    return outcome


# ---- one size ------------------------------------------------------------------------------------------------


async def _step(ground: Ground, outcome: RunOutcome, members: int) -> GrowthStep:
    async with ground.trial(_TERMS, name=f"growth-{members}", zones=1) as trial:
        async with ground.telling(f"{members:,} members: a register made and loaded, a gateway and its sinks"):
            load_s = await trial.set_up(members, networks=max(1, members // _PER_NETWORK))
            await asyncio.sleep(_SETTLE_S)  # the register is read ahead of need
        before = trial.note()
        repeats = _REPEATS if members <= _REPEATED_TO else 1
        async with trial.watched(), ground.telling(f"{members:,} members: campaigns to all of them, {repeats}"):
            launches = [await _campaign(trial, members) for _ in range(repeats)]
        async with ground.telling(f"{members:,} members: every message held to account"):
            arrived = await trial.arrived()
            runs = [await _timed(trial, arrived, launch) for launch in launches]
            outcome.findings += await trial.account(arrived)
        messages, answered_s, first_s, expanded_s, last_s, cpu_s = (
            statistics.median(values) for values in zip(*runs, strict=True)
        )
        return GrowthStep(
            members, round(messages), load_s, answered_s, first_s, expanded_s, last_s, cpu_s,
            before.memory_mib["gateway"], trial.most_memory_mib("gateway"),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Launch:
    """A campaign that has ended. Seconds from the POST."""

    campaign: str
    at_s: float
    """When its POST began, UTC."""
    answered_s: float
    expanded_s: float
    cpu_s: float
    """The gateway's, until it had come to rest."""


async def _campaign(trial: Trial, members: int) -> _Launch:
    used_s, at_s = trial.gateway.cpu_s(), time.time()
    await trial.launch(trial.stage.lines["zone"][0]["code"], ["sms", "email"], {"whole_zone": True})
    answered_s = time.time() - at_s
    within_s = 60.0 + members / _SLOWEST_PER_S
    expanded_s = await _expanded(trial, trial.bulk[-1], within_s) - at_s
    await trial.come_to_rest(stop=False, within_s=within_s)
    return _Launch(trial.bulk[-1], at_s, answered_s, expanded_s, trial.gateway.cpu_s() - used_s)


async def _timed(trial: Trial, arrived: dict[str, Arrivals], launch: _Launch) -> tuple[float, ...]:
    """Messages, and seconds to the 202, the first message, all rows and the last message; CPU seconds."""
    instants = await trial.instants(arrived, launch.campaign)
    every = [times_s for times_s in instants.values() if len(times_s)]
    first_s = min(float(times_s[0]) for times_s in every) - launch.at_s
    last_s = max(float(times_s[-1]) for times_s in every) - launch.at_s
    return sum(map(len, every)), launch.answered_s, first_s, launch.expanded_s, last_s, launch.cpu_s


async def _expanded(trial: Trial, campaign: str, within_s: float) -> float:
    """The instant, UTC, at which every row of the campaign was made, to some 20 ms."""
    number = (await trial.numbers([campaign]))[campaign]
    deadline_s = time.monotonic() + within_s
    async with open_database(trial.stage.store_url) as database:
        while time.monotonic() < deadline_s:
            async with database.read() as conn:
                if not await expansion.channels_left(conn, number):
                    break
            await asyncio.sleep(0.02)
    return time.time()


# ---- from one size to the next -------------------------------------------------------------------------------


def grown(steps: list[GrowthStep]) -> list[VerdictLine]:
    lines = []
    for before, after in itertools.pairwise(steps):
        for cost in COSTS:
            word = f"{cost.word}: growth from {before.members:,} to {after.members:,}, of its share"
            lines.append(verdict.at_most(word, ratio(cost, before, after), _WORSE, "x", speed=True))
    return lines + _memory(steps)


def ratio(cost: Cost, before: GrowthStep, after: GrowthStep) -> float:
    """1 where a cost grows as the messages do; 2 where it grows twice as much. What is below `_LEAST_S` counts as that
    much: it is one chunk, one poll and noise."""
    return (cost.of(after) / max(cost.of(before), _LEAST_S)) / (after.messages / before.messages)


def _memory(steps: list[GrowthStep]) -> list[VerdictLine]:
    """Beside what an almost empty gateway takes: bytes that each further message adds, from step to step."""
    added = [bytes_each(steps[0], step) for step in steps[1:]]
    lines = []
    for (before, after), step in zip(itertools.pairwise(added), steps[2:], strict=True):
        word = f"memory of a further message to {step.members:,}, of that before"
        lines.append(verdict.at_most(word, after / max(before, 1.0), _WORSE, "x", speed=True))
    return lines


def bytes_each(base: GrowthStep, step: GrowthStep) -> float:
    return (step.most_mib - base.most_mib) * 1_048_576 / max(step.messages - base.messages, 1)


def _sheet(steps: list[GrowthStep]) -> Sheet:
    columns = (
        "members", "messages", "load, s", "202, s", "first, s", "rows, s", "last, s", "messages/s", "CPU, s",
        "us a message", "memory before", "most, MiB", "bytes a message more",
    )  # fmt: skip
    rows = []
    for step in steps:
        more = "" if step is steps[0] else f"{bytes_each(steps[0], step):,.0f}"
        rows.append(
            [
                f"{step.members:,}", f"{step.messages:,}", f"{step.load_s:.1f}", f"{step.answered_s:.3f}",
                f"{step.first_s:.3f}", f"{step.expanded_s:.3f}", f"{step.last_s:.2f}",
                f"{step.messages / step.last_s:,.0f}", f"{step.cpu_s:.2f}", f"{1e6 * step.cpu_s / step.messages:.0f}",
                f"{step.before_mib:,.0f}", f"{step.most_mib:,.0f}", more,
            ]
        )  # fmt: skip
    return Sheet("by size; seconds from the POST", columns, rows)
