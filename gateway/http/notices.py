"""The handlers about what the platform itself tells: its notices, and the alarms of the machine. For operators."""

from typing import Annotated, Literal

import msgspec

from gateway.http.asking import Answer, Asked, NoQuery
from gateway.http.operations import require_machine
from gateway.http.pages import USUAL, Limit, heading, link
from gateway.notices.alarm_desk import alarm_of, sentence
from gateway.notices.notice import NoticeSubject
from gateway.notices.telling import masked
from gateway.operations.alarms import AlarmKind
from store.notices import alarms as alarm_rows
from store.notices import reading, webhooks
from store.notices.reading import NoticeDelivery, NoticeView

_PATH = "/api/v1/notices"
AlarmPath = Literal["email", "sms", "webhook"]


class FindNotices(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    after: Annotated[int, msgspec.Meta(ge=0, le=2**53)] = 0
    """The number after which the page begins, as `next` of the page before says."""
    limit: Limit = USUAL


class ToldAddress(msgspec.Struct, frozen=True):
    """What became of a notice at one address."""

    channel: Literal["sms", "email"]
    address: str
    """Masked: enough to tell two apart."""
    state: str
    """queued, retry, unknown, accepted, delivered, failed, expired or cancelled, as of any delivery."""
    code: str
    """What the carrier gave as its reason; empty for nothing."""
    changed_ms: int | None


class ToldNotice(msgspec.Struct, frozen=True, kw_only=True):
    """Something that the platform told on its own account. What it said is told to nobody else."""

    id: str | None
    """null: nobody was told, as each had had too many of this subject of late."""
    subject: NoticeSubject
    mode: Literal["live", "simulation"] | None
    told_ms: int
    recipients: int
    held_back: int
    """Of these, addresses that had had too many of late; the next one says so there."""
    ended_ms: int | None
    words_gone_ms: int | None
    """When its words were taken out of the store."""
    deliveries: tuple[ToldAddress, ...]
    """None any more once their time is over, as of any campaign."""


class NoticeList(msgspec.Struct, frozen=True, omit_defaults=True):
    notices: tuple[ToldNotice, ...]
    next: str = ""
    """Where the list goes on; absent at its end."""


class StandingAlarm(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is not well with the machine."""

    key: str
    kind: AlarmKind
    about: str
    """A carrier, a channel, a zone's code, a server."""
    state: Literal["rising", "standing", "falling"]
    """rising: not yet for long enough to tell anybody; falling: well again, and not yet for long enough."""
    text: str
    since_ms: int
    """It has been in this state."""
    raised_ms: int | None
    tried: tuple[AlarmPath, ...]
    """The paths by which the operators were told, in this order."""
    confirmed_ms: int | None
    """When a path had taken it; null: none has, by now."""


class OutsideState(msgspec.Struct, frozen=True):
    """What was answered last from outside."""

    name: Literal["ping", "webhook"]
    ok_ms: int | None
    failed_ms: int | None
    detail: str


class AlarmList(msgspec.Struct, frozen=True):
    alarms: tuple[StandingAlarm, ...]
    outside: tuple[OutsideState, ...]


async def listing(asked: Asked[FindNotices, None]) -> Answer:
    """The newest first, with what became of each at each address. For who may operate in every zone."""
    require_machine(asked.caller)
    query = asked.query
    async with asked.context.services.database.read() as conn:
        found = await reading.page(conn, before=query.after or None, most=query.limit + 1)
        page = found[: query.limit]
        told = await reading.deliveries(conn, [one.campaign_id for one in page if one.campaign_id is not None])
    next_ = link(_PATH, after=page[-1].number, limit=query.limit) if len(found) > len(page) else ""
    shown = tuple(_shown(one, told.get(one.campaign_id or 0, [])) for one in page)
    return Answer(NoticeList(shown, next_), headers=heading(next_))


async def alarms(asked: Asked[NoQuery, None]) -> Answer:
    """What is not well now, and how far the operators know of it; what was answered last from outside."""
    require_machine(asked.caller)
    async with asked.context.services.database.read() as conn:
        standing = [alarm_of(row) for row in await alarm_rows.standing(conn)]
        outside = await webhooks.outside_views(conn)
    shown = tuple(
        StandingAlarm(
            key=one.key,
            kind=AlarmKind(one.kind),
            about=one.about,
            state=msgspec.convert(one.state, Literal["rising", "standing", "falling"]),
            text=sentence(one)["en"],
            since_ms=one.since_ms,
            raised_ms=one.raised_ms or None,
            tried=msgspec.convert(one.ways, tuple[AlarmPath, ...]),
            confirmed_ms=one.confirmed_ms,
        )
        for one in standing
    )
    answers = tuple(
        OutsideState(
            msgspec.convert(one.name, Literal["ping", "webhook"]), one.ok_ms or None, one.failed_ms or None, one.detail
        )
        for one in outside
    )
    return Answer(AlarmList(shown, answers))


def _shown(notice: NoticeView, told: list[NoticeDelivery]) -> ToldNotice:
    return ToldNotice(
        id=notice.public_id,
        subject=NoticeSubject(notice.subject),
        mode=msgspec.convert(notice.mode, Literal["live", "simulation"] | None),
        told_ms=notice.made_ms,
        recipients=notice.recipients,
        held_back=notice.held_back,
        ended_ms=notice.ended_ms,
        words_gone_ms=notice.wiped_ms,
        deliveries=tuple(
            ToldAddress(
                msgspec.convert(one.channel, Literal["sms", "email"]),
                masked(one.address),
                one.state,
                one.code,
                one.changed_ms,
            )
            for one in told
        ),
    )
