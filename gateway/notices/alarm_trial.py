"""One alarm by every path, to see whether it would be heard, and what is told of alarms at the terminal."""

from collections.abc import Sequence

import msgspec

from gateway.notices.alarm_desk import alarm_of, call_webhook, operators, sentence, trial_alarm
from gateway.notices.notice import Fact, Notice, NoticeSubject
from gateway.notices.telling import local_time, masked, tell
from gateway.operations.alarms import AlarmState
from gateway.operations.status_line import StatusLine, age
from gateway.settings import AlarmSettings
from store import audit
from store.audit_line import Actor
from store.engine.database import Database
from store.engine.transaction import Transaction
from store.notices import alarms as rows
from store.notices import reading, webhooks

_SENT = ("accepted", "delivered")


class TrialPath(msgspec.Struct, frozen=True):
    """A path, and by what it was tried; neither: each address had had too many alarms of late."""

    path: str
    campaign_id: int | None = None
    call_id: int | None = None


async def begin_trial(database: Database, settings: AlarmSettings, by: Actor) -> list[TrialPath]:
    """Has an alarm told by every path that is set up; a line of the audit."""

    async def work(tx: Transaction) -> list[TrialPath]:
        alarm = trial_alarm(tx.now_ms)
        await audit.note(tx, "alarm-test", "alarms", by, detail={"paths": list(settings.paths)})
        found = []
        for path in settings.paths:
            if path == "webhook":
                call_id = await call_webhook(tx, alarm, "alarm.test", sentence(alarm)["en"])
                found.append(TrialPath(path, call_id=call_id))
                continue
            facts: dict[str, Fact] = {"what": sentence(alarm), "since": local_time(tx.now_ms)}
            notice = Notice(subject=NoticeSubject.ALARM, to=operators(settings, path), facts=facts)
            found.append(TrialPath(path, campaign_id=await tell(tx, notice)))
        return found

    return await database.write(work)


async def trial_lines(database: Database, begun: Sequence[TrialPath]) -> list[StatusLine]:
    """What has become of each by now."""
    lines = []
    async with database.read() as conn:
        for one in begun:
            if one.call_id is not None:
                call = await webhooks.call_view(conn, one.call_id)
                well = call is not None and call.taken_ms is not None
                why = f" ({call.error})" if call is not None and call.error else ""
                lines.append(StatusLine(well, f"webhook: {'taken' if well else 'not taken yet'}{why}"))
            elif one.campaign_id is not None:
                for told in await reading.states(conn, one.campaign_id):
                    why = f" ({told.code})" if told.code else ""
                    text = f"{one.path} {masked(told.address)}: {told.state}{why}"
                    lines.append(StatusLine(told.state in _SENT, text))
            else:
                lines.append(StatusLine(False, f"{one.path}: too many alarms were told of late; try again in an hour"))
    return lines


async def alarm_lines(database: Database, settings: AlarmSettings, now_ms: int) -> list[StatusLine]:
    """The lines of `tocsin status` about alarms, and about what lies outside."""
    async with database.read() as conn:
        standing = [alarm_of(row) for row in await rows.standing(conn)]
        outside = await webhooks.outside_views(conn)
    lines = []
    for one in standing:
        if one.state == AlarmState.RISING:
            continue
        text = f"ALARM since {age(now_ms - one.raised_ms)}: {sentence(one)['en']}"
        if not settings.paths:
            told = "nobody is told: [alarms] names nobody"
        elif one.confirmed_ms is not None:
            told = f"told by {one.path}"
        else:
            told = f"NOT HEARD yet, tried by {', '.join(one.ways) or 'no path'}"
        lines.append(StatusLine(False, f"{text} ({told})"))
    for view in outside:
        late = view.name == "ping" and now_ms - max(view.ok_ms, view.failed_ms) > 3_000 * settings.ping_every_s
        at = f"last taken {age(now_ms - view.ok_ms)} ago" if view.ok_ms else "never taken"
        why = f"; {view.detail}" if view.fails else ""
        lines.append(StatusLine(not view.fails and not late, f"{view.name}: {at}{why}"))
    if not settings.paths:
        lines.append(StatusLine(True, "alarms: nobody is told ([alarms]); 'tocsin alarm test' tries the paths"))
    return lines
