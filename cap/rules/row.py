"""The shape of a rule and of what it finds. Knows no rule."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from cap.problem import Level


class RuleFinding(NamedTuple):
    """A broken rule: `at` is the child element meant, as `web` or `polygon[2]`, or "" for the element itself.

    With a `cause` the text is that of the cause (`cap.rules.causes`), about these `facts`.
    """

    at: str
    text: str
    value: str = ""
    cause: str = ""
    facts: tuple[str, ...] = ()


Findings = Sequence[RuleFinding]  # so that nothing found is false
RuleCheck = Callable[..., Findings]
NOTHING: tuple[RuleFinding, ...] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the table.

    `check` takes the values that its table is about and gives its findings. It is None where the rule is seen before
    there are values: by the parser, by the schema, or while a text is read. In a draft of a broken document any field
    may be empty or None; a check then finds nothing.
    """

    id: str
    level: Level
    section: str
    statement: str
    remedy: str
    check: RuleCheck | None = None


def error(id: str, section: str, statement: str, remedy: str, check: RuleCheck | None = None) -> Rule:
    """A row whose breach refuses the document."""
    return Rule(id, Level.ERROR, section, statement, remedy, check)


def warning(id: str, section: str, statement: str, remedy: str, check: RuleCheck | None = None) -> Rule:
    """A row whose breach is told and let pass."""
    return Rule(id, Level.WARNING, section, statement, remedy, check)


def information(id: str, section: str, statement: str, remedy: str, check: RuleCheck | None = None) -> Rule:
    """A row that tells the author what was understood."""
    return Rule(id, Level.INFORMATION, section, statement, remedy, check)
