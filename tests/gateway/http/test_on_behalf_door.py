"""The operator on behalf: the rights of the account that is named and no more, and both names in every line."""

from collections.abc import AsyncIterator

import pytest
import sqlalchemy as sa

from channels.contract import Channel
from gateway.access.rights import Action
from gateway.http.routes import TABLE
from store.access import accounts
from store.access.accounts import KeyRecord
from store.engine.database import Database
from store.tables import account, audit
from tests.gateway.http.doorway import Answer, Doorway, doorway
from tests.gateway.http.test_routes import path_of
from tests.gateway.populated_store import SECRET, hashed


@pytest.fixture
async def door(database: Database) -> AsyncIterator[Doorway]:
    """`op` administers every zone and may do nothing else; `jo` reads, launches and stops in A."""
    async with doorway(database) as opened:
        await opened.house.account("op", ("administer", None), type_="operator")
        await opened.house.account("jo", ("read", "A"), ("launch", "A"), ("stop", "A"), type_="coordinator")
        yield opened


def behalf(code: str) -> dict[str, dict[str, str]]:
    return {"headers": {"On-Behalf-Of": code}}


async def a_campaign(door: Doorway, zone: str, name: str, by: int = 1, **changes: object) -> str:
    people = await door.house.people(zone, 1)
    audience = door.house.audience({Channel.SMS: people})
    [number] = await door.house.launch(1, door.house.campaign(zone, by, audience, name, **changes))
    await door.house.expand(number, audience)
    return f"/api/v1/campaigns/{name}"


async def id_of(door: Doorway, code: str) -> int:
    async with door.house.database.read() as conn:
        found = await accounts.id_of(conn, code)
    assert found is not None
    return found


async def test_what_is_done_is_done_with_the_rights_of_the_named_account_and_no_others(door: Doorway):
    mine, others = await a_campaign(door, "A", "inA"), await a_campaign(door, "B", "inB")

    own = await door.get(mine, "op")
    for_jo = [await door.get(mine, "op", **behalf("jo")), await door.get(others, "op", **behalf("jo"))]
    for_nothing = await door.get(mine, "op", **behalf("none"))
    for_everything = await door.get(others, "all", **behalf("jo"))

    assert own.status == 403
    assert [answer.status for answer in for_jo] == [200, 404]
    assert for_nothing.status == 403
    assert (for_everything.status, for_everything.json["code"]) == (403, "not-for-others")  # it is no operator's


async def test_both_names_stand_in_the_line(door: Doorway):
    path = await a_campaign(door, "A", "inA")
    await door.post(f"{path}/stop", "op", **behalf("jo"))

    principal = account.alias()
    wanted = (
        sa.select(account.c.code, principal.c.code)
        .select_from(audit)
        .join(account, account.c.id == audit.c.account_id)
        .join(principal, principal.c.id == audit.c.behalf_id)
        .where(audit.c.action == "stop")
    )
    async with door.house.database.read() as conn:
        assert [tuple(row) for row in (await conn.execute(wanted)).all()] == [("op", "jo")]


async def test_both_names_stand_at_the_campaign_and_in_its_report(door: Doorway):
    op, jo = await id_of(door, "op"), await id_of(door, "jo")
    path = await a_campaign(door, "A", "inA", by=op, behalf_id=jo)

    shown, report = (await door.get(path, "jo")).json, (await door.get(f"{path}/report", "jo")).json["campaign"]

    assert (shown["account"], shown["on_behalf_of"]) == ("op", "jo")
    assert (report["account"], report["on_behalf_of"]) == ("op", "jo")


async def test_an_auditors_masks_stay_on_for_who_acts_for_him(door: Doorway):
    path = await a_campaign(door, "A", "inA")
    await door.house.account("auditor", ("read", "A"), type_="auditor")

    [one] = (await door.get(f"{path}/deliveries", "op", **behalf("auditor"))).json["deliveries"]

    assert one["name"] == ""


@pytest.mark.parametrize("code", ["nobody", "op", "op2", "gone", "invited", "x" * 65, ""])
async def test_nobody_acts_for_who_is_not_there_for_himself_or_for_another_operator(door: Doorway, code: str):
    await door.house.account("op2", ("read", None), type_="operator")
    await door.house.account("gone", ("read", "A"))
    await door.house.database.write(lambda tx: accounts.set_disabled(tx, "gone", True))
    invited = {"code": "invited", "name": "I", "type": "officer", "email": "i@example.org"}
    await door.post("/api/v1/accounts", "all", json=invited)

    answer = await door.get("/api/v1/campaigns", "op", **behalf(code))

    assert (answer.status, answer.json["code"]) in ((403, "no-such-behalf"), (400, "bad-behalf"))


@pytest.mark.parametrize("key", ["jo", "all", "a", "machine"])
async def test_who_operates_the_machine_reaches_no_person_by_that(door: Doorway, key: str):
    await door.house.account("machine", ("operate", None), type_="operator")

    answers = [await door.get("/api/v1/campaigns", key, **behalf(code)) for code in ("jo", "nobody")]

    assert {(answer.status, answer.json["code"]) for answer in answers} == {(403, "not-for-others")}


async def test_a_test_key_of_an_operator_acts_for_nobody(door: Doorway):
    record = KeyRecord("test-op", hashed(SECRET))
    await door.house.database.write(lambda tx: accounts.add_key(tx, "op", record))

    assert (await door.get("/api/v1/campaigns", "test-op", **behalf("jo"))).json["code"] == "not-for-others"


async def test_two_names_are_none(door: Doorway):
    headers = [("Authorization", f"Bearer tocsin_op_{SECRET}"), ("On-Behalf-Of", "jo"), ("On-Behalf-Of", "a")]
    async with door.session.get(door.url + "/api/v1/campaigns", headers=headers) as response:
        assert (response.status, (await response.json(content_type=None))["code"]) == (400, "bad-behalf")


@pytest.mark.parametrize(
    "route", [r for r in TABLE if not r.is_public and not r.on_behalf], ids=lambda r: f"{r.method} {path_of(r, 'ID')}"
)
async def test_accounts_keys_alerts_and_streams_are_nobodys_to_do_for_another(door: Doorway, route):
    await door.house.account("every", *((action, None) for action in Action), type_="operator")

    answer = await door.ask(route.method, path_of(route), "every", **behalf("jo"))

    by_a_key = (400, "bad-behalf") if route.takes_keys else (403, "person-only")
    assert (answer.status, answer.json["code"]) == by_a_key


async def test_a_right_that_was_taken_a_moment_ago_is_gone_for_the_operator_too(door: Doorway):
    async def ask() -> Answer:
        return await door.get("/api/v1/campaigns", "op", **behalf("jo"))

    before = await ask()
    jo = await id_of(door, "jo")
    await door.house.database.write(lambda tx: accounts.put_rights(tx, jo, "jo", frozenset(), accounts.SERVER))

    assert (before.status, (await ask()).status) == (200, 403)
