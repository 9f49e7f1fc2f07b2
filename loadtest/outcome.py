"""What a scenario came to, and how scenarios are described: values only."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import msgspec

from loadtest.accounting import Disagreements
from loadtest.ground import Ground
from loadtest.picture import Curve
from loadtest.verdict import Times, VerdictLine


class Sheet(msgspec.Struct, frozen=True):
    """A table of its own below the promises: one row a carrier, a size, an alert."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(slots=True)
class RunOutcome:
    lines: list[VerdictLine] = field(default_factory=list)
    times: list[Times] = field(default_factory=list)
    sheets: list[Sheet] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)
    drawing: str = ""
    """An SVG document of the scenario's own; without one the curves are drawn."""
    findings: Disagreements = field(default_factory=Disagreements)
    given: float = 1.0
    """The share of a core that the machine had for the gateway."""
    facts: dict[str, object] = field(default_factory=dict)
    """For the JSON file: settings and figures that no line shows."""


@dataclass(frozen=True, slots=True)
class Scenario:
    name: str
    title: str
    seconds: int
    """By default."""
    size: str
    """What `--size` means here, in a few words."""
    run: Callable[[Ground, int, int], Awaitable[RunOutcome]]
    """(ground, seconds, size) -> outcome; `size` is 0 where the user gave none."""
