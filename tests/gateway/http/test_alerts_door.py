"""Posting CAP over HTTP: what is taken, what is refused and how it is said."""

import asyncio
import contextlib
import logging
import sqlite3

import pytest
from sqlalchemy.exc import OperationalError

from gateway.errors import Reason, Refusal
from store.errors import Conflict, StoreUnavailable
from tests.gateway.http.doorway import CAP, Doorway

ALERT = b"<alert/>"


def a_wrong_statement() -> OperationalError:
    """SQLite's own word for it, from SQLite."""
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        try:
            connection.execute("SELECT nothing FROM nowhere")
        except sqlite3.OperationalError as exc:
            return OperationalError("SELECT nothing FROM nowhere", {}, exc)
    raise AssertionError


async def test_a_posted_alert_is_202_with_its_location_and_the_same_again_is_200(door: Doorway):
    first = await door.post("/cap/v1/alerts", "a", data=ALERT, headers=CAP)
    again = await door.post("/cap/v1/alerts", "a", data=ALERT, headers=CAP)

    assert (first.status, again.status) == (202, 200)
    assert first.headers["Location"] == again.headers["Location"] == "/cap/v1/alerts/a1"
    assert (await door.get(first.headers["Location"], "a")).json["id"] == "a1"


async def test_the_document_reaches_the_desk_byte_for_byte_and_can_be_had_again(door: Doorway):
    octets = b"\xef\xbb\xbf<alert>\r\n\xc3\xa9</alert>\n"

    await door.post("/cap/v1/alerts", "a", data=octets, headers=CAP)
    back = await door.get("/cap/v1/alerts/a1/document", "a")

    assert door.desk.documents == [octets]
    assert back.body == octets
    assert back.headers["Content-Type"] == "application/cap+xml"


async def test_the_answer_speaks_of_instants_campaigns_and_refusals(door: Doorway):
    said = (await door.post("/cap/v1/alerts", "a", data=ALERT, headers=CAP)).json

    assert said["sent"] == "2023-11-14T22:13:20.123Z"
    assert said["received"] == "2023-11-14T22:13:21.000Z"
    assert said["zones"] == [
        {"zone": "A", "campaign": "c1", "href": "/api/v1/campaigns/c1"},
        {"zone": "B", "refusal": "no credit"},
    ]


async def test_money_is_whole_thousandths_with_euro_beside_them(door: Doorway):
    said = (await door.post("/cap/v1/validate", "a", data=ALERT, headers=CAP)).json

    assert (said["price_millieuro"], said["price_eur"]) == (1055, "1.055")
    assert said["zones"][0]["price_eur"] == "1.055"


@pytest.mark.parametrize(
    "media",
    [
        "application/cap+xml",
        "application/common-alerting-protocol+xml",
        "application/EmergencyCallData.cap+xml",
        "application/xml",
        "text/xml",
        "TEXT/XML; charset=UTF-8",
    ],
)
async def test_every_type_that_cap_goes_by_is_taken(door: Doorway, media: str):
    assert (await door.post("/cap/v1/alerts", "a", data=ALERT, headers={"Content-Type": media})).status == 202


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "application/json"},
        {"Content-Type": "multipart/form-data; boundary=x"},
        {"Content-Type": ""},
        {"Content-Type": "nonsense"},
        {"Content-Type": "text/xml; charset=iso-8859-1"},
        {"Content-Type": "application/cap+xml", "Content-Encoding": "gzip"},
    ],
    ids=str,
)
async def test_any_other_type_character_set_or_compression_is_415(door: Doorway, headers: dict[str, str]):
    answer = await door.post("/cap/v1/alerts", "a", data=ALERT, headers=headers)

    assert answer.status == 415
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert door.desk.documents == []


async def test_an_alert_is_found_by_its_sender_and_identifier(door: Doorway):
    found = await door.get("/cap/v1/alerts", "a", params={"sender": "cic@example.org", "identifier": "id-1"})
    other = await door.get("/cap/v1/alerts", "a", params={"sender": "cic@example.org", "identifier": "id-2"})
    half = await door.get("/cap/v1/alerts", "a", params={"sender": "cic@example.org"})

    assert (found.status, other.status, half.status) == (200, 404, 400)
    assert half.json["problems"][0]["path"] == "identifier"


