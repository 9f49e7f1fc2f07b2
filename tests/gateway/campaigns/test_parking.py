"""Alerts that wait for the one they name: as many of one account as the settings allow, and nobody else's fewer."""

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from gateway.access.keys import as_caller
from gateway.access.rights import Caller
from gateway.campaigns.alert_desk import AlertDesk
from gateway.campaigns.parked import Parked
from gateway.campaigns.zones import ZonePlanning
from gateway.errors import Refusal
from store.access import accounts
from store.access.accounts import KeyRecord
from store.campaigns import alerts
from store.campaigns.alerts import FiledAlert
from store.engine.database import Database
from store.errors import StoreUnavailable
from store.tables import account
from tests.cap.documents import changed
from tests.gateway.populated_store import House

SENDER = "dispatch@zone-a.example"


def an_orphan(number: int) -> bytes:
    """An Update of an alert that has not arrived."""
    now = datetime.now(UTC).replace(microsecond=0)
    sent, before, later = (
        (now + timedelta(minutes=m)).isoformat().replace("+00:00", "-00:00") for m in (-1, -9, 60)
    )  # fmt: skip
    return changed(
        ("cic-042.2026:17", f"orphan-{number}"),
        ("2026-05-11T21:40:00+02:00", sent),
        ("<msgType>Alert", "<msgType>Update"),
        ("  <info>", f"  <references>{SENDER},nobody-has-seen-it,{before}</references>\n  <info>"),
        ("    <effective>2026-05-11T21:40:00+02:00</effective>\n", ""),
        ("2026-05-12T06:00:00+02:00", later),
    )


async def caller(house: House, code: str) -> Caller:
    account_id = await house.account(code)
    senders = sa.update(account).where(account.c.id == account_id).values(senders=f'["{SENDER}"]')
    await house.database.write(lambda tx: tx.run(senders))
    async with house.database.read() as conn:
        row = await accounts.find_account(conn, account_id)
    assert row is not None
    return as_caller(row)


@pytest.fixture
def desk(database: Database) -> AlertDesk:
    planning = ZonePlanning(database, None)  # type: ignore[arg-type]  # what waits is not planned
    return AlertDesk(database, planning, lambda: True, lambda: None, most_parked=2)


async def test_one_more_than_may_wait_is_429_with_a_sentence_and_is_not_kept(desk: AlertDesk, database: Database):
    house = House(database)
    one, other = await caller(house, "one"), await caller(house, "other")
    first = [await desk.submit(one, an_orphan(number)) for number in (1, 2)]

    with pytest.raises(Refusal) as refused:
        await desk.submit(one, an_orphan(3))
    theirs = await desk.submit(other, an_orphan(4))

    assert [answer.state for answer in (*first, theirs)] == ["parked"] * 3
    assert (refused.value.status, refused.value.code) == (429, "too-many-parked")
    assert refused.value.title.startswith("2 messages of this account wait")
    async with database.read() as conn:
        assert await alerts.by_key(conn, SENDER, "orphan-3") is None
        assert await alerts.parked_of(conn, one.account_id) == 2


async def test_the_same_bytes_again_are_answered_and_a_place_that_is_free_again_is_taken(
    desk: AlertDesk, database: Database
):
    one = await caller(House(database), "one")
    documents = [an_orphan(number) for number in (1, 2, 3)]
    answers = [await desk.submit(one, document) for document in documents[:2]]

    assert (await desk.submit(one, documents[1])).id == answers[1].id
    async with database.read() as conn:
        [given_up, _] = await alerts.parked(conn, 2**62)
    await database.write(lambda tx: alerts.set_state(tx, given_up.id, "failed"))

    assert (await desk.submit(one, documents[2])).state == "parked"


async def test_one_about_which_the_store_has_no_answer_keeps_no_other_waiting(
    desk: AlertDesk, database: Database, monkeypatch: pytest.MonkeyPatch
):
    one = await caller(House(database), "one")
    silent, _ = [(await desk.submit(one, an_orphan(number))).id for number in (1, 2)]
    answered = desk.retry_parked

    async def asked(filed: FiledAlert, caller: Caller, park_ms: int) -> bool:
        if filed.public_id == silent:
            raise StoreUnavailable("no answer in time")
        return await answered(filed, caller, park_ms)

    monkeypatch.setattr(AlertDesk, "retry_parked", lambda _, *given: asked(*given))

    assert await Parked(database, desk, park_ms=-1).run(), "the other one's time is over"

    async with database.read() as conn:
        assert [filed.public_id for filed in await alerts.parked(conn, 2**62)] == [silent]


async def test_a_store_that_is_away_is_told_and_nothing_rests(
    desk: AlertDesk, database: Database, monkeypatch: pytest.MonkeyPatch
):
    await desk.submit(await caller(House(database), "one"), an_orphan(1))
    parked = Parked(database, desk, park_ms=-1)

    async def away(*_: object) -> bool:
        raise StoreUnavailable("away")

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(AlertDesk, "retry_parked", away)
        with pytest.raises(StoreUnavailable):
            await parked.run()

    assert await parked.run()


async def test_what_waits_is_found_without_a_walk_through_all_documents(database: Database):
    if not database.sqlite:
        pytest.skip("PostgreSQL chooses by what the table holds")
    statements = (
        "SELECT document FROM alert WHERE state = 'parked' ORDER BY id",
        "SELECT count(*) FROM alert WHERE state = 'parked' AND account_id = 1",
    )
    for statement in statements:
        async with database.read() as conn:
            plan = (await conn.execute(sa.text(f"EXPLAIN QUERY PLAN {statement}"))).all()
        assert "ix_alert_parked" in str(plan)


async def test_a_live_one_that_a_test_key_brings_is_refused_and_does_not_wait_for_the_accounts_own_rights(
    desk: AlertDesk, database: Database
):
    """Once it waits nobody knows any more by which key it came."""
    house = House(database)
    await caller(house, "one")
    await database.write(lambda tx: accounts.add_key(tx, "one", KeyRecord("test-one", "")))
    async with database.read() as conn:
        row = await accounts.find_key(conn, "test-one")
    assert row is not None
    by_test_key = as_caller(row)

    with pytest.raises(Refusal) as refused:
        await desk.submit(by_test_key, an_orphan(1))
    exercise = await desk.submit(by_test_key, an_orphan(2).replace(b"<status>Actual", b"<status>Exercise"))

    assert (refused.value.status, refused.value.code) == (403, "test-key")
    assert exercise.state == "parked"
    async with database.read() as conn:
        assert await alerts.by_key(conn, SENDER, "orphan-1") is None
