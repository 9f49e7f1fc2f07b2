"""Rates over time, and costs by size, as an SVG that any browser shows: one panel a curve, no library. Pure."""

import math
from collections.abc import Sequence
from html import escape

import msgspec

_WIDTH, _LEFT, _PANEL, _GAP, _TOP = 960, 70, 110, 34, 40
_INK, _LINE, _LIMIT = "#1b1f24", "#1d6fb8", "#c0392b"


class Curve(msgspec.Struct, frozen=True):
    """Values at even steps of `step_s` from the start. `limit` is drawn across, with its own word."""

    title: str
    values: tuple[float, ...]
    step_s: float = 1.0
    limit: float | None = None
    limit_word: str = ""


def draw(title: str, curves: Sequence[Curve]) -> str:
    """The document that shows these curves."""
    panels = [_panel(curve, _TOP + n * (_PANEL + _GAP)) for n, curve in enumerate(curves)]
    return _document(title, panels, _TOP + len(curves) * (_PANEL + _GAP) + 10)


class Growth(msgspec.Struct, frozen=True):
    """A cost at each of the sizes of a plot; the same unit throughout, all above zero."""

    title: str
    values: tuple[float, ...]


def draw_growth(title: str, sizes: Sequence[int], costs: Sequence[Growth]) -> str:
    """Both axes logarithmic: what grows in proportion runs beside the dashed line that begins at its first point, what
    is worse than that crosses above it."""
    rows = [_growth(cost, sizes, _TOP + n * (2 * _PANEL + _GAP)) for n, cost in enumerate(costs)]
    return _document(title, rows, _TOP + len(costs) * (2 * _PANEL + _GAP) + 10)


def _growth(cost: Growth, sizes: Sequence[int], top: float) -> str:
    linear = [cost.values[0] * size / sizes[0] for size in sizes]
    every = [math.log10(max(v, 1e-6)) for v in (*cost.values, *linear)]
    low, high = min(every), max(max(every), min(every) + 0.5)
    first, decades = math.log10(sizes[0]), max(math.log10(sizes[-1] / sizes[0]), 1e-9)

    def at(size: int, value: float) -> tuple[float, float]:
        x = _LEFT + 10 + (_WIDTH - _LEFT - 60) * (math.log10(size) - first) / decades
        return x, top + 2 * _PANEL - 6 - (2 * _PANEL - 24) * (math.log10(max(value, 1e-6)) - low) / (high - low)

    points = [at(size, value) for size, value in zip(sizes, cost.values, strict=True)]
    dashed = [at(size, value) for size, value in zip(sizes, linear, strict=True)]
    parts = [
        f'<text x="{_LEFT}" y="{top - 6}">{escape(cost.title)} (dashed: in proportion)</text>',
        _frame(top, 2 * _PANEL),
        f'<polyline points="{_points(dashed)}" fill="none" stroke="{_LIMIT}" stroke-dasharray="5 4"/>',
        f'<polyline points="{_points(points)}" fill="none" stroke="{_LINE}" stroke-width="1.5"/>',
    ]
    for (x, y), value, size in zip(points, cost.values, sizes, strict=True):
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{_LINE}"/>')
        parts.append(f'<text x="{x + 6:.1f}" y="{y - 5:.1f}">{value:,.3g}</text>')
        parts.append(f'<text x="{x:.1f}" y="{top + 2 * _PANEL + 13}" text-anchor="middle">{size:,}</text>')
    return "\n".join(parts) + "\n"


def _points(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _document(title: str, panels: Sequence[str], height: float) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" '
        f'font-family="sans-serif" font-size="11" fill="{_INK}">\n'
        f'<rect width="100%" height="100%" fill="#ffffff"/>\n'
        f'<text x="12" y="22" font-size="15">{escape(title)}</text>\n' + "".join(panels) + "</svg>\n"
    )


def _panel(curve: Curve, top: float) -> str:
    most = max([*curve.values, curve.limit or 0.0, 1e-9]) * 1.08
    seconds = max(len(curve.values) * curve.step_s, 1.0)
    across = (_WIDTH - _LEFT - 20) / seconds

    def y(value: float) -> float:
        return top + _PANEL * (1 - value / most)

    points = " ".join(f"{_LEFT + (n + 0.5) * curve.step_s * across:.1f},{y(v):.1f}" for n, v in enumerate(curve.values))
    parts = [
        f'<text x="{_LEFT}" y="{top - 6}">{escape(curve.title)}</text>',
        _frame(top, _PANEL),
        *(_level(value, y(value)) for value in (0.0, most / 1.08 / 2, most / 1.08)),
        f'<polyline points="{points}" fill="none" stroke="{_LINE}" stroke-width="1.5"/>',
        f'<text x="{_WIDTH - 20}" y="{top + _PANEL + 13}" text-anchor="end">{seconds:.0f} s</text>',
    ]
    if curve.limit is not None:
        at = y(curve.limit)
        parts.append(f'<line x1="{_LEFT}" x2="{_WIDTH - 20}" y1="{at:.1f}" y2="{at:.1f}" stroke="{_LIMIT}"/>')
        parts.append(
            f'<text x="{_WIDTH - 24}" y="{at - 3:.1f}" text-anchor="end" fill="{_LIMIT}">'
            f"{escape(curve.limit_word or f'{curve.limit:,.0f}')}</text>"
        )
    return "\n".join(parts) + "\n"


def _frame(top: float, height: float) -> str:
    return f'<rect x="{_LEFT}" y="{top}" width="{_WIDTH - _LEFT - 20}" height="{height}" fill="none" stroke="#d0d7de"/>'


def _level(value: float, at: float) -> str:
    return f'<text x="{_LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{value:,.0f}</text>'
