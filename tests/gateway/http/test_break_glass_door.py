"""A paper code over HTTP: opens its zone once, tells everybody, tells a stranger nothing, and lets nobody stay."""

import pytest

from gateway.access.approval_desk import AwaitsSecond
from gateway.access.break_glass_code import code_sha256, new_code
from gateway.access.break_glass_desk import ALARMING_GUESSES, BreakGlassDesk, BreakGlassNews
from gateway.access.break_glass_desk import BreakGlassWish as Wish
from gateway.access.dangerous import OpenAccount
from gateway.access.rights import Right
from gateway.access.sign_in_parts import Visit
from gateway.errors import Refusal
from gateway.http.route import Route
from gateway.http.routes import TABLE
from gateway.settings import SignInSettings
from store.access import accounts, break_glass
from store.access.accounts import RightRow
from store.access.break_glass import LIFE_MS, MOST_GUESSES
from store.audit_line import Actor
from store.engine.database import Database
from store.engine.transaction import Transaction
from tests.gateway.http.authenticator import Authenticator, Browser
from tests.gateway.http.doorway import Answer, Doorway, doorway
from tests.gateway.http.test_routes import a_campaign, named, path_of
from tests.gateway.http.test_sign_in_door import age, forget
from tests.gateway.populated_store import bearer

PATH = "/api/v1/break-glass"
CURRENT = "/api/v1/sessions/current"


async def issued(door: Doorway, zone: str = "A") -> str:
    code = new_code()
    by = Actor(via="cli", login="ada")
    assert await door.house.database.write(lambda tx: break_glass.issue(tx, zone, code_sha256(code), by))
    return code


async def use(door: Doorway, code: str, zone: str = "A", **more: str) -> Answer:
    body = {"zone": zone, "code": code, "name": "A. Peeters", "reason": "Nobody is reached."} | more
    return await door.post(PATH, json=body)


async def opened(door: Doorway, code: str, **more: str) -> Browser:
    """A browser in which a code was typed."""
    browser = Browser(door)
    body = {"zone": "A", "code": code, "name": "A. Peeters", "reason": "Nobody is reached."} | more
    assert (await browser.post(PATH, body)).status == 200
    return browser


async def test_it_opens_its_zone_for_an_hour_to_the_browser_that_asked(door: Doorway):
    code = await issued(door)
    browser = Browser(door)
    wish = {"zone": "A", "code": code.lower().replace("-", " "), "name": "A. Peeters", "reason": "storm"}

    answer = await browser.post(PATH, wish)
    again = await use(door, code)
    whoami = await browser.get("/api/v1/whoami")
    current = await browser.get(CURRENT)

    assert (answer.status, answer.json["zone"], answer.json["mode"]) == (200, "A", "live")
    assert answer.json["account"] == whoami.json["account"] == "break-glass-A-live"
    assert "HttpOnly" in answer.headers["Set-Cookie"]
    assert (current.json["factors"], current.json["ends"]) == (["break-glass"], answer.json["ends"])
    assert {right["action"] for right in whoami.json["rights"]} == {"launch", "read", "stop"}
    assert (again.status, again.json["code"]) == (403, "break-glass-refused")
    assert (await Browser(door).get("/api/v1/whoami")).status == 401


async def test_it_reads_and_stops_in_its_zone_and_sees_no_other(door: Doorway):
    await a_campaign(door, "A", "camp1")
    await a_campaign(door, "B", "camp2")
    browser = await opened(door, await issued(door))

    listed = await browser.get("/api/v1/campaigns")
    stopped = await browser.post("/api/v1/campaigns/camp1/stop")

    assert [one["id"] for one in listed.json["campaigns"]] == ["camp1"]
    assert (stopped.status, (await browser.post("/api/v1/campaigns/camp2/stop")).status) == (200, 404)


