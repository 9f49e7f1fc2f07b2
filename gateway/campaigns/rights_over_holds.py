"""Who may hold what, and who sees which hold: one question an act, each asked of `Caller`. Pure.

A hold stops everybody's messages of a zone, whatever their kind, channel or mode, or those of every zone. So it takes
the right `operate` in all of that. Whoever operates in some zone sees what holds it up, also where it is not theirs to
lift.
"""

from gateway.access.rights import Action, Caller
from gateway.errors import Reason


def holds(caller: Caller, zone_id: int | None) -> bool:
    """Whether a caller may hold, and let go, what is of one zone: the zone or a campaign of it. None: what is of every
    zone, which are channels, carriers and everything."""
    whole = caller.whole_zones(Action.OPERATE)
    return whole is None or (zone_id is not None and zone_id in whole)


def sees(caller: Caller, zone_id: int | None) -> bool:
    """Whether a caller may see a hold on what is of one zone; None: of every zone, so also of the caller's own."""
    return sees_from(caller.zone_ids(Action.OPERATE), zone_id)


def sees_from(zones: frozenset[int] | None, zone_id: int | None) -> bool:
    """The same for whoever operates in these zones; None: in all."""
    return zones is None or (bool(zones) if zone_id is None else zone_id in zones)


def missing(zone_id: int | None) -> Reason:
    """The reason that names what the account may not do."""
    where = "every zone" if zone_id is None else "the whole of this zone"
    text = f"This takes the right `operate` in {where}: of every kind, channel and mode, and of every network."
    return Reason("H-RIGHT", text, remedy="Have the right entered for the account, or ask somebody who has it.")
