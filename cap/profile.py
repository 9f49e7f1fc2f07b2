"""Profiles: further rows for the table of rules, read from data (profiles/*.toml). No profile has code of its own.

A row says on which element it looks (`on`: alert, info or area), at which child (`element`, a name of CAP), and by
which of the few tests below. `when` limits it to alerts whose elements have one of some values.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Any

from cap import build
from cap.model import Alert, ValuePair
from cap.problem import Level
from cap.rules.row import NOTHING, Findings, Rule, RuleFinding

NAMES = ("be-plp", "google", "ipaws")
"""The profiles that come along, beside the rules that always hold."""

ProfileRow = Mapping[str, Any]
ProfileTest = Callable[[Any, ProfileRow], Findings]

_ATTRIBUTES = {
    "alert": build.attributes_of("alert"),
    "info": build.attributes_of("info"),
    "area": build.attributes_of("area"),
}


@dataclass(frozen=True, slots=True)
class Profile:
    """A profile by its name: rows about the alert, about each info and about each area."""

    name: str
    title: str
    source: str
    of_alert: tuple[Rule, ...]
    of_info: tuple[Rule, ...]
    of_area: tuple[Rule, ...]

    @property
    def rules(self) -> tuple[Rule, ...]:
        """All its rows."""
        return self.of_alert + self.of_info + self.of_area


@cache
def profile(name: str) -> Profile:
    """The profile of that name. Raises ValueError if there is none."""
    if name not in NAMES:
        raise ValueError(f"there is no profile {name!r}; there are {', '.join(NAMES)}")
    return compiled(name, (files("cap") / "profiles" / f"{name.replace('-', '_')}.toml").read_text(encoding="utf-8"))


def compiled(name: str, text: str) -> Profile:
    """A profile from the text of its file. Raises ValueError for one that says what no row can."""
    data = tomllib.loads(text)
    rows: dict[str, list[Rule]] = {"alert": [], "info": [], "area": []}
    for row in data["rule"]:
        try:
            rows[row["on"]].append(_rule(row))
        except (KeyError, re.error) as exc:
            raise ValueError(f"{name}: rule {row.get('id')}: {exc!r}") from exc
    return Profile(name, data["title"], data["source"], *(tuple(rows[on]) for on in ("alert", "info", "area")))


def _rule(row: ProfileRow) -> Rule:
    test = _TESTS[row["test"]]
    for name in (row["element"], *row.get("elements", ())):
        _ATTRIBUTES[row["on"]][name]  # a name that this element has not is a fault of the data
    when = {_ATTRIBUTES["alert"][name]: frozenset(values) for name, values in row.get("when", {}).items()}

    def check(alert: Alert, *subject: object) -> Findings:
        if any(getattr(alert, attribute) not in values for attribute, values in when.items()):
            return NOTHING
        return test(subject[0] if subject else alert, row)

    return Rule(row["id"], Level(row["level"]), row["section"], row["statement"], row["remedy"], check)


# ---- tests: each takes the element's values and a row --------------------------------------------------------


def _values(subject: object, row: ProfileRow, element: str = "") -> Sequence[Any]:
    """The values of a child element, none of them blank."""
    value = getattr(subject, _ATTRIBUTES[row["on"]][element or row["element"]])
    values = value if isinstance(value, tuple) else (value,)
    return [item for item in values if item is not None and (not isinstance(item, str) or item.strip())]


def _present(subject: object, row: ProfileRow) -> Findings:
    return NOTHING if _values(subject, row) else (RuleFinding(row["element"], f"there is no {row['element']}"),)


def _absent(subject: object, row: ProfileRow) -> Findings:
    return (RuleFinding(row["element"], f"{row['element']} is there"),) if _values(subject, row) else NOTHING


def _any(subject: object, row: ProfileRow) -> Findings:
    elements = row["elements"]
    if any(_values(subject, row, element) for element in elements):
        return NOTHING
    return (RuleFinding("", f"there is none of {', '.join(elements)}"),)


def _matches(subject: object, row: ProfileRow) -> Findings:
    """For elements that stand once: a path that counts is not made here."""
    pattern = re.compile(row["pattern"])
    return [
        RuleFinding(row["element"], f"this is not a {row['element']} of the profile", str(value))
        for value in _values(subject, row)
        if not pattern.fullmatch(str(value))
    ]


def _includes(subject: object, row: ProfileRow) -> Findings:
    if row["value"] in map(str, _values(subject, row)):
        return NOTHING
    return (RuleFinding(row["element"], f"there is no {row['element']} {row['value']}"),)


def _shorter(subject: object, row: ProfileRow) -> Findings:
    return [
        RuleFinding(row["element"], f"the {row['element']} has {len(value)} characters", value)
        for value in _values(subject, row)
        if len(value) > row["most"]
    ]


def _differs(subject: object, row: ProfileRow) -> Findings:
    values = _values(subject, row)
    if values and values == _values(subject, row, row["elements"][0]):
        return (RuleFinding(row["element"], f"{row['element']} and {row['elements'][0]} say the same", str(values[0])),)
    return NOTHING


def _local(subject: object, row: ProfileRow) -> Findings:
    return [
        RuleFinding(row["element"], f"the time in {row['element']} has no offset of a place", value.isoformat())
        for value in _values(subject, row)
        if isinstance(value, datetime) and not value.utcoffset()
    ]


def _pairs(subject: object, row: ProfileRow) -> Findings:
    """Pairs whose names match have values that match; there are at least and at most so many of them."""
    name, value = re.compile(row["name"], re.IGNORECASE), re.compile(row["pattern"])
    pairs: list[tuple[int, ValuePair]] = [
        (number, pair) for number, pair in enumerate(_values(subject, row), 1) if name.fullmatch(pair.name)
    ]
    findings = [
        RuleFinding(f"{row['element']}[{number}]/value", f"this is not a value of {pair.name}", pair.value)
        for number, pair in pairs
        if not value.fullmatch(pair.value.strip())
    ]
    if not row.get("least", 0) <= len(pairs) <= row.get("most", len(pairs)):
        findings.append(RuleFinding("", f"there are {len(pairs)} {row['element']} elements of this name"))
    return findings


_TESTS: Mapping[str, ProfileTest] = {
    "present": _present,
    "absent": _absent,
    "any": _any,
    "matches": _matches,
    "includes": _includes,
    "shorter": _shorter,
    "differs": _differs,
    "local": _local,
    "pairs": _pairs,
}
