"""API keys over the API: named, ending, shown once; one in the place of another; and keys that only simulate."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from channels.contract import Channel
from store.access import accounts
from store.access.accounts import KeyRecord
from store.engine.database import Database
from tests.gateway.http.doorway import Doorway, doorway
from tests.gateway.populated_store import SECRET, hashed

KEYS = "/api/v1/accounts/cad/keys"


@pytest.fixture
async def door(database: Database) -> AsyncIterator[Doorway]:
    """Beside everybody: `cad` reads A, and `admin` administers and reads it."""
    async with doorway(database) as opened:
        await opened.house.account("cad", ("read", "A"), type_="cic")
        await opened.house.account("admin", ("administer", "A"), ("read", "A"), type_="administrator")
        yield opened


async def make(door: Doorway, **wish: Any) -> dict[str, Any]:
    made = await door.post(KEYS, "admin", json={"name": "CAD"} | wish)
    assert made.status == 201, made.body
    return made.json


async def status_of(door: Doorway, token: str) -> int:
    door.door.keyring._kept.clear()  # as after five seconds
    return (await door.get("/api/v1/whoami", headers={"Authorization": f"Bearer {token}"})).status


async def test_a_key_is_shown_once_named_and_ends(door: Doorway):
    made = await make(door)
    listed = await door.get(KEYS, "admin")
    read = await door.get(made["href"], "admin")

    assert await status_of(door, made["token"]) == 200
    assert (made["name"], made["test"], made["good"], made["account"]) == ("CAD", False, True, "cad")
    assert made["token"].startswith(f"tocsin_{made['id']}_")
    assert [key["id"] for key in listed.json["keys"]] == [made["id"], "cad"]
    assert made["token"].encode() not in listed.body + read.body
    assert made["created"] < made["expires"]
    assert read.json == {name: value for name, value in made.items() if name != "token"}


@pytest.mark.parametrize("ends", ["2020-01-01T00:00:00Z", "2099-01-01T00:00:00Z"])
async def test_no_key_is_for_ever(door: Doorway, ends: str):
    refused = await door.post(KEYS, "admin", json={"name": "CAD", "expires_at": ends})

    assert (refused.status, refused.json["problems"][0]["pointer"]) == (422, "/expires_at")


async def test_a_key_has_a_name(door: Doorway):
    assert [(await door.post(KEYS, "admin", json=body)).status for body in ({}, {"name": ""})] == [400, 400]


async def test_a_revoked_key_is_worth_nothing(door: Doorway):
    made = await make(door)

    revoked = [await door.post(f"{made['href']}/revoke", "admin") for _ in range(2)]

    assert [(answer.status, answer.json["good"]) for answer in revoked] == [(200, False)] * 2
    assert await status_of(door, made["token"]) == 401


async def test_two_keys_are_good_beside_one_another_and_never_three(door: Doorway):
    first = await make(door)
    rotated = await door.post(f"{first['href']}/rotate", "admin", json={"overlap_hours": 24})
    second = rotated.json

    again = [await door.post(f"{key['href']}/rotate", "admin", json={}) for key in (first, second)]
    both = [await status_of(door, key["token"]) for key in (first, second)]
    old = await door.get(first["href"], "admin")
    await door.post(f"{first['href']}/revoke", "admin")
    third = await door.post(f"{second['href']}/rotate", "admin", json={"overlap_hours": 0})

    assert (rotated.status, second["in_place_of"], second["name"]) == (201, first["id"], "CAD")
    assert {(answer.status, answer.json["code"]) for answer in again} == {(409, "two-keys-good")}
    assert both == [200, 200]
    assert old.json["expires"] < second["expires"]
    assert third.status == 201
    assert [await status_of(door, token) for token in (second["token"], third.json["token"])] == [401, 200]


async def test_a_key_that_is_good_no_more_is_not_rotated(door: Doorway):
    made = await make(door)
    await door.post(f"{made['href']}/revoke", "admin")

    assert (await door.post(f"{made['href']}/rotate", "admin", json={})).json["code"] == "key-not-good"


async def test_an_account_has_so_many_keys_and_no_more(door: Doorway):
    made = [await make(door, name=f"n{n}") for n in range(19)]

    refused = await door.post(KEYS, "admin", json={"name": "more"})
    await door.post(f"{made[0]['href']}/revoke", "admin")

    assert (refused.status, refused.json["code"]) == (409, "too-many-keys")
    assert (await door.post(KEYS, "admin", json={"name": "more"})).status == 201
    page = await door.get(f"{KEYS}?limit=15", "admin")
    rest = await door.get(page.json["next"], "admin")
    assert len({key["id"] for answer in (page, rest) for key in answer.json["keys"]}) == 21


async def test_of_an_account_that_may_not_come_in_no_key_is_made_and_none_is_good(door: Doorway):
    made = await make(door)
    await door.house.database.write(lambda tx: accounts.set_disabled(tx, "cad", True))
    invited = {"code": "jo", "name": "Jo", "type": "officer", "email": "jo@example.org"}
    await door.post("/api/v1/accounts", "admin", json=invited)
    await door.house.database.write(lambda tx: accounts.add_key(tx, "jo", KeyRecord("jo", hashed(SECRET))))

    refused = [await door.post(f"/api/v1/accounts/{code}/keys", "admin", json={"name": "x"}) for code in ("cad", "jo")]

    assert {(answer.status, answer.json["code"]) for answer in refused} == {(409, "account-not-active")}
    assert await status_of(door, made["token"]) == 401
    assert await status_of(door, f"tocsin_jo_{SECRET}") == 401


async def test_ones_own_keys_are_seen_and_taken_back_and_not_made(door: Doorway):
    made = await make(door)
    own = await door.get("/api/v1/me/keys", "cad")

    others = await door.post("/api/v1/me/keys/admin/revoke", "cad")
    nobodys = await door.post("/api/v1/me/keys/nothing/revoke", "cad")
    revoked = await door.post(f"/api/v1/me/keys/{made['id']}/revoke", "cad")
    more = [await door.post(KEYS, "cad", json={"name": "x"}), await door.post("/api/v1/me/keys", "cad", json={})]

    assert [key["id"] for key in own.json["keys"]] == [made["id"], "cad"]
    assert (others.status, nobodys.status, revoked.status) == (404, 404, 200)
    assert [answer.status for answer in more] == [403, 405]


async def test_a_key_of_another_zones_account_does_not_exist(door: Doorway):
    made = await make(door)

    answers = [
        await door.get(made["href"], "b"),
        await door.post(f"{made['href']}/revoke", "b"),
        await door.post(f"{made['href']}/rotate", "b", json={}),
        await door.get("/api/v1/keys/nothing", "b"),
    ]

    assert {(answer.status, answer.json["code"]) for answer in answers} == {(404, "no-such-key")}


# ---- keys that only simulate -------------------------------------------------------------------------------


@pytest.fixture
async def test_key(door: Doorway) -> str:
    """A test key of the account that may do everything everywhere."""
    record = KeyRecord("test-all", hashed(SECRET))
    await door.house.database.write(lambda tx: accounts.add_key(tx, "all", record))
    return "test-all"


async def a_campaign(door: Doorway, mode: str) -> str:
    people = await door.house.people("A", 2)
    audience = door.house.audience({Channel.SMS: people})
    [number] = await door.house.launch(1, door.house.campaign("A", 1, audience, mode, mode=mode))
    await door.house.expand(number, audience)
    return f"/api/v1/campaigns/{mode}"


async def test_the_token_of_a_test_key_says_so(door: Doorway):
    made = await make(door, test=True)
    rotated = await door.post(f"{made['href']}/rotate", "admin", json={})

    assert made["token"].startswith("tocsin_test-")
    assert (made["test"], rotated.json["test"]) == (True, True)
    assert rotated.json["token"].startswith("tocsin_test-")
    assert await status_of(door, made["token"]) == 200
    assert await status_of(door, made["token"].replace("tocsin_test-", "tocsin_")) == 401


async def test_by_a_test_key_nothing_live_is_seen_or_stopped(door: Doorway, test_key: str):
    live, simulated = await a_campaign(door, "live"), await a_campaign(door, "simulation")

    assert [(await door.get(path, test_key)).status for path in (live, f"{live}/deliveries", f"{live}/report")] == [
        404
    ] * 3
    assert (await door.post(f"{live}/stop", test_key)).status == 404
    assert (await door.get(live, "all")).json["state"] == "running"
    listed = (await door.get("/api/v1/campaigns", test_key)).json["campaigns"]
    assert [one["id"] for one in listed] == ["simulation"]
    assert (await door.post(f"{simulated}/stop", test_key)).json["stopped"] is True


async def test_by_a_test_key_nothing_is_held_administered_or_audited(door: Doorway, test_key: str):
    hold = {"scope": "zone", "subject": "A"}
    placed = (await door.post("/api/v1/holds", "all", json=hold)).headers["Location"]

    answers = [
        await door.post("/api/v1/holds", test_key, json={"scope": "channel", "subject": "sms"}),
        await door.ask("DELETE", placed, test_key, headers={"If-Match": "*"}),
        await door.get("/api/v1/accounts", test_key),
        await door.post("/api/v1/accounts", test_key, json={"code": "x", "name": "X", "type": "cic"}),
        await door.get("/api/v1/audit", test_key),
        await door.ask(
            "PATCH", "/api/v1/me", test_key, json={"name": "x"},
            headers={"If-Match": "*", "Content-Type": "application/merge-patch+json"},
        ),
    ]  # fmt: skip

    assert [answer.status for answer in answers] == [403] * 6


async def test_by_a_test_key_no_live_key_is_taken_back(door: Doorway, test_key: str):
    other = KeyRecord("test-other", hashed(SECRET))
    await door.house.database.write(lambda tx: accounts.add_key(tx, "all", other))

    answers = [await door.post(f"/api/v1/me/keys/{key}/revoke", test_key) for key in ("all", "test-other")]

    assert [answer.status for answer in answers] == [403, 200]
    assert (await door.get("/api/v1/me", "all")).status == 200


async def test_whoami_shows_what_is_left_of_the_rights(door: Doorway, test_key: str):
    rights = (await door.get("/api/v1/whoami", test_key)).json["rights"]

    assert {right["mode"] for right in rights} == {"simulation"}
