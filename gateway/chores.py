"""What only the record needs: reports sealed and amended, lots that end, the audit's chain, backups, retention; and
what the platform tells by itself: alarms, webhooks, the ping."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from gateway.bell import Bell
from gateway.dispatch.housekeeping import Chore
from gateway.failed_work_rests import Setbacks
from gateway.notices.alarm_desk import AlarmDesk, unheard
from gateway.notices.machine_facts import FactFinder
from gateway.notices.occasions import tell_ended
from gateway.notices.outside import DeadManPing, WebhookCaller
from gateway.notices.telling import HelpLines, tell_what_was_held_back
from gateway.operations.backups import Schedule
from gateway.reports.addenda import amend_due
from gateway.reports.report import Report
from gateway.reports.sealing import seal_due
from gateway.settings import Settings
from store import audit, retention
from store.engine.database import Database
from store.engine.transaction import Transaction
from store.engine.turns import Turn
from store.money.ledger import expire_lots
from store.notices import closing
from store.register import export_and_erase

_CLEARING_RESTS = 19.0
"""What is over goes in a twentieth of the time: a million deliveries in about half an hour."""
_ERASING_RESTS = 19.0
"""A person is looked for in what may be a million deliveries: in a twentieth of the time."""
_LOOK_S = 5.0
"""How often it is looked whether something is not well."""
_SEALING_RESTS = 4.0
"""Reports are sealed in a fifth of the time: in a storm of alerts every one of them ends in a report."""


def record_chores(database: Database, settings: Settings, help_lines: HelpLines) -> tuple[Chore, ...]:
    """The chores that every node has: each finds done what another has done."""
    unsealed, unamended = Setbacks(), Setbacks()
    tell = partial(_tell_launcher, help_lines)

    async def seal() -> bool:
        return bool(await seal_due(database, unsealed, tell))

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


async def _tell_launcher(help_lines: HelpLines, tx: Transaction, campaign_id: int, report: Report) -> None:
    """Nobody is told of what was simulated: whoever tried something looks at it."""
    if report.campaign.mode != "live":
        return
    persons = report.persons
    reached = persons.of("reached") + persons.of("accepted")
    await tell_ended(
        tx,
        campaign_id,
        zone=report.campaign.zone,
        title=report.campaign.title,
        reached=reached,
        not_reached=persons.included - reached,
        help_lines=help_lines,
    )


def notice_chores(
    database: Database,
    settings: Settings,
    find: FactFinder,
    trouble: Callable[[], Awaitable[Sequence[str]]],
    help_lines: HelpLines,
) -> tuple[Chore, ...]:
    """The chores of notices and alarms. `trouble`: what of this process is not well enough to say that all is."""
    bell = Bell()
    desk = AlarmDesk(database, settings.alarms, find.look, bell.ring, help_lines)

    async def close() -> bool:
        return await database.write(closing.close_some, turn=Turn.LAST)

    async def held_back() -> bool:
        return await database.write(tell_what_was_held_back, turn=Turn.LAST)

    async def why_unwell() -> str:
        lost = [f"alarm {one.key} reaches nobody" for one in await unheard(database, settings.alarms)]
        return "; ".join([*await trouble(), *lost])

    ping = DeadManPing(database, settings.alarms, why_unwell)
    return (
        Chore("notices", 30.0, close, rests=_CLEARING_RESTS),
        Chore("notices-held-back", 60.0, held_back, rests=_CLEARING_RESTS),
        Chore("alarms", _LOOK_S, desk.run),
        Chore("webhooks", 1.0, WebhookCaller(database, settings.alarms).run, bell),
        Chore("ping", settings.alarms.ping_every_s, ping.run),
    )
