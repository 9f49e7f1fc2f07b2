"""A message that an operator launches for somebody, and one by a key that only simulates: through the real desk."""

import msgspec
import pytest
import sqlalchemy as sa

from gateway.access.keys import as_caller
from gateway.access.on_behalf import acting_for
from gateway.access.rights import Caller
from gateway.campaigns import rights_over_campaigns
from gateway.errors import Refusal
from gateway.kinds import Kind
from store.access import accounts
from store.access.accounts import KeyRecord, KeyRow
from store.campaigns import reading as campaigns
from store.campaigns.reading import Campaign
from store.engine.database import Database
from store.tables import audit
from tests.gateway.campaigns.test_previews import Coordinator, request


@pytest.fixture
async def coordinator(database: Database) -> Coordinator:
    made = await Coordinator(database).open()
    await made.house.account("other", ("launch", "5301"))
    await made.house.account("op", ("administer", None), type_="operator")
    return made


async def row_of(coordinator: Coordinator, code: str) -> KeyRow:
    async with coordinator.database.read() as conn:
        found = await accounts.find_code(conn, code)
    assert found is not None
    return found


async def operator_for(coordinator: Coordinator, code: str) -> Caller:
    return acting_for(as_caller(await row_of(coordinator, "op")), await row_of(coordinator, code))


async def campaign(coordinator: Coordinator, public_id: str) -> Campaign:
    async with coordinator.database.read() as conn:
        found = await campaigns.by_public_id(conn, public_id)
    assert found is not None
    return found


async def test_it_is_the_named_accounts_decision_by_the_operators_hand(coordinator: Coordinator) -> None:
    acting = await operator_for(coordinator, "coordinator")

    launched = await coordinator.desk.launch(acting, request(kind=Kind.ALERT), "key-1")
    found = await campaign(coordinator, launched.campaign)

    assert (found.account_code, found.behalf_code) == ("op", "coordinator")
    assert found.decided_by == coordinator.account_id
    async with coordinator.database.read() as conn:
        by = sa.select(audit.c.account_id, audit.c.behalf_id).where(audit.c.action == "launch")
        [line] = (await conn.execute(by)).all()
    assert tuple(line) == (acting.account_id, coordinator.account_id)


async def test_who_may_reach_what_he_decided_himself_reaches_what_was_launched_for_him(
    coordinator: Coordinator,
) -> None:
    acting = await operator_for(coordinator, "coordinator")
    launched = await coordinator.desk.launch(acting, request(kind=Kind.ALERT), "key-1")
    found = await campaign(coordinator, launched.campaign)
    zone_id = coordinator.house.zones["5301"]
    in_one_network = as_caller(
        msgspec.structs.replace(
            await row_of(coordinator, "coordinator"), rights=(accounts.RightRow("stop", zone_id, 5),)
        )
    )
    another = as_caller(
        msgspec.structs.replace(await row_of(coordinator, "other"), rights=(accounts.RightRow("stop", zone_id, 5),))
    )

    assert rights_over_campaigns.stops(in_one_network, found)
    assert not rights_over_campaigns.stops(another, found)


async def test_one_key_of_a_request_is_no_two_accounts_decision(coordinator: Coordinator) -> None:
    for_one, for_other = [await operator_for(coordinator, code) for code in ("coordinator", "other")]
    asked = request(kind=Kind.ALERT)

    first = await coordinator.desk.launch(for_one, asked, "key-1")
    again = await coordinator.desk.launch(for_one, asked, "key-1")
    with pytest.raises(Refusal) as refused:
        await coordinator.desk.launch(for_other, asked, "key-1")

    assert (again.campaign, again.created) == (first.campaign, False)
    assert (refused.value.status, refused.value.code) == (422, "key-used")


async def test_an_operator_launches_nothing_that_the_named_account_may_not(coordinator: Coordinator) -> None:
    await coordinator.house.account("reader", ("read", "5301"))

    with pytest.raises(Refusal) as refused:
        await coordinator.desk.launch(await operator_for(coordinator, "reader"), request(kind=Kind.ALERT), "key-1")

    assert (refused.value.status, refused.value.code) == (403, "no-right")


async def test_by_a_test_key_a_message_is_launched_as_a_simulation_and_never_live(coordinator: Coordinator) -> None:
    record = KeyRecord("test-coordinator", "")
    await coordinator.database.write(lambda tx: accounts.add_key(tx, "coordinator", record))
    async with coordinator.database.read() as conn:
        row = await accounts.find_key(conn, "test-coordinator")
    assert row is not None
    by_test_key = as_caller(row)

    for live in (coordinator.desk.launch, coordinator.desk.preview):
        with pytest.raises(Refusal) as refused:
            await live(by_test_key, request(kind=Kind.ALERT))
        assert (refused.value.status, refused.value.code) == (403, "test-key")
    simulated = await coordinator.desk.launch(by_test_key, request(kind=Kind.ALERT, simulation=True), "key-1")

    assert (await campaign(coordinator, simulated.campaign)).mode == "simulation"
