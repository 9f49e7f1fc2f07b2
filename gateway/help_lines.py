"""Whom to ask: two help lines and documents for roles, as the operator of the platform and each zone set them. Pure.

What is set stands before people whom an alert may have failed, in notices and in every problem: it is one line each,
without anything that a reader's terminal or mail program would obey.
"""

from collections.abc import Mapping
from typing import Annotated, Literal, Protocol

import msgspec

from gateway.unseen_characters import SHOWN

HelpPurpose = Literal["alerts", "technical"]
PURPOSES: tuple[HelpPurpose, ...] = ("alerts", "technical")
"""In the order in which they are told."""
MOST_DOCUMENTS = 32
LANGUAGES = ("nl", "fr", "de", "en")
"""In which the gateway speaks to people."""

Said = Annotated[str, msgspec.Meta(max_length=100, pattern=rf"^{SHOWN}*\Z")]
Phone = Annotated[str, msgspec.Meta(max_length=40, pattern=r"^(\+?[0-9][0-9 ./()-]*)?\Z")]
Mailbox = Annotated[str, msgspec.Meta(max_length=254, pattern=r"^([!#-'*+/-9=?A-Z^-~-]+@[A-Za-z0-9.-]+)?\Z")]
Address = Annotated[str, msgspec.Meta(max_length=500, pattern=r"^(https?://[!#-;=?-~]+)?\Z")]
Title = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=rf"^{SHOWN}+\Z")]
TitleLanguage = Annotated[str, msgspec.Meta(pattern=r"^[a-z]{2,3}\Z")]
DocumentName = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9-]{1,40}\Z")]
AccountRole = Literal[
    "cic", "officer", "coordinator", "co-coordinator", "administrator", "operator", "auditor", "consumer"
]


class HelpLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Who helps, and how to reach them. Without a telephone number and a mail address there is no line."""

    name: Said = ""
    phone: Phone = ""
    """As people dial it."""
    mail: Mailbox = ""
    hours: Said = "24/7"
    """When somebody answers."""

    @property
    def is_set(self) -> bool:
        return bool(self.phone or self.mail)

    @property
    def told(self) -> str:
        return ", ".join(filter(None, (self.name, self.phone, self.mail, self.hours)))


class HelpDocument(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A manual, for the roles that need it."""

    titles: Annotated[dict[TitleLanguage, Title], msgspec.Meta(max_length=20)] = {}
    """By language."""
    roles: tuple[AccountRole, ...] = ()
    """Types of accounts; none: all of them."""
    url: Address = ""

    def is_for(self, role: str) -> bool:
        return not self.roles or role in self.roles

    def title(self, language: str, otherwise: str) -> str:
        """In a language, or in the first that there is of English and the others; `otherwise` where there is none."""
        return next((self.titles[one] for one in (language, "en", *self.titles) if one in self.titles), otherwise)


class ZoneHelp(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a zone has set. A line of its own takes the place of the platform's of the same purpose. Its documents are
    links: a file of the machine is the operator's to name."""

    alerts: HelpLine = HelpLine()
    technical: HelpLine = HelpLine()
    documents: Annotated[dict[DocumentName, HelpDocument], msgspec.Meta(max_length=MOST_DOCUMENTS)] = {}


class HelpSource(Protocol):
    """What has help lines: the settings of the platform and of a zone."""

    @property
    def alerts(self) -> HelpLine: ...
    @property
    def technical(self) -> HelpLine: ...


class HelpContact(msgspec.Struct, frozen=True, omit_defaults=True):
    """A help line as it is told."""

    purpose: HelpPurpose
    title: str
    """What it helps with, in the caller's language."""
    name: str = ""
    phone: str = ""
    mail: str = ""
    hours: str = ""
    zone: str = ""
    """Of which zone it is; absent: of the platform, for all zones."""


_TITLES: Mapping[str, Mapping[HelpPurpose, str]] = {
    "nl": {"alerts": "Hulp bij een alarmering", "technical": "Technische of administratieve vragen"},
    "fr": {"alerts": "Soutien et prise en charge d'une alerte", "technical": "Questions techniques ou administratives"},
    "de": {"alerts": "Hilfe bei einer Alarmierung", "technical": "Technische oder administrative Fragen"},
    "en": {"alerts": "Support of an alert", "technical": "Technical or administrative questions"},
}


def lines_of(*sources: HelpSource) -> tuple[tuple[HelpPurpose, HelpLine], ...]:
    """At most one line for each purpose: that of the first of the sources, which are a zone's and the platform's
    settings, that has it."""
    found: list[tuple[HelpPurpose, HelpLine]] = []
    for purpose in PURPOSES:
        lines = (source.alerts if purpose == "alerts" else source.technical for source in sources)
        found += [(purpose, line) for line in lines if line.is_set][:1]
    return tuple(found)


def contact_of(purpose: HelpPurpose, line: HelpLine, language: str, zone: str = "") -> HelpContact:
    return HelpContact(purpose, title_of(purpose, language), line.name, line.phone, line.mail, line.hours, zone)


def title_of(purpose: HelpPurpose, language: str) -> str:
    """What a line helps with, in a language; in English where the gateway does not speak it."""
    return _TITLES.get(language, _TITLES["en"])[purpose]
