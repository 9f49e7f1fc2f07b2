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
from cap.rules.form import FORM
from cap.rules.info import INFO
from cap.rules.prose import PROSE
from cap.rules.resource import RESOURCE
from cap.rules.row import Check, Rule

if TYPE_CHECKING:
    from cap.profile import Profile

__all__ = ["BY_ID", "RULES", "Rule", "check", "problem"]

_WHOLE = ALERT + PROSE + CROSSING
RULES: tuple[Rule, ...] = FORM + _WHOLE + INFO + RESOURCE + AREA
BY_ID: dict[str, Rule] = {rule.id: rule for rule in RULES}

Checks = tuple[tuple[Rule, Check], ...]


def problem(rule: str, path: str, text: str, *, line: int | None = None, value: str = "") -> Problem:
    """A breach of the rule with this id, with the level, section and remedy that the table gives."""
    return _breach(BY_ID[rule], path, text, line, value)


def _breach(row: Rule, path: str, text: str, line: int | None, value: str) -> Problem:
    return Problem(row.id, row.level, path, line, row.section, text, shortened(value), row.remedy)


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
            for at, text, value in findings:
                found.append(_breach(row, f"{path}/{at}" if at else path, text, None, value))
    return found


def _checks(rules: tuple[Rule, ...]) -> Checks:
    return tuple((rule, rule.check) for rule in rules if rule.check is not None)


_OF_ALERT, _OF_INFO, _OF_RESOURCE, _OF_AREA = _checks(_WHOLE), _checks(INFO), _checks(RESOURCE), _checks(AREA)
