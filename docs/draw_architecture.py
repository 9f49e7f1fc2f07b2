"""Draws docs/architecture.svg from the imports of the house, so that the picture cannot lie.

    python docs/draw_architecture.py            # writes the picture
    python docs/draw_architecture.py --check    # exit code 1 when it is not that of the imports

Rooms stand on floors: each is above all that it imports. The width of a line is the number of imports; an import that
follows from others (A imports B, B imports C, so A may know C) has no line.
"""

import ast
import sys
from collections import Counter
from pathlib import Path
from xml.sax.saxutils import escape

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "architecture.svg"
LEAVES = ("cap", "channels", "store")
_WIDE, _HIGH, _GAP, _FLOOR = 128, 44, 16, 86
_LEAST_WIDTH = 900


def room_of(module: str) -> str:
    """A leaf is one room; of the stem each package and each module is one."""
    first, *rest = module.split(".")
    return first if first in LEAVES or not rest else f"gateway.{rest[0]}"


def imports() -> tuple[dict[str, str], Counter[tuple[str, str]]]:
    """(room -> first sentence of what it is for, (room, room that it imports) -> how often)."""
    rooms: dict[str, str] = {}
    found: Counter[tuple[str, str]] = Counter()
    for top in (*LEAVES, "gateway"):
        for path in sorted((ROOT / top).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            if "versions" in parts:
                continue
            module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            if module in ("gateway", "gateway.__main__"):
                continue
            room = room_of(module)
            tree = ast.parse(path.read_text(encoding="utf-8"))
            if module == room:
                rooms[room] = (ast.get_docstring(tree) or "").split("\n\n")[0].replace("\n", " ")
            for node in ast.walk(tree):
                names = [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
                if names == ["gateway"]:
                    names = [f"gateway.{alias.name}" for alias in node.names]
                if isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                for name in names:
                    if name.split(".")[0] in (*LEAVES, "gateway") and room_of(name) != room:
                        found[room, room_of(name)] += 1
    return rooms, found


def floors(rooms: dict[str, str], found: Counter[tuple[str, str]]) -> list[list[str]]:
    """From the ground up; rooms that import one another stand on one floor."""
    below: dict[str, set[str]] = {room: {b for a, b in found if a == room} for room in rooms}
    height: dict[str, int] = {}

    def climb(room: str, way: tuple[str, ...]) -> int:
        if room in height:
            return height[room]
        if room in way:
            return 0
        found_at = max((climb(other, (*way, room)) + 1 for other in below[room]), default=0)
        height[room] = found_at
        return found_at

    for room in sorted(rooms):
        climb(room, ())
    return [sorted(r for r in rooms if height[r] == n) for n in range(max(height.values()) + 1)]


def direct(found: Counter[tuple[str, str]]) -> dict[tuple[str, str], int]:
    """Without what follows from others."""
    below: dict[str, set[str]] = {}
    for upper, lower in found:
        below.setdefault(upper, set()).add(lower)

    def reach(room: str, seen: frozenset[str]) -> set[str]:
        on = below.get(room, set()) - seen
        return on.union(*(reach(other, seen | on | {room}) for other in on))

    return {
        (upper, lower): count
        for (upper, lower), count in found.items()
        if not any(lower in reach(other, frozenset({upper})) for other in below[upper] - {lower})
    }


def drawn() -> str:
    rooms, found = imports()
    levels = floors(rooms, found)
    width = max(_LEAST_WIDTH, max(len(level) for level in levels) * (_WIDE + _GAP) + _GAP)
    height = len(levels) * _FLOOR + 30
    place: dict[str, tuple[float, float]] = {}
    for n, level in enumerate(levels):
        left = (width - len(level) * (_WIDE + _GAP) + _GAP) / 2
        for k, room in enumerate(level):
            place[room] = (left + k * (_WIDE + _GAP), height - (n + 1) * _FLOOR + 10)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
    ]
    for (upper, lower), count in sorted(direct(found).items()):
        (x, y), (u, v) = place[upper], place[lower]
        weight = min(0.6 + count / 12, 4)
        a, b = x + _WIDE / 2, u + _WIDE / 2
        curve = f"M{a:.0f} {y + _HIGH:.0f} C{a:.0f} {y + _HIGH + 34:.0f}, {b:.0f} {v - 34:.0f}, {b:.0f} {v:.0f}"
        look = f'fill="none" stroke="#5b7083" stroke-opacity="0.6" stroke-width="{weight:.1f}"'
        lines.append(f'<path d="{curve}" {look}/>')
    for room, (x, y) in place.items():
        colour = {"cap": "#fdebc8", "channels": "#d9efdc", "store": "#dbe6f7"}.get(room, "#f3f1ee")
        name = room.removeprefix("gateway.")
        box = f'x="{x:.0f}" y="{y:.0f}" width="{_WIDE}" height="{_HIGH}" rx="6" fill="{colour}"'
        middle = f'x="{x + _WIDE / 2:.0f}" y="{y + 27:.0f}" text-anchor="middle"'
        lines += [
            f"<g><title>{escape(rooms[room])}</title>",
            f'<rect {box} stroke="#33424f"/>',
            f'<text {middle} fill="#16202a">{escape(name)}</text></g>',
        ]
    return "\n".join([*lines, "</svg>"]) + "\n"


if __name__ == "__main__":
    picture = drawn()
    if "--check" in sys.argv:
        is_true = PICTURE.read_text(encoding="utf-8") == picture
        sys.exit(0 if is_true else "docs/architecture.svg is not that of the imports: run it without --check")
    PICTURE.write_text(picture, encoding="utf-8")
