"""A signature holds for the sender's own words in the one safe shape, and for nothing that forgers make of it."""

import base64
import re
from dataclasses import dataclass
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree
from signxml import XMLSigner, XMLVerifier, methods
from signxml.verifier import SignatureConfiguration

from cap import read
from cap.rules import BY_ID
from cap.signing import SignaturePolicy, Standing, sign, verify
from cap.trust import Trust
from tests.cap.certificates import NOW, YEAR, certificate, ec_key, rsa_key
from tests.cap.documents import BASE, INFO, SIGNATURE, changed, element, inserted

GOOD = BASE.encode()
DS = "http://www.w3.org/2000/09/xmldsig#"
CAP = "urn:oasis:names:tc:emergency:cap:1.2"


@dataclass(frozen=True)
class Signer:
    key: object
    certificate: object

    @property
    def trust(self):
        return Trust((self.certificate,))

    def sign(self, document=GOOD):
        return sign(document, self.key, self.certificate)


def signer(key):
    return Signer(key, certificate(key))


@pytest.fixture(scope="module")
def ecdsa():
    return signer(ec_key())


@pytest.fixture(scope="module", params=["ECDSA P-256", "RSA-2048"])
def anyone(request, ecdsa):
    return ecdsa if request.param == "ECDSA P-256" else signer(rsa_key())


@pytest.fixture(scope="module")
def signed(ecdsa):
    return ecdsa.sign()


def text_of(document, old, new):
    assert old.encode() in document, old
    return document.replace(old.encode(), new.encode(), 1)


# ---- what holds ----------------------------------------------------------------------------------------------


def test_what_is_signed_verifies_with_the_pinned_certificate_and_gives_the_alert(anyone):
    document = anyone.sign()

    verification = verify(document, anyone.trust, NOW)

    assert verification.standing is Standing.VERIFIED, verification.reason
    assert verification.alert == read(GOOD).alert
    assert verification.certificate == anyone.certificate


def test_a_signed_alert_is_still_a_good_alert(signed):
    reading = read(signed)

    assert reading.accepted
    assert [problem.rule for problem in reading.problems] == ["S-UNVERIFIED"]


def test_a_signature_of_ours_verifies_by_another_reader_of_the_standard(signed, ecdsa):
    wanted = SignatureConfiguration(verification_time=NOW)

    result = XMLVerifier().verify(signed, x509_cert=ecdsa.certificate, expect_config=wanted)

    assert read(result.signed_data).alert == read(GOOD).alert


@pytest.mark.parametrize(
    "c14n", ["http://www.w3.org/TR/2001/REC-xml-c14n-20010315", "http://www.w3.org/2006/12/xml-c14n11"]
)
@pytest.mark.parametrize("named", [True, False])
def test_other_canonical_forms_verify_too(ecdsa, c14n, named):
    signer = XMLSigner(signature_algorithm="ecdsa-sha256", c14n_algorithm=c14n)
    root = etree.fromstring(GOOD)
    tree = signer.sign(root, key=ecdsa.key, cert=[ecdsa.certificate], exclude_c14n_transform_element=not named)

    verification = verify(etree.tostring(tree), ecdsa.trust, NOW)

    # Without a transform that names one, Canonical XML 1.0 is meant; here it gives the same bytes as 1.1.
    assert verification.standing is Standing.VERIFIED, verification.reason


def test_an_indented_document_verifies_as_it_was_signed(ecdsa):
    document = ecdsa.sign(b"<?xml version='1.0'?>\n" + GOOD.split(b"\n", 1)[1].replace(b"\n", b"\n\n  "))

    assert verify(document, ecdsa.trust, NOW).standing is Standing.VERIFIED


def test_while_one_certificate_replaces_another_both_hold(signed, ecdsa):
    old = signer(ec_key())

    assert verify(signed, Trust((old.certificate, ecdsa.certificate)), NOW).standing is Standing.VERIFIED
    bare = re.sub(rb"<ds:KeyInfo>.*</ds:KeyInfo>", b"", signed, flags=re.DOTALL)
    assert verify(bare, Trust((old.certificate, ecdsa.certificate)), NOW).standing is Standing.VERIFIED


