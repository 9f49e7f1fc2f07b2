"""What the platform itself tells, and the alarms of the machine, over HTTP: for who may operate in every zone."""

import pytest

from channels.contract import Channel
from gateway.notices.notice import Notice, NoticeAddress, NoticeSubject
from gateway.notices.telling import LIMITS, tell
from store.notices import alarms, reading, webhooks
from tests.gateway.http.doorway import Doorway

LINK = "https://alerts.example.be/reset#secret-token"
TO = (NoticeAddress(Channel.EMAIL, "anna@example.org", "nl"), NoticeAddress(Channel.SMS, "+32470123456", "fr"))


async def told(door: Doorway, **changes):
    facts = {"link": LINK, "until": "28/11/2026 14:00"}
    notice = Notice(**{"subject": NoticeSubject.RESET, "to": TO, "facts": facts} | changes)
    return await door.house.database.write(lambda tx: tell(tx, notice))


async def test_an_operator_sees_subject_and_state_and_no_address_and_no_word(door: Doorway):
    await told(door)
    answer = await door.get("/api/v1/notices", "all")

    assert answer.status == 200
    [one] = answer.json["notices"]
    assert (one["subject"], one["mode"], one["recipients"], one["held_back"]) == ("reset", "live", 2, 0)
    said = {(d["channel"], d["address"], d["state"]) for d in one["deliveries"]}
    assert said == {("email", "a…@example.org", "queued"), ("sms", "+324…56", "queued")}
    for hidden in (b"secret-token", b"anna", b"+32470123456"):
        assert hidden not in answer.body


async def test_pages_go_back_in_time_and_show_what_was_held_back(door: Doorway):
    for _ in range(LIMITS.per_hour + 2):
        await told(door)
    first = await door.get("/api/v1/notices?limit=5", "all")
    seen, next_ = first.json["notices"], first.json["next"]
    while next_:
        page = await door.get(next_, "all")
        seen, next_ = seen + page.json["notices"], page.json.get("next", "")
    assert len(seen) == LIMITS.per_hour + 2
    assert [one["id"] is None for one in seen[:3]] == [True, True, False]
    assert [one["held_back"] for one in seen[:3]] == [2, 2, 0]
    assert seen[0]["deliveries"] == []


@pytest.mark.parametrize("path", ["/api/v1/notices", "/api/v1/alarms"])
@pytest.mark.parametrize(("key", "status"), [("all", 200), ("a", 403), ("none", 403), (None, 401)])
async def test_no_right_of_a_zone_shows_them(door: Doorway, path, key, status):
    await told(door)
    assert (await door.get(path, key)).status == status


async def test_no_right_of_a_zone_shows_a_notice_anywhere_else(door: Doorway):
    campaign_id = await told(door)
    async with door.house.database.read() as conn:
        [view] = await reading.page(conn, before=None, most=1)
    assert view.campaign_id == campaign_id
    for key in ("a", "all"):
        assert (await door.get("/api/v1/campaigns", key)).json["campaigns"] == []
        for under in ("", "/deliveries", "/report", "/progress"):
            assert (await door.get(f"/api/v1/campaigns/{view.public_id}{under}", key)).status == 404
        assert (await door.post(f"/api/v1/campaigns/{view.public_id}/stop", key)).status == 404
        topics = {"topics": f"campaign:{view.public_id}"}
        assert (await door.get("/api/v1/events", key, params=topics)).status == 404


async def test_alarms_are_told_with_how_far_the_operators_know_of_them(door: Doorway):
    alarm = {
        "key": "disk-low/host", "kind": "disk-low", "about": "host", "state": "standing", "value": "host, 12 MiB",
        "since_ms": 5, "raised_ms": 5, "seen_ms": 5, "path": "sms", "tried": "email sms", "told_ms": 5,
        "campaign_id": None, "call_id": None, "confirmed_ms": None,
    }  # fmt: skip
    over = alarm | {"key": "disk-low/other", "state": "over"}

    async def keep(tx):
        await alarms.alone(tx)
        await alarms.keep(tx, alarm)
        await alarms.keep(tx, over)
        await webhooks.note_outside(tx, "ping", ok=True, detail="HTTP 200")

    await door.house.database.write(keep)
    answer = await door.get("/api/v1/alarms", "all")
    [one] = answer.json["alarms"]
    assert (one["kind"], one["tried"], one["confirmed"]) == ("disk-low", ["email", "sms"], None)
    assert one["text"] == "The disk is nearly full: host, 12 MiB."
    [outside] = answer.json["outside"]
    assert (outside["name"], outside["failed"]) == ("ping", None)
    assert outside["ok"].startswith("20")
