"""Holds over HTTP: placed, found, changed and lifted by who may, and seen by whom they concern."""

import pytest
import sqlalchemy as sa

from channels.contract import Channel
from gateway.access.keys import hashed
from store import meta
from store.access import accounts
from store.access.accounts import AccountRecord, KeyRecord, RightRow
from store.campaigns import campaign_steps
from store.outbox import holds
from store.tables import account, audit
from tests.gateway.http.doorway import CARRIERS, Answer, Doorway
from tests.gateway.http.test_routes import a_campaign
from tests.gateway.populated_store import SECRET

HOLDS = "/api/v1/holds"
PATCH = {"Content-Type": "application/merge-patch+json"}


async def place(door: Doorway, key: str, scope: str, subject: str = "", reason: str = "storm") -> Answer:
    return await door.post(HOLDS, key, json={"scope": scope, "subject": subject, "reason": reason})


async def standing(door: Doorway, key: str = "all") -> list[tuple[str, str]]:
    return [(one["scope"], one["subject"]) for one in (await door.get(HOLDS, key)).json["holds"]]


def seen(answer: Answer) -> dict[str, str]:
    return {"If-Match": answer.headers["ETag"]}


async def audited(door: Doorway) -> list[tuple[str, str, str]]:
    lines = sa.select(account.c.code, audit.c.action, audit.c.subject).join(account, account.c.id == audit.c.account_id)
    async with door.house.database.read() as conn:
        return [tuple(line) for line in await conn.execute(lines.order_by(audit.c.id))]


# ---- holding and letting go ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "scope", "subject"),
    [
        ("all", "all", ""),
        ("all", "channel", "sms"),
        ("all", "carrier", "second"),
        ("all", "zone", "B"),
        ("a", "zone", "A"),
        ("a", "campaign", "camp1"),
    ],
)
async def test_a_hold_is_placed_read_and_lifted(door: Doorway, key: str, scope: str, subject: str):
    await a_campaign(door)

    placed = await place(door, key, scope, subject)
    read = await door.get(placed.headers["Location"], key)
    lifted = await door.ask("DELETE", placed.headers["Location"], key, headers=seen(read))

    assert (placed.status, read.status, lifted.status, lifted.body) == (201, 200, 204, b"")
    assert placed.json == read.json
    assert read.headers["ETag"] == placed.headers["ETag"] == '"r1"'
    said = {name: read.json[name] for name in ("scope", "subject", "reason", "account", "by", "read_only")}
    assert said == {
        "scope": scope, "subject": subject, "reason": "storm", "account": key, "by": key, "read_only": False,
    }  # fmt: skip
    assert await standing(door) == []
    assert (await door.get(placed.headers["Location"], key)).status == 404


async def test_what_is_held_already_stays_held_as_it_is(door: Doorway):
    first = await place(door, "all", "channel", "sms", "the first")
    again = await place(door, "all", "channel", "sms", "the second")

    assert (first.status, again.status) == (201, 200)
    assert again.json == first.json
    assert again.headers["Location"] == first.headers["Location"]


async def test_the_reason_is_changed_by_who_has_seen_the_one_before(door: Doorway):
    placed = await place(door, "a", "zone", "A")
    path = placed.headers["Location"]

    async def patch(key: str, headers: dict[str, str], **change: object) -> Answer:
        return await door.ask("PATCH", path, key, headers=PATCH | headers, json=change)

    blind = await patch("a", {}, reason="wind")
    changed = await patch("all", seen(placed), reason="wind")
    late = await patch("a", seen(placed), reason="rain")
    same = await patch("a", seen(changed))
    none = await patch("a", seen(changed), reason=None)
    other = await patch("a", seen(none), scope="all")

    assert [a.status for a in (blind, changed, late, same, none, other)] == [428, 200, 412, 200, 200, 400]
    assert (changed.json["reason"], changed.json["by"], changed.json["changed_by"]) == ("wind", "a", "all")
    assert (late.json["changed_by"], late.json["etag"]) == ("all", '"r2"')
    [problem] = late.json["problems"]
    assert problem["remedy"] == "Read it again, and decide then."
    assert (same.headers["ETag"], none.headers["ETag"], none.json["reason"]) == ('"r2"', '"r3"', "")