# ---- certificates --------------------------------------------------------------------------------------------


def test_an_unknown_certificate_in_the_document_is_not_believed(ecdsa):
    stranger = signer(ec_key())

    verification = verify(stranger.sign(), ecdsa.trust, NOW)

    assert verification.standing is Standing.UNVERIFIABLE
    assert "not one of the sender's" in verification.reason
    assert verification.rule == "S-TRUST"
    assert verification.alert is None


def test_a_heap_of_certificates_is_not_even_read(ecdsa, signed):
    one = re.search(rb"<ds:X509Certificate>.*?</ds:X509Certificate>", signed, re.DOTALL)[0]
    many = signed.replace(one, one * 6)
    large = signed.replace(one, one[:-22] + b"A" * 100_000 + one[-22:])

    for document in (many, large):
        verification = verify(document, ecdsa.trust, NOW)
        assert (verification.standing, verification.rule) == (Standing.UNVERIFIABLE, "S-TRUST")
        assert "more than 5 certificates, or too large ones" in verification.reason


def test_every_finding_names_its_rule(signed, ecdsa):
    broken = signed.replace(b"Veste rouge", b"Veste verte")

    found = [verify(document, ecdsa.trust, NOW) for document in (signed, GOOD, broken, b"<a>")]

    assert [verification.rule for verification in found] == ["", "S-ABSENT", "S-BROKEN", "S-SHAPE"]
    assert all(verification.rule in BY_ID for verification in found[1:])


def test_a_foreign_key_under_the_senders_certificate_is_broken(ecdsa):
    stranger = signer(ec_key())
    theirs = base64.b64encode(stranger.certificate.public_bytes(Encoding.DER))
    ours = base64.b64encode(ecdsa.certificate.public_bytes(Encoding.DER))
    document = re.sub(
        rb"(<ds:X509Certificate>)(.*?)(</ds:X509Certificate>)",
        lambda m: m[1] + ours + m[3] if b"".join(m[2].split()) == theirs else m[0],
        stranger.sign(),
        flags=re.DOTALL,
    )

    assert verify(document, ecdsa.trust, NOW).standing is Standing.BROKEN


@pytest.mark.parametrize("at", [NOW - 2 * YEAR, NOW + 2 * YEAR])
def test_a_certificate_counts_at_the_time_of_receipt_only(signed, ecdsa, at):
    assert verify(signed, ecdsa.trust, at).standing is Standing.UNVERIFIABLE


def test_without_any_trust_a_signature_cannot_be_verified(signed):
    assert verify(signed, Trust(), NOW).standing is Standing.UNVERIFIABLE


@pytest.mark.parametrize("key", [rsa_key(1024), ec_key(ec.SECP224R1())], ids=["RSA-1024", "P-224"])
def test_a_weak_key_proves_nothing(key):
    weak = signer(key)

    verification = verify(weak.sign(), weak.trust, NOW)

    assert verification.standing is Standing.UNVERIFIABLE
    assert "bits" in verification.reason


@pytest.fixture(scope="module")
def authority():
    key = ec_key()
    return Signer(key, certificate(key, "Test Authority", ca=True))


def issued(authority, **changes):
    key = ec_key()
    return Signer(key, certificate(key, issuer=(authority.key, authority.certificate), **changes))


@pytest.mark.parametrize("name", ["cic.zone-a.example", "CIC.Zone-A.example", "dispatch@zone-a.example"])
def test_an_authority_may_vouch_for_the_senders_name(authority, name):
    sender = issued(authority, mail="dispatch@zone-a.example")

    verification = verify(sender.sign(), Trust(authorities=(authority.certificate,), names=(name,)), NOW)

    assert verification.standing is Standing.VERIFIED, verification.reason
    assert verification.certificate == sender.certificate


