"""Rates over time as an SVG that any browser shows: one panel a curve, one time axis, no library. Pure."""

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
    """The whole document."""
    height = _TOP + len(curves) * (_PANEL + _GAP) + 10
    panels = [_panel(curve, _TOP + n * (_PANEL + _GAP)) for n, curve in enumerate(curves)]
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
        f'<rect x="{_LEFT}" y="{top}" width="{_WIDTH - _LEFT - 20}" height="{_PANEL}" fill="none" stroke="#d0d7de"/>',
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


def _level(value: float, at: float) -> str:
    return f'<text x="{_LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{value:,.0f}</text>'
