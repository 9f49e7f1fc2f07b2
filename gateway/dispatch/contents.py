"""The words of a campaign made ready for carriers: once per campaign, channel and language, kept while it is sent."""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from channels.contract import Channel, Content
from store import campaigns
from store.campaigns import Text
from store.database import Database
from store.records import Batch

_KEPT = 64

Make = Callable[[Channel, Text, int], Content]
"""(channel, text of the store, campaign id) -> what a carrier sends."""


@dataclass(slots=True)
class Contents:
    database: Database
    make: Make
    _kept: OrderedDict[tuple[int, str], Mapping[str, Content]] = field(default_factory=OrderedDict)

    async def __call__(self, batch: Batch) -> Mapping[str, Content]:
        """By language. Raises what `make` raises: the batch is then given back as stalled."""
        key = (batch.campaign_id, batch.channel)
        kept = self._kept.get(key)
        if kept is None:
            async with self.database.read() as conn:
                texts = await campaigns.texts(conn, batch.campaign_id)
            channel = Channel(batch.channel)
            kept = {
                text.language: self.make(channel, text, batch.campaign_id)
                for text in texts
                if text.channel == batch.channel
            }
            self._kept[key] = kept
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return kept