@pytest.mark.parametrize(
    ("changes", "names", "reason"),
    [
        ({"name": "other.example"}, ("cic.zone-a.example",), "name"),
        ({"name": "a.cic.zone-a.example"}, ("cic.zone-a.example",), "name"),
        ({}, (), "name"),
        ({"may_sign": False}, ("cic.zone-a.example",), "vouches"),
        ({"end": NOW - timedelta(days=1)}, ("cic.zone-a.example",), "vouches"),
        ({"start": NOW + timedelta(days=1)}, ("cic.zone-a.example",), "vouches"),
    ],
)
def test_an_authority_vouches_for_a_valid_certificate_in_the_senders_name_only(authority, changes, names, reason):
    sender = issued(authority, **changes)

    verification = verify(sender.sign(), Trust(authorities=(authority.certificate,), names=names), NOW)

    assert verification.standing is Standing.UNVERIFIABLE
    assert reason in verification.reason


def test_another_authority_does_not_vouch(authority):
    key = ec_key()
    other = Signer(key, certificate(key, "Test Authority", ca=True))

    verification = verify(
        issued(other).sign(), Trust(authorities=(authority.certificate,), names=("cic.zone-a.example",)), NOW
    )

    assert verification.standing is Standing.UNVERIFIABLE


def test_trust_is_read_from_pem_texts(ecdsa, authority):
    pem = ecdsa.certificate.public_bytes(Encoding.PEM)

    trust = Trust.from_pem(pem * 2, authority.certificate.public_bytes(Encoding.PEM), ["a"])

    assert trust == Trust((ecdsa.certificate,) * 2, (authority.certificate,), ("a",))
    assert Trust.from_pem() == Trust()
    with pytest.raises(ValueError, match=r"."):
        Trust.from_pem(b"no certificate")


# ---- changed words -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("cic-042.2026:17", "cic-042.2026:18"),
        ("Veste rouge", "Veste verte"),
        ("50.47,4.14", "50.48,4.14"),
        ("<event>", "<event> "),
        ("Actual", "Exercise"),
    ],
)
def test_a_changed_word_breaks_the_signature(signed, ecdsa, old, new):
    verification = verify(text_of(signed, old, new), ecdsa.trust, NOW)

    assert verification.standing is Standing.BROKEN
    assert verification.alert is None


def test_white_space_between_elements_is_signed_too(signed, ecdsa):
    assert verify(text_of(signed, "\n  <scope>", "\n <scope>"), ecdsa.trust, NOW).standing is Standing.BROKEN


# ---- the tricks of forgers -----------------------------------------------------------------------------------


def signature_in(document):
    return etree.fromstring(document).find(f"{{{DS}}}Signature")


def moved_into_info(signed):
    root = etree.fromstring(signed)
    root.find(f"{{{CAP}}}info").append(root.find(f"{{{DS}}}Signature"))
    return etree.tostring(root)


def moved_up(signed):
    root = etree.fromstring(signed)
    root.insert(5, root.find(f"{{{DS}}}Signature"))
    return etree.tostring(root)


def doubled(signed):
    root = etree.fromstring(signed)
    root.append(signature_in(signed))
    return etree.tostring(root)


def wrapped(signed):
    """The signed alert as a child of an evil one."""
    evil = etree.fromstring(element("identifier", "EVIL-1"))
    evil.append(etree.fromstring(signed))
    return etree.tostring(evil)


def wrapped_in_the_signature(signed):
    root = etree.fromstring(element("identifier", "EVIL-1"))
    signature = signature_in(signed)
    etree.SubElement(signature, f"{{{DS}}}Object").append(etree.fromstring(GOOD))
    root.append(signature)
    return etree.tostring(root)


def with_object(signed):
    return text_of(signed, "</ds:Signature>", "<ds:Object>x</ds:Object></ds:Signature>")


def with_neighbour(signed):
    return text_of(signed, "<ds:Signature ", f'<ds:Object xmlns:ds="{DS}"/><ds:Signature ')


