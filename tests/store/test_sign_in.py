"""What the store keeps of who signs in, on both engines: sessions, buckets, factors, links, and what holds at once."""

import asyncio

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from store import audit, meta
from store.access import accounts, factors, invitations, resets, session_ends, sessions, sign_in_buckets
from store.access.accounts import AccountRecord, RightRow
from store.access.sessions import NewSession
from store.audit_line import SERVER
from store.engine.database import Database
from store.engine.transaction import Transaction
from store.tables import account, session, sign_in_bucket, used_challenge

HOUR_MS = 3_600_000


async def an_account(database: Database, code: str = "a", *actions: str) -> int:
    rights = frozenset(RightRow(action, None, None) for action in actions)
    record = AccountRecord(code, code.title(), "officer", "[]", "[]", rights)
    number, _ = await database.write(lambda tx: accounts.put_account(tx, record))
    return number


async def a_session(database: Database, account_id: int, token: str = "t", **changes: object) -> int:
    values: dict[str, object] = {
        "public_id": f"s-{token}", "token_sha256": token, "account_id": account_id, "factors": '["passkey"]',
        "enrol_only": False, "life_ms": HOUR_MS, "address": "192.0.2.1", "agent": "x",
    }  # fmt: skip
    new = NewSession(**(values | changes))  # type: ignore[arg-type]
    return await database.write(lambda tx: sessions.make(tx, new, SERVER, "a"))


async def found(database: Database, token: str = "t") -> sessions.SessionRow | None:
    async with database.read() as conn:
        return await sessions.find(conn, token)


# ---- sessions ------------------------------------------------------------------------------------------------------


async def test_a_session_is_found_with_its_account_and_every_right(database: Database):
    number = await an_account(database, "a", "read", "launch")
    made = await a_session(database, number)

    row = await found(database)

    assert row is not None
    assert (row.number, row.account_id, row.code, row.name) == (made, number, "a", "A")
    assert {right.action for right in row.rights} == {"read", "launch"}
    assert row.ends_ms - row.made_ms == HOUR_MS
    assert (row.enrol_only, row.locked) == (False, False)
    assert await found(database, "another") is None


async def test_an_account_without_a_right_has_a_session_too(database: Database):
    await a_session(database, await an_account(database))

    row = await found(database)
    assert row is not None
    assert row.rights == ()


async def test_a_session_that_was_ended_or_whose_account_is_disabled_is_not_found(database: Database):
    number = await an_account(database)
    for token in "abc":
        await a_session(database, number, token)

    ended = await database.write(lambda tx: session_ends.end(tx, number, "s-a", session_ends.SIGN_OUT))
    again = await database.write(lambda tx: session_ends.end(tx, number, "s-a", session_ends.SIGN_OUT))
    assert (ended, again, await found(database, "a")) == (True, False, None)
    for disabled in (True, False):
        await database.write(lambda tx, d=disabled: accounts.set_disabled(tx, "a", d))
        assert await found(database, "b") is None


async def test_all_but_one_end_and_each_end_is_told(database: Database):
    number, other = await an_account(database), await an_account(database, "b")
    kept = await a_session(database, number, "kept")
    for token, owner in (("x", number), ("y", number), ("z", other)):
        await a_session(database, owner, token)

    ended = await database.write(lambda tx: session_ends.end_others(tx, number, kept, session_ends.FACTORS))

    assert ended == ["s-x", "s-y"]
    assert [await found(database, token) is not None for token in ("kept", "x", "y", "z")] == [True, False, False, True]
    async with database.read() as conn:
        verdict = await audit.verify(conn)
    assert verdict.faults == ()


async def test_a_right_that_is_added_locks_and_one_that_is_taken_does_not(database: Database):
    number = await an_account(database, "a", "read", "launch")
    await a_session(database, number)

    await an_account(database, "a", "read")
    taken = await found(database)
    await an_account(database, "a", "read", "operate")
    added = await found(database)

    assert taken is not None
    assert added is not None
    assert (taken.locked, added.locked) == (False, True)


async def test_a_token_is_renewed_once_for_what_was_seen(database: Database):
    number = await an_account(database)
    made = await a_session(database, number)
    before = await found(database)
    assert before is not None

    async def renew(token: str, seen_ms: int) -> bool:
        return await database.write(lambda tx: sessions.renew(tx, made, token, '["totp"]', seen_factor_ms=seen_ms))

    await asyncio.sleep(0.002)  # another millisecond: what was seen is told by it
    first, second = await renew("new", before.factor_ms), await renew("newer", before.factor_ms)

    assert (first, second) == (True, False)
    assert await found(database) is None
    after = await found(database, "new")
    assert after is not None
    assert (after.factors, after.ends_ms) == ('["totp"]', before.ends_ms)


