"""What is published is what was received, unless it may not be; and then it is changed once, and signed anew."""

import pytest
from capvalidator import check_schema, validate_cap_message
from hypothesis import given

from cap import read, write
from cap.edition import Unfit, compact, edition, is_signed
from cap.forward import forwarded
from cap.signing import Standing, sign, verify
from cap.trust import Trust
from tests.cap.certificates import NOW, certificate, ec_key, rsa_key
from tests.cap.documents import BASE, changed, element, inserted
from tests.cap.strategies import ALERTS

GOOD = BASE.encode()
NAMED = ("dispatch@zone-a.example", "cic-042.2026:17")
ENCLOSED = inserted(f"<derefUri>{'YWJj' * 100}</derefUri>", before="</resource>")
OURS, THEIRS = ec_key(), rsa_key()
OUR_CERTIFICATE, THEIR_CERTIFICATE = certificate(OURS, "feed.example"), certificate(THEIRS)


def ours(document):
    return sign(document, OURS, OUR_CERTIFICATE)


def theirs(document):
    return sign(document, THEIRS, THEIR_CERTIFICATE)


def standing(document, of=OUR_CERTIFICATE):
    return verify(document, Trust((of,)), NOW).standing


def test_what_needs_no_change_is_published_byte_for_byte():
    assert edition(GOOD, *NAMED) == GOOD


def test_what_is_not_signed_is_signed_and_says_the_same():
    made = edition(GOOD, *NAMED, ours)

    assert standing(made) is Standing.VERIFIED
    assert read(made).alert == read(GOOD).alert


def test_a_senders_signature_is_kept_and_none_is_put_beside_it():
    signed = theirs(GOOD)

    assert edition(signed, *NAMED, ours) == signed
    assert standing(signed, THEIR_CERTIFICATE) is Standing.VERIFIED


@pytest.mark.parametrize("received", [ENCLOSED, theirs(ENCLOSED)], ids=["unsigned", "signed by its sender"])
def test_enclosed_files_are_left_out_and_the_rest_is_signed_anew(received):
    made, unsigned = edition(received, *NAMED, ours), edition(received, *NAMED)

    assert b"derefUri" not in made
    assert standing(made) is Standing.VERIFIED
    assert not is_signed(unsigned)
    assert read(made).alert == read(unsigned).alert == forwarded(read(ENCLOSED).alert)


@pytest.mark.parametrize("version", ["urn:oasis:names:tc:emergency:cap:1.1", "http://www.incident.com/cap/1.0"])
def test_an_older_version_is_published_as_1_2(version):
    old = GOOD.replace(b"urn:oasis:names:tc:emergency:cap:1.2", version.encode())

    made = edition(old, *NAMED)

    assert check_schema(made).passed
    assert read(made).alert == read(GOOD).alert


def test_an_envelope_is_taken_off():
    other = GOOD.replace(b"cic-042.2026:17", b"cic-042.2026:18")
    inner = b"".join(
        b"<contentObject><xmlContent><embeddedXMLContent>%s</embeddedXMLContent></xmlContent></contentObject>"
        % document.partition(b"?>")[2]
        for document in (other, GOOD)
    )
    envelope = b'<EDXLDistribution xmlns="urn:oasis:names:tc:emergency:EDXL:DE:1.0">%s</EDXLDistribution>' % inner

    assert read(edition(envelope, *NAMED)).alert == read(GOOD).alert


@pytest.mark.parametrize(
    "document",
    [
        changed(("<scope>Public</scope>", "<scope>Restricted</scope><restriction>x</restriction>")),
        changed(("<scope>Public</scope>", "<scope>Private</scope><addresses>a</addresses>")),
        element("status", "Exercise"),
        element("status", "Test"),
        element("status", "System"),
        element("status", "Draft"),
        element("identifier", "another"),
        b"<alert/>",
        b"no XML",
    ],
)
def test_what_is_not_an_actual_and_public_alert_of_that_name_is_not_published(document):
    with pytest.raises(Unfit):
        edition(document, *NAMED, ours)


def test_signed_editions_hold_for_readers_that_drop_white_space():
    """The WMO's validator does, before it looks at a signature."""
    assert b">\n" in GOOD
    assert validate_cap_message(edition(GOOD, *NAMED, ours), strict=True).passed
    assert not validate_cap_message(ours(GOOD), strict=True).passed, "the reason for the trouble"


@given(ALERTS)
def test_dropping_white_space_changes_no_word(alert):
    document = write(alert)

    assert read(compact(document)).alert == read(document).alert
    assert compact(compact(document)) == compact(document)


def test_a_part_that_was_left_out_is_not_published_but_for_what_its_sender_signed():
    document = changed(("https://zone-a.example/avis/17", "avis/17"))

    published = edition(document, *NAMED)
    signed = edition(theirs(document), *NAMED)

    assert b"avis/17" not in published
    assert read(published).problems == ()
    assert signed == theirs(document) or b"avis/17" in signed


def test_an_enclosed_file_is_published_with_an_address():
    published = read(edition(ENCLOSED, *NAMED, place=lambda sha256: f"https://hub.example/{sha256}")).alert
    relative = read(
        edition(
            ENCLOSED.replace(b"https://zone-a.example/17.png", b"17.png"),
            *NAMED,
            place=lambda s: f"https://h.example/{s}",
        )
    ).alert

    (resource,) = published.infos[0].resources
    assert (resource.uri, resource.deref_uri) == ("https://zone-a.example/17.png", ""), "an address of its own stays"
    (resource,) = relative.infos[0].resources
    assert resource.uri.startswith("https://h.example/")
