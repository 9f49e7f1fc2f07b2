"""Documents that are refused are kept for a while, with their problems: whoever mends what sends them can read them.

Only verdicts on what a document says are kept, never impatience or trouble of the machine. Keeping costs the answer
nothing: what is refused waits in memory, within bounds, and is written in turn. What finds no room there, or is waiting
when the process dies, is not kept; nobody else notices.
"""

import asyncio
import hashlib
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from cap.answer import heading
from cap.limits import KEPT
from gateway.access.rights import Caller
from gateway.bell import Bell
from gateway.campaigns.public_ids import new_public_id
from gateway.campaigns.request_body import open_body
from gateway.errors import Reason, Refusal
from store.campaigns import refused_documents
from store.campaigns.refused_documents import NewRefused, RefusedDocument, RefusedQuota, pack
from store.engine.database import Database
from store.engine.turns import Turn

VERDICTS = frozenset({400, 402, 403, 409, 422})
"""Of HTTP: on the document, and not on the machine or the caller's patience."""
_AT_ONCE = 16
_MOST_WAITING = 64
_MOST_OF_ACCOUNT = 16
_MOST_WAITING_BYTES = 8_000_000
_MOST_REASONS = 200
_FORGET_EVERY_MS = 3_600_000
_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class _Waiting:
    account_id: int
    body: bytes
    refusal: Refusal
    at_ms: int


@dataclass(slots=True)
class RefusedDocuments:
    database: Database
    keeping: RefusedQuota
    """No documents: nothing is kept."""
    life_days: int
    bell: Bell = field(default_factory=Bell)
    """Rung when something waits to be written."""
    passed_over: int = 0
    """How many were not kept because too many came at once, since the start."""
    _waiting: deque[_Waiting] = field(default_factory=deque)
    _of_account: Counter[int] = field(default_factory=Counter)
    _bytes: int = 0
    _forget_ms: int = 0

    def note(self, caller: Caller, body: bytes, refusal: Refusal) -> None:
        """Take down that this body was refused, if that is a verdict on it. Waits for nothing."""
        if refusal.status not in VERDICTS or not self.keeping.documents:
            return
        room = len(self._waiting) < _MOST_WAITING and self._bytes + len(body) <= _MOST_WAITING_BYTES
        if not room or self._of_account[caller.account_id] >= _MOST_OF_ACCOUNT:
            self.passed_over += 1
            return
        self._waiting.append(_Waiting(caller.account_id, body, refusal, self.database.clock.now_ms()))
        self._of_account[caller.account_id] += 1
        self._bytes += len(body)
        self.bell.ring()

    async def run(self) -> bool:
        """Write some of what waits, and forget what is too old. True when more waits."""
        if self._waiting:
            some = [self._waiting.popleft() for _ in range(min(_AT_ONCE, len(self._waiting)))]
            for each in some:
                self._of_account[each.account_id] -= 1
                self._bytes -= len(each.body)
            self._of_account += Counter()  # without those that have none left
            rows = await asyncio.to_thread(lambda: [_row(each) for each in some])
            await self.database.write(lambda tx: refused_documents.keep(tx, rows, self.keeping), turn=Turn.LAST)
        await self._forget()
        return bool(self._waiting)

    async def _forget(self) -> None:
        now_ms = self.database.clock.now_ms()
        if now_ms < self._forget_ms:
            return
        before_ms = now_ms - self.life_days * _DAY_MS
        async with self.database.read() as conn:
            found = await refused_documents.any_before(conn, before_ms)
        if found:
            await self.database.write(lambda tx: refused_documents.forget(tx, before_ms), turn=Turn.LAST)
        self._forget_ms = now_ms + _FORGET_EVERY_MS

    # ---- reading, each account its own -------------------------------------------------------------------------

    async def latest(self, caller: Caller, sender: str, before: str, most: int) -> list[RefusedDocument]:
        """A page of the account's own documents, those that came last first. `before` is the last id of the page
        before. Raises Refusal."""
        last = await self._own(caller, before) if before else None
        async with self.database.read() as conn:
            return await refused_documents.latest(
                conn, account_id=caller.account_id, sender=sender, before=last, most=most
            )

    async def read(self, caller: Caller, public_id: str) -> RefusedDocument:
        """What is kept of one document. Raises Refusal 404 where there is none of the account's."""
        return await self._own(caller, public_id)

    async def document(self, caller: Caller, public_id: str) -> bytes:
        """The body as it was received. Raises Refusal 404."""
        kept = await self._own(caller, public_id)
        async with self.database.read() as conn:
            body = await refused_documents.body_of(conn, kept.id)
        if body is None:
            raise _unknown()
        return body

    async def _own(self, caller: Caller, public_id: str) -> RefusedDocument:
        async with self.database.read() as conn:
            found = await refused_documents.by_public_id(conn, public_id)
        if found is None or found.account_id != caller.account_id:
            raise _unknown()
        return found


def reasons_of(kept: RefusedDocument) -> tuple[Reason, ...]:
    return msgspec.json.decode(kept.problems, type=tuple[Reason, ...])


def _unknown() -> Refusal:
    return Refusal(404, "no-such-document", "There is no such refused document.")


def _row(waiting: _Waiting) -> NewRefused:
    sender, identifier = _names(waiting.body)
    refusal = waiting.refusal
    return NewRefused(
        public_id=new_public_id(),
        account_id=waiting.account_id,
        sender=_storable(sender),
        identifier=_storable(identifier),
        at_ms=waiting.at_ms,
        status=refusal.status,
        code=refusal.code,
        title=_storable(refusal.title),
        problems=_encoded(refusal.reasons[:_MOST_REASONS]),
        sha256=hashlib.sha256(waiting.body).hexdigest(),
        size=len(waiting.body),
        document=pack(waiting.body),
    )


def _names(body: bytes) -> tuple[str, str]:
    """(sender, identifier) as the document claims them; empty where that cannot be read."""
    try:
        named = heading(open_body(body).document, KEPT)
    except Refusal:
        return "", ""
    return (named.reference.sender, named.reference.identifier) if named else ("", "")


def _encoded(reasons: Iterable[Reason]) -> str:
    return msgspec.json.encode(tuple(reasons)).decode().replace("\\u0000", "\\ufffd")


def _storable(text: str) -> str:
    """PostgreSQL keeps no NUL."""
    return text.replace("\0", "\ufffd")[:1_000]
