"""The words of a campaign made ready for carriers: once per campaign, channel and language, kept while it is sent."""

import asyncio
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

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
from store.outbox.records import Batch
from store.register.reading import zone_by_id

_KEPT = 64

Make = Callable[[Campaign, str, Text], Content]
"""(campaign, the sender's name as people see it, text) -> what a carrier sends."""


def content_maker(email: EmailSettings, public_url: str, bounce_key: bytes) -> Make:
    """Makes the words of campaigns ready. `public_url`: where readers of mail reach this server; without, no mail
    has a link to unsubscribe."""

    def make(campaign: Campaign, sender_name: str, text: Text) -> Content:
        sender = MailSender(
            name=sender_name or email.sender_name,
            address=email.sender_address,
            message_id_domain=email.message_id_domain,
            bounce_domain=email.bounce_domain,
            bounce_key=bounce_key,
        )
        # RFC 2919: letters, digits and hyphens; a zone's code may be anything.
        label = re.sub(r"[^a-z0-9]+", "-", campaign.zone_code.lower()).strip("-") or "zone"
        list_id = f"{label}.{email.message_id_domain}".lower()
        unsubscribe = link(public_url) if campaign.kind in LISTS else ""
        posting = Posting(sender=sender, date_ms=campaign.starts_ms, list_id=list_id, unsubscribe=unsubscribe)
        return prepare(Channel(text.channel), text.language, read_content(text.content), posting)

    return make


_Words = tuple[Campaign, str, Sequence[Text]]
"""A campaign, its sender's name as people see it, and its texts for every channel."""


@dataclass(slots=True)
class Contents:
    database: Database
    make: Make
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
        campaign, name, texts = words
        return {t.language: self.make(campaign, name, t) for t in texts if t.channel == batch.channel}

    async def _read(self, campaign_id: int) -> _Words:
        async with self.database.read() as conn:
            campaign = await campaigns.by_id(conn, campaign_id)
            texts = await campaigns.texts(conn, campaign_id)
            zone = await zone_by_id(conn, campaign.zone_id) if campaign else None
        if campaign is None or zone is None:
            raise LookupError(f"campaign {campaign_id} is not there")
        return campaign, read_policy(zone.policy).email_sender_name or zone.name, texts
