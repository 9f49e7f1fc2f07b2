"""Courses over HTTP: noted by who keeps the accounts, seen at the account and by whom they are about, taken away."""

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from gateway.directory.zone_policy import day_of
from store.tables import audit, course
from tests.gateway.http.doorway import Answer, Doorway

ELISE = "/api/v1/accounts/elise/courses"
FIRST = {"name": "BIN, eerste cursus", "on_date": "2026-03-01"}


@pytest.fixture(autouse=True)
async def elise(door: Doorway) -> int:
    return await door.house.account("elise", ("launch", "A"), type_="coordinator")


async def note(door: Doorway, key: str = "a", path: str = ELISE, **changes: object) -> Answer:
    return await door.post(path, key, json=FIRST | changes)


async def names(door: Doorway, key: str = "a") -> list[str]:
    return [one["name"] for one in (await door.get(ELISE, key)).json["courses"]]


async def rows(door: Doorway) -> int:
    async with door.house.database.read() as conn:
        return int((await conn.execute(sa.select(sa.func.count()).select_from(course))).scalar_one())


async def test_a_course_is_noted_read_and_taken_away(door: Doorway):
    noted = await note(door)
    read = await door.get(noted.headers["Location"], "a")
    gone = await door.ask("DELETE", noted.headers["Location"], "a", headers={"If-Match": noted.headers["ETag"]})

    assert noted.status == 201
    assert {name: noted.json[name] for name in ("name", "on_date", "by")} == FIRST | {"by": "a"}
    assert read.json == noted.json
    assert read.headers["ETag"] == noted.headers["ETag"]
    assert gone.status == 204
    assert (await door.get(noted.headers["Location"], "a")).json["code"] == "no-such-course"
    assert await names(door) == []


async def test_they_stand_at_the_account_and_in_whoami_the_latest_first(door: Doorway):
    await note(door, name="old", on_date="2024-01-01")
    await note(door, name="new")

    own: Any = (await door.get("/api/v1/whoami", "elise")).json["courses"]

    assert await names(door) == [one["name"] for one in own] == ["new", "old"]
    assert own[0]["href"].startswith(ELISE)
    assert (await door.get("/api/v1/whoami", "a")).json["courses"] == []


async def test_the_same_course_again_is_the_one_that_stands(door: Doorway):
    first, again = await note(door), await note(door, key="all")

    assert first.json == again.json
    assert await rows(door) == 1


async def test_another_zone_does_not_know_the_account_and_who_serves_two_is_noted_by_who_keeps_both(door: Doorway):
    await note(door)
    await door.house.account("both", ("launch", "A"), ("launch", "B"))
    path = ELISE.replace("elise", "both")

    others = [await door.get(ELISE, "b"), await note(door, "b"), await door.get(f"{ELISE}/1", "b")]
    nobody = await door.get(ELISE.replace("elise", "nobody"), "b")
    of_both = await note(door, "a", path)

    assert {(answer.status, answer.json["code"]) for answer in (*others, nobody)} == {(404, "no-such-account")}
    assert (of_both.status, of_both.json["code"]) == (403, "not-yours-to-note")
    assert of_both.json["problems"][0]["cause"] == "zones"
    assert (await door.get(path, "a")).status == 200
    assert (await note(door, "all", path)).status == 201
    assert await rows(door) == 2


async def test_nobody_notes_their_own_whatever_rights_they_have(door: Doorway):
    for key in ("a", "all"):
        answer = await note(door, key, ELISE.replace("elise", key))
        assert answer.status == 403
        assert answer.json["problems"][0]["cause"] == "own"
    assert await rows(door) == 0


async def test_who_may_not_note_takes_nothing_away_either(door: Doorway):
    await door.house.account("both", ("launch", "A"), ("launch", "B"))
    noted = await note(door, "all", ELISE.replace("elise", "both"))

    answer = await door.ask("DELETE", noted.json["href"], "a", headers={"If-Match": noted.headers["ETag"]})

    assert answer.status == 403
    assert await rows(door) == 1


async def test_what_was_not_seen_is_not_taken_away(door: Doorway):
    href = (await note(door)).json["href"]

    assert (await door.ask("DELETE", href, "a")).status == 428
    assert (await door.ask("DELETE", href, "a", headers={"If-Match": '"r2"'})).status == 412
    assert await rows(door) == 1


@pytest.mark.parametrize("number", ["0", "x", "-1", "99999999999999999999", "1e0", "%31%00"])
async def test_what_is_no_course_of_the_account_is_none(door: Doorway, number: str):
    await note(door)

    assert (await door.get(f"{ELISE}/{number}", "a")).status == 404


async def test_a_course_of_another_account_is_not_read_by_its_number(door: Doorway):
    number = (await note(door)).json["id"]
    await door.house.account("bart", ("launch", "A"))

    assert (await door.get(f"{ELISE.replace('elise', 'bart')}/{number}", "a")).status == 404


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"on_date": "1989-12-31"}, "day"),
        ({"on_date": "9999-12-31"}, "day"),
        ({"name": "B\u202eIN"}, "name"),
        ({"name": "BIN\u0000"}, "name"),
        ({"name": "   "}, "name"),
        ({"name": ""}, "too-short"),
        ({"name": "x" * 201}, "too-long"),
        ({"on_date": "2026-02-30"}, "no-such-time"),
        ({"on_date": 20260301}, "type"),
        ({"by": "a"}, "unknown"),
    ],
)
async def test_what_is_no_course_is_refused_with_its_place_in_four_languages(
    door: Doorway, change: dict[str, object], cause: str
):
    for language in ("nl", "fr", "de", "en"):
        answer = await door.post(ELISE, "a", json=FIRST | change, headers={"Accept-Language": language})
        assert answer.status in (400, 422)
        [problem] = answer.json["problems"]
        assert problem["cause"] == cause
        assert answer.headers["Content-Language"] == language
    assert await rows(door) == 0


async def test_of_today_it_may_be_and_of_tomorrow_not(door: Doorway):
    today = day_of(door.house.database.clock.now_ms())

    assert (await note(door, on_date=today.isoformat())).status == 201
    assert (await note(door, on_date=(today + timedelta(days=2)).isoformat())).status == 422


async def test_each_change_is_a_line_of_the_zone_with_who_did_it_and_looking_is_none(door: Doorway):
    noted = await note(door)
    await door.get(ELISE, "a")
    await door.ask("DELETE", noted.json["href"], "a", headers={"If-Match": "*"})

    async with door.house.database.read() as conn:
        lines = await conn.execute(
            sa.select(audit.c.action, audit.c.subject, audit.c.zone_id, audit.c.via)
            .where(audit.c.action.like("course%"))
            .order_by(audit.c.id)
        )
        found = [tuple(line) for line in lines]

    zone = door.house.zones["A"]
    assert found == [(action, "elise", zone, "http") for action in ("course-note", "course-remove")]
