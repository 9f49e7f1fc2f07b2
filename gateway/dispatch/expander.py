"""Makes rows and batches of frozen audiences, in chunks, while lanes already send: a million people do not delay
the first message."""

import asyncio
import contextlib
import logging
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeAlias

from channels.contract import Channel
from gateway.bell import Bell
from gateway.directory.audience import Audience, decode
from gateway.failed_work_rests import Round, Setbacks
from store.campaigns import reading as campaigns
from store.engine.database import Database
from store.engine.transaction import Transaction
from store.engine.turns import Turn
from store.errors import StoreUnavailable
from store.outbox.expansion import AudienceEntry, Expansion, expand, pending_expansions

log = logging.getLogger(__name__)

CHUNK = 2_000
"""Rows of one transaction: about 20 ms, the longest that the fence should ever wait."""
POLL_S = 0.25
_KEPT = 4
_TOGETHER = 64
"""Expansions of one transaction, at most."""
_SMALL_OCTETS = 20_000
"""Of a frozen audience that is read at once and not kept: one chunk makes all its rows."""
_Chunk: TypeAlias = tuple[Expansion, Sequence[AudienceEntry]]


@dataclass(slots=True)
class Expander:
    database: Database
    batch_sizes: Mapping[Channel, int]
    ring: Callable[[Channel], None]
    """Tell the channel's lanes that there is work."""
    bell: Bell = field(default_factory=Bell)
    room_on_disk: Callable[[], bool] = lambda: True
    """Without room no rows are made: what is left belongs to receipts and to the answers of carriers."""
    _setbacks: Setbacks = field(default_factory=Setbacks)
    _audiences: OrderedDict[int, Audience] = field(default_factory=OrderedDict)

    async def run(self) -> None:
        """Makes rows until cancelled."""
        while True:
            worked = False
            try:
                worked = await self.step()
            except StoreUnavailable:
                log.warning("store away", extra={"action": "expand-failed"})
            except Exception:
                log.exception("expansion failed", extra={"action": "expand-failed"})
                await asyncio.sleep(1.0)
            if not worked:
                await self.bell.heard(POLL_S)

    async def step(self) -> bool:
        """One transaction of rows for the most urgent unfinished expansions; False when there is none, or no room.

        A storm of small alerts is a hundred expansions a second: they share a transaction, and wait for no other."""
        if not self.room_on_disk():
            return False
        pending = await self._setbacks.due(self._pending)
        chunks = await self._chunks(pending)
        if chunks:
            await self._make(chunks)
        for channel in {Channel(expansion.channel) for expansion, _ in chunks}:
            self.ring(channel)
        return bool(chunks)

    async def _pending(self, without: Collection[int]) -> Sequence[Expansion]:
        return await self.database.write(lambda tx: pending_expansions(tx, most=_TOGETHER, without=without))

    async def _chunks(self, pending: Sequence[Expansion]) -> list[_Chunk]:
        chunks: list[_Chunk] = []
        rows = 0
        failed: set[int] = set()
        round_ = Round(self._setbacks)
        read: dict[int, Audience] = {}
        for expansion in pending:
            if expansion.campaign_id in failed:
                continue
            entries = await round_.attempt(
                expansion.campaign_id, "expand-failed", partial(self._next, expansion, CHUNK - rows, read)
            )
            if entries is None:
                failed.add(expansion.campaign_id)
                continue
            chunks.append((expansion, entries))
            rows += len(entries)
            if rows >= CHUNK:
                break
        round_.end()
        return chunks

    async def _next(self, expansion: Expansion, most: int, read: dict[int, Audience]) -> Sequence[AudienceEntry]:
        if expansion.campaign_id not in read:
            read.clear()  # the channels of a campaign follow one another
            read[expansion.campaign_id] = await self._audience(expansion)
        entries = _entries(read[expansion.campaign_id], Channel(expansion.channel), expansion, most)
        if not entries:
            raise ValueError(f"the audience of campaign {expansion.campaign_id} is shorter than its expansion")
        return entries

    async def _make(self, chunks: Sequence[_Chunk]) -> None:
        # The first rows of a campaign are somebody waiting for an alert; the rest can wait for the fence.
        begins = any(expansion.expanded_upto == 0 for expansion, _ in chunks)

        async def make(of: Sequence[_Chunk]) -> None:
            await self.database.write(lambda tx: self._expand(tx, of), turn=Turn.FIRST if begins else Turn.LAST)

        if len(chunks) > 1:
            # One of them spoils the transaction of all, also where the store has no answer: then each by itself.
            with contextlib.suppress(Exception):
                return await make(chunks)
        round_ = Round(self._setbacks)
        for chunk in chunks:
            await round_.attempt(chunk[0].campaign_id, "expand-failed", partial(make, [chunk]))
        round_.end()

    async def _expand(self, tx: Transaction, chunks: Sequence[_Chunk]) -> None:
        for expansion, entries in chunks:
            size = self.batch_sizes[Channel(expansion.channel)]
            await expand(tx, expansion.campaign_id, expansion.channel, entries, batch_size=size)

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


def _entries(audience: Audience, channel: Channel, expansion: Expansion, most: int) -> list[AudienceEntry]:
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
        AudienceEntry(first + n, member, contact, audience.languages[language])
        for n, (member, contact, language) in enumerate(columns)
    ]
