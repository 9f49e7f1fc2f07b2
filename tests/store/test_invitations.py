"""Invitations: one is good at a time, once, for seven days; of two who race one wins."""

import asyncio

import pytest
import sqlalchemy as sa

from store.access import invitations, managing
from store.access.managing import NewAccount
from store.engine.database import Database
from store.engine.transaction import Transaction
from store.errors import Conflict
from store.tables import invitation


def an_account(code: str = "jo", email: str = "jo@example.org") -> NewAccount:
    return NewAccount(
        code=code, name="Jo", type="officer", email=email, mobile="", language="nl", rights=frozenset(), joins=False
    )


@pytest.fixture
async def account_id(database: Database) -> int:
    return await database.write(lambda tx: managing.create(tx, an_account()))


async def test_a_token_is_good_once(database: Database, account_id: int):
    made = await database.write(lambda tx: invitations.make(tx, account_id))

    found = await database.write(lambda tx: invitations.open(tx, invitations.hashed_token(made.token)))
    took = [await database.write(lambda tx: invitations.accept(tx, made.id)) for _ in range(2)]
    again = await database.write(lambda tx: invitations.open(tx, invitations.hashed_token(made.token)))

    assert found is not None
    assert (found.public_id, found.account_id, found.code, again) == (made.public_id, account_id, "jo", None)
    assert took == [True, False]
    async with database.read() as conn:
        after = await managing.of_id(conn, account_id)
    assert after is not None
    assert after.state == "active"


async def test_whoever_accepts_at_once_one_does(database: Database, account_id: int):
    made = await database.write(lambda tx: invitations.make(tx, account_id))

    took = await asyncio.gather(*(database.write(lambda tx: invitations.accept(tx, made.id)) for _ in range(5)))

    assert sorted(took) == [False] * 4 + [True]


async def test_invitations_that_are_made_at_once_leave_one_that_is_good(database: Database, account_id: int):
    made = await asyncio.gather(*(database.write(lambda tx: invitations.make(tx, account_id)) for _ in range(5)))

    found = [
        await database.write(lambda tx, m=m: invitations.open(tx, invitations.hashed_token(m.token))) for m in made
    ]

    assert len([one for one in found if one is not None]) == 1


@pytest.mark.parametrize("token", ["", "x", "' OR 1=1 --"])
async def test_what_is_no_token_opens_nothing(database: Database, account_id: int, token: str):
    await database.write(lambda tx: invitations.make(tx, account_id))

    assert await database.write(lambda tx: invitations.open(tx, invitations.hashed_token(token))) is None


async def test_when_its_time_is_over_it_is_not_accepted(database: Database, account_id: int):
    made = await database.write(lambda tx: invitations.make(tx, account_id))
    now_ms = database.clock.now_ms()
    await database.write(lambda tx: tx.run(sa.update(invitation).values(ends_ms=now_ms - 1)))

    assert not await database.write(lambda tx: invitations.accept(tx, made.id))


async def test_an_account_that_has_ended_is_not_joined_by_an_open_link(database: Database, account_id: int):
    made = await database.write(lambda tx: invitations.make(tx, account_id))

    async def end(tx: Transaction) -> bool:
        seen = await managing.of_id(tx.conn, account_id)
        assert seen is not None
        return await managing.end(tx, seen, invitations.SERVER, "", "")

    assert await database.write(end)
    assert not await database.write(lambda tx: invitations.accept(tx, made.id))


async def test_a_mail_address_is_one_accounts(database: Database, account_id: int):
    with pytest.raises(Conflict):
        await database.write(lambda tx: managing.create(tx, an_account("mi")))

    await database.write(lambda tx: managing.create(tx, an_account("a", email="")))
    await database.write(lambda tx: managing.create(tx, an_account("b", email="")))
