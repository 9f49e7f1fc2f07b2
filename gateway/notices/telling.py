"""Telling somebody something on the platform's own account: rows in the caller's transaction, sent by the lanes.

Nothing of a notice lives in memory: once the transaction of whoever tells it is committed, it leaves by the same
outbox, slots, carriers and fail-over as every message.
"""

import secrets
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import partial
from zoneinfo import ZoneInfo

from channels.contract import Channel, Mode
from gateway.kinds import KINDS, Kind
from gateway.media import prepare
from gateway.notices import texts
from gateway.notices.notice import SUBJECTS, Notice, NoticeAddress, NoticeSubject
from gateway.texts.content import TextContent, write_content
from store.engine.transaction import Transaction
from store.notices import telling as rows
from store.outbox.records import NewText

HelpLines = Callable[[str, str], Sequence[str]]
"""(language, code of a zone or empty) -> the lines that name the helpdesk."""
LIMITS = rows.TellingLimits(per_hour=10, per_day=30)
"""Of one subject to one address."""
PRIORITY = KINDS[Kind.ALERT].priority + 1
"""Below every alert."""
_HORIZON_MS = 3_600_000
_BELGIUM = ZoneInfo("Europe/Brussels")


def no_help(language: str, zone: str) -> Sequence[str]:
    return ()


def local_time(at_ms: int) -> str:
    """An instant as people in Belgium write it: 05/12/2026 14:00."""
    return datetime.fromtimestamp(at_ms / 1000, _BELGIUM).strftime("%d/%m/%Y %H:%M")


async def tell(tx: Transaction, notice: Notice, help_lines: HelpLines = no_help) -> int | None:
    """The campaign of the notice, whose deliveries `store.notices.reading.states` tells. What was told under the same
    `dedupe` is not told again: its campaign. None: every address has had too many of this subject of late; that is
    counted, and the next one says so. Raises NoticeUnwritable, and writes nothing then."""
    addresses = tuple(dict.fromkeys(notice.to))
    for one in addresses:  # before anything is written: what cannot be said is a fault of whoever tells it
        texts.write(notice.subject, one.channel, texts.language_of(one.language), notice.facts)
    key = None if notice.dedupe is None else f"{notice.subject}:{notice.dedupe}"
    place = await rows.claim(tx, notice.subject, key, len(addresses))
    if place.id is None:
        return place.campaign_id
    granted = await _admitted(tx, notice.subject, addresses) if notice.bounded else [(one, 0) for one in addresses]
    held_back = len(addresses) - len(granted)
    if not granted:
        await rows.file_held_back(tx, place.id, held_back)
        return None

    def said(to: NoticeAddress, missed: int) -> TextContent:
        language = texts.language_of(to.language)
        lines = help_lines(language, notice.zone)
        return texts.write(
            notice.subject, to.channel, language, notice.facts, held_back=missed, help_lines=lines
        )  # fmt: skip

    urgent = notice.urgent and notice.subject is NoticeSubject.APPROVAL
    new = _new(notice.subject, notice.mode, granted, said, urgent=urgent)
    return await rows.file(tx, place.id, new, held_back)


_Granted = tuple[NoticeAddress, int]
"""Whom, and how much they were not told before."""


async def _admitted(tx: Transaction, subject: NoticeSubject, addresses: Iterable[NoticeAddress]) -> list[_Granted]:
    # In one order, whoever tells: of two that tell the same people neither waits for the other.
    found = []
    for one in sorted(addresses, key=lambda one: (one.address, one.channel)):
        delivery = rows.NewDelivery(one.channel, one.address, one.language)
        admission = await rows.admit(tx, delivery, subject, LIMITS)
        if admission.granted:
            found.append((one, admission.held_back))
    return found


def _new(
    subject: NoticeSubject,
    mode: Mode,
    granted: Sequence[_Granted],
    said: Callable[[NoticeAddress, int], TextContent],
    *,
    urgent: bool = False,
) -> rows.NewNotice:
    written: dict[tuple[str, str], NewText] = {}
    deliveries = []
    for to, missed in granted:
        # Whoever missed something is told so in a text of their own: a private part of the language's tag (RFC 5646).
        tag = texts.language_of(to.language) + (f"-x-{missed}" if missed else "")
        if (to.channel, tag) not in written:
            content = said(to, missed)
            units = prepare(to.channel, tag, content).units
            written[to.channel, tag] = NewText(to.channel, tag, write_content(content), units, 0)
        deliveries.append(rows.NewDelivery(to.channel, to.address, tag))
    return rows.NewNotice(
        public_id=secrets.token_hex(10),
        subject=subject,
        mode=mode,
        priority=KINDS[Kind.ALERT].priority if urgent else PRIORITY,
        life_ms=SUBJECTS[subject].life_ms,
        horizon_ms=_HORIZON_MS,
        texts=tuple(written.values()),
        deliveries=tuple(deliveries),
    )


async def tell_what_was_held_back(tx: Transaction) -> bool:
    """Whoever was not told something, and has heard nothing since that says so, is told how much it was as soon as
    they may be. A subject whose newer link takes the place of older ones is let go. Returns whether there was any."""
    found = await rows.may_be_told_again(tx, LIMITS)
    for row in found:
        subject = NoticeSubject(row.subject)
        if not SUBJECTS[subject].coalesces:
            await rows.forget_held_back(tx, row.address, subject)
            continue
        to = NoticeAddress(Channel(row.channel), row.address, row.language)
        granted = await _admitted(tx, subject, (to,))
        if granted:
            place = await rows.claim(tx, subject, None, 1)
            assert place.id is not None
            new = _new(subject, Mode.LIVE, granted, partial(_coalesced, subject))
            await rows.file(tx, place.id, new, 0)
    return bool(found)


def _coalesced(subject: NoticeSubject, to: NoticeAddress, missed: int) -> TextContent:
    return texts.coalesced(to.channel, texts.language_of(to.language), subject, missed)


def masked(address: str) -> str:
    """An address as an operator may see it: enough to tell two apart."""
    local, at, domain = address.partition("@")
    if at:
        return f"{local[:1]}…@{domain}"
    return f"{address[:4]}…{address[-2:]}"