async def test_a_refusal_names_every_fault_with_all_its_fields(door: Doorway):
    reason = Reason("R-1", "It is wrong.", path="/alert/info[1]", line=7, section="3.2.1", value="x", remedy="Mend it.")
    door.desk.fails = Refusal(422, "invalid-cap", "The alert breaks rules.", (reason, Reason("R-2", "Too.")))

    answer = await door.post("/cap/v1/alerts", "a", data=ALERT, headers=CAP)

    assert answer.status == 422
    assert answer.headers["Content-Type"] == "application/problem+json"
    said = answer.json
    assert (said["status"], said["code"], said["title"]) == (422, "invalid-cap", "The alert breaks rules.")
    assert said["type"] == "urn:tocsin:problem:invalid-cap"
    assert said["problems"][0] == {
        "rule": "R-1", "text": "It is wrong.", "level": "error", "path": "/alert/info[1]", "line": 7,
        "section": "3.2.1", "value": "x", "remedy": "Mend it.", "cause": "", "facts": [], "left_out": False,
    }  # fmt: skip
    assert said["problems"][1]["rule"] == "R-2"


@pytest.mark.parametrize(
    ("failure", "status", "code"),
    [
        (StoreUnavailable("disk I/O error"), 503, "store-unavailable"),
        (TimeoutError(), 503, "store-unavailable"),
        (ConnectionRefusedError("the database"), 503, "store-unavailable"),
        (a_wrong_statement(), 500, "internal-error"),
        (Conflict("taken"), 409, "conflict"),
        (Refusal(403, "sender-not-yours", "No."), 403, "sender-not-yours"),
    ],
    ids=repr,
)
async def test_what_the_house_cannot_do_has_its_own_status(
    door: Doorway, failure: BaseException, status: int, code: str
):
    door.desk.fails = failure

    answer = await door.post("/cap/v1/alerts", "a", data=ALERT, headers=CAP)

    assert (answer.status, answer.json["code"]) == (status, code)
    assert ("Retry-After" in answer.headers) == (status == 503)


async def test_a_fault_of_ours_is_500_without_a_word_of_detail_and_a_traceback_in_the_log(
    door: Doorway, caplog: pytest.LogCaptureFixture
):
    door.desk.fails = ZeroDivisionError("the secret of the house")

    answer = await door.post("/cap/v1/alerts", "a", data=ALERT, headers=CAP)

    assert (answer.status, answer.json["code"]) == (500, "internal-error")
    assert b"secret" not in answer.body
    assert b"ZeroDivision" not in answer.body
    assert any(r.exc_info and getattr(r, "action", "") == "request-failed" for r in caplog.records)


async def test_an_answer_that_cannot_be_worded_is_500_with_the_id_of_its_request(
    door: Doorway, caplog: pytest.LogCaptureFixture
):
    door.desk.fails = Refusal(422, "no-such-code", "It cannot be said.", members={"what": object()})

    answer = await door.post("/cap/v1/alerts", "a", data=ALERT, headers=CAP)

    assert (answer.status, answer.json["code"]) == (500, "internal-error")
    assert answer.json["request_id"] == answer.headers["X-Request-Id"] != ""
    assert answer.json["request_id"] in {getattr(r, "request", "") for r in caplog.records if r.exc_info}


async def test_every_request_leaves_one_line_without_its_key(door: Doorway, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.INFO, "gateway.http.access_log"):
        await door.post("/cap/v1/alerts", "a", data=ALERT, headers=CAP)
        await asyncio.sleep(0)

    lines = [vars(r) for r in caplog.records if getattr(r, "action", "") == "request"]
    assert len(lines) == 1
    line = lines[0]
    assert (line["method"], line["route"], line["status"], line["account"]) == ("POST", "/cap/v1/alerts", 202, "a")
    assert line["bytes_in"] == len(ALERT)
    assert "s3cret" not in repr(lines)
