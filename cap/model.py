"""A CAP 1.2 alert as immutable values, in the words of the data dictionary (CAP-v1.2 section 3.2).

Knows nothing of XML: absent text is "", an absent list is (), an absent time or number is None.
"""

from __future__ import annotations

from base64 import b64decode
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

# 3.2.2 language: without one, or with an empty one, the text counts as American English.
DEFAULT_LANGUAGE = "en-US"


class Status(StrEnum):
    """How the alert is to be handled (3.2.1)."""

    ACTUAL = "Actual"
    EXERCISE = "Exercise"
    SYSTEM = "System"
    TEST = "Test"
    DRAFT = "Draft"


class MsgType(StrEnum):
    """What the alert does to earlier ones (3.2.1)."""

    ALERT = "Alert"
    UPDATE = "Update"
    CANCEL = "Cancel"
    ACK = "Ack"
    ERROR = "Error"


class Scope(StrEnum):
    """Who may read it (3.2.1)."""

    PUBLIC = "Public"
    RESTRICTED = "Restricted"
    PRIVATE = "Private"


class Category(StrEnum):
    """The subject (3.2.2)."""

    GEO = "Geo"
    MET = "Met"
    SAFETY = "Safety"
    SECURITY = "Security"
    RESCUE = "Rescue"
    FIRE = "Fire"
    HEALTH = "Health"
    ENV = "Env"
    TRANSPORT = "Transport"
    INFRA = "Infra"
    CBRNE = "CBRNE"
    OTHER = "Other"


class ResponseType(StrEnum):
    """What the audience should do (3.2.2)."""

    SHELTER = "Shelter"
    EVACUATE = "Evacuate"
    PREPARE = "Prepare"
    EXECUTE = "Execute"
    AVOID = "Avoid"
    MONITOR = "Monitor"
    ASSESS = "Assess"
    ALL_CLEAR = "AllClear"
    NONE = "None"


class Urgency(StrEnum):
    """When to act (3.2.2)."""

    IMMEDIATE = "Immediate"
    EXPECTED = "Expected"
    FUTURE = "Future"
    PAST = "Past"
    UNKNOWN = "Unknown"


class Severity(StrEnum):
    """How bad (3.2.2)."""

    EXTREME = "Extreme"
    SEVERE = "Severe"
    MODERATE = "Moderate"
    MINOR = "Minor"
    UNKNOWN = "Unknown"


class Certainty(StrEnum):
    """How sure (3.2.2)."""

    OBSERVED = "Observed"
    LIKELY = "Likely"
    POSSIBLE = "Possible"
    UNLIKELY = "Unlikely"
    UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True)
class Reference:
    """The triple that names another message: `sender,identifier,sent` (3.2.1 references)."""

    sender: str
    identifier: str
    sent: datetime


@dataclass(frozen=True, slots=True)
class ValuePair:
    """A `valueName` and its `value`: an event code, a parameter or a geocode."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Circle:
    """A centre in WGS 84 degrees and a radius in kilometres (3.2.4 circle)."""

    lat: float
    lon: float
    radius_km: float


Point = tuple[float, float]  # (latitude, longitude), WGS 84 degrees
Ring = tuple[Point, ...]  # a polygon as sent: the first point is also the last


@dataclass(frozen=True, slots=True)
class Area:
    """One affected place; it is the union of all that it holds. Heights in feet above mean sea level (3.2.4)."""

    description: str
    polygons: tuple[Ring, ...] = ()
    circles: tuple[Circle, ...] = ()
    geocodes: tuple[ValuePair, ...] = ()
    altitude: float | None = None
    ceiling: float | None = None


_WHITE = str.maketrans("", "", " \t\r\n")


@dataclass(frozen=True, slots=True)
class Resource:
    """A file that goes with the text; `size` in bytes, `digest` a SHA-1 in hexadecimal (3.2.3)."""

    description: str
    mime_type: str
    size: int | None = None
    uri: str = ""
    deref_uri: str = ""
    digest: str = ""

    def content(self) -> bytes | None:
        """The file that `deref_uri` encloses; None where it encloses none, or is no base64."""
        if not self.deref_uri:
            return None
        try:
            return b64decode(self.deref_uri.translate(_WHITE), validate=True)
        except ValueError:
            return None


@dataclass(frozen=True, slots=True)
class Info:
    """What happens, in one language (3.2.2). Times are aware and keep the offset that was sent.

    `language` is as sent: "" where it was absent or empty, which means `DEFAULT_LANGUAGE`.
    Without `effective` the text is in effect from the alert's `sent`.
    """

    categories: tuple[Category, ...]
    event: str
    urgency: Urgency
    severity: Severity
    certainty: Certainty
    language: str = ""
    response_types: tuple[ResponseType, ...] = ()
    audience: str = ""
    event_codes: tuple[ValuePair, ...] = ()
    effective: datetime | None = None
    onset: datetime | None = None
    expires: datetime | None = None
    sender_name: str = ""
    headline: str = ""
    description: str = ""
    instruction: str = ""
    web: str = ""
    contact: str = ""
    parameters: tuple[ValuePair, ...] = ()
    resources: tuple[Resource, ...] = ()
    areas: tuple[Area, ...] = ()


@dataclass(frozen=True, slots=True)
class Alert:
    """One CAP message (3.2.1). `sent` is aware and keeps the offset that was sent."""

    identifier: str
    sender: str
    sent: datetime
    status: Status
    msg_type: MsgType
    scope: Scope
    source: str = ""
    restriction: str = ""
    addresses: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()
    note: str = ""
    references: tuple[Reference, ...] = ()
    incidents: tuple[str, ...] = ()
    infos: tuple[Info, ...] = ()

    @property
    def reference(self) -> Reference:
        """The triple by which other messages name this one."""
        return Reference(self.sender, self.identifier, self.sent)

    def areas_of(self, info: Info) -> tuple[Area, ...]:
        """Where what an info says holds: its own areas, or, for a text in another language that names none, those of
        the first language."""
        if info.areas or not self.infos:
            return info.areas
        first = (self.infos[0].language or DEFAULT_LANGUAGE).lower()
        if (info.language or DEFAULT_LANGUAGE).lower() == first:
            return ()
        own = (each.areas for each in self.infos if (each.language or DEFAULT_LANGUAGE).lower() == first)
        return tuple(dict.fromkeys(area for areas in own for area in areas))

    def infos_by_language(self) -> dict[str, tuple[Info, ...]]:
        """The infos of each language, both in the order sent.

        Infos of one language are one sequence: a later one may add to an earlier one (3.2.2 language).
        Tags are compared without regard to case, as RFC 3066 has it; the first spelling is the key.
        """
        sequences: dict[str, list[Info]] = {}
        spelling: dict[str, str] = {}
        for info in self.infos:
            language = info.language or DEFAULT_LANGUAGE
            key = spelling.setdefault(language.lower(), language)
            sequences.setdefault(key, []).append(info)
        return {language: tuple(infos) for language, infos in sequences.items()}
