"""What is agreed with a sender: what makes no sense is refused in a sentence, what is only odd is told."""

from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP224R1
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from cap.profile import profile
from cap.rules import RULES
from cap.signing import SignaturePolicy
from gateway.directory.agreements import USUAL, SenderTerms, agreements, faults, read_terms, remarks, write_terms
from tests.cap.certificates import NOW, YEAR, certificate, ec_key, rsa_key

CIC = "cic@police.example"


def pem(made):
    return made.public_bytes(Encoding.PEM).decode()


@pytest.fixture(scope="module")
def mine():
    return pem(certificate(ec_key()))


def faults_of(**given):
    return list(faults([SenderTerms(**({"sender": CIC} | given))], [CIC]))


def remarks_of(**given):
    return list(remarks([SenderTerms(**({"sender": CIC} | given))], NOW))


def test_the_usual_terms_are_version_1_2_by_the_table_without_a_look_at_signatures():
    made = agreements([SenderTerms(CIC)])[CIC]

    assert made == USUAL
    assert made.terms.versions == {"1.2"}
    assert made.policy is SignaturePolicy.IGNORED


def test_terms_come_back_from_the_register_as_they_were_written(mine):
    terms = (
        SenderTerms(
            CIC, ("1.0", "1.1", "1.2"), ("be-plp",), ("BE-LANG",), ("I-REQ",), "require", mine, mine, ("cic",), ("b@c",)
        ),
        SenderTerms("b@c"),
    )

    assert read_terms(write_terms(terms)) == terms


def test_terms_become_what_the_reader_and_the_verifier_are_held_to(mine):
    made = agreements([SenderTerms(CIC, ("1.1", "1.2"), ("be-plp",), ("BE-LANG",), ("I-REQ",), "accept", mine)])[CIC]

    assert made.terms.versions == {"1.1", "1.2"}
    assert made.terms.profiles == (profile("be-plp"),)
    assert made.terms.relaxed == {"BE-LANG"}
    assert made.terms.strict == {"I-REQ"}
    assert made.policy is SignaturePolicy.CHECKED
    assert len(made.trust.pinned) == 1


def test_a_rule_that_is_no_longer_known_locks_nobody_out():
    made = agreements([SenderTerms(CIC, relaxed=("OF-BEFORE", "I-REQ"), strict=("OF-BEFORE", "A-REFS-SELF"))])[CIC]

    assert (made.terms.relaxed, made.terms.strict) == ({"I-REQ"}, {"A-REFS-SELF"})


@pytest.mark.parametrize("rule", [r.id for r in RULES if r.section != "policy"])
def test_what_the_standard_demands_is_never_relaxed(rule):
    ((path, sentence),) = faults_of(relaxed=(rule,))

    assert path == "[0].relaxed"
    assert sentence.startswith(f"{rule} is what CAP itself demands")


@pytest.mark.parametrize("rule", ["XML-DTD", "XML-LIMIT", "XML-ENC", "S-CHILD"])
def test_what_keeps_the_gateway_safe_is_never_relaxed(rule):
    assert faults_of(relaxed=(rule,)) == [
        ("[0].relaxed", f"{rule} keeps the gateway safe and cannot be relaxed")
    ]  # fmt: skip


def test_a_policy_of_ours_may_be_relaxed_and_a_row_of_a_profile_that_is_named():
    assert faults_of(relaxed=("I-REQ", "I-TIME-ORDER", "A-REFS-FUTURE")) == []
    assert faults_of(profiles=("be-plp",), relaxed=("BE-EXPIRES",)) == []
    assert "no rule BE-EXPIRES" in faults_of(relaxed=("BE-EXPIRES",))[0][1]