async def test_what_was_changed_meanwhile_is_not_lifted_and_any_version_is_where_the_caller_says_so(door: Doorway):
    placed = await place(door, "all", "all")
    path = placed.headers["Location"]
    await door.ask("PATCH", path, "all", headers=PATCH | seen(placed), json={"reason": "still needed"})

    blind = await door.ask("DELETE", path, "all")
    late = await door.ask("DELETE", path, "all", headers=seen(placed))
    any_ = await door.ask("DELETE", path, "all", headers={"If-Match": "*"})

    assert (blind.status, late.status, any_.status) == (428, 412, 204)


async def test_each_placing_change_and_lifting_is_a_line_with_its_account(door: Doorway):
    placed = await place(door, "a", "zone", "A")
    await place(door, "a", "zone", "A")
    changed = await door.ask(
        "PATCH", placed.headers["Location"], "all", headers=PATCH | seen(placed), json={"reason": "wind"}
    )
    await door.ask("DELETE", placed.headers["Location"], "a", headers=seen(changed))

    about = f"zone {door.house.zones['A']}"
    assert await audited(door) == [("a", "hold", about), ("all", "hold-change", about), ("a", "resume", about)]


async def test_a_list_is_read_in_pages(door: Doorway):
    for subject in ("sms", "email", "voice"):
        await place(door, "all", "channel", subject)

    first = await door.get(f"{HOLDS}?limit=2", "all")
    second = await door.get(first.json["next"], "all")

    assert [one["subject"] for one in (*first.json["holds"], *second.json["holds"])] == ["sms", "email", "voice"]
    assert first.headers["Link"] == f'<{first.json["next"]}>; rel="next"'
    assert "next" not in second.json


# ---- who may what --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("scope", "subject"), [("all", ""), ("channel", "sms"), ("carrier", "first")])
async def test_what_is_of_every_zone_is_held_by_who_operates_in_all_and_shown_to_all_it_holds_up(
    door: Doorway, scope: str, subject: str
):
    refused = await place(door, "a", scope, subject)
    placed = await place(door, "all", scope, subject)
    shown = await door.get(placed.headers["Location"], "a")
    lifted = await door.ask("DELETE", placed.headers["Location"], "a", headers=seen(placed))
    changed = await door.ask(
        "PATCH", placed.headers["Location"], "a", headers=PATCH | seen(placed), json={"reason": "x"}
    )

    assert (refused.status, refused.json["code"]) == (403, "not-yours-to-hold")
    assert "`operate` in every zone" in refused.json["problems"][0]["text"]
    assert (shown.status, shown.json["read_only"]) == (200, True)
    assert (lifted.status, changed.status) == (403, 403)
    assert await standing(door, "a") == [(scope, subject)]


async def test_to_another_zone_a_hold_and_what_is_held_do_not_exist(door: Doorway):
    await a_campaign(door)
    placed = [await place(door, "a", "zone", "A"), await place(door, "a", "campaign", "camp1")]

    assert await standing(door, "b") == []
    for one in placed:
        for method, headers in (("GET", {}), ("DELETE", seen(one)), ("PATCH", PATCH | seen(one))):
            body = {"json": {"reason": "x"}} if method == "PATCH" else {}
            answer = await door.ask(method, one.headers["Location"], "b", headers=headers, **body)
            assert (answer.status, answer.json["code"]) == (404, "no-such-hold")
    for scope, theirs, nobodys in (("zone", "A", "Z"), ("campaign", "camp1", "camp9")):
        answers = [await place(door, "b", scope, subject) for subject in (theirs, nobodys)]
        assert [answer.status for answer in answers] == [422, 422]
        assert theirs not in answers[1].json["problems"][0].get("facts", [])


async def test_a_right_that_is_narrower_than_a_zone_sees_and_holds_nothing(door: Doorway):
    rights = frozenset({RightRow("operate", door.house.zones["A"], None, channel="sms")})
    record = AccountRecord("narrow", "Narrow", "officer", "[]", "[]", rights, (KeyRecord("narrow", hashed(SECRET)),))
    await door.house.database.write(lambda tx: accounts.put_account(tx, record))
    await place(door, "a", "zone", "A")

    assert (await place(door, "narrow", "zone", "A")).status == 403
    assert (await door.get(HOLDS, "narrow")).json["holds"][0]["read_only"] is True
    [right] = (await door.get("/api/v1/whoami", "narrow")).json["rights"]
    assert right["text"] == "May see holds in zone A: any kind, sms."


