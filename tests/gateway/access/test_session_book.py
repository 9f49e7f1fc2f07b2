"""What is believed of a session, for how long, and what a node that has ended one believes no more."""

import asyncio
from dataclasses import dataclass, field

import msgspec
import pytest

from gateway.access.session_book import SessionBook, new_token, token_sha256
from store.access.accounts import RightRow
from store.access.sessions import SessionRow
from store.errors import StoreUnavailable

IDLE_MS = 3_600_000
TOKEN = new_token()


@dataclass
class Shelf:
    """The store's part: what it has, how often it was asked, and a gate that it waits at."""

    rows: dict[str, SessionRow] = field(default_factory=dict)
    asked: int = 0
    touched: list[int] = field(default_factory=list)
    gate: asyncio.Event | None = None
    is_away: bool = False
    now_s: float = 1_000.0
    now_ms: int = 10_000_000

    def __post_init__(self) -> None:
        self.rows[token_sha256(TOKEN)] = SessionRow(
            number=1, public_id="s", made_ms=self.now_ms, seen_ms=self.now_ms, ends_ms=self.now_ms + 12 * IDLE_MS,
            factors='["passkey"]', factor_ms=self.now_ms, enrol_only=False, locked=False, break_glass_use_id=None,
            account_id=7, code="a",
            name="A", type="officer", senders="[]", kind_rules="[]", terms="[]",
            rights=(RightRow("launch", None, None),),
        )  # fmt: skip

    @property
    def book(self) -> SessionBook:
        return SessionBook(self.find, self.touch, IDLE_MS, lambda: self.now_ms, now_s=lambda: self.now_s)

    async def find(self, sha256: str) -> SessionRow | None:
        self.asked += 1
        found = self.rows.get(sha256)
        if self.gate is not None:
            await self.gate.wait()
        return found

    async def touch(self, number: int) -> None:
        if self.is_away:
            raise StoreUnavailable("away")
        self.touched.append(number)


async def test_a_session_is_believed_for_five_seconds():
    shelf = Shelf()
    book = shelf.book

    for _ in range(3):
        assert await book.caller(TOKEN) is not None
    shelf.rows.clear()
    shelf.now_s += 4.9
    believed = await book.caller(TOKEN)
    shelf.now_s += 0.2

    assert believed is not None
    assert await book.caller(TOKEN) is None
    assert shelf.asked == 2


async def test_what_was_ended_here_is_believed_no_more_not_even_by_who_had_begun_to_ask():
    shelf = Shelf()
    book, shelf.gate = shelf.book, asyncio.Event()
    asking = asyncio.ensure_future(book.caller(TOKEN))
    await asyncio.sleep(0)

    shelf.rows.clear()  # its end is committed
    book.forget(7)
    shelf.gate.set()

    await asking  # of a moment ago
    assert await book.caller(TOKEN) is None


async def test_one_that_is_dropped_is_asked_about_and_the_others_are_not():
    shelf = Shelf()
    other = new_token()
    shelf.rows[token_sha256(other)] = msgspec.structs.replace(shelf.rows[token_sha256(TOKEN)], number=2)
    book = shelf.book
    for token in (TOKEN, other):
        await book.caller(token)

    book.drop(TOKEN)
    for token in (TOKEN, other):
        await book.caller(token)

    assert shelf.asked == 3


async def test_all_who_ask_of_one_session_at_once_share_one_look():
    shelf = Shelf()
    book = shelf.book

    callers = await asyncio.gather(*(book.still(TOKEN) for _ in range(50)))

    assert shelf.asked == 1
    assert None not in callers


async def test_it_locks_when_nothing_was_done_for_the_idle_time_and_a_stream_ends_then():
    shelf = Shelf()
    book = shelf.book
    shelf.now_ms += IDLE_MS
    caller = await book.caller(TOKEN)

    assert caller is not None
    assert caller.session is not None
    assert caller.session.locked
    assert await book.still(TOKEN) is None
    assert shelf.touched == []


async def test_what_is_believed_locks_and_ends_in_time_all_the_same():
    shelf = Shelf()
    book = shelf.book
    book.life_s = 10**9
    await book.caller(TOKEN)
    shelf.now_ms += 12 * IDLE_MS

    assert await book.caller(TOKEN) is None


async def test_that_somebody_is_there_is_noted_once_a_minute_and_a_store_that_cannot_be_written_hinders_nobody():
    shelf = Shelf()
    book = shelf.book
    for _ in range(3):
        await book.caller(TOKEN)
    shelf.now_ms += 60_000
    for _ in range(3):
        await book.caller(TOKEN)
    shelf.now_ms += 60_000
    shelf.is_away = True

    assert await book.caller(TOKEN) is not None
    assert shelf.touched == [1]


@pytest.mark.parametrize("token", ["", "x" * 101, "another", "\u00e9"])
async def test_what_is_no_token_is_nobodys(token: str):
    assert await Shelf().book.caller(token) is None


async def test_what_is_believed_is_bounded():
    shelf = Shelf()
    book = shelf.book
    book.most_kept = 10
    for _ in range(50):
        token = new_token()
        shelf.rows[token_sha256(token)] = shelf.rows[token_sha256(TOKEN)]
        await book.caller(token)

    assert len(book._kept) == 10


@pytest.mark.parametrize(("factors", "shut"), [('["password"]', True), ('["password","totp"]', False)])
async def test_rights_that_came_after_the_factors_ask_for_more(factors: str, shut: bool):
    shelf = Shelf()
    shelf.rows[token_sha256(TOKEN)] = msgspec.structs.replace(shelf.rows[token_sha256(TOKEN)], factors=factors)
    caller = await shelf.book.caller(TOKEN)

    assert caller is not None
    assert caller.session is not None
    assert caller.session.enrol_only is shut
