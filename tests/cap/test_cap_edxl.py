"""Envelopes of EDXL-DE are opened, and what is not one is left alone."""

import re
from pathlib import Path

import pytest
from lxml import etree
from signxml import XMLSigner, methods
from signxml.algorithms import CanonicalizationMethod

from cap import ReadingTerms, read
from cap.edxl import LINE, unwrap
from cap.names import CAP_11, CAP_12
from cap.signing import Standing, sign, verify
from cap.trust import Trust
from tests.cap.certificates import NOW, certificate, ec_key
from tests.cap.documents import BASE

SAMPLES = Path(__file__).parents[3] / "shared" / "cap-samples"
ALERT = BASE.split("\n", 1)[1]

ONE = """<?xml version="1.0"?>
<de:EDXLDistribution xmlns:de="urn:oasis:names:tc:emergency:EDXL:DE:1.0">
  <de:distributionID> d-1 </de:distributionID><de:senderID>hub@a.example</de:senderID>
  <de:dateTimeSent>2026-05-11T21:50:00+02:00</de:dateTimeSent>
  <de:distributionStatus>Actual</de:distributionStatus><de:distributionType>Report</de:distributionType>
  <de:contentObject><de:xmlContent><de:embeddedXMLContent>
{}</de:embeddedXMLContent></de:xmlContent></de:contentObject>
</de:EDXLDistribution>
"""
TWO = """<edxlDistribution xmlns="urn:oasis:names:tc:emergency:EDXL:DE:2.0">
  <distributionID>d-2</distributionID><senderID>hub@a.example</senderID>
  <dateTimeSent>2026-05-11T21:50:00+02:00</dateTimeSent>
  <distributionStatus>Exercise</distributionStatus><distributionKind>Update</distributionKind>
  <content><contentObject><contentXML><embeddedXMLContent>{}</embeddedXMLContent></contentXML></contentObject></content>
</edxlDistribution>
"""


@pytest.mark.parametrize(
    ("template", "expected"),
    [(ONE, ("1.0", "d-1", "Actual", "Report")), (TWO, ("2.0", "d-2", "Exercise", "Update"))],
)
def test_an_envelope_gives_its_alerts_and_says_who_distributes(template, expected):
    envelope = unwrap(template.format(ALERT).encode())

    assert (envelope.version, envelope.identifier, envelope.status, envelope.kind) == expected
    assert (envelope.sender, envelope.sent) == ("hub@a.example", "2026-05-11T21:50:00+02:00")
    (enclosed,) = envelope.alerts
    reading = read(enclosed.document)
    assert reading.accepted, reading.problems
    assert reading.alert == read(BASE.encode()).alert


def test_an_envelope_may_hold_several_alerts_and_says_where_each_began():
    envelope = unwrap(ONE.format(ALERT + "<other/>" + ALERT.replace(CAP_12, CAP_11)).encode())

    assert [enclosed.line for enclosed in envelope.alerts] == [7, 7 + ALERT.count("\n")]
    assert read(envelope.alerts[1].document, terms=ReadingTerms(frozenset({"1.1"}))).version == "1.1"


def test_a_hundred_alerts_fit_into_one_envelope():
    assert len(unwrap(ONE.format(ALERT * 100).encode()).alerts) == 100


def test_a_signature_survives_the_opening():
    key = ec_key()
    mine = certificate(key)
    signed = sign(BASE.encode(), key, mine).decode().split("\n", 1)[1]

    (enclosed,) = unwrap(ONE.format(signed).encode()).alerts

    assert verify(enclosed.document, Trust((mine,)), NOW).standing is Standing.VERIFIED


@pytest.mark.parametrize(
    "document",
    [
        b"",
        BASE.encode(),
        b'<EDXLDistribution xmlns="urn:x"/>',
        ONE.format(ALERT).replace("<de:EDXL", "<!DOCTYPE a><de:EDXL", 1).encode(),
        b'<valueList xmlns="urn:oasis:names:tc:emergency:EDXL:DE:1.0"/>',
    ],
)
def test_what_is_no_envelope_is_not_opened(document):
    assert unwrap(document) is None


