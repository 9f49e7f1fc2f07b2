"""A body becomes an alert by what is agreed with its sender, or a refusal that says everything; nothing else counts."""

import asyncio
import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from cap import Limits, ReadingTerms
from cap.names import CAP_10, CAP_11, CAP_12
from cap.signing import SignaturePolicy, sign
from cap.trust import Trust
from gateway.access.rights import Caller
from gateway.campaigns.alert_desk import BIG_BYTES, BIG_POINTS, AlertDesk
from gateway.campaigns.request_body import located, open_body, receive, reread
from gateway.directory.agreements import USUAL, Agreement
from gateway.errors import Reason, Refusal
from tests.cap.certificates import NOW, certificate, ec_key
from tests.cap.documents import BASE, POLYGON, changed, element

SENDER = "dispatch@zone-a.example"
GOOD = BASE.encode()
KEY = ec_key()
MINE = certificate(KEY)
SIGNED = sign(GOOD, KEY, MINE)


def caller(agreement=USUAL, sender=SENDER):
    return Caller(1, "cic", "CIC", "cic", (SENDER,), (), (), {sender: agreement})


def agreed(policy, *certificates, terms=USUAL.terms):
    return caller(Agreement(terms, policy, Trust(certificates), frozenset()))


def refusal_of(body, by=None):
    with pytest.raises(Refusal) as caught:
        receive(body, by or caller(), NOW)
    return caught.value


def enveloped(document, status="Actual", kind="Report"):
    return (
        '<EDXLDistribution xmlns="urn:oasis:names:tc:emergency:EDXL:DE:1.0"><distributionID>d</distributionID>'
        f"<distributionStatus>{status}</distributionStatus><distributionType>{kind}</distributionType><contentObject>"
        f"<xmlContent><embeddedXMLContent>{document}</embeddedXMLContent></xmlContent></contentObject>"
        "</EDXLDistribution>"
    ).encode()


BARE = BASE.split("\n", 1)[1]


# ---- signatures --------------------------------------------------------------------------------------------------


def test_the_alert_is_that_of_the_signed_bytes_and_its_signer_is_named():
    received = receive(SIGNED, agreed(SignaturePolicy.REQUIRED, MINE), NOW)

    assert received.refusal is None
    assert received.opened.document == SIGNED
    assert (received.finding.signature, received.finding.signer) == ("verified", "cic.zone-a.example")
    assert len(received.finding.certificate) == 64
    assert received.alert == reread(GOOD)


@pytest.mark.parametrize(
    ("policy", "document", "standing", "refused", "rule"),
    [
        (SignaturePolicy.IGNORED, GOOD, "absent", False, ""),
        (SignaturePolicy.IGNORED, SIGNED, "unchecked", False, "S-UNVERIFIED"),
        (SignaturePolicy.IGNORED, SIGNED.replace(b"rouge", b"verte"), "unchecked", False, "S-UNVERIFIED"),
        (SignaturePolicy.CHECKED, GOOD, "absent", False, ""),
        (SignaturePolicy.CHECKED, SIGNED, "verified", False, ""),
        (SignaturePolicy.CHECKED, sign(GOOD, k := ec_key(), certificate(k)), "unverifiable", False, "S-TRUST"),
        (SignaturePolicy.CHECKED, SIGNED.replace(b"rouge", b"verte"), "broken", True, "S-BROKEN"),
        (SignaturePolicy.REQUIRED, GOOD, "absent", True, "S-ABSENT"),
        (SignaturePolicy.REQUIRED, sign(GOOD, k, certificate(k)), "unverifiable", True, "S-TRUST"),
        (SignaturePolicy.REQUIRED, SIGNED.replace(b"rouge", b"verte"), "broken", True, "S-BROKEN"),
    ],
)
def test_what_is_found_of_a_signature_is_told_and_the_policy_decides(policy, document, standing, refused, rule):
    received = receive(document, agreed(policy, MINE), NOW)

    assert received.finding.signature == standing
    assert (received.refusal is not None) is refused
    told = received.refusal.reasons if received.refusal else received.warnings
    of_signatures = [reason for reason in told if reason.rule.startswith("S-")]
    assert [reason.rule for reason in of_signatures] == ([rule] if rule else [])
    if refused:
        assert (received.refusal.status, received.refusal.code) == (403, "signature-refused")
        assert of_signatures[0].level == "error"
        assert of_signatures[0].line > 0


