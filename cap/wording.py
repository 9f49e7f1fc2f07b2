"""Problems in French, Dutch and German (catalogues/*.toml): what the rule wants and how to mend its breach.

The English text of a problem says more exactly what was found; rule, path, line, section and value are the same in
every language. A rule without an entry, as of a profile that does not come along, stays English.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from importlib.resources import files

from cap.problem import Problem

LANGUAGES = ("en", "fr", "nl", "de")


@cache
def catalogue(language: str) -> Mapping[str, tuple[str, str]]:
    """(what is wanted, how to mend it) by the id of each rule; empty for English. Raises ValueError for others."""
    if language not in LANGUAGES:
        raise ValueError(f"problems are told in {', '.join(LANGUAGES)}, not in {language!r}")
    if language == "en":
        return {}
    text = (files("cap") / "catalogues" / f"{language}.toml").read_text(encoding="utf-8")
    return {rule: (statement, remedy) for rule, (statement, remedy) in tomllib.loads(text).items()}


def translated(problem: Problem, language: str) -> Problem:
    """The problem in a language; as it is in English, or where there is no entry for its rule."""
    entry = catalogue(language).get(problem.rule)
    return problem if entry is None else replace(problem, text=entry[0], remedy=entry[1])


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