async def test_after_an_hour_it_is_over_and_not_before_for_want_of_a_touch(door: Doorway):
    browser = await opened(door, await issued(door))

    await age(door, seen_ms=LIFE_MS - 60_000)
    late = await browser.get("/api/v1/campaigns")
    await age(door, ends_ms=LIFE_MS)
    over = await browser.get("/api/v1/campaigns")

    assert (late.status, over.status) == (200, 401)


async def test_whom_to_ask_is_told_to_it_too(door: Doorway):
    browser = await opened(door, await issued(door))

    assert (await browser.get("/api/v1/help")).status == 200


async def test_it_can_be_signed_out(door: Doorway):
    browser = await opened(door, await issued(door))

    assert (await browser.ask("DELETE", CURRENT)).status == 204
    forget(door)
    assert (await browser.get("/api/v1/campaigns")).status == 401


async def test_a_rehearsal_costs_the_code_and_acts_in_simulation(door: Doorway):
    code = await issued(door)
    browser = await opened(door, code, mode="simulation")

    rights = (await browser.get("/api/v1/whoami")).json["rights"]
    late = await use(door, code)

    assert {right["mode"] for right in rights} == {"simulation"}
    assert late.status == 403


# ---- nobody stays --------------------------------------------------------------------------------------------------


def is_shut(route: Route) -> bool:
    own = route.right == "session" or (route.right == "account" and route.method != "GET")
    return (own or route.step_up or route.person_only) and not route.by_code


NOT_BY_CODE = [route for route in TABLE if is_shut(route)]


@pytest.mark.parametrize("route", NOT_BY_CODE, ids=named)
async def test_what_is_a_persons_own_or_dangerous_is_shut_also_with_every_right(door: Doorway, route: Route):
    code = await issued(door)
    every = frozenset(
        RightRow(action, None, None)
        for action in ("administer", "operate", "audit", "launch", "read", "stop", "submit", "publish")
    )
    await door.house.database.write(lambda tx: accounts.put_rights_of(tx, "break-glass-A-live", every))
    browser = await opened(door, code)

    answer = await browser.ask(route.method, path_of(route))

    assert (answer.status, answer.json["code"]) == (403, "person-only")


async def test_whoever_came_by_a_code_sets_up_no_way_in(door: Doorway):
    browser = await opened(door, await issued(door))

    options = await browser.post("/api/v1/me/passkeys/challenge")
    made = await browser.post("/api/v1/me/passkeys", Authenticator().make({}) if options.status == 200 else {})
    password = await browser.ask("PUT", "/api/v1/me/password", {"password": "four words of no sense"})

    assert [answer.status for answer in (options, made, password)] == [403] * 3


async def test_whoever_came_by_a_code_is_no_second_person(door: Doorway):
    await door.house.account("anna", ("administer", "A"))
    anna = await door.door.keyring.caller(bearer("anna")["Authorization"], "127.0.0.1")
    new = OpenAccount("x", "X", "officer", (Right("launch", door.house.zones["A"], None, "*", "*"),))
    desk = door.door.services.approvals
    asked = await door.house.database.write(lambda tx: desk.gate(tx, anna, [new]))
    assert isinstance(asked, AwaitsSecond)
    code = await issued(door)
    keeps = frozenset({RightRow("administer", None, None)})
    await door.house.database.write(lambda tx: accounts.put_rights_of(tx, "break-glass-A-live", keeps))
    browser = await opened(door, code)

    path = f"/api/v1/approvals/{asked.approval.public_id}/decision"
    answer = await browser.post(path, {"grant": True, "digest": asked.approval.digest})

    assert (answer.status, answer.json["code"]) == (403, "person-only")


# ---- strangers -----------------------------------------------------------------------------------------------------


async def test_the_answer_is_the_same_for_whatever_opens_nothing(door: Doorway):
    code = await issued(door)
    await issued(door, "B")

    answers = [
        await use(door, new_code()),
        await use(door, code, "B"),
        await use(door, code, "nowhere"),
        await use(door, "\0 ?"),
    ]

    bodies = [{**answer.json, "request_id": ""} for answer in answers]
    assert [answer.status for answer in answers] == [403] * 4
    assert all(body == bodies[0] for body in bodies)
    assert not any("Set-Cookie" in answer.headers for answer in answers)