def test_the_terms_of_one_sender_are_not_those_of_another():
    lenient = Agreement(USUAL.terms, SignaturePolicy.IGNORED, Trust(), frozenset())
    strict = Agreement(USUAL.terms, SignaturePolicy.REQUIRED, Trust((MINE,)), frozenset())
    both = Caller(1, "cic", "CIC", "cic", (SENDER, "b@c"), (), (), {SENDER: strict, "b@c": lenient})

    assert receive(GOOD, both, NOW).refusal is not None
    assert receive(element("sender", "b@c"), both, NOW).refusal is None


# ---- versions and policies ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("namespace", "version"), [(CAP_10, "1.0"), (CAP_11, "1.1")])
def test_an_older_version_is_kept_as_it_came_where_it_is_agreed(namespace, version):
    document = changed((CAP_12, namespace))
    terms = ReadingTerms(versions=frozenset({"1.0", "1.1", "1.2"}))

    received = receive(document, agreed(SignaturePolicy.IGNORED, terms=terms), NOW)

    assert received.finding.version == version
    assert received.opened.document == document
    assert reread(document) == received.alert
    assert [problem.rule for problem in refusal_of(document).reasons] == ["NS"]


def test_a_policy_warns_and_refuses_where_the_terms_are_strict():
    document = element("ceiling", "119.9")
    strict = ReadingTerms(strict=frozenset({"G-ALT-ORDER"}))

    received = receive(document, agreed(SignaturePolicy.IGNORED), NOW)

    assert ("G-ALT-ORDER", "warning") in {(r.rule, r.level) for r in received.warnings}
    assert reread(document) == received.alert
    refused = refusal_of(document, agreed(SignaturePolicy.IGNORED, terms=strict))
    assert "G-ALT-ORDER" in {r.rule for r in refused.reasons}


def test_a_document_beyond_the_limits_of_the_settings_is_refused_with_their_value_and_one_within_them_read_later():
    document = element("ceiling", "300")
    with pytest.raises(Refusal) as refused:
        receive(document, agreed(SignaturePolicy.IGNORED), NOW, Limits(max_elements=10))

    assert [(r.rule, r.text) for r in refused.value.reasons] == [("XML-LIMIT", "more than 10 elements")]
    assert reread(document) == receive(document, agreed(SignaturePolicy.IGNORED), NOW).alert


# ---- envelopes ---------------------------------------------------------------------------------------------------


def test_an_alert_by_itself_is_filed_byte_for_byte_and_no_envelope_with_it():
    received = receive(GOOD, caller(), NOW)

    assert received.opened.document == received.body == GOOD
    assert (received.opened.envelope, received.finding.envelope_name) == (None, "")


def test_the_bytes_that_count_are_the_same_in_any_envelope():
    first = receive(enveloped(BARE), caller(), NOW)
    second = receive(enveloped(BARE, kind="Update").replace(b">d<", b">e<"), caller(), NOW)

    assert first.digest == second.digest
    assert first.body != second.body
    assert first.alert == reread(GOOD)


@pytest.mark.parametrize(
    ("body", "code", "rule"),
    [
        (enveloped(BARE * 2), "several-alerts", "E-ONE"),
        (enveloped(""), "no-alert", "E-ONE"),
        (enveloped(BARE, status="Exercise"), "envelope-differs", "E-STATUS"),
        (enveloped(BARE, kind="Cancel"), "envelope-differs", "E-KIND"),
        (enveloped(BARE, kind="Error"), "envelope-differs", "E-KIND"),
    ],
)
def test_an_envelope_that_leaves_a_doubt_is_refused(body, code, rule):
    refusal = refusal_of(body)

    assert (refusal.status, refusal.code) == (422, code)
    assert rule in {reason.rule for reason in refusal.reasons if reason.level == "error"}


@pytest.mark.parametrize(("status", "kind"), [("Actual", "Report"), ("actual", "Dispatch"), ("", ""), ("", "Update")])
def test_an_envelope_that_says_nothing_against_the_alert_is_opened(status, kind):
    assert receive(enveloped(BARE, status, kind), caller(), NOW).alert == reread(GOOD)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_an_envelope_is_known_in_every_encoding_that_is_read(encoding):
    declared = f'<?xml version="1.0" encoding="{encoding.removesuffix("-sig")}"?>' + enveloped(BARE).decode()
    body = declared.encode(encoding)

    assert open_body(body).envelope is not None


