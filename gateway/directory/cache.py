"""Snapshots kept in memory, loaded again when a zone's register has moved: whoever resolves sees what was committed.

The check is one indexed read. Columns are built in a thread. Memory is bounded by members, not by zones.
"""

import asyncio
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.directory.snapshot import Snapshot, build
from store.directory import RegisterMoved, RegisterRows, read_register, register_rev

Read = Callable[[], AbstractAsyncContextManager[AsyncConnection]]
"""`Database.read`."""

_LOAD_S = 60.0
"""A million members load in some 10 s; what takes longer than this has lost its database."""


class SnapshotCache:
    """The zones of this process."""

    def __init__(self, read: Read, *, max_members: int = 5_000_000) -> None:
        """`max_members`: least recently used zones are dropped beyond it (about 105 bytes a member)."""
        self._read = read
        self._max_members = max_members
        self._kept: OrderedDict[int, Snapshot] = OrderedDict()
        self._locks: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def get(self, zone_id: int) -> Snapshot | None:
        """The register of a zone as committed at the call or later; None when there is no such zone.

        Raises TimeoutError when the database does not answer.
        """
        async with asyncio.timeout(_LOAD_S), self._locks[zone_id]:
            kept = self._kept.get(zone_id)
            if kept is None or kept.revision != await self._revision(zone_id):
                kept = await self._load(zone_id)
            if kept is None:
                self._kept.pop(zone_id, None)
                del self._locks[zone_id]
                return None
            self._kept[zone_id] = kept
            self._kept.move_to_end(zone_id)
            self._drop_beyond()
            return kept

    async def _revision(self, zone_id: int) -> int | None:
        async with self._read() as conn:
            return await register_rev(conn, zone_id)

    async def _load(self, zone_id: int) -> Snapshot | None:
        rows = await self._rows(zone_id)
        return None if rows is None else await asyncio.to_thread(build, rows)

    async def _rows(self, zone_id: int) -> RegisterRows | None:
        while True:
            try:
                async with self._read() as conn:
                    return await read_register(conn, zone_id)
            except RegisterMoved:
                await asyncio.sleep(0.05)  # an import is running; its transactions are short

    def _drop_beyond(self) -> None:
        while len(self._kept) > 1 and sum(map(len, self._kept.values())) > self._max_members:
            self._kept.popitem(last=False)