def test_a_signature_in_inclusive_canonical_form_survives_it_too():
    """The alert was signed by itself: what the envelope declares around it is none of its own."""
    key = ec_key()
    mine = certificate(key)
    signer = XMLSigner(
        method=methods.enveloped,
        signature_algorithm="ecdsa-sha256",
        c14n_algorithm=CanonicalizationMethod.CANONICAL_XML_1_0,
    )
    signed = etree.tostring(signer.sign(etree.fromstring(BASE.encode()), key=key, cert=[mine])).decode()

    (enclosed,) = unwrap(ONE.format(signed).encode()).alerts

    verification = verify(enclosed.document, Trust((mine,)), NOW)
    assert verification.standing is Standing.VERIFIED, verification.reason


def test_an_alert_is_the_same_bytes_in_whatever_envelope_it_comes():
    first, second = (unwrap(template.format(ALERT).encode()).alerts[0] for template in (ONE, TWO))

    assert first.document == second.document


def test_a_line_of_the_alert_is_found_again_in_the_envelope():
    document = ONE.format(ALERT.replace("<status>Actual<", "<status>Real<")).encode()
    (enclosed,) = unwrap(document).alerts

    (problem,) = [p for p in read(enclosed.document).problems if p.path == "/alert/status"]

    line = document.split(b"\n")[enclosed.line - LINE + problem.line - 1]
    assert b"<status>Real" in line


def test_more_alerts_than_were_asked_for_are_counted_and_left_where_they_are():
    envelope = unwrap(ONE.format(ALERT * 3).encode(), most=2)

    assert (envelope.count, envelope.alerts) == (3, ())


def test_alerts_nested_in_alerts_are_one_and_not_taken_out_again_and_again():
    open_, close = f'<alert xmlns="{CAP_12}"><de:embeddedXMLContent>', "</de:embeddedXMLContent></alert>"
    nest = ONE.format(open_ * 100 + "x" * 100_000 + close * 100).encode()

    envelope = unwrap(nest)

    assert envelope.count == 1
    assert len(envelope.alerts[0].document) < 2 * len(nest)


def test_what_an_envelope_declares_is_not_repeated_in_every_alert():
    declared = " ".join(f'xmlns:n{n}="urn:{"x" * 100}{n}"' for n in range(1000))
    bomb = ONE.replace("<de:EDXLDistribution", f"<de:EDXLDistribution {declared}").format(ALERT * 100).encode()

    envelope = unwrap(bomb)

    assert sum(len(enclosed.document) for enclosed in envelope.alerts) < len(bomb)


def test_an_alert_elsewhere_in_an_envelope_is_not_taken_for_content():
    misplaced = ONE.format("").replace("<de:contentObject>", f"<de:keyword>{ALERT}</de:keyword><de:contentObject>")

    assert unwrap(misplaced.encode()).alerts == ()


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the collection of real alerts is not beside this repository")
def test_real_envelopes_are_opened():
    files = sorted(SAMPLES.glob("google-cap-library/*.edxlde"))

    envelopes = [unwrap(file.read_bytes()) for file in files]

    assert len(files) == 2
    assert all(envelope.alerts for envelope in envelopes)
    for enclosed in (enclosed for envelope in envelopes for enclosed in envelope.alerts):
        assert etree.fromstring(enclosed.document) is not None
        assert read(enclosed.document).alert is not None


@pytest.mark.parametrize("spell", [str.lower, str.upper, lambda name: name[:1].upper() + name[1:]])
def test_an_envelope_is_opened_in_whatever_case_its_names_are_written(spell):
    """As published, 2.0 begins its names with capitals; its drafts and 1.0 do not."""
    names = set(re.findall(r"</?([A-Za-z]+)", TWO))
    document = TWO
    for name in names:
        document = re.sub(rf"(</?){name}\b", lambda found, name=name: found[1] + spell(name), document)

    envelope = unwrap(document.format(ALERT).encode())

    assert (envelope.version, envelope.identifier, envelope.sender) == ("2.0", "d-2", "hub@a.example")
    assert (envelope.status, envelope.kind, envelope.count) == ("Exercise", "Update", 1)
    assert read(envelope.alerts[0].document).accepted
