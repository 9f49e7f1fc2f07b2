"""`python -m cap explain|sign|verify|convert`: what each gives, and the status it leaves with."""

import json

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from cap import RULES, read
from cap.__main__ import main
from tests.cap.certificates import NOW, YEAR, certificate, ec_key, rsa_key
from tests.cap.documents import BASE, element

AT = NOW.isoformat()


def pem(key):
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("commands")
    key, authority = ec_key(), rsa_key()
    mine, ca = certificate(key), certificate(authority, "Test Authority", ca=True)
    other = ec_key()
    envelope = (
        '<EDXLDistribution xmlns="urn:oasis:names:tc:emergency:EDXL:DE:1.0">'
        "<embeddedXMLContent>{}</embeddedXMLContent></EDXLDistribution>"
    )
    body = BASE.split("\n", 1)[1]
    contents = {
        "alert": BASE.encode(),
        "old": BASE.replace("cap:1.2", "cap:1.1").encode(),
        "bad": element("sent", "today"),
        "envelope": envelope.format(body).encode(),
        "envelope of two": envelope.format(body * 2).encode(),
        "key": pem(key),
        "certificate": mine.public_bytes(Encoding.PEM),
        "other key": pem(other),
        "other certificate": certificate(other).public_bytes(Encoding.PEM),
        "authority": ca.public_bytes(Encoding.PEM),
        "issued": certificate(key, "cic.example", issuer=(authority, ca)).public_bytes(Encoding.PEM),
        "no json": b'{"identifer": "x"}',
        "text": b"hello",
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return {name: str(folder / name) for name in (*contents, "absent")} | {"folder": folder}


@pytest.fixture
def run(files, capfdbinary):
    def running(*argv):
        status = main([files.get(argument, argument) for argument in argv])
        out, err = capfdbinary.readouterr()
        return status, out, err.decode()

    return running


@pytest.fixture
def signed(run, files):
    _, out, _ = run("sign", "--key", "key", "--certificate", "certificate", "alert")
    path = files["folder"] / "signed"
    path.write_bytes(out)
    return str(path)


# ---- explain -------------------------------------------------------------------------------------------------


def test_a_rule_is_explained_with_its_source_and_remedy(run):
    status, out, _ = run("explain", "DT-Z", "G-ALT-ORDER")

    assert status == 0
    assert out.decode().splitlines() == [
        "DT-Z (error, CAP-v1.2 3.3.2)",
        "  A time zone is an offset, never a letter.",
        "  Write -00:00 for UTC instead of Z.",
        "G-ALT-ORDER (warning, a policy of ours)",
        "  A ceiling is not below the altitude.",
        "  Write the lower height in <altitude>.",
    ]


def test_a_rule_of_a_profile_is_explained_in_a_language_as_text_and_as_json(run):
    asked = ("explain", "--profile", "google", "--language", "de", "GOOGLE-AREA")
    status, out, _ = run(*asked)
    _, as_json, _ = run(*asked, "--json")

    assert status == 0
    assert out.decode().splitlines() == [
        "GOOGLE-AREA (error, Google)",
        "  Ein info hat ein Gebiet.",
        "  Fügen Sie ein <area> hinzu.",
    ]
    assert json.loads(as_json)["statement"] == "Ein info hat ein Gebiet."


def test_without_a_name_all_rules_are_explained(run):
    status, out, _ = run("explain", "--json")

    assert status == 0
    assert [json.loads(line)["id"] for line in out.splitlines()] == [rule.id for rule in RULES]


def test_an_unknown_rule_is_bad_usage(run):
    status, _, err = run("explain", "A-B")

    assert (status, "A-B" in err) == (2, True)


# ---- sign and verify -----------------------------------------------------------------------------------------


def test_what_was_signed_verifies_with_the_senders_certificate_and_no_other(run, signed):
    good = run("verify", "--certificate", "certificate", "--at", AT, signed)
    bad = run("verify", "--certificate", "other certificate", "--at", AT, signed)

    assert (good[0], b": verified: " in good[1]) == (0, True)
    assert (bad[0], b": unverifiable: " in bad[1]) == (1, True)


def test_a_verdict_for_programs_names_the_certificate(run, signed):
    status, out, _ = run("verify", "--json", "--certificate", "certificate", "--at", AT, signed, "alert")

    first, second = map(json.loads, out.splitlines())
    assert status == 1
    assert (first["standing"], first["certificate"]) == ("verified", "CN=cic.zone-a.example")
    assert (second["standing"], second["certificate"]) == ("absent", "")


def test_an_authority_vouches_for_a_name(run, files):
    _, out, _ = run("sign", "--key", "key", "--certificate", "issued", "alert")
    path = files["folder"] / "issued.xml"
    path.write_bytes(out)

    trusted = run("verify", "--authority", "authority", "--name", "cic.example", "--at", AT, str(path))
    foreign = run("verify", "--authority", "authority", "--name", "other.example", "--at", AT, str(path))

    assert (trusted[0], foreign[0]) == (0, 1)


def test_the_time_of_the_verdict_can_be_said(run, signed):
    later = (NOW + 2 * YEAR).isoformat()

    status, out, _ = run("verify", "--certificate", "certificate", "--at", later, signed)

    assert (status, b"not valid" in out) == (1, True)


@pytest.mark.parametrize(
    "argv",
    [
        ("sign", "--key", "key", "--certificate", "other certificate", "alert"),
        ("sign", "--key", "text", "--certificate", "certificate", "alert"),
        ("sign", "--key", "key", "--certificate", "text", "alert"),
        ("sign", "--key", "key", "--certificate", "certificate", "text"),
        ("sign", "--key", "key", "--certificate", "certificate", "absent"),
        ("sign", "--key", "key", "alert"),
        ("verify", "--certificate", "text", "alert"),
        ("verify", "--certificate", "certificate", "--at", "noon", "alert"),
        ("verify", "--certificate", "certificate", "absent"),
        ("verify", "--certificate", "certificate", "a\0b"),
    ],
)
def test_what_cannot_be_used_is_status_2_and_a_word(run, argv):
    status, out, err = run(*argv)

    assert (status, out) == (2, b"")
    assert err.startswith(("cap: ", "usage: "))
    assert "Traceback" not in err


# ---- convert -------------------------------------------------------------------------------------------------


def test_an_alert_goes_through_json_and_comes_back(run, files):
    status, out, _ = run("convert", "--to", "json", "alert")
    path = files["folder"] / "alert.json"
    path.write_bytes(out)
    back, document, _ = run("convert", "--to", "xml", str(path))

    assert (status, back) == (0, 0)
    assert json.loads(out)["identifier"] == "cic-042.2026:17"
    assert read(document).alert == read(BASE.encode()).alert


def test_a_map_form_is_made(run):
    status, out, _ = run("convert", "--to", "geojson", "alert")

    assert (status, json.loads(out)["type"]) == (0, "FeatureCollection")


def test_an_older_version_is_converted_where_it_is_allowed(run):
    refused = run("convert", "--to", "xml", "old")
    allowed = run("convert", "--to", "xml", "--allow", "1.1", "old")

    assert (refused[0], allowed[0]) == (2, 0)
    assert read(allowed[1]).alert == read(BASE.encode()).alert


def test_an_older_version_is_checked_where_it_is_allowed(run):
    assert run("check", "old")[0] == 1
    assert run("check", "--allow", "1.1", "old")[0] == 0


def test_an_envelope_with_one_alert_is_opened(run):
    status, out, _ = run("convert", "--to", "xml", "envelope")

    assert status == 0
    assert read(out).alert == read(BASE.encode()).alert


@pytest.mark.parametrize("name", ["bad", "envelope of two", "no json", "text", "absent"])
def test_what_is_refused_is_not_converted(run, name):
    status, out, err = run("convert", "--to", "json", name)

    assert (status, out) == (2, b"")
    assert err.startswith("cap: ")
