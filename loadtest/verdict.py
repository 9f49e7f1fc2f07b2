"""The figures that are promised, and what a run is judged by: a line a promise, measured, wanted, held or not. Pure."""

from collections.abc import Iterable, Sequence

import msgspec
import numpy as np

API_P99_MS = 200.0
SMS_FLOOR, EMAIL_FLOOR = 500.0, 2500.0
CALLS_CEILING, CALL_USE_FLOOR = 600, 0.99
CONTRACT_SLACK = 1.01
"""Design section 7, invariant 4: in any second, measured at the sink."""
FIRST_FLOOR_S, FIRST_GOAL_MS, LAST_SMS_GOAL_S = 2.0, 500.0, 1.5
"""From the POST of an urgent alert (design section 8)."""


class VerdictLine(msgspec.Struct, frozen=True):
    """A line of the table. `holds` is None for what is only told."""

    what: str
    measured: str
    wanted: str = ""
    holds: bool | None = None
    speed: bool = False
    """Depends on what machine it is and on what else runs there; what is not speed holds everywhere."""
    unjudged: str = ""
    """Why nobody can say whether a promise was kept, in a few words; `holds` is None then."""


class Times(msgspec.Struct, frozen=True):
    """The requests of one name, milliseconds as the client saw them."""

    name: str
    requests: int
    failed: int
    p50_ms: float
    p99_ms: float
    worst_ms: float


def at_least(what: str, measured: float, floor: float, unit: str = "", *, speed: bool = False) -> VerdictLine:
    return VerdictLine(what, _told(measured, unit), f">= {_told(floor, unit)}", measured >= floor, speed)


def at_most(what: str, measured: float, ceiling: float, unit: str = "", *, speed: bool = False) -> VerdictLine:
    return VerdictLine(what, _told(measured, unit), f"<= {_told(ceiling, unit)}", measured <= ceiling, speed)


def at_most_surely(what: str, measured: float, surely: float, ceiling: float, why: str) -> VerdictLine:
    """As `at_most`, of a measure that may be too high by a fault of who measured: `surely` is what it was at the least.
    Kept when the measure keeps it, broken when what is sure breaks it, and not judged between, with `why`."""
    line = at_most(what, measured, ceiling)
    if line.holds or surely > ceiling:
        return line
    told = f"{line.measured}, for sure {_told(surely, '')}: {why}"
    return VerdictLine(what, told, line.wanted, None, unjudged=why)


def goal_at_least(what: str, measured: float, goal: float, unit: str = "") -> VerdictLine:
    """What is wanted next, told with its distance: no promise."""
    return VerdictLine(
        what, _told(measured, unit), f"goal >= {_told(goal, unit)}: {_distance(measured, goal, measured)}"
    )


def goal_at_most(what: str, measured: float, goal: float, unit: str = "") -> VerdictLine:
    return VerdictLine(
        what, _told(measured, unit), f"goal <= {_told(goal, unit)}: {_distance(goal, measured, measured)}"
    )


def _distance(more: float, less: float, measured: float) -> str:
    """How many times what is wanted is away from what is there."""
    if more >= less:
        return "reached"
    return f"{less / more:.2g}x away" if more > 0 else f"{_told(measured, '')} is not near"


def told(what: str, measured: float | str, unit: str = "") -> VerdictLine:
    return VerdictLine(what, measured if isinstance(measured, str) else _told(measured, unit))


def _told(value: float, unit: str) -> str:
    digits = 0 if value == int(value) or abs(value) >= 1000 else 1 if abs(value) >= 10 else 3
    return f"{value:,.{digits}f}{' ' + unit if unit else ''}"


def times(name: str, took_ms: Sequence[float], failed: int) -> Times:
    """Percentiles by the nearest rank above: never a time that nobody had."""
    if not took_ms:
        return Times(name, 0, failed, 0.0, 0.0, 0.0)
    p50, p99 = np.percentile(np.asarray(took_ms), (50, 99), method="higher")
    return Times(name, len(took_ms), failed, round(float(p50), 1), round(float(p99), 1), round(max(took_ms), 1))


def by_name(requests: Iterable[tuple[float, str, float, bool]], start_s: float, end_s: float) -> list[Times]:
    """One line a name, those that ended within these instants; the last line is all of them together."""
    taken: dict[str, list[float]] = {}
    failed: dict[str, int] = {}
    for at_s, name, took_ms, well in requests:
        if start_s <= at_s < end_s:
            taken.setdefault(name, []).append(took_ms)
            failed[name] = failed.get(name, 0) + (not well)
    everything = [took_ms for values in taken.values() for took_ms in values]
    lines = [times(name, values, failed[name]) for name, values in sorted(taken.items())]
    return [*lines, times("all requests", everything, sum(failed.values()))]


def mark(line: VerdictLine, *, floors: bool = True) -> str:
    """The last word of a line: `ok`, `MISSED`, `below` (a speed that this run does not judge), `not judged` or
    nothing."""
    if line.unjudged:
        return "not judged"
    if line.holds is None:
        return ""
    if line.holds:
        return "ok"
    return "below" if line.speed and not floors else "MISSED"


def holds(lines: Iterable[VerdictLine], *, floors: bool = True) -> bool:
    """Whether nothing that was promised is missed. Without `floors`, speeds are told and not judged."""
    return all(mark(line, floors=floors) != "MISSED" for line in lines)
