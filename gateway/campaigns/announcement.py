"""What is to be told: the one value that launches, Updates and Cancels are planned from, whichever door it came in by.

A CAP document is turned into it here, and nowhere else; from here on nobody knows of documents.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from cap import Alert, MsgType
from channels.contract import Channel, Mode
from gateway.campaigns.intake import Act, Decision
from gateway.campaigns.request_body import reread
from gateway.directory.targets import Targets
from gateway.kinds import Kind
from gateway.texts.compose import named, wording_of
from gateway.texts.content import MailContent, read_content
from gateway.texts.story import Passage, Story
from gateway.texts.wording import Wording
from store.campaigns import alerts as filed_alerts
from store.campaigns import reading as campaigns
from store.campaigns.reading import Campaign
from store.engine.transaction import Connection
from store.outbox.records import ThreadSeen


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcement:
    purpose: str
    """alert, update, cancel or message: what it is in its thread."""
    title: str
    """Empty of a Cancel that says nothing itself: it bears the title of what it cancels."""
    wording: Wording
    kind: Kind | None
    """None of a Cancel that names none: it takes the kind of what it cancels."""
    mode: Mode
    starts_ms: int
    expires_ms: int
    channels: tuple[Channel, ...] | None = None
    """None: whatever the zone's policy gives this kind. A Cancel takes those of what it cancels."""
    targets: Targets = field(default_factory=Targets)
    zones: frozenset[str] | None = None
    """The codes of the zones that it is meant for; None: all in which its author may act."""
    threads: tuple[ThreadSeen, ...] = ()
    """What it follows; none: it begins a thread."""

    @property
    def cancels(self) -> bool:
        return self.purpose == "cancel"


def of_alert(alert: Alert, decision: Decision) -> Announcement:
    """The announcement that an alert makes. `decision`: to launch or to cancel."""
    purpose = "update" if alert.msg_type is MsgType.UPDATE else "alert"
    title = next((i.headline or i.event for i in alert.infos), "")
    cancels = decision.act is Act.CANCEL
    return Announcement(
        purpose="cancel" if cancels else purpose,
        title=title if title or cancels else alert.identifier,
        wording=wording_of(alert),
        kind=decision.kind,
        mode=decision.mode,
        starts_ms=decision.starts_ms,
        expires_ms=decision.expires_ms,
        channels=decision.channels,
        targets=decision.targets,
        threads=decision.threads,
    )


async def called(conn: Connection, earlier: Sequence[Campaign]) -> tuple[Story, ...]:
    """How these campaigns called what they are about, by language: for a Cancel that has no text of its own. Of each
    thread the latest word; where several end together each reader must find the one they were told of."""
    latest = {c.thread_id: c for c in earlier}
    found = [stories for c in latest.values() if (stories := await _names(conn, c))]
    languages = dict.fromkeys(story.language for stories in found for story in stories)
    return tuple(_together(language, found) for language in languages)


def _together(language: str, found: Sequence[Sequence[Story]]) -> Story:
    # What has no name in this language keeps the one it has: better a foreign word than none.
    each = [next((s for s in stories if s.language == language), stories[0]) for stories in found]
    passages = tuple(passage for story in each for passage in story.passages)
    return msgspec.structs.replace(each[0], language=language, passages=passages)


async def _names(conn: Connection, campaign: Campaign) -> tuple[Story, ...]:
    if campaign.alert_public_id is not None:
        filed = await filed_alerts.by_public_id(conn, campaign.alert_public_id)
        return named(reread(filed.document)) if filed else ()
    headlines: dict[str, str] = {}
    for text in await campaigns.texts(conn, campaign.id):
        content = read_content(text.content)
        if isinstance(content, MailContent):
            headlines[text.language] = content.subject
        headlines.setdefault(text.language, campaign.title)
    return tuple(Story(language=language, passages=(Passage(headline=h),)) for language, h in headlines.items())
