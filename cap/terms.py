"""What a receiver agreed with one sender: versions of CAP, policies of ours that it need not follow. Values only."""

from __future__ import annotations

from dataclasses import dataclass

from cap.rules import RULES
from cap.versions import VERSIONS

RELAXABLE = frozenset(rule.id for rule in RULES if rule.section == "policy" and rule.check is not None)
"""Ids of the rules that are ours, not the standard's, and no matter of safety."""


@dataclass(frozen=True, slots=True)
class Terms:
    """`versions` that are read, as "1.1"; ids of rules that only warn if broken. Raises ValueError for others."""

    versions: frozenset[str] = frozenset({"1.2"})
    relaxed: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if unknown := self.versions - set(VERSIONS.values()):
            raise ValueError(f"no versions of CAP that are read here: {', '.join(sorted(unknown))}")
        if fixed := self.relaxed - RELAXABLE:
            raise ValueError(f"no policies that may be relaxed: {', '.join(sorted(fixed))}")


USUAL = Terms()