def test_lines_are_those_of_the_body():
    body = enveloped("\n\n" + BARE.replace("<status>Actual", "<status>Really"))

    (problem,) = [r for r in refusal_of(body).reasons if r.path == "/alert/status"]

    assert b"<status>Really" in body.splitlines()[problem.line - 1]


def test_what_the_gateway_finds_later_gets_its_line_too():
    opened = open_body(enveloped(BARE))
    reasons = (Reason("X", "x", path="/alert/info[1]/event"), Reason("Y", "y"), Reason("Z", "z", path="/alert", line=7))

    found = located(reasons, opened)

    line = 1 + next(n for n, text in enumerate(enveloped(BARE).splitlines()) if b"<event>" in text)
    assert [reason.line for reason in found] == [line, 0, 7]


def test_no_body_does_more_than_be_refused():
    for body in (
        b"",
        b"\0",
        b"\xff\xfe",
        b"EDXL",
        b"<EDXLDistribution/>",
        b"<a>EDXL</a>",
        SIGNED[:-5],
        b"<!DOCTYPE a>",
    ):
        assert refusal_of(body).status in (400, 422)


SIGNED_BARE = SIGNED.decode().split("\n", 1)[1]
BODIES = (SIGNED, enveloped(SIGNED_BARE), enveloped(BARE), enveloped(BARE + SIGNED_BARE), GOOD)


@st.composite
def mangled(draw):
    """A body of which pieces were cut out, doubled, or put into another place or another body."""
    body = draw(st.sampled_from(BODIES))
    for _ in range(draw(st.integers(1, 4))):
        other = draw(st.sampled_from((body, *BODIES)))
        start = draw(st.integers(0, len(other)))
        piece = other[start : start + draw(st.sampled_from((1, 7, 60, 600, len(SIGNED))))]
        at = draw(st.integers(0, len(body)))
        body = body[:at] + piece + body[at + draw(st.sampled_from((0, 1, len(piece)))) :]
    return body


@settings(max_examples=400, deadline=None)
@given(mangled())
def test_where_signatures_are_required_nothing_but_the_signed_words_ever_passes(body):
    try:
        received = receive(body, agreed(SignaturePolicy.REQUIRED, MINE), NOW)
    except Refusal:
        return
    # Another sender's alert is none of this account's: `decide` refuses it.
    if received.refusal is None and received.alert.sender == SENDER:
        assert received.alert == reread(GOOD)


# ---- the loop ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "aside"),
    [
        (GOOD, False),
        (SIGNED, False),
        (b"x" * (BIG_BYTES + 1), True),
        (b"1,1 " * (BIG_POINTS + 1), True),
    ],
    ids=["small", "signed", "bytes", "points"],
)
async def test_large_documents_are_read_and_verified_beside_the_loop(body, aside):
    """Whether anything else has had a turn meanwhile."""
    desk = AlertDesk(Clocked(), None, lambda: True, lambda: None)
    turns = 0

    async def others():
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    async with asyncio.timeout(10):
        waiting = asyncio.create_task(others())
        await asyncio.sleep(0)
        before = turns
        with contextlib.suppress(Refusal):
            await desk._receive(agreed(SignaturePolicy.REQUIRED, MINE), body)
        meanwhile = turns - before
        waiting.cancel()

    assert (meanwhile > 0) is aside


class Clocked:
    """Of a database only its clock."""

    @property
    def clock(self):
        return self

    def now_ms(self):
        return int(NOW.timestamp() * 1000)


def test_a_large_signed_alert_is_verified_as_any_other():
    ring = " ".join([f"50.{n % 10_000:04},4.1" for n in range(20_000)] + ["50.0000,4.1"])
    document = sign(BASE.replace(POLYGON, ring).encode(), KEY, MINE)

    received = receive(document, agreed(SignaturePolicy.REQUIRED, MINE), NOW)

    assert received.finding.signature == "verified"
    assert len(etree.tostring(etree.fromstring(document))) > BIG_BYTES
