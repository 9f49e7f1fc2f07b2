"""What a run is judged by: one line a promise, with what was measured, what was wanted and whether it holds. Pure."""

from collections.abc import Iterable, Sequence

import msgspec
import numpy as np

API_P99_MS = 200.0


class Line(msgspec.Struct, frozen=True):
    """A line of the table. `holds` is None for what is only told."""

    what: str
    measured: str
    wanted: str = ""
    holds: bool | None = None


class Times(msgspec.Struct, frozen=True):
    """The requests of one name, milliseconds as the client saw them."""

    name: str
    requests: int
    failed: int
    p50_ms: float
    p99_ms: float
    worst_ms: float


def at_least(what: str, measured: float, floor: float, unit: str = "") -> Line:
    return Line(what, _told(measured, unit), f">= {_told(floor, unit)}", measured >= floor)


def at_most(what: str, measured: float, ceiling: float, unit: str = "") -> Line:
    return Line(what, _told(measured, unit), f"<= {_told(ceiling, unit)}", measured <= ceiling)


def told(what: str, measured: float | str, unit: str = "") -> Line:
    return Line(what, measured if isinstance(measured, str) else _told(measured, unit))


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


def holds(lines: Iterable[Line]) -> bool:
    """Whether nothing that was promised is missed."""
    return all(line.holds is not False for line in lines)
