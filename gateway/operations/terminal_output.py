"""The terminal of an operator: whatever was written by strangers is shown there, and commands nothing."""

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from gateway.unseen_characters import visible


class Terminal(Console):
    """A console as rich has it, with every control in what is printed made visible; its own colours stay."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control or segment.text == "\n" else _clean(segment)


def _clean(segment: Segment) -> Segment:
    text = "\n".join(visible(line) for line in segment.text.split("\n"))
    return segment if text == segment.text else Segment(text, segment.style)
