"""Who asks for CAP is answered in CAP: an Ack, or an Error whose note names the rules."""

import pytest

from cap import MsgType, read
from gateway.errors import Reason, Refusal
from tests.gateway.http.doorway import CAP, Doorway

ALERT = b"""<alert xmlns="urn:oasis:names:tc:emergency:cap:1.2">
<identifier>id-1</identifier><sender>cic@example.org</sender><sent>2023-11-14T23:13:20+01:00</sent>
<status>Test</status><msgType>Alert</msgType><scope>Public</scope></alert>"""
IN_CAP = CAP | {"Accept": "application/cap+xml"}
TRIPLE = "cic@example.org,id-1,2023-11-14T23:13:20+01:00"


async def test_an_accepted_alert_is_acknowledged_by_its_triple(door: Doorway):
    answer = await door.post("/cap/v1/alerts", "a", data=ALERT, headers=IN_CAP)

    reading = read(answer.body)
    assert answer.status == 202
    assert answer.headers["Content-Type"] == "application/cap+xml"
    assert answer.headers["Location"] == "/cap/v1/alerts/a1"
    assert reading.accepted, reading.problems
    assert (reading.alert.msg_type, reading.alert.sender) == (MsgType.ACK, "tocsin@alerts.example")
    assert TRIPLE.encode() in answer.body
    assert reading.alert.note == "ZONE: B: no credit"


async def test_the_same_alert_again_is_acknowledged_in_the_same_bytes(door: Doorway):
    first = await door.post("/cap/v1/alerts", "a", data=ALERT, headers=IN_CAP)
    again = await door.post("/cap/v1/alerts", "a", data=ALERT, headers=IN_CAP)

    assert (first.status, again.status) == (202, 200)
    assert first.body == again.body


async def test_a_refused_alert_is_answered_with_an_error_that_names_the_rules(door: Doorway):
    reason = Reason("G-DESC", "the description is blank", path="/alert/info[1]/area[1]/areaDesc")
    door.desk.fails = Refusal(422, "invalid-cap", "The alert breaks rules.", (reason,))

    answer = await door.post("/cap/v1/alerts", "a", data=ALERT, headers=IN_CAP)

    reading = read(answer.body)
    assert answer.status == 422
    assert reading.accepted, reading.problems
    assert reading.alert.msg_type is MsgType.ERROR
    assert reading.alert.note.splitlines() == [
        "invalid-cap: The alert breaks rules.",
        "G-DESC /alert/info[1]/area[1]/areaDesc: the description is blank",
    ]


@pytest.mark.parametrize(
    ("document", "failure"),
    [
        (b"<alert/>", Refusal(422, "invalid-cap", "The alert breaks rules.")),
        (ALERT, Refusal(503, "busy", "Try again.")),
    ],
)
async def test_what_is_no_verdict_on_a_named_message_is_told_in_the_usual_form(
    door: Doorway, document: bytes, failure: Refusal
):
    door.desk.fails = failure

    answer = await door.post("/cap/v1/alerts", "a", data=document, headers=IN_CAP)

    assert answer.status == failure.status
    assert answer.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("accept", "in_cap"),
    [
        ("application/cap+xml", True),
        ("text/html, Application/CAP+XML;q=0.5", True),
        ("application/cap+xml;q=0", False),
        ("application/json", False),
        ("*/*", False),
        ("application/*", False),
        (None, False),
    ],
)
async def test_only_who_names_the_type_gets_it(door: Doorway, accept: str | None, in_cap: bool):
    headers = CAP if accept is None else CAP | {"Accept": accept}

    answer = await door.post("/cap/v1/alerts", "a", data=ALERT, headers=headers)

    assert (answer.headers["Content-Type"] == "application/cap+xml") is in_cap
