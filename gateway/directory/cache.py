"""Snapshots kept in memory and brought up to date before they are used: whoever resolves sees what was committed.

The check is one indexed read; what has changed is read in proportion to the change, not to the zone. A zone is read as
a whole once in the life of a process, ahead of need where there is room. Columns are built in a thread. Memory is
bounded by members, not by zones.
"""

import asyncio
from collections import OrderedDict, defaultdict
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

from gateway.directory.renewal import renewed
from gateway.directory.snapshot import Snapshot, build
from store.engine.transaction import Connection
from store.register.reading import RegisterMoved, member_count, read_changes, read_register, register_rev, zones

T = TypeVar("T")
OpenRead = Callable[[], AbstractAsyncContextManager[Connection]]
"""`Database.read`."""

_LOAD_S = 60.0
"""A million members load in some 6 s; what takes longer than this has lost its database."""


class SnapshotCache:
    """The zones of this process."""

    def __init__(self, read: OpenRead, *, max_members: int = 5_000_000) -> None:
        """`max_members`: least recently used zones are dropped beyond it (about 106 bytes a member)."""
        self._read = read
        self._max_members = max_members
        self._kept: OrderedDict[int, Snapshot] = OrderedDict()
        self._locks: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def get(self, zone_id: int) -> Snapshot | None:
        """The register of a zone as committed at the call or later; None when there is no such zone.

        Raises TimeoutError when the database does not answer.
        """
        found = await self._current(zone_id)
        if found is not None:
            self._kept.move_to_end(zone_id)
            self._drop_beyond()
        return found

    def peek(self, zone_id: int) -> Snapshot | None:
        """What is kept of a zone, however old."""
        return self._kept.get(zone_id)

    async def keep_ready(self) -> bool:
        """Bring what is kept up to date, and load zones that fit beside it, so that no alert has to wait for either.

        True when a zone was loaded: there may be more. Raises TimeoutError when the database does not answer."""
        for zone_id in list(self._kept):
            await self._current(zone_id)
        async with self._read() as conn:
            absent = [zone.id for zone in await zones(conn) if zone.id not in self._kept]
        for zone_id in absent:
            async with self._read() as conn:
                size = await member_count(conn, zone_id)
            if self._members() + size <= self._max_members:
                await self._current(zone_id)
                return True
        return False

    async def _current(self, zone_id: int) -> Snapshot | None:
        async with asyncio.timeout(_LOAD_S), self._locks[zone_id]:
            kept = self._kept.get(zone_id)
            found = await self._load(zone_id) if kept is None else await self._renew(kept)
            if found is None:
                self._kept.pop(zone_id, None)
                del self._locks[zone_id]
            else:
                self._kept[zone_id] = found
            return found

    async def _load(self, zone_id: int) -> Snapshot | None:
        rows = await self._unmoved(lambda conn: read_register(conn, zone_id))
        return None if rows is None else await asyncio.to_thread(build, rows)

    async def _renew(self, kept: Snapshot) -> Snapshot | None:
        async with self._read() as conn:
            revision = await register_rev(conn, kept.zone_id)
        if revision == kept.revision:
            return kept
        if revision is None or revision < kept.revision:  # a store that was restored meanwhile
            return await self._load(kept.zone_id)
        changes = await self._unmoved(lambda conn: read_changes(conn, kept.zone_id, kept.revision))
        return None if changes is None else await asyncio.to_thread(renewed, kept, changes)

    async def _unmoved(self, read: Callable[[Connection], Awaitable[T]]) -> T:
        while True:
            try:
                async with self._read() as conn:
                    return await read(conn)
            except RegisterMoved:
                await asyncio.sleep(0.05)  # an import is running; its transactions are short

    def _members(self) -> int:
        return sum(map(len, self._kept.values()))

    def _drop_beyond(self) -> None:
        while len(self._kept) > 1 and self._members() > self._max_members:
            self._kept.popitem(last=False)