async def test_guessing_is_bounded_whatever_is_brought_then(door: Doorway):
    code = await issued(door)

    answers = [await use(door, new_code(), f"zone-{n}") for n in range(MOST_GUESSES)]
    late = await use(door, code)

    assert {answer.status for answer in answers} == {403}
    assert (late.status, late.json["code"]) == (429, "break-glass-too-often")
    assert 0 < int(late.headers["Retry-After"]) <= 3601


async def test_a_page_of_another_site_types_no_code(door: Doorway):
    code = await issued(door)
    body = {"zone": "A", "code": code, "name": "x", "reason": "x"}

    refused = await door.post(PATH, json=body, headers={"Sec-Fetch-Site": "cross-site"})

    assert (refused.status, refused.json["code"]) == (403, "cross-site")
    assert (await use(door, code)).status == 200


@pytest.mark.parametrize(
    "wrong", [{"name": ""}, {"reason": ""}, {"reason": "x" * 501}, {"mode": "exercise"}, {"code": "x" * 101}]
)
async def test_name_and_reason_are_given_and_bounded(door: Doorway, wrong: dict[str, str]):
    code = await issued(door)

    refused = await door.post(PATH, json={"zone": "A", "code": code, "name": "x", "reason": "x"} | wrong)

    assert refused.status == 400
    assert (await use(door, code)).status == 200, "a body out of form costs no code"


async def test_where_nobody_signs_in_no_code_opens_anything(database: Database):
    async with doorway(database, sign_in=SignInSettings(enabled=False)) as door:
        code = await issued(door)

        assert (await use(door, code)).json["code"] == "sign-in-closed"


# ---- who is told ---------------------------------------------------------------------------------------------------


async def desk_of(door: Doorway, news: list[BreakGlassNews]) -> BreakGlassDesk:
    async def note(_tx: Transaction, one: BreakGlassNews) -> None:
        news.append(one)

    for code, zone in (("anna", "A"), ("berta", "B")):
        await door.house.account(code, ("administer", zone))
    return BreakGlassDesk(door.door.services.sign_in.parts, (note,))


async def test_all_who_keep_the_zones_accounts_are_told_in_the_same_moment(door: Doorway):
    news: list[BreakGlassNews] = []
    desk, code = await desk_of(door, news), await issued(door)

    zone = await desk.use(Wish("A", code, "A. Peeters", "storm"), Visit("192.0.2.1"))

    [told] = news
    assert (told.event, told.use) == ("opened", zone.use)
    assert told.to == (1, 2, 5), "all, a and anna; not b, none and berta"


async def test_what_cannot_be_told_costs_no_code(door: Doorway):
    code = await issued(door)

    async def fails(*_: object) -> None:
        raise RuntimeError("no")

    broken = BreakGlassDesk(door.door.services.sign_in.parts, (fails,))
    with pytest.raises(RuntimeError, match="no"):
        await broken.use(Wish("A", code, "A. Peeters", "storm"), Visit("192.0.2.1"))

    assert (await use(door, code)).status == 200


async def test_many_guesses_at_one_zone_from_many_places_are_told_once_and_lock_nobody_out(door: Doorway):
    news: list[BreakGlassNews] = []
    desk, code = await desk_of(door, news), await issued(door)

    for n in range(ALARMING_GUESSES + 5):
        with pytest.raises(Refusal):
            await desk.use(Wish("A", new_code(), "x", "x"), Visit(f"192.0.2.{n}"))

    assert [one.event for one in news] == ["guessed"]
    zone = await desk.use(Wish("A", code, "A. Peeters", "storm"), Visit("198.51.100.1"))
    assert zone.use.zone == "A"
