"""The words of a campaign made ready for carriers: once per campaign, channel and language, kept while it is sent."""

import asyncio
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from channels.contract import Channel, Content
from channels.email.sender import MailSender
from gateway.directory.zone_policy import read_policy
from gateway.dispatch.unsubscribing import LISTS, link
from gateway.media import Posting, prepare
from gateway.settings import EmailSettings
from gateway.texts.content import read_content
from store.campaigns import reading as campaigns
from store.campaigns.reading import Campaign, Text
from store.engine.database import Database
from store.notices import reading as notices
from store.notices.reading import NoticeText, NoticeWords
from store.outbox.records import Batch
from store.register.reading import zone_by_id

_KEPT = 64

Make = Callable[[Campaign, str, Text], Content]
"""(campaign, the sender's name as people see it, text) -> what a carrier sends."""
MakeNotice = Callable[[NoticeWords, NoticeText], Content]
"""(notice, text) -> what a carrier sends: from the platform itself, on no list."""


def content_maker(email: EmailSettings, public_url: str, bounce_key: bytes) -> Make:
    """Makes the words of campaigns ready. `public_url`: where readers of mail reach this server; without, no mail
    has a link to unsubscribe."""

    def make(campaign: Campaign, sender_name: str, text: Text) -> Content:
        sender = _sender(email, sender_name, bounce_key)
        # RFC 2919: letters, digits and hyphens; a zone's code may be anything.
        label = re.sub(r"[^a-z0-9]+", "-", campaign.zone_code.lower()).strip("-") or "zone"
        list_id = f"{label}.{email.message_id_domain}".lower()
        unsubscribe = link(public_url) if campaign.kind in LISTS else ""
        posting = Posting(sender=sender, date_ms=campaign.starts_ms, list_id=list_id, unsubscribe=unsubscribe)
        return prepare(Channel(text.channel), text.language, read_content(text.content), posting)

    return make


def notice_maker(email: EmailSettings, bounce_key: bytes) -> MakeNotice:
    """Makes the words of notices ready: no zone is their sender, and nobody unsubscribes from them."""

    def make(notice: NoticeWords, text: NoticeText) -> Content:
        posting = Posting(sender=_sender(email, "", bounce_key), date_ms=notice.starts_ms)
        return prepare(Channel(text.channel), text.language, read_content(text.content), posting)

    return make


def _sender(email: EmailSettings, name: str, bounce_key: bytes) -> MailSender:
    return MailSender(
        name=name or email.sender_name,
        address=email.sender_address,
        message_id_domain=email.message_id_domain,
        bounce_domain=email.bounce_domain,
        bounce_key=bounce_key,
    )


_Words = Sequence[tuple[str, str, Callable[[], Content]]]
"""(channel, language, what makes it ready) of each text, for every channel."""


@dataclass(slots=True)
class Contents:
    database: Database
    make: Make
    make_notice: MakeNotice
    _kept: OrderedDict[tuple[int, str], Mapping[str, Content]] = field(default_factory=OrderedDict)
    _words: OrderedDict[int, _Words] = field(default_factory=OrderedDict)
    """By campaign: its channels begin together, and read once."""
    _reading: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def __call__(self, batch: Batch) -> Mapping[str, Content]:
        """By language. Raises what `make` raises: the batch is then given back as stalled."""
        key = (batch.campaign_id, batch.channel)
        kept = self._kept.get(key)
        if kept is None:
            kept = await self._made(batch)
            self._kept[key] = kept
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return kept

    async def _made(self, batch: Batch) -> Mapping[str, Content]:
        async with self._reading:
            words = self._words.get(batch.campaign_id)
            if words is None:
                words = self._words[batch.campaign_id] = await self._read(batch.campaign_id)
                while len(self._words) > _KEPT:
                    self._words.popitem(last=False)
        return {language: make() for channel, language, make in words if channel == batch.channel}

    async def _read(self, campaign_id: int) -> _Words:
        async with self.database.read() as conn:
            campaign = await campaigns.by_id(conn, campaign_id)
            if campaign is None:
                return self._of_notice(campaign_id, await notices.words(conn, campaign_id))
            texts = await campaigns.texts(conn, campaign_id)
            zone = await zone_by_id(conn, campaign.zone_id)
        if zone is None:
            raise LookupError(f"campaign {campaign_id} is not there")
        name = read_policy(zone.policy).email_sender_name or zone.name
        return [(text.channel, text.language, partial(self.make, campaign, name, text)) for text in texts]

    def _of_notice(self, campaign_id: int, found: NoticeWords | None) -> _Words:
        if found is None:
            raise LookupError(f"campaign {campaign_id} is not there, or its words are gone")
        return [(text.channel, text.language, partial(self.make_notice, found, text)) for text in found.texts]