async def test_of_an_account_twenty_sessions_last(database: Database):
    number = await an_account(database)
    for n in range(sessions.MOST + 2):
        await a_session(database, number, f"t{n}")

    async with database.read() as conn:
        lasting = await sessions.lasting(conn, number, database.clock.now_ms())
    assert [one.public_id for one in lasting] == [f"s-t{n}" for n in range(sessions.MOST + 1, 1, -1)]


async def test_what_ended_a_month_ago_is_forgotten(database: Database):
    number = await an_account(database)
    await a_session(database, number, "old", life_ms=-31 * 86_400_000)
    await a_session(database, number, "new")

    gone = await database.write(sessions.forget)

    assert gone == 1
    async with database.read() as conn:
        assert [row.public_id for row in await conn.execute(sa.select(session.c.public_id))] == ["s-new"]


# ---- buckets -------------------------------------------------------------------------------------------------------


async def test_a_bucket_gives_so_many_and_then_says_when_there_is_one_more(database: Database):
    async def take(name: str = "x") -> float:
        return await database.write(lambda tx: sign_in_buckets.take(tx, name, 4, 400))

    waits = [await take() for _ in range(5)]
    other = await take("y")
    await database.write(lambda tx: sign_in_buckets.give_back(tx, "x", 4, 400))

    assert waits[:4] == [0.0] * 4
    assert 90 < waits[4] <= 100
    assert other == 0.0
    assert [await take() == 0, await take() == 0] == [True, False]


async def test_of_many_at_once_no_more_than_so_many_have_one(database: Database):
    async def take(_: int) -> float:
        return await database.write(lambda tx: sign_in_buckets.take(tx, "x", 5, 86_400))

    waits = await asyncio.gather(*map(take, range(20)))

    assert waits.count(0.0) == 5


async def test_a_bucket_that_is_full_again_is_no_row(database: Database):
    await database.write(lambda tx: sign_in_buckets.take(tx, "long", 1, 86_400))
    await database.write(lambda tx: sign_in_buckets.take(tx, "short", 1_000_000, 1))
    await database.write(lambda tx: sign_in_buckets.use_challenge(tx, "old", tx.now_ms - 1))
    await database.write(lambda tx: sign_in_buckets.use_challenge(tx, "new", tx.now_ms + 60_000))
    await database.write(sign_in_buckets.forget)

    async with database.read() as conn:
        assert list((await conn.execute(sa.select(sign_in_bucket.c.name))).scalars()) == ["long"]
        assert list((await conn.execute(sa.select(used_challenge.c.challenge_sha256))).scalars()) == ["new"]


class At:
    """A transaction of an instant that a test says."""

    def __init__(self, tx: Transaction, now_us: int) -> None:
        self._tx, self.now_us, self.now_ms = tx, now_us, now_us // 1000

    def __getattr__(self, name: str) -> object:
        return getattr(self._tx, name)


@pytest.mark.parametrize("engine", ["sqlite"])
async def test_no_span_of_the_window_has_more_than_twice_what_is_allowed_and_all_comes_back(database: Database):
    """A bucket that was full may be emptied, and fills meanwhile: never more than that."""
    base_us = database.clock.now_us()

    @given(st.lists(st.integers(0, 20_000_000), min_size=1, max_size=60))
    def run(pauses_us: list[int]) -> None:
        loop_taken.append(pauses_us)

    loop_taken: list[list[int]] = []
    run()
    for number, pauses_us in enumerate(loop_taken):
        now_us, taken = base_us, []
        for pause_us in pauses_us:
            now_us += pause_us

            async def work(tx: Transaction, at_us: int = now_us, name: str = f"b{number}") -> float:
                return await sign_in_buckets.take(At(tx, at_us), name, 5, 100)  # type: ignore[arg-type]

            if not await database.write(work):
                taken.append(now_us)
        for at_us in taken:
            assert sum(at_us - 100_000_000 < other <= at_us for other in taken) <= 10


async def test_a_challenge_is_used_by_one_of_many(database: Database):
    async def use(_: int) -> bool:
        return await database.write(lambda tx: sign_in_buckets.use_challenge(tx, "c", tx.now_ms + 1000))

    assert sum(await asyncio.gather(*map(use, range(10)))) == 1


# ---- factors and links ---------------------------------------------------------------------------------------------


