"""Every rule that a CAP 1.2 document is held to, in one table, and the run of it over an alert.

Rules that need a memory, a clock or a directory (was this identifier seen, has it expired, is anybody there) are
not here: they are the receiver's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cap.model import Alert
from cap.problem import Problem, shortened
from cap.rules.alert import ALERT
from cap.rules.area import AREA, CROSSING
from cap.rules.causes import CAUSES
from cap.rules.form import FORM
from cap.rules.info import INFO
from cap.rules.plain_text import PROSE
from cap.rules.resource import RESOURCE
from cap.rules.row import Rule, RuleCheck, RuleFinding

if TYPE_CHECKING:
    from cap.profile import Profile

__all__ = ["BY_ID", "CAUSES", "RULES", "Rule", "check", "problem"]

_WHOLE = ALERT + PROSE + CROSSING
RULES: tuple[Rule, ...] = FORM + _WHOLE + INFO + RESOURCE + AREA
BY_ID: dict[str, Rule] = {rule.id: rule for rule in RULES}

Checks = tuple[tuple[Rule, RuleCheck], ...]


def problem(
    rule: str,
    path: str,
    text: str = "",
    *,
    line: int | None = None,
    value: str = "",
    cause: str = "",
    facts: tuple[str, ...] = (),
) -> Problem:
    """A breach of the rule with this id, with the level, section and remedy that the tables give."""
    return _breach(BY_ID[rule], RuleFinding(path, text, value, cause, facts), path, line)


def _breach(row: Rule, finding: RuleFinding, path: str, line: int | None) -> Problem:
    if not finding.cause:
        return Problem(row.id, row.level, path, line, row.section, finding.text, shortened(finding.value), row.remedy)
    why = CAUSES[f"{row.id}/{finding.cause}"]
    facts = tuple(map(shortened, finding.facts))
    return Problem(
        row.id, why.level or row.level, path, line, row.section, why.text.format(*facts), shortened(finding.value),
        why.remedy.format(*facts), finding.cause, facts,
    )  # fmt: skip


def check(alert: Alert, profiles: Sequence[Profile] = ()) -> list[Problem]:
    """All rules about values, for an alert that was read or composed. The problems have a path and no line."""
    found = _run(_OF_ALERT, "/alert", alert)
    for number, info in enumerate(alert.infos, 1):
        path = f"/alert/info[{number}]"
        found += _run(_OF_INFO, path, alert, info)
        for place, resource in enumerate(info.resources, 1):
            found += _run(_OF_RESOURCE, f"{path}/resource[{place}]", resource)
        for place, area in enumerate(info.areas, 1):
            found += _run(_OF_AREA, f"{path}/area[{place}]", area)
    for profile in profiles:
        found += _profiled(alert, profile)
    return found


def _profiled(alert: Alert, profile: Profile) -> list[Problem]:
    found = _run(_checks(profile.of_alert), "/alert", alert)
    for number, info in enumerate(alert.infos, 1):
        path = f"/alert/info[{number}]"
        found += _run(_checks(profile.of_info), path, alert, info)
        for place, area in enumerate(info.areas, 1):
            found += _run(_checks(profile.of_area), f"{path}/area[{place}]", alert, area)
    return found


def _run(checks: Checks, path: str, *subject: object) -> list[Problem]:
    found = []
    for row, check_ in checks:
        if findings := check_(*subject):
            found += [_breach(row, each, f"{path}/{each.at}" if each.at else path, None) for each in findings]
    return found


def _checks(rules: tuple[Rule, ...]) -> Checks:
    return tuple((rule, rule.check) for rule in rules if rule.check is not None)


_OF_ALERT, _OF_INFO, _OF_RESOURCE, _OF_AREA = _checks(_WHOLE), _checks(INFO), _checks(RESOURCE), _checks(AREA)