def commented(signed):
    return text_of(signed, "cic-042.2026:17", "cic-042.2026:1<!-- -->7")


def with_instruction(signed):
    return text_of(signed, "cic-042.2026:17", "cic-042.2026:1<?x?>7")


def with_entity(signed):
    return signed.replace(b"<alert", b'<!DOCTYPE alert [<!ENTITY e "x">]><alert', 1)


def with_key_value(signed):
    return text_of(signed, "<ds:X509Data>", "<ds:KeyValue/><ds:X509Data>")


def without_reference(signed):
    return re.sub(rb"<ds:Reference.*</ds:Reference>", b"", signed, flags=re.DOTALL)


def two_references(signed):
    return re.sub(rb"(<ds:Reference.*</ds:Reference>)", rb"\1\1", signed, flags=re.DOTALL)


def of_a_part(signed):
    return text_of(signed, 'URI=""', 'URI="#part"')


def without_uri(signed):
    return text_of(signed, ' URI=""', "")


def of_a_file(signed):
    return text_of(signed, 'URI=""', 'URI="file:///etc/hostname"')


def with_xslt(signed):
    return re.sub(
        rb"(</ds:Transforms>)", rb'<ds:Transform Algorithm="http://www.w3.org/TR/1999/REC-xslt-19991116"/>\1', signed
    )


def with_xpath(signed):
    return text_of(
        signed,
        'Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"/></ds:Transforms>',
        'Algorithm="http://www.w3.org/TR/1999/REC-xpath-19991116"><ds:XPath>1</ds:XPath></ds:Transform></ds:Transforms>',
    )


def not_enveloped(signed):
    return text_of(signed, f'<ds:Transform Algorithm="{DS}enveloped-signature"/>', "")


def with_comments_canonical(signed):
    return signed.replace(b"xml-exc-c14n#", b"xml-exc-c14n#WithComments")


def by_hmac(signed):
    return re.sub(rb'(SignatureMethod Algorithm=")[^"]*', rf"\1{DS}hmac-sha1".encode(), signed)


def by_sha1(signed):
    return signed.replace(b"ecdsa-sha256", b"ecdsa-sha1")


def digested_by_sha1(signed):
    return signed.replace(b"http://www.w3.org/2001/04/xmlenc#sha256", f"{DS}sha1".encode())


def of_another_family(signed):
    return signed.replace(b"ecdsa-sha256", b"rsa-sha256")


def without_value(signed):
    return re.sub(rb"(<ds:SignatureValue>)[^<]*", rb"\1", signed)


def without_digest(signed):
    return re.sub(rb"(<ds:DigestValue>)[^<]*", rb"\1", signed)


def in_another_envelope(signed):
    return b'<alerts xmlns="urn:x">' + etree.tostring(etree.fromstring(signed)) + b"</alerts>"


def with_text_behind(signed):
    return text_of(signed, "</ds:Signature>", "</ds:Signature>x")


TRICKS = [
    moved_into_info, moved_up, doubled, wrapped, wrapped_in_the_signature, with_object, with_neighbour, commented,
    with_instruction, with_entity, with_key_value, without_reference, two_references, of_a_part, without_uri, of_a_file,
    with_xslt, with_xpath, not_enveloped, with_comments_canonical, by_hmac, by_sha1, digested_by_sha1,
    of_another_family, without_value, without_digest, in_another_envelope, with_text_behind,
]  # fmt: skip


@pytest.mark.parametrize("trick", TRICKS, ids=lambda trick: trick.__name__)
def test_a_trick_is_told_for_its_shape_and_gives_no_alert(signed, ecdsa, trick):
    document = trick(signed)

    verification = verify(document, ecdsa.trust, NOW)

    assert document != signed
    assert verification.standing is Standing.UNVERIFIABLE
    assert verification.reason
    methods_at_fault = (by_hmac, by_sha1, digested_by_sha1, of_another_family)
    assert verification.rule == ("S-METHOD" if trick in methods_at_fault else "S-SHAPE")
    assert verification.alert is None


