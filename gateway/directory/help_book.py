"""The help lines and documents of the platform and of every zone, in memory: told also while the store is away.

What stands in every problem is encoded when it changes, not when something goes wrong.
"""

from dataclasses import dataclass, field

import msgspec

from gateway.directory.zone_policy import PolicyRefused, read_policy
from gateway.help_lines import (
    LANGUAGES,
    HelpContact,
    HelpLine,
    HelpPurpose,
    ZoneHelp,
    contact_of,
    lines_of,
    title_of,
)
from gateway.settings import HelpSettings
from store.engine.database import Database
from store.register import reading as directory

_Encoded = dict[str, msgspec.Raw]
"""The lines of one zone or of the platform, by language."""


@dataclass(slots=True)
class HelpBook:
    database: Database
    platform: HelpSettings
    _zones: dict[int, tuple[str, ZoneHelp]] = field(default_factory=dict)
    """The code and the help of each zone that has set some."""
    _read: dict[int, tuple[str, str]] = field(default_factory=dict)
    """What is known of each zone: its code and the text of its policy."""
    _usual: _Encoded = field(init=False)
    _own: dict[int, _Encoded] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._usual = self._encode(None)

    async def refresh(self) -> bool:
        """Takes up what zones have changed; False: there is nothing more to do. Raises what the store raises."""
        async with self.database.read() as conn:
            found = {zone.id: (zone.code, zone.policy) for zone in await directory.zones(conn)}
        if found != self._read:
            self._read = found
            self._zones = {zone: (code, own) for zone, (code, text) in found.items() if (own := _help_in(text))}
            self._own = {zone: self._encode(zone) for zone in self._zones}
        return False

    def help_lines(self, language: str, zone_id: int | None = None) -> tuple[str, ...]:
        """The lines of text for people of a zone, or of none in particular: at most two, each with what it is for."""
        return tuple(f"{title_of(purpose, language)}: {line.told}" for purpose, line in self._lines(zone_id))

    def lines_of(self, language: str, zone: str) -> tuple[str, ...]:
        """The same by the code of a zone; empty: of none in particular."""
        return self.help_lines(language, next((id_ for id_, (code, _) in self._zones.items() if code == zone), None))

    def whom_to_ask(self, zone_id: int | None) -> str:
        """Who helps with rights and accounts; empty where nobody is named."""
        lines = dict(self._lines(zone_id))
        return lines["technical"].told if "technical" in lines else ""

    def encoded(self, language: str, zone_id: int | None = None) -> msgspec.Raw | None:
        """The lines as JSON, for a problem; None where there are none."""
        by_language = self._usual if zone_id is None else self._own.get(zone_id, self._usual)
        return by_language.get(language)

    def contacts(self, language: str, zone_ids: frozenset[int] | None = frozenset()) -> tuple[HelpContact, ...]:
        """All lines: those of these zones (None: of all) by their codes, then those of the platform."""
        own = [
            contact_of(purpose, line, language, code)
            for code, found in self.of_zones(zone_ids)
            for purpose, line in lines_of(found)
        ]
        return (*own, *(contact_of(purpose, line, language) for purpose, line in lines_of(self.platform)))

    def of_zones(self, zone_ids: frozenset[int] | None) -> list[tuple[str, ZoneHelp]]:
        """What these zones (None: all) have set, in the order of their codes."""
        found = [own for zone, own in self._zones.items() if zone_ids is None or zone in zone_ids]
        return sorted(found, key=lambda own: own[0])

    def _lines(self, zone_id: int | None) -> tuple[tuple[HelpPurpose, HelpLine], ...]:
        own = self._zones.get(zone_id) if zone_id is not None else None
        return lines_of(self.platform) if own is None else lines_of(own[1], self.platform)

    def _encode(self, zone_id: int | None) -> _Encoded:
        lines = self._lines(zone_id)
        if not lines:
            return {}
        return {
            language: msgspec.Raw(msgspec.json.encode([contact_of(*line, language) for line in lines]))
            for language in LANGUAGES
        }


def _help_in(policy: str) -> ZoneHelp | None:
    """None where a zone has set nothing. A policy that cannot be read keeps nobody from the platform's lines."""
    if '"help"' not in policy:
        return None
    try:
        found = read_policy(policy).help
    except PolicyRefused:
        return None
    return None if found == ZoneHelp() else found