async def test_a_person_is_found_by_code_and_by_mail_address(database: Database):
    mine = await an_account(database, "a", "read", "launch")
    await an_account(database, "b")
    mail = "anna@zone.example"
    await database.write(lambda tx: tx.run(sa.update(account).where(account.c.id == mine).values(email=mail)))

    async with database.read() as conn:
        by_code = await factors.person_of(conn, "a")
        by_mail = await factors.person_of(conn, "anna@zone.example")
        nobody = [await factors.person_of(conn, name) for name in ("", "A", "x@y.example")]
    assert by_code == by_mail
    assert by_code is not None
    assert (by_code.account_id, by_code.actions, by_code.password_hash) == (mine, {"read", "launch"}, "")
    assert nobody == [None] * 3


async def test_a_step_and_a_recovery_code_are_used_by_one_of_many(database: Database):
    number = await an_account(database)
    await database.write(lambda tx: factors.offer_totp(tx, number, "sealed"))
    async with database.read() as conn:
        offered = await factors.offered_totp(conn, number)
    assert offered is not None
    await database.write(lambda tx: factors.confirm_totp(tx, number, "a", offered, 7, SERVER))
    await database.write(lambda tx: factors.put_recovery_codes(tx, number, "a", ["x", "y"], SERVER))

    async def step(step: int, sealed: str = "sealed") -> bool:
        return await database.write(lambda tx: factors.use_step(tx, number, sealed, step))

    async def code(_: int) -> bool:
        return await database.write(lambda tx: factors.use_recovery_code(tx, number, "x"))

    assert [await step(7), await step(8, "another")] == [False, False]
    assert sum(await asyncio.gather(*(step(8) for _ in range(5)))) == 1
    assert sum(await asyncio.gather(*map(code, range(5)))) == 1
    async with database.read() as conn:
        assert (await factors.overview(conn, number)).recovery_codes_left == 1


async def test_the_names_around_an_account_are_of_its_zones(database: Database):
    async def zones(tx: Transaction) -> None:
        for code in ("X", "Y"):
            await tx.run(
                sa.text("INSERT INTO zone (code, name, convention, policy) VALUES (:c, :n, 2, '{}')"),
                {"c": code, "n": f"Zone {code}"},
            )

    await database.write(zones)
    async with database.read() as conn:
        [x, _] = (await conn.execute(sa.text("SELECT id FROM zone ORDER BY code"))).scalars()
    record = AccountRecord("a", "A", "officer", "[]", "[]", frozenset({RightRow("read", x, None)}))
    mine, _ = await database.write(lambda tx: accounts.put_account(tx, record))
    everywhere = await an_account(database, "b", "read")

    async with database.read() as conn:
        assert await factors.names_around(conn, mine) == ["X", "Zone X"]
        assert set(await factors.names_around(conn, everywhere)) == {"X", "Zone X", "Y", "Zone Y"}


async def test_a_link_is_used_by_one_of_many_and_the_one_before_by_nobody(database: Database):
    number = await an_account(database)
    whose = resets.ResetAddressee(number, "a", "a@b.example", "nl")
    for token in ("first", "second"):
        await database.write(lambda tx, t=token: resets.make(tx, whose, t, SERVER))
    now_ms = database.clock.now_ms()
    async with database.read() as conn:
        first = await resets.find(conn, "first", now_ms)
        second = await resets.find(conn, "second", now_ms)
        over = await resets.find(conn, "second", now_ms + resets.LIFE_MS + 60_000)
    assert (first, over) == (None, None)
    assert second is not None

    async def use(_: int) -> bool:
        return await database.write(lambda tx: resets.use(tx, second))

    assert sum(await asyncio.gather(*map(use, range(5)))) == 1


async def test_each_wish_is_taken_by_one_in_the_order_of_their_coming(database: Database):
    for n in range(5):
        await database.write(lambda tx, n=n: resets.wish(tx, f"{n}@x.example", "192.0.2.1"))

    taken = await asyncio.gather(*(database.write(resets.take_wish) for _ in range(7)))

    mails = [one.mail for one in taken if one is not None]
    assert sorted(mails) == [f"{n}@x.example" for n in range(5)]


async def test_an_invitation_is_accepted_by_one_of_many(database: Database):
    number = await an_account(database)
    made = await database.write(lambda tx: invitations.make(tx, number))

    async def accept(_: int) -> bool:
        return await database.write(lambda tx: invitations.accept(tx, made.id))

    assert sum(await asyncio.gather(*map(accept, range(5)))) == 1


async def test_after_a_restore_nobody_is_signed_in_and_no_link_is_good(database: Database):
    number = await an_account(database)
    await a_session(database, number)
    whose = resets.ResetAddressee(number, "a", "a@b.example", "nl")
    await database.write(lambda tx: resets.make(tx, whose, "link", SERVER))

    await database.write(meta.renew_generation)

    assert await found(database) is None
    async with database.read() as conn:
        assert await resets.find(conn, "link", database.clock.now_ms()) is None