# ---- after a restore -----------------------------------------------------------------------------------------------


async def test_what_a_restore_holds_is_shown_and_neither_changed_nor_lifted_here(door: Doorway):
    await a_campaign(door)
    mine = await place(door, "a", "campaign", "camp1")
    path = mine.headers["Location"]
    await door.house.database.write(meta.renew_generation)
    read = await door.get(path, "a")
    again = await place(door, "all", "campaign", "camp1")

    late = await door.ask("DELETE", path, "a", headers=seen(mine))
    lifted = [await door.ask("DELETE", path, key, headers=seen(read)) for key in ("a", "all")]
    changed = await door.ask("PATCH", path, "all", headers=PATCH | seen(read), json={"reason": "wind"})
    french = await door.ask("DELETE", path, "a", headers=seen(read) | {"Accept-Language": "fr"})

    assert (mine.json["of_restore"], mine.json["read_only"]) == (False, False)
    said = {name: read.json[name] for name in ("of_restore", "read_only", "reason", "account", "changed_by")}
    assert said == {
        "of_restore": True, "read_only": True, "reason": "storm", "account": "a", "changed_by": "tocsin new-generation",
    }  # fmt: skip
    assert (again.status, again.json["id"], late.status) == (200, read.json["id"], 412)
    for answer in (*lifted, changed):
        assert (answer.status, answer.json["code"]) == (409, "held-by-a-restore")
        remedy = answer.json["problems"][0]["remedy"]
        assert "tocsin retire camp1 " in remedy
        assert "tocsin resume campaign camp1 " in remedy
    assert "`tocsin retire camp1` y renonce" in french.json["problems"][0]["remedy"]
    assert await standing(door) == [("campaign", "camp1")]


async def test_the_words_of_a_restore_make_no_hold_of_one(door: Doorway):
    await a_campaign(door)

    placed = await place(door, "a", "campaign", "camp1", meta.RESTORED)
    forged = await door.post(HOLDS, "a", json={"scope": "campaign", "subject": "camp1", "of_restore": True})
    lifted = await door.ask("DELETE", placed.headers["Location"], "a", headers=seen(placed))

    assert (placed.json["of_restore"], forged.status, lifted.status) == (False, 400, 204)


# ---- what cannot be held -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scope", "subject", "choices"),
    [
        ("channel", "fax", [channel.value for channel in Channel]),
        ("carrier", "third", list(CARRIERS)),
        ("zone", "Z", ["A", "B"]),
    ],
)
async def test_what_there_is_not_is_answered_with_what_there_is(
    door: Doorway, scope: str, subject: str, choices: list[str]
):
    answer = await place(door, "all", scope, subject)
    [problem] = answer.json["problems"]

    assert (answer.status, answer.json["code"]) == (422, "nothing-to-hold")
    assert (problem["pointer"], problem["choices"]) == ("/subject", choices)


async def test_of_a_campaign_that_has_ended_there_is_nothing_to_hold(door: Doorway):
    number = await a_campaign(door)
    await door.house.database.write(lambda tx: campaign_steps.stop(tx, number, None))

    answer = await place(door, "a", "campaign", "camp1")

    assert (answer.status, answer.json["code"]) == (422, "nothing-to-hold")
    assert answer.json["problems"][0]["text"] == "This campaign has ended: nothing more of it leaves."
    assert await standing(door) == []


async def test_everything_is_never_what_a_forgotten_word_means(door: Doorway):
    assert (await place(door, "all", "all", "sms")).status == 422
    assert (await door.post(HOLDS, "all", json={"reason": "storm"})).status == 400
    assert (await place(door, "all", "everything")).status == 400
    assert await standing(door) == []


# ---- several together ----------------------------------------------------------------------------------------------


def wishes(*things: tuple[str, str]) -> dict[str, object]:
    return {"holds": [{"scope": scope, "subject": subject} for scope, subject in things]}


