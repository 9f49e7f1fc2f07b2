"""A message is answered in CAP's own words, and the answer is itself a good message."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cap import MsgType, Reference, Scope, Status, read, write
from cap.answer import ack, error, heading, note
from tests.cap.documents import BASE, changed, element

GOOD = BASE.encode()
NOW = datetime(2026, 5, 11, 22, 0, 0, 250_000, tzinfo=UTC)
US = "gateway@alerts.example"


def answered(make=ack, document=GOOD, notes=(), at=NOW):
    return read(write(make(heading(document), notes, sender=US, at=at)))


@pytest.mark.parametrize(("make", "msg_type"), [(ack, MsgType.ACK), (error, MsgType.ERROR)])
def test_an_answer_names_what_it_answers_and_goes_to_its_sender_alone(make, msg_type):
    answer = answered(make, notes=["G-DESC /alert/info[1]: x"]).alert

    assert (answer.msg_type, answer.sender, answer.sent) == (msg_type, US, NOW.replace(microsecond=0))
    assert answer.references == (read(GOOD).alert.reference,)
    assert (answer.scope, answer.addresses) == (Scope.PRIVATE, ("dispatch@zone-a.example",))
    assert answer.status is Status.ACTUAL


def test_an_answer_breaks_no_rule():
    assert answered().problems == ()
    assert answered(error, notes=["XSD: x"]).problems == ()


def test_the_reference_keeps_the_senders_spelling_of_the_time():
    assert b"cic-042.2026:17,2026-05-11T21:40:00+02:00" in write(ack(heading(GOOD), (), sender=US, at=NOW))


def test_the_note_names_each_rule_on_a_line():
    notes = [note(p.rule, p.text, p.path) for p in read(element("scope", "Private")).problems]

    answer = answered(error, notes=[*notes, note("C-DUP", "taken")]).alert

    assert answer.note == "A-SCOPE-ADDR /alert/addresses: a Private alert without an address\nC-DUP: taken"


def test_the_same_answer_is_the_same_message_and_another_is_not():
    first, again, later = (answered(at=at).alert for at in (NOW, NOW, NOW + timedelta(seconds=1)))

    assert first == again
    assert len({first.identifier, later.identifier, answered(error).alert.identifier}) == 3


def test_an_answer_is_not_older_than_what_it_answers():
    ahead = element("sent", "2026-05-12T05:00:00+02:00")

    assert answered(document=ahead).alert.sent == datetime(2026, 5, 12, 3, tzinfo=UTC)
    assert answered(document=ahead).accepted


def test_a_refused_document_is_known_by_its_triple_all_the_same():
    document = changed(("Severe", "Bad"), ("<event>", "<evnt>"), ("</event>", "</evnt>"), ("Actual", "Live"))

    found = heading(document)

    assert found.reference == Reference("dispatch@zone-a.example", "cic-042.2026:17", read(GOOD).alert.sent)
    assert found.status is None
    assert answered(error, document, ["XSD: x"]).alert.status is Status.SYSTEM


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"<alert/>",
        element("sent", "today"),
        element("identifier", ""),
        element("identifier", "a b"),
        element("sender", 'a"b'),
        element("sender", "s" * 256),
        BASE.replace("cap:1.2", "cap:1.3").encode(),
    ],
)
def test_a_document_without_a_readable_triple_has_no_answer_in_cap(document):
    assert heading(document) is None


@given(st.sampled_from(["identifier", "sender", "sent", "status"]), st.text(max_size=20))
def test_whatever_can_be_named_can_be_answered(name, text):
    escaped = text.replace("&", "&amp;").replace("<", "&lt;")
    found = heading(element(name, escaped))

    if found is not None:
        assert read(write(error(found, ["XSD: x"], sender=US, at=NOW))).accepted


@pytest.mark.parametrize("version", ["urn:oasis:names:tc:emergency:cap:1.1", "http://www.incident.com/cap/1.0"])
def test_a_message_of_an_older_version_is_named_and_answered_too(version):
    document = BASE.replace("urn:oasis:names:tc:emergency:cap:1.2", version)
    document = document.replace("+02:00</sent>", "Z</sent>").encode()

    found = heading(document)

    assert found.reference.identifier == "cic-042.2026:17"
    assert read(write(ack(found, [], sender="tocsin@alerts.example", at=found.reference.sent))).accepted
