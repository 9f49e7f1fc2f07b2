"""Which text somebody gets whose language may not be among the texts. Pure.

Texts and members are known by the first part of their language tag: a member who reads "nl" gets "nl-BE".
"""

from collections.abc import Collection, Sequence


def primary(language: str) -> str:
    """The first part of a BCP 47 tag, in lower case: "nl" of "nl-BE"; empty for an empty one."""
    return language.partition("-")[0].strip().lower()


def choose(wanted: str, available: Collection[str], *, default: str, fallback: Sequence[str]) -> str:
    """The language, of those available, in which somebody is told.

    In this order: the one wanted, the zone's own (`default`), the zone's `fallback` languages, the first one
    available. Somebody is always told: a warning in a foreign language is better than none.
    Raises ValueError when nothing is available.
    """
    for candidate in (wanted, default, *fallback):
        if primary(candidate) in available:
            return primary(candidate)
    for language in available:
        return language
    raise ValueError("there is no text in any language")
