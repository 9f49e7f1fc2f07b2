"""Who is asking, by the session that a cookie names: beside the keyring, and believed as long as a key is.

Knows neither HTTP's objects nor SQL. Of a token only its SHA-256 is kept anywhere; it is random and long enough.
"""

import asyncio
import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from weakref import WeakValueDictionary

import msgspec

from gateway.access.keys import as_caller
from gateway.access.rights import Caller, SessionFacts
from gateway.access.second_factor import is_enough
from store.access import sessions
from store.access.sessions import TOUCHED_EVERY_MS, SessionRow
from store.engine.database import Database
from store.errors import store_is_away

FindSession = Callable[[str], Awaitable[SessionRow | None]]
"""The session of a token's hash, where it has not been ended."""
Touch = Callable[[int], Awaitable[None]]
"""Notes that somebody is there."""
_LONGEST_TOKEN = 100


def new_token() -> str:
    return secrets.token_urlsafe(32)


def token_sha256(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


@dataclass(slots=True)
class SessionBook:
    """Callers by the tokens of their sessions. One that was good is believed for `life_s` without asking the store
    again, unless it was ended on this node: then it is asked about at once."""

    find: FindSession
    touch: Touch
    idle_ms: int
    now_ms: Callable[[], int]
    """UTC, as the store has it."""
    life_s: float = 5.0
    now_s: Callable[[], float] = time.monotonic
    most_kept: int = 4096
    _kept: OrderedDict[str, tuple[float, SessionRow]] = field(default_factory=OrderedDict, repr=False)
    _changes: int = field(default=0, repr=False)
    _asking: WeakValueDictionary[str, asyncio.Lock] = field(default_factory=WeakValueDictionary, repr=False)

    async def caller(self, token: str) -> Caller | None:
        """The caller of a session that lasts, locked or not; None where there is none. Somebody is there: that is
        noted, once a minute. Raises what the look-up raises."""
        row = await self._row(token)
        if row is None:
            return None
        caller = self._caller(row)
        idle_ms = self.now_ms() - row.seen_ms
        if caller.session is not None and not caller.session.locked and idle_ms >= TOUCHED_EVERY_MS:
            await self._note_touch(token, row)
        return caller

    async def still(self, token: str) -> Caller | None:
        """The caller of a session by which a stream was opened, with the rights that it has now; None: it has ended, or
        is locked. Nobody need be there. Raises what the look-up raises."""
        row = await self._row(token)
        caller = None if row is None else self._caller(row)
        shut = caller is None or caller.session is None or caller.session.locked or caller.session.enrol_only
        return None if shut else caller

    def forget(self, account_id: int) -> None:
        """Of an account whose sessions have changed on this node nothing is believed any more."""
        self._changes += 1
        for known in [sha256 for sha256, (_, row) in self._kept.items() if row.account_id == account_id]:
            del self._kept[known]

    def drop(self, token: str) -> None:
        """Of one session that was ended on this node nothing is believed any more."""
        self._changes += 1
        self._kept.pop(token_sha256(token), None)

    async def _row(self, token: str) -> SessionRow | None:
        if not token or len(token) > _LONGEST_TOKEN:
            return None
        sha256 = token_sha256(token)
        row = self._remembered(sha256)
        if row is None:
            async with self._asking.setdefault(sha256, asyncio.Lock()):
                row = self._remembered(sha256) or await self._looked_up(sha256)
        return row if row is not None and row.ends_ms > self.now_ms() else None

    def _remembered(self, sha256: str) -> SessionRow | None:
        until_s, row = self._kept.get(sha256, (0.0, None))
        return row if self.now_s() < until_s else None

    async def _looked_up(self, sha256: str) -> SessionRow | None:
        asked_s, changes = self.now_s(), self._changes
        row = await self.find(sha256)
        if row is None or changes != self._changes:
            # What was read may be of before a change on this node: it is good for this answer, as it would have been
            # a moment ago, and for no other.
            self._kept.pop(sha256, None)
            return row
        self._kept[sha256] = (asked_s + self.life_s, row)
        self._kept.move_to_end(sha256)
        while len(self._kept) > self.most_kept:
            self._kept.popitem(last=False)
        return row

    def _caller(self, row: SessionRow) -> Caller:
        factors = msgspec.json.decode(row.factors, type=tuple[str, ...])
        locks_ms = row.seen_ms + self.idle_ms
        actions = {right.action for right in row.rights}
        facts = SessionFacts(
            number=row.number,
            id=row.public_id,
            factors=factors,
            factor_ms=row.factor_ms,
            ends_ms=row.ends_ms,
            locks_ms=locks_ms,
            # Rights may have come after the factors.
            enrol_only=row.enrol_only or not is_enough(factors, actions),
            # Whoever came by a paper code has nothing to unlock it with, and it ends within the hour.
            locked=row.locked or (row.break_glass_use_id is None and self.now_ms() >= locks_ms),
        )
        return msgspec.structs.replace(as_caller(row), session=facts, break_glass_use_id=row.break_glass_use_id)

    async def _note_touch(self, token: str, row: SessionRow) -> None:
        try:
            await self.touch(row.number)
        except Exception as exc:
            if not store_is_away(exc):
                raise
            return  # who only looks is answered from a store that cannot be written
        until_s, known = self._kept.get(token_sha256(token), (0.0, None))
        if known is row:
            self._kept[token_sha256(token)] = (until_s, msgspec.structs.replace(row, seen_ms=self.now_ms()))


def session_book(database: Database, idle_ms: int) -> SessionBook:
    async def find(sha256: str) -> SessionRow | None:
        async with database.read() as conn:
            return await sessions.find(conn, sha256)

    async def touch(number: int) -> None:
        await database.write(lambda tx: sessions.touch(tx, number))

    return SessionBook(find, touch, idle_ms, database.clock.now_ms)
