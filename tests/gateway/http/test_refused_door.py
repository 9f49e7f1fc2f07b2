"""Refused documents over HTTP: a list, one of them, its bytes; in the client's language, and nobody else's."""

import msgspec

from gateway.errors import Reason, Refusal
from gateway.http.context import NOBODY
from tests.gateway.http.doorway import Doorway
from tests.gateway.populated_store import bearer

REASONS = (
    Reason("XSD", "alert has no sender", path="/alert/sender", line=2, cause="missing",
           facts=("sender", "alert", "identifier"), remedy="Add <sender> behind <identifier>."),
)  # fmt: skip


async def refused(door: Doorway, account: str, body: bytes, refusal: Refusal | None = None) -> None:
    caller = await door.door.keyring.caller(bearer(account)["Authorization"], "127.0.0.1")
    shelf = door.door.services.refused
    shelf.note(caller, body, refusal or Refusal(422, "invalid-cap", "The alert breaks rules.", REASONS))
    while await shelf.run():
        pass


async def test_a_refused_document_is_listed_and_read_with_its_problems_and_its_bytes(door: Doorway):
    await refused(door, "a", b"<alert/>")

    (listed,) = (await door.get("/cap/v1/refused", "a")).json["refused"]
    one = await door.get(listed["href"], "a")
    document = await door.get(listed["document"], "a")

    assert one.json == listed
    assert (listed["status"], listed["code"], listed["times"], listed["size"]) == (422, "invalid-cap", 1, 8)
    assert listed["problems"][0]["path"] == "/alert/sender"
    assert listed["first"] == listed["last"]
    assert document.body == b"<alert/>"
    assert document.headers["Content-Type"] == "application/octet-stream"
    assert document.headers["Content-Disposition"].startswith("attachment")
    assert document.headers["X-Content-Type-Options"] == "nosniff"


async def test_its_verdict_is_told_in_the_language_of_the_client(door: Doorway):
    await refused(door, "a", b"<alert/>")

    answer = await door.get("/cap/v1/refused", "a", headers={"Accept-Language": "nl"})

    (listed,) = answer.json["refused"]
    assert listed["problems"][0]["text"] == "alert heeft geen sender."
    assert listed["problems"][0]["remedy"] == "Voeg <sender> toe na <identifier>."
    assert answer.headers["Content-Language"].startswith("nl")


async def test_pages_lead_on_and_each_document_is_on_one(door: Doorway):
    for n in range(5):
        await refused(door, "a", b"<a n='%d'/>" % n)

    seen, page = [], "/cap/v1/refused?limit=2"
    while page:
        answer = (await door.get(page, "a")).json
        seen += [line["id"] for line in answer["refused"]]
        page = answer.get("next", "")

    assert len(seen) == len(set(seen)) == 5


async def test_each_account_has_its_own_and_others_do_not_exist(door: Doorway):
    await refused(door, "a", b"<alert/>")
    (listed,) = (await door.get("/cap/v1/refused", "a")).json["refused"]

    for account in ("b", "all"):
        assert (await door.get("/cap/v1/refused", account)).json == {"refused": []}
        assert (await door.get(listed["href"], account)).status == 404
        assert (await door.get(listed["document"], account)).status == 404
    assert (await door.get("/cap/v1/refused", "none")).status == 403
    assert (await door.get("/cap/v1/refused")).status == 401
    assert (await door.get("/cap/v1/refused/none-such", "a")).json["code"] == "no-such-document"
    assert (await door.get("/cap/v1/refused?after=none-such", "a")).status == 404
    assert (await door.get("/cap/v1/refused?colour=red", "a")).status == 400


async def test_what_came_too_fast_is_counted_for_whoever_watches_the_machine(door: Doorway):
    shelf = door.door.services.refused
    flood = msgspec.structs.replace(NOBODY, account_id=99)
    for n in range(40):
        shelf.note(flood, b"%d" % n, Refusal(422, "x", "X."))

    assert shelf.passed_over == 24
