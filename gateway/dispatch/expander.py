"""Makes rows and batches of frozen audiences, in chunks, while lanes already send: a million people do not delay
the first message."""

import asyncio
import contextlib
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from channels.contract import Channel
from gateway.directory.audience import Audience, decode
from store import campaigns, launching
from store.database import Database
from store.errors import StoreUnavailable
from store.launching import Entry, Expansion
from store.transaction import Transaction

log = logging.getLogger(__name__)

CHUNK = 2_000
"""Rows of one transaction: about 20 ms, the longest that the fence should ever wait."""
POLL_S = 0.25
_KEPT = 4
_TOGETHER = 64
"""Expansions of one transaction, at most."""
_SMALL_OCTETS = 20_000
"""Of a frozen audience that is read at once and not kept: one chunk makes all its rows."""
_Chunk: TypeAlias = tuple[Expansion, Sequence[Entry]]


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
        """One transaction of rows for the most urgent unfinished expansions; False when there is none.

        A storm of small alerts is a hundred expansions a second: they share a transaction, and wait for no other."""
        pending = await self.database.write(lambda tx: launching.pending_expansions(tx, most=_TOGETHER))
        chunks: list[_Chunk] = []
        rows = 0
        read: dict[int, Audience] = {}  # the channels of a campaign follow one another
        for expansion in pending:
            if expansion.campaign_id not in read:
                read = {expansion.campaign_id: await self._audience(expansion)}
            audience = read[expansion.campaign_id]
            entries = _entries(audience, Channel(expansion.channel), expansion, CHUNK - rows)
            chunks.append((expansion, entries))
            rows += len(entries)
            if rows >= CHUNK:
                break
        if chunks:
            # The first rows of a campaign are somebody waiting for an alert; the rest can wait for the fence.
            urgent = any(expansion.expanded_upto == 0 for expansion, _ in chunks)
            await self.database.write(lambda tx: self._expand(tx, chunks), urgent=urgent)
        for channel in {Channel(expansion.channel) for expansion, _ in chunks}:
            self.ring(channel)
        return bool(chunks)

    async def _expand(self, tx: Transaction, chunks: Sequence[_Chunk]) -> None:
        for expansion, entries in chunks:
            size = self.batch_sizes[Channel(expansion.channel)]
            await launching.expand(tx, expansion.campaign_id, expansion.channel, entries, batch_size=size)

    async def _audience(self, expansion: Expansion) -> Audience:
        kept = self._audiences.get(expansion.campaign_id)
        if kept is not None:
            self._audiences.move_to_end(expansion.campaign_id)
            return kept
        async with self.database.read() as conn:
            blob = await campaigns.audience_blob(conn, expansion.campaign_id)
        if blob is None:
            raise LookupError(f"campaign {expansion.campaign_id} has an expansion and no audience")
        if len(blob) <= _SMALL_OCTETS:
            return decode(blob)
        kept = self._audiences[expansion.campaign_id] = await asyncio.to_thread(decode, blob)
        while len(self._audiences) > _KEPT:
            self._audiences.popitem(last=False)
        return kept


def _entries(audience: Audience, channel: Channel, expansion: Expansion, most: int) -> list[Entry]:
    found = audience.deliveries[channel]
    start = expansion.expanded_upto
    chunk = slice(start, min(start + most, expansion.size))
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
