"""What is wrong with a document, said so that its author can mend it. Knows no rule and no XML."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

VALUE_CHARS = 120  # of an offending value; a whole polygon helps nobody


class Level(StrEnum):
    """ERROR: a MUST of the standard or a policy of ours, the document is refused. The others are remarks."""

    ERROR = "error"
    WARNING = "warning"
    INFORMATION = "information"


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding. `rule` is a stable id; `path` an XPath with the numbers an author counts by.

    `path` may name an element that should be there and is not; `line` (from 1) is then that of its parent.
    `line` is None when there is no document to point into. `section` is of CAP-v1.2 unless it says otherwise.

    `cause` is a stable word for one of several ways to break the rule, where they are mended in different ways; `facts`
    are the names and figures in its sentence (`cap.rules.causes`). `left_out`: the part that `path` names, or the part
    that holds it, is not in the alert that was read (`cap.droppable_parts`).
    """

    rule: str
    level: Level
    path: str
    line: int | None
    section: str
    text: str
    value: str = ""
    remedy: str = ""
    cause: str = ""
    facts: tuple[str, ...] = ()
    left_out: bool = False


def shortened(value: str) -> str:
    """The value as one line of at most `VALUE_CHARS` characters."""
    line = " ".join(value[: VALUE_CHARS * 4].split())
    return line if len(line) <= VALUE_CHARS else line[: VALUE_CHARS - 3] + "..."
