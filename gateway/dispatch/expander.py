"""Makes rows and batches of frozen audiences, in chunks, while lanes already send: a million people do not delay
the first message."""

import asyncio
import contextlib
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from channels.contract import Channel
from gateway.directory.audience import Audience, decode
from store import campaigns, launching
from store.database import Database
from store.errors import StoreUnavailable
from store.launching import Entry, Expansion

log = logging.getLogger(__name__)

CHUNK = 2_000
"""Rows of one transaction: about 20 ms, the longest that the fence should ever wait."""
POLL_S = 0.25
_KEPT = 4


@dataclass(slots=True)
class Expander:
    database: Database
    batch_sizes: Mapping[Channel, int]
    ring: Callable[[Channel], None]
    """Tell the channel's lanes that there is work."""
    bell: asyncio.Event = field(default_factory=asyncio.Event)
    _audiences: OrderedDict[int, Audience] = field(default_factory=OrderedDict)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                worked = await self.step()
            except StoreUnavailable:
                log.warning("store cannot write", extra={"action": "expand-failed"})
                worked = False
            if not worked:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(POLL_S):
                        await self.bell.wait()
                self.bell.clear()

    async def step(self) -> bool:
        """One chunk of the most urgent unfinished expansion; False when there is none."""
        pending = await self.database.write(lambda tx: launching.pending_expansions(tx, most=1), urgent=False)
        for expansion in pending:
            await self._expand(expansion)
        return bool(pending)

    async def _expand(self, expansion: Expansion) -> None:
        channel = Channel(expansion.channel)
        audience = await self._audience(expansion.campaign_id)
        entries = _entries(audience, channel, expansion)
        size = self.batch_sizes[channel]
        await self.database.write(
            lambda tx: launching.expand(tx, expansion.campaign_id, expansion.channel, entries, batch_size=size),
            # The first rows of a campaign are somebody waiting for an alert; the rest can wait for the fence.
            urgent=expansion.expanded_upto == 0,
        )
        self.ring(channel)

    async def _audience(self, campaign_id: int) -> Audience:
        kept = self._audiences.get(campaign_id)
        if kept is None:
            async with self.database.read() as conn:
                blob = await campaigns.audience_blob(conn, campaign_id)
            if blob is None:
                raise LookupError(f"campaign {campaign_id} has an expansion and no audience")
            kept = await asyncio.to_thread(decode, blob)
            self._audiences[campaign_id] = kept
            while len(self._audiences) > _KEPT:
                self._audiences.popitem(last=False)
        self._audiences.move_to_end(campaign_id)
        return kept


def _entries(audience: Audience, channel: Channel, expansion: Expansion) -> list[Entry]:
    found = audience.deliveries[channel]
    start = expansion.expanded_upto
    chunk = slice(start, min(start + CHUNK, expansion.size))
    columns = zip(
        found.member_id[chunk].tolist(),
        found.contact_id[chunk].tolist(),
        found.language[chunk].tolist(),
        strict=True,
    )
    first = expansion.first_seq + start
    return [
        Entry(first + n, member, contact, audience.languages[language])
        for n, (member, contact, language) in enumerate(columns)
    ]
