"""Whoever sends into a hold is told so: what is launched waits, and nobody is reached until it is lifted."""

from collections.abc import Collection

from gateway.errors import Reason
from store.engine.transaction import Connection
from store.outbox import holds
from store.register.reading import ZoneRow

_TEXTS = {
    "all": "Everything is held: these messages wait until that is lifted.",
    "zone": "Zone {} is held: these messages wait until that is lifted.",
    "channel": "Channel {} is held: its messages wait until that is lifted.",
}
_REMEDY = "Ask whoever operates the gateway, or the zone, to lift it."


async def held_reasons(conn: Connection, zone: ZoneRow, channels: Collection[str]) -> tuple[Reason, ...]:
    """What holds up messages of this zone on these channels at this moment."""
    found = await holds.over(conn, zone.id)
    return tuple(_reason(scope, subject, zone) for scope, subject in found if scope != "channel" or subject in channels)


def _reason(scope: str, subject: str, zone: ZoneRow) -> Reason:
    text, named = _TEXTS[scope], zone.code if scope == "zone" else subject
    facts = (named,) if named else ()
    return Reason(
        "HELD", text.format(*facts), level="warning", value=named, remedy=_REMEDY, cause=scope, facts=facts
    )  # fmt: skip
