"""Every route states a right, and every route of the table is tried by who lacks it."""

import re

import pytest

from channels.contract import Channel
from gateway.access.rights import Action
from gateway.http.route import Events, Route
from gateway.http.routes import TABLE
from gateway.http.serving import runner_of
from store import feed
from store.access import accounts
from store.engine.database import Database
from tests.gateway.http.doorway import Doorway, doorway
from tests.gateway.populated_store import SECRET, an_alert

PRIVATE = [route for route in TABLE if route.right != "public"]
GUARDED = [route for route in PRIVATE if route.right not in ("account", "session")]
OF_A_CAMPAIGN = [route for route in TABLE if route.path.startswith("/api/v1/campaigns/{")]


def path_of(route: Route, public_id: str = "nothing") -> str:
    return re.sub(r"\{(id|code|name)[^}]*\}+", public_id, route.path.replace(_SUM, "0" * 64))


_SUM = "{sha256:[0-9a-f]{64}}"


def named(route: Route) -> str:
    return f"{route.method} {path_of(route, 'ID')}"


async def a_campaign(door: Doorway, zone: str = "A", name: str = "camp1") -> int:
    people = await door.house.people(zone, 2)
    audience = door.house.audience({Channel.SMS: people})
    [number] = await door.house.launch(1, door.house.campaign(zone, 1, audience, name))
    await door.house.expand(number, audience)
    return number


@pytest.mark.parametrize("route", PRIVATE, ids=named)
async def test_a_stranger_is_asked_for_a_key(door: Doorway, route: Route):
    answer = await door.ask(route.method, path_of(route))

    assert answer.status == 401
    assert answer.json["code"] == "no-key"
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="tocsin"'


@pytest.mark.parametrize("route", PRIVATE, ids=named)
async def test_a_broken_key_is_refused(door: Doorway, route: Route):
    broken = {"Authorization": f"Bearer tocsin_all_{SECRET[:-1]}y"}
    answer = await door.ask(route.method, path_of(route), headers=broken)

    assert (answer.status, answer.json["code"]) == (401, "bad-key")


@pytest.mark.parametrize("route", GUARDED, ids=named)
async def test_an_account_without_the_right_is_refused(door: Doorway, route: Route):
    answer = await door.ask(route.method, path_of(route), "none")

    assert (answer.status, answer.json["code"]) == (403, "no-right" if route.takes_keys else "person-only")


ROLES = {str(action): (action,) for action in Action} | {"everything": tuple(Action), "nothing": ()}
"""Each right alone, and all of them, in zone A."""


@pytest.mark.parametrize("role", [*ROLES, "a stranger", "a revoked key", "a disabled account"])
async def test_a_role_comes_in_where_the_table_says_so_and_nowhere_else(door: Doorway, role: str):
    held = ROLES.get(role, tuple(Action))
    door.door.keyring.failures.most = len(TABLE)  # who they are is asked here, not how often they try
    await door.house.account("role", *((action, "A") for action in held))
    if role == "a revoked key":
        await door.house.database.write(lambda tx: accounts.revoke_key(tx, "role"))
    if role == "a disabled account":
        await door.house.database.write(lambda tx: accounts.set_disabled(tx, "role", True))
    for route in TABLE:
        stream = any(isinstance(form, Events) for form in route.forms(200))
        method = "HEAD" if stream else route.method
        answer = await door.ask(method, path_of(route), None if role == "a stranger" else "role")
        rights = route.right if isinstance(route.right, tuple) else (route.right,)
        if route.is_public:
            assert answer.status not in (401, 403), named(route)
        elif role not in ROLES:
            assert answer.status == 401, named(route)
        elif route.right == "account" or set(rights) & set(held):
            # Where more is needed than the route's right it is for another reason: the machine is every zone's.
            assert answer.status != 401, named(route)
            assert answer.status != 403 or b"in any zone" not in answer.body, named(route)
        else:
            assert answer.status == 403, named(route)


@pytest.mark.parametrize("route", OF_A_CAMPAIGN, ids=named)
async def test_to_another_zone_a_campaign_does_not_exist(door: Doorway, route: Route):
    await a_campaign(door, "A")

    others = await door.ask(route.method, path_of(route, "camp1"), "b")
    nothing = await door.ask(route.method, path_of(route, "nothing"), "b")
    own = await door.ask("HEAD" if route.method == "GET" else "POST", path_of(route, "camp1"), "a")

    assert (others.status, nothing.status, own.status) == (404, 404, 200)
    assert {**others.json, "request_id": ""} == {**nothing.json, "request_id": ""}