def properly(document, ecdsa, **settings):
    """Signed by the sender's own key and by the book, in a way that this reader does not take."""
    signer = XMLSigner(signature_algorithm="ecdsa-sha256", **settings.pop("signer", {}))
    return etree.tostring(signer.sign(etree.fromstring(document), key=ecdsa.key, cert=[ecdsa.certificate], **settings))


def test_a_true_signature_over_a_part_is_no_signature_of_the_alert(ecdsa):
    document = properly(GOOD.replace(b"<info>", b'<info Id="part">'), ecdsa, reference_uri="part")

    verification = verify(document, ecdsa.trust, NOW)

    assert verification.standing is Standing.UNVERIFIABLE
    assert "whole document" in verification.reason


def test_a_true_signature_that_envelops_the_alert_is_not_read(ecdsa):
    document = properly(GOOD, ecdsa, signer={"method": methods.enveloping})

    assert verify(document, ecdsa.trust, NOW).standing is Standing.UNVERIFIABLE


def test_a_true_signature_over_a_document_with_comments_is_not_taken(ecdsa):
    document = properly(GOOD.replace(b"Veste", b"<!-- a -->Veste"), ecdsa)

    verification = verify(document, ecdsa.trust, NOW)

    assert verification.standing is Standing.UNVERIFIABLE
    assert "comment" in verification.reason


def test_a_true_signature_does_not_make_a_bad_alert_good(ecdsa):
    document = ecdsa.sign(element("sent", "yesterday"))

    assert verify(document, ecdsa.trust, NOW).standing is Standing.UNVERIFIABLE
    assert not read(document).accepted


# ---- the sender's policy -------------------------------------------------------------------------------------


def test_a_document_without_a_signature_says_so(ecdsa):
    assert verify(GOOD, ecdsa.trust, NOW).standing is Standing.ABSENT
    assert verify(b"no XML", ecdsa.trust, NOW).standing is Standing.UNVERIFIABLE


@pytest.mark.parametrize(
    ("policy", "allowed"),
    [
        (SignaturePolicy.REQUIRED, {Standing.VERIFIED}),
        (SignaturePolicy.CHECKED, {Standing.VERIFIED, Standing.ABSENT, Standing.UNVERIFIABLE}),
        (SignaturePolicy.IGNORED, set(Standing)),
    ],
)
def test_the_senders_policy_decides_what_a_standing_is_worth(policy, allowed):
    assert {standing for standing in Standing if policy.allows(standing)} == allowed


# ---- signing -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "document",
    [b"", b"<a/>", BASE.replace("alert", "info").encode(), inserted(SIGNATURE, before="</alert>")],
)
def test_only_an_unsigned_alert_is_signed(ecdsa, document):
    with pytest.raises(ValueError, match="signed"):
        sign(document, ecdsa.key, ecdsa.certificate)


def test_a_key_does_not_sign_under_another_certificate(ecdsa):
    with pytest.raises(ValueError, match="key"):
        sign(GOOD, ec_key(), ecdsa.certificate)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_damage_to_a_signed_document_makes_the_verifier_raise_or_believe(signed, ecdsa, data):
    start = data.draw(st.integers(0, len(signed) - 1))
    cut = data.draw(st.integers(0, 40))
    piece = data.draw(st.binary(max_size=6) | st.sampled_from([b"<", b"/>", b"&", b"<ds:X/>", b"A=", b"  "]))
    document = signed[:start] + piece + signed[start + cut :]

    verification = verify(document, ecdsa.trust, NOW)

    if verification.standing is Standing.VERIFIED:
        assert verification.alert == read(GOOD).alert


def test_every_info_of_a_long_alert_is_signed(ecdsa):
    document = ecdsa.sign(changed((INFO, INFO + INFO)))

    assert verify(text_of(document, "Zone A", "Zone B"), ecdsa.trust, NOW).standing is Standing.BROKEN
