"""A flame graph of collapsed stacks: who is on the processor, and who called whom.

    py-spy record -p PID -d 15 -r 200 --gil -f raw -o stacks.txt
    python -m loadtest.flame stacks.txt flame.svg "scenario (a), one core"

A frame is as wide as its share of the samples; what it calls stands on it. Frames below half a percent are left out.
"""

import argparse
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

_WIDTH, _HIGH, _LEFT = 1200, 17, 10
_LEAST = 0.005
_CHARACTER = 6.6
_COLOURS = (("channels/", "#bfe3c4"), ("store/", "#c3d6f2"), ("gateway/", "#eadfce"), ("cap/", "#fbe0ab"))
_OTHER = "#e3e3e6"
_LINE = re.compile(r":\d+\)$")


@dataclass(slots=True)
class StackFrame:
    name: str
    samples: int = 0
    calls: dict[str, "StackFrame"] = field(default_factory=dict)


def tree(lines: Iterable[str], *, below: str = "") -> StackFrame:
    """The stacks of `frame;frame;frame count` as one tree; line numbers are left away. `below`: only what stands on
    the first frame with this in its name, where a stack has one."""
    root = StackFrame("all")
    for line in lines:
        stack, _, count = line.rstrip().rpartition(" ")
        names = [_LINE.sub(")", name) for name in stack.split(";")]
        if below:
            start = next((n for n, name in enumerate(names) if below in name), -1)
            names = names[start + 1 :]
        node = root
        node.samples += int(count)
        for name in names:
            node = node.calls.setdefault(name, StackFrame(name))
            node.samples += int(count)
    return root


def drawn(root: StackFrame, title: str) -> str:
    """The picture as SVG: point at a frame to read its name and share."""
    boxes = list(_boxes(root, root.samples, 0.0, 0))
    floors = max((floor for _, _, floor, _ in boxes), default=0) + 1
    height = floors * _HIGH + 50
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" font-family="monospace" '
        'font-size="11">',
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="{_LEFT}" y="22" font-size="14">{escape(title)}</text>',
    ]
    for frame, left, floor, share in boxes:
        x = _LEFT + left * (_WIDTH - 2 * _LEFT)
        wide = share * (_WIDTH - 2 * _LEFT)
        y = height - (floor + 1) * _HIGH - 8
        name = frame.name[: int(wide / _CHARACTER)]
        lines.append(
            f"<g><title>{escape(frame.name)}: {share:.1%}</title>"
            f'<rect x="{x:.1f}" y="{y}" width="{wide:.1f}" height="{_HIGH - 1}" fill="{_colour(frame.name)}"/>'
            + (f'<text x="{x + 2:.1f}" y="{y + 12}">{escape(name)}</text>' if len(name) > 2 else "")
            + "</g>"
        )
    return "\n".join([*lines, "</svg>"]) + "\n"


def _boxes(frame: StackFrame, total: int, left: float, floor: int) -> Iterator[tuple[StackFrame, float, int, float]]:
    """(frame, where it begins as a share of all, its floor, its share)."""
    yield frame, left, floor, frame.samples / max(total, 1)
    for called in sorted(frame.calls.values(), key=lambda each: each.name):
        share = called.samples / max(total, 1)
        if share >= _LEAST:
            yield from _boxes(called, total, left, floor + 1)
            left += share


def _colour(name: str) -> str:
    return next((colour for part, colour in _COLOURS if f"({part}" in name), _OTHER)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m loadtest.flame", description="Draws a flame graph as SVG.")
    parser.add_argument("stacks", type=Path, help="what 'py-spy record --gil -f raw' wrote")
    parser.add_argument("picture", type=Path)
    parser.add_argument("title")
    parser.add_argument("--below", default="run (uvloop", help="the frame on which the picture stands")
    given = parser.parse_args(arguments)
    root = tree(given.stacks.read_text(encoding="utf-8").splitlines(), below=given.below)
    given.picture.write_text(drawn(root, given.title), encoding="utf-8")


if __name__ == "__main__":
    main()