async def test_a_batch_is_all_or_nothing(door: Doorway):
    await place(door, "all", "channel", "sms")

    refused = await door.post(f"{HOLDS}/batch", "all", json=wishes(("zone", "A"), ("carrier", "third"), ("zone", "Z")))
    after = await standing(door)
    done = await door.post(f"{HOLDS}/batch", "all", json=wishes(("zone", "A"), ("channel", "sms"), ("zone", "A")))

    assert (refused.status, refused.json["code"]) == (422, "batch-refused")
    assert [problem["pointer"] for problem in refused.json["problems"]] == ["/holds/1/subject", "/holds/2/subject"]
    assert after == [("channel", "sms")]
    assert done.status == 200
    assert [(one["index"], one["status"]) for one in done.json["results"]] == [(0, 201), (1, 200), (2, 200)]
    assert done.json["results"][0]["id"] == done.json["results"][2]["id"]


async def test_of_a_batch_in_part_what_can_be_held_is_held(door: Doorway):
    things = wishes(("zone", "A"), ("all", ""), ("zone", "Z"))
    answer = await door.post(f"{HOLDS}/batch?partial=1", "a", json=things, headers={"Accept-Language": "fr"})

    first, second, third = answer.json["results"]
    assert [one["status"] for one in (first, second, third)] == [201, 403, 422]
    assert second["problem"]["title"] == "Ce compte ne peut ni suspendre ni libérer ceci."
    assert third["problem"]["problems"][0]["remedy"] == "Écrivez l'un de A."
    assert await standing(door, "a") == [("zone", "A")]


async def test_of_a_batch_that_is_refused_the_first_faults_are_told_and_that_there_are_more(door: Doorway):
    things = wishes(*[("channel", "fax")] * 500)
    refused = await door.post(f"{HOLDS}/batch", "all", json=things, headers={"Accept-Language": "nl"})
    in_part = await door.post(f"{HOLDS}/batch?partial=1", "all", json=things)

    *told, more = refused.json["problems"]
    assert [problem["pointer"] for problem in told] == [f"/holds/{index}/subject" for index in range(50)]
    assert (more["cause"], more["text"]) == ("more", "Er is meer fout dan deze 50.")
    assert {one["status"] for one in in_part.json["results"]} == {422}
    assert len(in_part.json["results"]) == 500


async def test_a_body_that_is_no_batch_is_refused_whole_also_in_part(door: Doorway):
    answer = await door.post(f"{HOLDS}/batch?partial=1", "all", json=wishes(("zone", "A"), ("everything", "")))

    assert (answer.status, answer.json["problems"][0]["pointer"]) == (400, "/holds/1/scope")
    assert await standing(door) == []


async def test_batch_is_no_hold(door: Doorway):
    for method in ("GET", "PATCH", "DELETE"):
        answer = await door.ask(method, f"{HOLDS}/batch", "all", headers={"If-Match": "*"})
        assert (answer.status, answer.headers["Allow"]) == (405, "OPTIONS, POST")


async def test_a_batch_has_500_at_most(door: Doorway):
    full = await door.post(f"{HOLDS}/batch", "all", json=wishes(*[("zone", "A")] * 500))
    more = await door.post(f"{HOLDS}/batch", "all", json=wishes(*[("zone", "A")] * 501))
    none = await door.post(f"{HOLDS}/batch", "all", json=wishes())

    assert (full.status, more.status, none.status) == (200, 400, 400)


# ---- beside the terminal -------------------------------------------------------------------------------------------


async def test_a_hold_of_the_terminal_is_shown_and_lifted_here(door: Doorway):
    await door.house.database.write(lambda tx: holds.place(tx, "carrier", "gone", "", "ops"))

    [one] = (await door.get(HOLDS, "all")).json["holds"]
    lifted = await door.ask("DELETE", one["href"], "all", headers={"If-Match": f'"r{one["revision"]}"'})

    assert (one["account"], one["by"], one["subject"]) == (None, "ops", "gone")
    assert lifted.status == 204


async def test_whoami_promises_what_operating_does(door: Doorway):
    async def operating(key: str) -> list[str]:
        rights = (await door.get("/api/v1/whoami", key)).json["rights"]
        return [right["text"] for right in rights if right["action"] == "operate"]

    assert await operating("a") == ["May see, place and lift holds in zone A: any kind, any channel."]
    assert await operating("all") == [
        "May see the figures of the machine, and see, place and lift holds in every zone: any kind, any channel."
    ]
    assert (await door.get("/metrics", "all")).status == 200
    assert (await door.get("/metrics", "a")).status == 403
