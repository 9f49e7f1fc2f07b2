"""What a client is told in its own language: titles by their code, problems by their rule. Facts are not translated.

A client names its languages in Accept-Language; there are Dutch, French, German and English. As in `cap.translations` a
translation says what the rule wants and how to mend its breach, while the English text says more exactly what was
found; rule, level, path, line, section and value are the same in all. Where the whole worth of a text is in its names
and numbers, it stays, and a sentence in the client's language leads to it. What has no entry stays English, and
Content-Language says both.
"""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

import msgspec
from aiohttp import web

from cap.translations import catalogue as rules_of_cap
from cap.translations import language_of, told
from gateway.errors import Reason
from gateway.fault_words import facts_as_said

ENGLISH = "en"
_UNTRANSLATED = ("note", "notes", "refusal", "mapping", "excluded", "covered", "skipped")
"""Members of an answer that are for people and there in English only."""


class Catalogue(msgspec.Struct, frozen=True):
    titles: Mapping[str, str] = {}
    rules: Mapping[str, tuple[str, str]] = {}
    """What is wanted, and how to mend its breach ("" where that says it)."""
    facts: Mapping[str, str] = {}
    """What stands before a text whose worth is in its facts, by rule or code."""
    kinds: Mapping[str, str] = {}
    """What a value of an input can be: those of `gateway.fault_words.KINDS`."""


@cache
def words(language: str) -> Catalogue:
    """The words of the gateway and of CAP in a language; none for English, which is what is translated."""
    if language == ENGLISH:
        return Catalogue()
    text = (files("gateway") / "http" / "catalogues" / f"{language}.toml").read_text(encoding="utf-8")
    own = msgspec.convert(tomllib.loads(text), Catalogue)
    return Catalogue(own.titles, {**rules_of_cap(language), **own.rules}, own.facts, own.kinds)


def codes() -> frozenset[str]:
    """The code of every problem: those that are told in other languages."""
    known = words("nl")
    return frozenset(code for code in (*known.titles, *known.facts) if code == code.lower())


@dataclass(slots=True)
class Tongue:
    """One client's language, and in which languages it was spoken to in one answer."""

    language: str
    used: set[str] = field(default_factory=set)

    def title(self, code: str, title: str) -> str:
        lead = words(self.language).facts.get(code)
        return self._led(lead, title) if lead is not None else self._said(words(self.language).titles.get(code), title)

    def reason(self, reason: Reason) -> Reason:
        lead = words(self.language).facts.get(reason.rule)
        named = self._named(reason) if lead is not None else None
        if named is not None:
            facts = facts_as_said(reason.cause, reason.facts, words(self.language).kinds)
            text, remedy = (part.format(*facts) for part in named)
            self.used.add(self.language)
            return msgspec.structs.replace(reason, text=text, remedy=remedy)
        if lead is not None:
            return msgspec.structs.replace(reason, text=self._led(lead, reason.text))
        entry = words(self.language).rules.get(reason.rule)
        if entry is None:
            self.used.add(ENGLISH)
            return reason
        of_cap = told(self.language, reason.rule, reason.cause, reason.facts, left_out=reason.left_out)
        text, remedy = of_cap or entry
        self.used.add(self.language)
        return msgspec.structs.replace(reason, text=text, remedy=remedy)

    def _named(self, reason: Reason) -> tuple[str, str] | None:
        """The words for a cause. What is wrong with a value is said alike of a parameter and of what a body holds."""
        rules = words(self.language).rules
        found = rules.get(f"{reason.rule}/{reason.cause}")
        return rules.get(f"JSON/{reason.cause}") if found is None and reason.rule == "PARAM" else found

    def reasons(self, reasons: Iterable[Reason]) -> tuple[Reason, ...]:
        return tuple(map(self.reason, reasons))

    def english(self, text: str) -> str:
        """A text that is there in English only."""
        if text:
            self.used.add(ENGLISH)
        return text

    def answer(self, value: Any) -> Any:
        """A struct, or structs in it, as plain values with every problem in this language."""
        return self._spoken(msgspec.to_builtins(value))

    def _spoken(self, value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [self._spoken(item) for item in value]
        if not isinstance(value, dict):
            return value
        if "rule" in value and "text" in value:
            return msgspec.to_builtins(self.reason(msgspec.convert(value, Reason)))
        if any(value.get(name) for name in _UNTRANSLATED):
            self.used.add(ENGLISH)
        return {name: self._spoken(inner) for name, inner in value.items()}

    def _led(self, lead: str, text: str) -> str:
        self.used |= {self.language, ENGLISH}
        return f"{lead} {text}"

    def _said(self, found: str | None, otherwise: str) -> str:
        self.used.add(ENGLISH if found is None else self.language)
        return otherwise if found is None else found

    def label(self, response: web.StreamResponse, *, also: str = "") -> None:
        """Content-Language, and Vary with Accept-Language and whatever `also` decides."""
        spoken = sorted(self.used or {self.language}, key=lambda language: language != self.language)
        response.headers["Content-Language"] = ", ".join(spoken)
        response.headers["Vary"] = f"{also}, Accept-Language" if also else "Accept-Language"


def tongue_of(request: web.Request) -> Tongue:
    """The language that Accept-Language asks for; English for any other wish, and for what is no wish at all."""
    return Tongue(language_of(",".join(request.headers.getall("Accept-Language", []))))