LOOKED_AT = [r for r in TABLE if r.method == "GET" and "{" not in r.path and r.right != "session"]


@pytest.mark.parametrize("route", LOOKED_AT, ids=named)
async def test_head_answers_as_get_without_a_body(door: Doorway, route: Route):
    needed = {
        "/cap/v1/alerts": "?sender=cic@example.org&identifier=id-1",
        "/api/v1/events": "?topics=campaigns",
    }

    answer = await door.ask("HEAD", route.path + needed.get(route.path, ""), "all")

    # The files for browsers come over the net, which not every machine has when it is set up.
    wanted = 404 if route.path == "/api/docs" and door.door.assets.faults else 200
    assert answer.status == wanted
    assert answer.body == b""


async def test_options_names_the_methods_and_another_method_is_not_allowed(door: Doorway):
    options = await door.ask("OPTIONS", "/api/v1/campaigns")
    delete = await door.ask("DELETE", "/api/v1/campaigns")

    assert (options.status, options.headers["Allow"]) == (204, "GET, HEAD, OPTIONS, POST")
    assert (delete.status, delete.json["code"]) == (405, "method-not-allowed")


@pytest.mark.parametrize(
    "path", ["/admin", "/static/../gateway/http/routes.py", "/cap/v1/alerts/", "/cap/alerts/%2e%2e%2fx.xml", "//"]
)
async def test_what_is_not_in_the_table_does_not_exist(door: Doorway, path: str):
    answer = await door.get(path, "all")

    assert (answer.status, answer.json["code"]) == (404, "not-found")


async def test_a_route_of_the_inner_face_does_not_exist_outside(database: Database):
    async with doorway(database, faces=frozenset({"outer"})) as outside:
        inner = [route for route in TABLE if route.face == "inner"]
        statuses = {(await outside.ask(route.method, path_of(route), "all")).status for route in inner}
        feed = await outside.get("/cap/feed.atom")

    assert statuses == {404}
    assert feed.status == 200


@pytest.mark.parametrize("route", TABLE, ids=named)
async def test_every_answer_has_its_headers_and_no_banner(door: Doorway, route: Route):
    await door.house.launch(1, alert=an_alert(1, "pub1"), publish=True)
    await door.house.database.write(lambda tx: feed.publish(tx, [feed.Edition(1, None)]))
    stream = route.path == "/cap/stream"  # it does not end by itself
    answer = await door.ask("HEAD" if stream else route.method, path_of(route, "pub1"), "all")

    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "Server" not in answer.headers
    assert re.fullmatch("[0-9a-f]{16}", answer.headers["X-Request-Id"])
    # What one person is asked is nobody else's to keep; and what is not there yet may be there soon.
    if route.face == "inner" or stream or route.path.startswith("/unsubscribe/") or answer.status == 404:
        assert answer.headers["Cache-Control"] == "no-store"
    else:
        assert answer.headers["Cache-Control"].startswith("public")


async def test_a_request_id_of_the_caller_is_kept_when_it_is_harmless(door: Doorway):
    kept = await door.get("/healthz", headers={"X-Request-Id": "trace-0001"})
    replaced = await door.get("/healthz", headers={"X-Request-Id": 'x"}\t{'})

    assert kept.headers["X-Request-Id"] == "trace-0001"
    assert re.fullmatch("[0-9a-f]{16}", replaced.headers["X-Request-Id"])


async def test_guessing_keys_is_slowed_down_and_hurts_nobody_else(door: Doorway):
    assert (await door.get("/api/v1/whoami", "a")).status == 200
    answers = [await door.get("/api/v1/whoami", f"guess{n}") for n in range(22)]

    assert [a.status for a in answers] == [401] * 20 + [429] * 2
    assert 0 < int(answers[-1].headers["Retry-After"]) <= 61
    assert (await door.get("/api/v1/whoami", "a")).status == 200


async def test_a_runner_can_be_made_for_each_face_of_one_door(door: Doorway):
    assert runner_of(door.door, frozenset({"outer"})).app is not None
