"""What a receiver agreed with one sender: versions of CAP, profiles, policies of ours that it need not follow."""

from __future__ import annotations

from dataclasses import dataclass

from cap.profile import Profile
from cap.rules import RULES
from cap.versions import VERSIONS

POLICIES = frozenset(rule.id for rule in RULES if rule.section == "policy" and rule.check is not None)
"""Ids of the rules that are ours, not the standard's, and no matter of safety. By default they warn."""


@dataclass(frozen=True, slots=True)
class ReadingTerms:
    """`versions` that are read, as "1.1"; profiles held to; ids of rules that only warn if broken (`relaxed`), and of
    policies that refuse if broken (`strict`).

    Raises ValueError for a version that is not read here, and for a rule that is not ours or a matter of safety.
    """

    versions: frozenset[str] = frozenset({"1.2"})
    profiles: tuple[Profile, ...] = ()
    relaxed: frozenset[str] = frozenset()
    strict: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if unknown := self.versions - set(VERSIONS.values()):
            raise ValueError(f"no versions of CAP that are read here: {', '.join(sorted(unknown))}")
        own = {rule.id for profile in self.profiles for rule in profile.rules}
        if fixed := self.relaxed - POLICIES - own:
            raise ValueError(f"no policies that may be relaxed: {', '.join(sorted(fixed))}")
        if others := self.strict - POLICIES - own:
            raise ValueError(f"no policies that may be strict: {', '.join(sorted(others))}")


USUAL = ReadingTerms()
