"""A paper code over HTTP: opens its zone once, tells everybody, and tells a stranger nothing."""

import pytest

from gateway.access.break_glass_code import code_sha256, new_code
from gateway.access.break_glass_desk import ALARMING_GUESSES, BreakGlassDesk, BreakGlassNews, BrowserOfCode
from gateway.access.break_glass_desk import BreakGlassWish as Wish
from gateway.errors import Refusal
from store.access import break_glass
from store.access.break_glass import MOST_GUESSES
from store.audit_line import Actor
from store.engine.database import Database
from store.engine.transaction import Transaction
from tests.gateway.http.doorway import Answer, Doorway, doorway

PATH = "/api/v1/break-glass"


async def issued(door: Doorway, zone: str = "A") -> str:
    code = new_code()
    by = Actor(via="cli", login="ada")
    assert await door.house.database.write(lambda tx: break_glass.issue(tx, zone, code_sha256(code), by))
    return code


async def use(door: Doorway, code: str, zone: str = "A", **more: str) -> Answer:
    body = {"zone": zone, "code": code, "name": "A. Peeters", "reason": "Nobody is reached."} | more
    return await door.post(PATH, json=body)


async def test_it_opens_its_zone_for_an_hour_to_the_browser_that_asked(door: Doorway):
    code = await issued(door)

    opened = await use(door, code.lower().replace("-", " "))
    again = await use(door, code)

    assert (opened.status, opened.json["zone"], opened.json["mode"]) == (200, "A", "live")
    assert opened.json["account"] == "break-glass-A-live"
    assert opened.headers["Set-Cookie"] == f"opened={opened.json['id']}"
    [use_] = door.desk.opened
    assert (use_.name, use_.reason, use_.ends_ms - use_.began_ms) == ("A. Peeters", "Nobody is reached.", 3_600_000)
    assert (again.status, again.json["code"]) == (403, "break-glass-refused")


async def test_a_rehearsal_costs_the_code_and_acts_in_simulation(door: Doorway):
    code = await issued(door)

    rehearsed = await use(door, code, mode="simulation")
    late = await use(door, code)

    assert (rehearsed.status, rehearsed.json["account"]) == (200, "break-glass-A-simulation")
    assert late.status == 403


async def test_the_answer_is_the_same_for_whatever_opens_nothing(door: Doorway):
    code = await issued(door)
    await issued(door, "B")

    answers = [
        await use(door, new_code()),
        await use(door, code, "B"),
        await use(door, code, "nowhere"),
        await use(door, "\0 \ud800".encode("utf-8", "replace").decode()),
    ]

    bodies = [{**answer.json, "request_id": ""} for answer in answers]
    assert [answer.status for answer in answers] == [403] * 4
    assert all(body == bodies[0] for body in bodies)
    assert door.desk.opened == []


async def test_guessing_is_bounded_whatever_is_brought_then(door: Doorway):
    code = await issued(door)

    answers = [await use(door, new_code(), f"zone-{n}") for n in range(MOST_GUESSES)]
    late = await use(door, code)

    assert {answer.status for answer in answers} == {403}
    assert (late.status, late.json["code"]) == (429, "break-glass-too-often")
    assert 0 < int(late.headers["Retry-After"]) <= 3601
    assert door.desk.opened == []


@pytest.mark.parametrize(
    "wrong", [{"name": ""}, {"reason": ""}, {"reason": "x" * 501}, {"mode": "exercise"}, {"code": "x" * 101}]
)
async def test_name_and_reason_are_given_and_bounded(door: Doorway, wrong: dict[str, str]):
    code = await issued(door)

    refused = await door.post(PATH, json={"zone": "A", "code": code, "name": "x", "reason": "x"} | wrong)
    assert refused.status == 400
    assert (await use(door, code)).status == 200, "a body out of form costs no code"


async def test_where_nobody_signs_in_no_code_opens_anything(database: Database):
    async with doorway(database, codes=False) as door:
        code = await issued(door)

        assert (await use(door, code)).json["code"] == "no-break-glass"


# ---- who is told ---------------------------------------------------------------------------------------------------


async def desk_of(door: Doorway, news: list[BreakGlassNews]) -> BreakGlassDesk:
    async def note(_tx: Transaction, one: BreakGlassNews) -> None:
        news.append(one)

    for code, zone in (("anna", "A"), ("berta", "B")):
        await door.house.account(code, ("administer", zone))
    return BreakGlassDesk(door.house.database, door.desk.open_session, (note,))


async def test_all_who_keep_the_zones_accounts_are_told_in_the_same_moment(door: Doorway):
    news: list[BreakGlassNews] = []
    desk, code = await desk_of(door, news), await issued(door)

    opened = await desk.use(Wish("A", code, "A. Peeters", "storm"), BrowserOfCode("192.0.2.1", "x"))

    [told] = news
    assert (told.event, told.use) == ("opened", opened.use)
    assert told.to == (1, 2, 5), "all, a and anna; not b, none and berta"


async def test_what_cannot_be_told_and_what_gets_no_session_costs_no_code(door: Doorway):
    code = await issued(door)

    async def fails(*_: object) -> dict[str, str]:
        raise RuntimeError("no")

    broken = BreakGlassDesk(door.house.database, fails)
    with pytest.raises(RuntimeError, match="no"):
        await broken.use(Wish("A", code, "A. Peeters", "storm"), BrowserOfCode("192.0.2.1", "x"))

    assert (await use(door, code)).status == 200


async def test_many_guesses_at_one_zone_from_many_places_are_told_once_and_lock_nobody_out(door: Doorway):
    news: list[BreakGlassNews] = []
    desk, code = await desk_of(door, news), await issued(door)

    for n in range(ALARMING_GUESSES + 5):
        with pytest.raises(Refusal):
            await desk.use(Wish("A", new_code(), "x", "x"), BrowserOfCode(f"192.0.2.{n}", "x"))

    assert [one.event for one in news] == ["guessed"]
    opened = await desk.use(Wish("A", code, "A. Peeters", "storm"), BrowserOfCode("198.51.100.1", "x"))
    assert opened.use.zone == "A"
