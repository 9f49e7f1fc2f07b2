"""What only the record needs: reports sealed and amended, lots that end, the audit's chain, backups, retention."""

from gateway.dispatch.housekeeping import Chore
from gateway.failed_work_rests import Setbacks
from gateway.operations.backups import Schedule
from gateway.reports.addenda import amend_due
from gateway.reports.sealing import seal_due
from gateway.settings import Settings
from store import audit, retention
from store.engine.database import Database
from store.engine.turns import Turn
from store.money.ledger import expire_lots
from store.register import export_and_erase

_CLEARING_RESTS = 19.0
"""What is over goes in a twentieth of the time: a million deliveries in about half an hour."""
_ERASING_RESTS = 19.0
"""A person is looked for in what may be a million deliveries: in a twentieth of the time."""
_SEALING_RESTS = 4.0
"""Reports are sealed in a fifth of the time: in a storm of alerts every one of them ends in a report."""


def record_chores(database: Database, settings: Settings) -> tuple[Chore, ...]:
    """The chores that every node has: each finds done what another has done."""
    unsealed, unamended = Setbacks(), Setbacks()

    async def seal() -> bool:
        return bool(await seal_due(database, unsealed))

    async def amend() -> bool:
        await amend_due(database, unamended)
        return False

    async def expire() -> bool:
        return bool(await database.write(expire_lots, turn=Turn.LAST))

    async def chain() -> bool:
        return await database.write(audit.link, turn=Turn.LAST) == audit.LINKED_AT_ONCE

    async def erase() -> bool:
        return await export_and_erase.erase_some(database)

    keeping = retention.RetentionPeriods(
        settings.retention.deliveries_days, settings.retention.receipts_days, settings.retention.audit_days
    )

    async def clear() -> bool:
        return await database.write(lambda tx: retention.clear_some(tx, keeping), turn=Turn.LAST)

    return (
        Chore("seal", 1.0, seal, rests=_SEALING_RESTS),
        Chore("addenda", 60.0, amend),
        Chore("lots", 60.0, expire),
        Chore("audit", 1.0, chain),
        Chore("backup", 60.0, Schedule(database, settings.backup).run),
        Chore("retention", 60.0, clear, rests=_CLEARING_RESTS),
        Chore("erasures", 60.0, erase, rests=_ERASING_RESTS),
    )
