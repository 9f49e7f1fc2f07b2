"""Whether an alert may stand in the free public feed: a right of its own, for a kind, within the zone's territory.

Reads the store, decides about nothing else: people are told by other rights.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import msgspec

from channels.contract import Mode
from gateway.access.rights import FEED, Action, Caller
from gateway.directory.geocode_systems import GROUP, PLP, POLICEZONE
from gateway.directory.prepared_targets import survey
from gateway.directory.targets import Targets
from gateway.directory.territory import MARGIN_M, Territory, beyond, read_territory
from gateway.errors import Reason
from store.engine.database import Database
from store.engine.transaction import Connection
from store.register import reading as directory
from store.register.reading import ZoneLand

_MOST_NAMED = 10
_KNOWN_S = 5.0


class PublicationVerdict(msgspec.Struct, frozen=True):
    may: bool
    problems: tuple[Reason, ...] = ()


@dataclass(slots=True)
class Publication:
    """Knows the zones and where they lie, and looks them up again after five seconds, or for a new one."""

    database: Database
    now_s: Callable[[], float] = time.monotonic
    _known: Sequence[ZoneLand] = ()
    _until_s: float = float("-inf")

    async def verdict(self, caller: Caller, kind: str, targets: Targets) -> PublicationVerdict:
        """What to say of publishing these areas under this kind; without any area only the right counts."""
        zones = [z for z in await self._zones(caller) if publishes(caller, z.id, kind)]
        if not zones:
            text = f"This account may not publish messages of kind {kind}: it does not stand in the public feed."
            remedy = "Have the right `publish` entered for the account, or let one publish it that has it."
            return PublicationVerdict(
                False, (Reason("P-RIGHT", text, level="warning", path="/alert/scope", remedy=remedy),)
            )
        if targets == Targets():
            return PublicationVerdict(True)
        nowhere = [zone.code for zone in zones if not zone.territory]
        if nowhere:
            names = ", ".join(nowhere[:_MOST_NAMED])
            text = f"Where it is published for was not looked at: of {names} no territory is known."
            told = Reason("P-UNCHECKED", text, level="information", remedy="Give the zone its territory.")
            return PublicationVerdict(True, (told,))
        async with self.database.read() as conn:
            own = await _own_codes(conn, zones, targets)
        lands = [land for zone in zones if (land := read_territory(zone.territory)) is not None]
        return await _in_its_place(targets, lands, own)

    async def may_somewhere(self, caller: Caller, kind: str) -> bool:
        return any(publishes(caller, zone.id, kind) for zone in await self._zones(caller))

    async def _zones(self, caller: Caller) -> Sequence[ZoneLand]:
        theirs = caller.zone_ids(Action.PUBLISH)
        is_new = theirs is not None and not theirs <= {zone.id for zone in self._known}
        if is_new or self.now_s() >= self._until_s:
            async with self.database.read() as conn:
                self._known = await directory.territories(conn)
            self._until_s = self.now_s() + _KNOWN_S
        return self._known


async def _in_its_place(
    targets: Targets, lands: Sequence[Territory], own: Collection[tuple[str, str]]
) -> PublicationVerdict:
    outside = await asyncio.to_thread(lambda: beyond(survey(targets), lands, own))
    if not outside:
        return PublicationVerdict(True)
    names = ", ".join(f"“{name[:100]}”" for name in outside[:_MOST_NAMED])
    text = f"It does not stand in the public feed: {names} is not known to lie in the territory of the account's zones."
    remedy = f"Draw within the territory, or up to {MARGIN_M // 1000} km around it; or have rings and codes mended."
    return PublicationVerdict(
        False, (Reason("P-AREA", text, level="warning", path="/alert/info[1]/area", remedy=remedy),)
    )


def publishes(caller: Caller, zone_id: int, kind: str) -> bool:
    """Whether an account has the right to publish at all, wherever the area lies."""
    return caller.reach(Action.PUBLISH, zone_id, kind, FEED, Mode.LIVE) is None


async def _own_codes(conn: Connection, zones: Sequence[ZoneLand], targets: Targets) -> set[tuple[str, str]]:
    """Codes of the zones themselves, and of those of their networks and groups that the targets name."""
    named = {geocode.value.strip() for geocode in targets.geocodes}
    ids = [zone.id for zone in zones]
    networks = await directory.networks(conn, ids, sorted(named)) if named else []
    groups = await directory.groups(conn, ids, sorted(named)) if named else []
    return {
        *((POLICEZONE, zone.code) for zone in zones),
        *((PLP, network.code) for network in networks),
        *((GROUP, group.code) for group in groups),
    }
