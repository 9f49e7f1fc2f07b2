"""Problems in French, Dutch and German (catalogues/*.toml): what the rule wants and how to mend its breach.

Where a rule is broken in several ways, each cause has an entry of its own (`RULE/cause`), with facts in its sentences.
Elsewhere the English text of a problem says more exactly what was found. Rule, path, line, section, value, cause and
facts are the same in every language. A rule without an entry, as of a profile that does not come along, stays English.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from importlib.resources import files

from cap.problem import Problem

LANGUAGES = ("en", "fr", "nl", "de")


@cache
def catalogue(language: str) -> Mapping[str, tuple[str, str]]:
    """(what is wanted, how to mend it) by the id of each rule, and (what was found, how to mend it) by `RULE/cause`;
    empty for English. Raises ValueError for others."""
    if language not in LANGUAGES:
        raise ValueError(f"problems are told in {', '.join(LANGUAGES)}, not in {language!r}")
    if language == "en":
        return {}
    text = (files("cap") / "catalogues" / f"{language}.toml").read_text(encoding="utf-8")
    return {rule: (statement, remedy) for rule, (statement, remedy) in tomllib.loads(text).items()}


def translated(problem: Problem, language: str) -> Problem:
    """The problem in a language; as it is in English, or where there is no entry for its rule."""
    entry = told(language, problem.rule, problem.cause, problem.facts, left_out=problem.left_out)
    return problem if entry is None else replace(problem, text=entry[0], remedy=entry[1])


def told(
    language: str, rule: str, cause: str = "", facts: Sequence[str] = (), *, left_out: bool = False
) -> tuple[str, str] | None:
    """(text, remedy) of a problem in a language; None for English, and for what has no entry."""
    entries = catalogue(language)
    entry = entries.get(f"{rule}/{cause}") if cause else None
    entry = entries.get(rule) if entry is None else (entry[0].format(*facts), entry[1].format(*facts))
    if entry is None or not left_out:
        return entry
    return f"{entry[0]} {entries['LEFT-OUT'][0]}", entry[1]


def language_of(wish: str) -> str:
    """The first language of a list as of an Accept-Language header (weights as written) that there is; else English."""
    found: list[tuple[float, int, str]] = []
    for place, part in enumerate(wish.split(",")[:20]):
        tag, _, settings = part.partition(";")
        language = tag.strip().lower().partition("-")[0]
        weight = _weight(settings)
        if language in LANGUAGES and weight > 0:
            found.append((-weight, place, language))
    return min(found)[2] if found else "en"


def _weight(settings: str) -> float:
    name, _, value = settings.strip().partition("=")
    if name.strip().lower() != "q":
        return 1.0
    try:
        weight = float(value)
    except ValueError:
        return 0.0
    return weight if 0.0 <= weight <= 1.0 else 0.0
