"""Who may ask for a dangerous act, and who may decide what another has asked for. Pure.

Whoever keeps the accounts of the whole zone may ask. The second one is another person who does, signed in by his own
means, whom the act gives nothing.
"""

from collections.abc import Collection, Iterable

from gateway.access.rights import Action, Caller, Right
from gateway.errors import Reason

ALONE_MS = 10 * 60_000
"""So long does it take until what the only administrator of a zone grants alone is done."""
LIFE_MS = 7 * 86_400_000
"""So long may it be decided."""
_ASK = "Ask another administrator of the zone, or the operator."


def keeps(rights: Iterable[Right], zone_id: int | None) -> bool:
    """Whether these rights keep all accounts of a zone; None: of every zone."""
    whole = [right for right in rights if right.action == Action.ADMINISTER and right.is_whole]
    return any(right.zone_id is None or (zone_id is not None and right.zone_id == zone_id) for right in whole)


def keeps_all(rights: Iterable[Right], zone_ids: Collection[int] | None) -> bool:
    """Whether these rights keep all accounts of each of these zones; None: of every zone."""
    held = tuple(rights)
    return keeps(held, None) or (zone_ids is not None and all(keeps(held, zone_id) for zone_id in zone_ids))


def sees(caller: Caller, zone_id: int | None, asked_by: int) -> bool:
    """Whether an approval is any business of a caller's: of one zone, or (None) of several or every one."""
    return caller.account_id == asked_by or keeps(caller.rights, zone_id)


def hindrance(
    caller: Caller, rights: Iterable[Right], zone_id: int | None, asked_by: int, targets: frozenset[str], own: str
) -> Reason | None:
    """Why somebody is not the second one; None: he is. `rights`: as they are now; `own`: the code of the account whose
    rights these are."""
    if not caller.person:
        text = "Only a person who has signed in decides what another has asked for, and no key."
        return Reason("G-PERSON", text, remedy="Sign in, and decide there.")
    if caller.account_id == asked_by:
        return Reason("G-ASKER", "Whoever has asked for it does not decide it.", remedy=_ASK)
    if targets & {caller.code, own}:
        return Reason("G-SUBJECT", "It is about this account itself.", remedy=_ASK)
    if not keeps(rights, zone_id):
        return missing(zone_id)
    return None


def missing(zone_id: int | None) -> Reason:
    """The reason that names what the account may not do."""
    where = "every zone" if zone_id is None else "the whole of this zone"
    text = f"This takes the right `administer` in {where}: of every kind, channel and mode, and of every network."
    return Reason("G-RIGHT", text, remedy="Have the right entered for the account, or ask somebody who has it.")
