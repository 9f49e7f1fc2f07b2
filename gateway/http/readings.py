"""Readings of what is personal: each is a line of the audit, and is one before its answer leaves.

A walk through pages is one line: readings of one thing by one account from one address are, within each quarter of an
hour. Where there is no end of what can be asked (`apart`), the first questions are lines of their own, and what is
asked beyond them is one line. Where the line cannot be written nothing is read.
"""

from collections.abc import Mapping
from typing import Any

from gateway.http.asking import Asked
from store.audit_reading import PersonalReading, is_noted, note_reading


def reading_of(
    asked: Asked[Any, Any],
    action: str,
    subject: str,
    *,
    zone_id: int | None = None,
    detail: Mapping[str, Any] | None = None,
    apart: Mapping[str, Any] | None = None,
) -> PersonalReading:
    """`zone_id`: whose business it is, where it is one zone's; `apart`: what was asked, which may hold a person's
    name."""
    by = asked.caller.actor
    return PersonalReading(
        action=action, subject=subject, by=by, zone_id=zone_id, detail=detail or {}, apart=apart or {}
    )


async def keep(asked: Asked[Any, Any], reading: PersonalReading) -> None:
    """Returns once there is a durable line of it. Raises StoreUnavailable."""
    database = asked.context.services.database
    async with database.read() as conn:
        if await is_noted(conn, reading, database.clock.now_ms()):
            return
    await database.write(lambda tx: note_reading(tx, reading))  # somebody waits for the answer
