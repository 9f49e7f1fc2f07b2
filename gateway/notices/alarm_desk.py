"""Alarms are looked for, raised, and told by a path that works: state is rows, so that a restart repeats nothing."""

import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from channels.contract import Channel
from gateway.instants import rfc3339
from gateway.notices import occasions, texts
from gateway.notices.machine_facts import MachineFacts
from gateway.notices.notice import Fact, Notice, NoticeAddress, NoticeSubject
from gateway.notices.telling import HelpLines, local_time, no_help, tell
from gateway.operations.alarms import (
    RULES,
    Alarm,
    AlarmKind,
    AlarmState,
    AlarmVerdict,
    judge,
    next_path,
    reaches_nobody,
    told,
)
from gateway.settings import AlarmSettings
from store.engine.database import Database
from store.engine.transaction import Connection, Transaction
from store.engine.turns import Turn
from store.notices import alarms as rows
from store.notices import webhooks

log = logging.getLogger(__name__)

Look = Callable[[], Awaitable[MachineFacts]]


def alarm_of(row: Mapping[str, Any]) -> Alarm:
    return Alarm(**row)


def sentence(alarm: Alarm) -> dict[str, str]:
    """What an alarm says, by language."""
    return texts.phrase("alarms", alarm.kind, about=alarm.about, value=alarm.value or "?")


@dataclass(slots=True)
class AlarmDesk:
    database: Database
    settings: AlarmSettings
    look: Look
    ring: Callable[[], None] = lambda: None
    """Called when there is a webhook to call."""
    help_lines: HelpLines = no_help

    async def run(self) -> bool:
        """A chore: looks, and writes only where something has changed or somebody is still to be told. Raises
        StoreUnavailable."""
        facts = await self.look()
        if await self._is_needed(facts):
            judged = await self.database.write(lambda tx: self._step(tx, facts), turn=Turn.LAST)
            self.ring()
            for one in judged.raised:
                log.error(sentence(one)["en"], extra={"action": "alarm-raised", "alarm": True, "key": one.key})
            for one in judged.ended:
                log.warning("an alarm is over", extra={"action": "alarm-over", "key": one.key})
        return False

    async def _is_needed(self, facts: MachineFacts) -> bool:
        async with self.database.read() as conn:
            known = _by_key(await rows.standing(conn))
            now_ms = self.database.clock.now_ms()
            if judge(facts.observed, known, facts.complete, now_ms).changed:
                return True
            return any(
                next_path(one, self.settings.paths, facts.failing, self._escalate_ms, now_ms) for one in known.values()
            ) or bool(await _confirmed(conn, known))

    @property
    def _escalate_ms(self) -> int:
        return int(self.settings.escalate_s * 1000)

    async def _step(self, tx: Transaction, facts: MachineFacts) -> AlarmVerdict:
        await rows.alone(tx)
        known = _by_key(await rows.known(tx))
        judged = judge(facts.observed, known, facts.complete, tx.now_ms)
        now = known | {one.key: one for one in judged.changed}
        before = dict(now)
        await self._tell_zones(tx, judged, facts)
        for key in await _confirmed(tx.conn, now):
            now[key] = msgspec.structs.replace(now[key], confirmed_ms=tx.now_ms)
        for key, one in now.items():
            path = next_path(one, self.settings.paths, facts.failing, self._escalate_ms, tx.now_ms)
            if path is not None:
                now[key] = await self._tell(tx, one, path, sentence(one))
        for one in judged.ended:
            if RULES[AlarmKind(one.kind)].tells_end and one.path:
                await self._tell(tx, one, one.path, texts.over(sentence(one)), over=True)
        changed = {one.key for one in judged.changed}
        for key, one in now.items():
            if key in changed or one != before[key]:
                await rows.keep(tx, msgspec.structs.asdict(one))
        return judged

    async def _tell_zones(self, tx: Transaction, judged: AlarmVerdict, facts: MachineFacts) -> None:
        low = {zone.code: zone for zone in facts.low}
        for one in judged.raised:
            if one.kind == AlarmKind.BALANCE_LOW and one.about in low:
                await occasions.tell_balance(tx, low[one.about], one.raised_ms, self.help_lines)

    async def _tell(
        self, tx: Transaction, alarm: Alarm, path: str, what: Mapping[str, str], *, over: bool = False
    ) -> Alarm:
        """The alarm, told by this path."""
        key = f"{'alarm-over' if over else 'alarm'}/{alarm.key}/{alarm.raised_ms}/{path}"
        if path == "webhook":
            call_id = await call_webhook(tx, alarm, "alarm.over" if over else "alarm.raised", what["en"])
            return told(alarm, path, tx.now_ms, campaign_id=None, call_id=call_id)
        facts: dict[str, Fact] = {"what": what, "since": local_time(alarm.raised_ms)}
        notice = Notice(subject=NoticeSubject.ALARM, to=operators(self.settings, path), facts=facts, dedupe=key)
        campaign_id = await tell(tx, notice, self.help_lines)
        return told(alarm, path, tx.now_ms, campaign_id=campaign_id, call_id=None)


def operators(settings: AlarmSettings, path: str) -> tuple[NoticeAddress, ...]:
    """Those who operate the machine, by mail or by SMS."""
    channel, found = (Channel.EMAIL, settings.emails) if path == "email" else (Channel.SMS, settings.mobiles)
    return tuple(NoticeAddress(channel, address, settings.language) for address in found)


async def call_webhook(tx: Transaction, alarm: Alarm, type_: str, text: str) -> int:
    """Has the webhook of the settings called; returns the call's number. No person stands in what it is told."""
    data = {"key": alarm.key, "kind": alarm.kind, "about": alarm.about, "text": text}
    body = {"type": type_, "timestamp": rfc3339(tx.now_ms), "data": data | {"since_ms": alarm.raised_ms}}
    return await webhooks.queue(tx, f"msg_{secrets.token_hex(12)}", type_, msgspec.json.encode(body).decode())


def trial_alarm(now_ms: int) -> Alarm:
    """What `tocsin alarm test` tells."""
    return Alarm(
        key=AlarmKind.TEST, kind=AlarmKind.TEST, about="", state=AlarmState.STANDING, value="", since_ms=now_ms,
        raised_ms=now_ms, seen_ms=now_ms,
    )  # fmt: skip


async def unheard(database: Database, settings: AlarmSettings) -> list[Alarm]:
    """The alarms that no path has brought to anybody."""
    async with database.read() as conn:
        known = _by_key(await rows.standing(conn))
    now_ms, escalate_ms = database.clock.now_ms(), int(settings.escalate_s * 1000)
    return [one for one in known.values() if reaches_nobody(one, settings.paths, escalate_ms, now_ms)]


def _by_key(found: list[Mapping[str, Any]]) -> dict[str, Alarm]:
    return {row["key"]: alarm_of(row) for row in found}


async def _confirmed(conn: Connection, known: Mapping[str, Alarm]) -> list[str]:
    """The keys of those that a path has taken by now, whichever it was: an earlier one may have come round since."""
    waiting = {key: one for key, one in known.items() if one.stands and one.ways and one.confirmed_ms is None}
    if not waiting:
        return []
    campaigns = [one.campaign_id for one in waiting.values() if one.campaign_id is not None]
    calls = [one.call_id for one in waiting.values() if one.call_id is not None]
    sent, taken = await rows.confirmed(conn, campaigns, calls)
    return [key for key, one in waiting.items() if one.campaign_id in sent or one.call_id in taken]