def test_a_policy_of_ours_may_be_made_strict_and_cannot_be_both():
    assert faults_of(strict=("I-REQ", "I-LANG-PARITY")) == []
    assert faults_of(profiles=("be-plp",), strict=("BE-EXPIRES",)) == []
    assert faults_of(strict=("XML-LIMIT",)) == [
        ("[0].strict", "XML-LIMIT keeps the gateway safe and cannot be made strict")
    ]  # fmt: skip
    assert faults_of(relaxed=("I-REQ",), strict=("I-REQ",)) == [
        ("[0].strict", "I-REQ is relaxed too: it can be one of both")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("given", "path", "sentence"),
    [
        ({"sender": "other@x"}, "sender", "other@x is none of the account's senders"),
        ({"versions": ()}, "versions", "without a version"),
        ({"profiles": ("be",)}, "profiles", "there is no profile be; there are be-plp, google, ipaws"),
        ({"relaxed": ("NONSENSE",)}, "relaxed", "there is no rule NONSENSE"),
        ({"signature": "require"}, "signature", "without certificates or authorities"),
        ({"signature": "accept"}, "signature", "without certificates or authorities"),
        ({"certificates": "rubbish"}, "certificates", "cannot be read as certificates in PEM"),
        ({"certificates": "é" * 100}, "certificates", "cannot be read as certificates in PEM"),
        (
            {"certificates": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"},
            "certificates",
            "cannot be read as certificates in PEM",
        ),
        ({"authorities": "rubbish", "names": ("a",)}, "authorities", "cannot be read as certificates in PEM"),
        ({"names": ("cic",)}, "names", "names are for certificates that authorities issue"),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused_with_path_and_sentence(given, path, sentence):
    found = faults_of(**given)

    assert any(p == f"[0].{path}" and sentence in s for p, s in found), found


def test_an_authority_without_a_name_to_look_for_is_refused(mine):
    assert [path for path, _ in faults_of(authorities=mine)] == ["[0].names"]


def test_a_sender_has_one_set_of_terms():
    found = list(faults([SenderTerms(CIC), SenderTerms(CIC)], [CIC]))

    assert found == [("[1].sender", f"the terms of {CIC} stand here already")]


def test_a_private_key_in_the_file_is_refused_and_not_repeated():
    key = ec_key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()

    ((path, sentence),) = faults_of(certificates=key)

    assert path == "[0].certificates"
    assert "private key" in sentence
    assert key.splitlines()[1] not in sentence


@pytest.mark.parametrize("key", [rsa_key(1024), ec_key(SECP224R1())], ids=["RSA-1024", "P-224"])
def test_a_certificate_whose_key_could_never_sign_is_refused(key):
    ((_, sentence),) = faults_of(certificates=pem(certificate(key, "weak.example")))

    assert sentence.startswith("certificate 1 (CN=weak.example) has a key that is neither")


def test_more_certificates_than_anybody_changes_between_are_refused(mine):
    assert faults_of(certificates=mine * 17) == [("[0].certificates", "there are more than 16 certificates")]
    assert faults_of(certificates=mine * 16) == []


def test_a_certificate_out_of_its_time_is_told_and_taken():
    old, new = certificate(ec_key(), "old", end=NOW - timedelta(1)), certificate(ec_key(), "new", start=NOW + YEAR)
    good = certificate(ec_key(), "good")
    given = {"signature": "require", "certificates": "".join(map(pem, (old, good, new)))}

    assert faults_of(**given) == []
    assert remarks_of(**given) == [
        ("[0].certificates", f"certificate 1 (CN=old) expired on {NOW - timedelta(1):%Y-%m-%d}"),
        ("[0].certificates", f"certificate 3 (CN=new) is valid only from {NOW + YEAR:%Y-%m-%d}"),
    ]


def test_certificates_that_nobody_looks_at_and_versions_that_nobody_can_sign_are_told(mine):
    assert [p for p, _ in remarks_of(certificates=mine)] == ["[0].signature"]
    assert [p for p, _ in remarks_of(certificates=mine, signature="require", versions=("1.1", "1.2"))] == [
        "[0].versions"
    ]
