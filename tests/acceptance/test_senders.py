"""What is agreed with a sender, seen through the real door; envelopes, languages and threads as a sender sees them."""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from lxml import etree
from signxml.algorithms import DigestAlgorithm, SignatureConstructionMethod, SignatureMethod
from signxml.signer import XMLSigner

import cap
from cap.signing import sign
from tests.acceptance.crash_stage import until
from tests.acceptance.world import CIC, SENDER, Client, Line, Server, World, alert, opened, reference
from tests.cap.certificates import certificate, ec_key

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

OTHER = "officer@police.example"
DAY = timedelta(days=1)
CAP = {"Content-Type": "application/cap+xml"}
NETWORK = "PLP-5301-1"


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Any
    raw: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.raw)

    @property
    def rules(self) -> set[str]:
        """Of everything told, of whatever level."""
        return {reason["rule"] for reason in self.json.get("problems", self.json.get("warnings", ()))}

    @property
    def errors(self) -> set[str]:
        return {reason["rule"] for reason in self.json["problems"] if reason["level"] == "error"}


@dataclass(frozen=True, slots=True)
class Signer:
    name: str
    key: Any
    certificate: Any

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(Encoding.PEM).decode()

    def sign(self, document: bytes) -> bytes:
        return sign(document, self.key, self.certificate)


def signer(name: str = "cic.police.example", **more: Any) -> Signer:
    key, now = ec_key(), datetime.now(UTC)
    return Signer(name, key, certificate(key, name, start=now - DAY, end=now + DAY, **more))


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with opened(tmp_path) as made:
        made.people(members=20)
        yield made


async def up(world: World, *terms: Line, senders: tuple[str, ...] = (SENDER, OTHER)) -> Client:
    """A server whose CIC has these terms; without a carrier, for exercises only."""
    (account,) = world.of_type("account", code=CIC)
    account |= {"senders": list(senders), "terms": list(terms)}
    _, client = await world.up({})
    return client


async def post(client: Client, document: bytes, path: str = "/cap/v1/alerts", **headers: str) -> Answer:
    async with client.session.post(path, data=document, headers=CAP | headers) as response:
        return Answer(response.status, response.headers.copy(), await response.read())


async def get(client: Client, path: str, **headers: str) -> Answer:
    async with client.session.get(path, headers=headers) as response:
        return Answer(response.status, response.headers.copy(), await response.read())


def exercise(world: World, sender: str = SENDER, **more: Any) -> bytes:
    made = alert({"Centrum": world.ring(NETWORK)}, **{"status": "Exercise", "note": "Oefening 7"} | more)
    return made.replace(f"<sender>{SENDER}".encode(), f"<sender>{sender}".encode())


# ---- signatures ----------------------------------------------------------------------------------------------------


def by_sha1(document: bytes, by: Signer) -> bytes:
    class Weak(XMLSigner):
        def check_deprecated_methods(self) -> None:
            """Let it sign as nobody should."""

    weak = Weak(
        method=SignatureConstructionMethod.enveloped,
        signature_algorithm=SignatureMethod.ECDSA_SHA1,
        digest_algorithm=DigestAlgorithm.SHA1,
    )
    return etree.tostring(weak.sign(etree.fromstring(document), key=by.key, cert=[by.certificate]))


def moved(document: bytes) -> bytes:
    """The signature stands first, and everything else behind it looks signed."""
    root = etree.fromstring(document)
    root.insert(0, root[-1])
    return etree.tostring(root)


def doubled(document: bytes) -> bytes:
    root = etree.fromstring(document)
    root.append(etree.fromstring(etree.tostring(root[-1])))
    return etree.tostring(root)


def wrapped(document: bytes, other: bytes) -> bytes:
    """Another alert on top, the signed one inside of it."""
    root = etree.fromstring(other)
    root.append(etree.fromstring(document))
    return etree.tostring(root)


async def test_where_a_signature_is_required_only_the_senders_own_over_the_whole_alert_passes(world: World) -> None:
    mine, theirs, stranger = signer(), signer("officer.example"), signer()
    client = await up(
        world,
        {"sender": SENDER, "signature": "require", "certificates": mine.pem},
        {"sender": OTHER, "signature": "require", "certificates": theirs.pem},
    )
    good, plain = exercise(world), exercise(world)
    signed = mine.sign(good)

    for forged, status, rule in (
        (plain, 403, "S-ABSENT"),
        (stranger.sign(plain), 403, "S-TRUST"),
        (theirs.sign(plain), 403, "S-TRUST"),
        (mine.sign(exercise(world, OTHER)), 403, "S-TRUST"),
        (signed.replace(b"Grijze", b"Groene"), 403, "S-BROKEN"),
        (by_sha1(plain, mine), 403, "S-METHOD"),
        (doubled(signed), 403, "S-SHAPE"),
        (signed.replace(b"t-", b"t<!-- x -->-", 1), 403, "S-SHAPE"),
        (moved(signed), 422, "S-PLACE"),
        (wrapped(signed, plain), 422, "XSD"),
        (edxl(signed + plain), 422, "E-ONE"),
        (edxl(plain), 403, "S-ABSENT"),
    ):
        for path in ("/cap/v1/alerts", "/cap/v1/validate"):
            answer = await post(client, forged, path)
            assert (answer.status, rule in answer.errors) == (status, True), (rule, answer.json)
        # It burns nothing, and nobody finds anything of it.
        name = re.search(rb"<identifier>(.*?)</identifier>", plain)
        assert name is not None
        missing = await get(client, f"/cap/v1/alerts?sender={SENDER}&identifier={name[1].decode()}")
        assert missing.status == 404

    answer = await post(client, signed)
    assert answer.status == 202, answer.json
    found = answer.json["signature"]
    assert (found["standing"], found["signer"]) == ("verified", mine.name)
    assert "S-UNVERIFIED" not in answer.rules
    assert (await get(client, answer.headers["Location"])).json["signature"] == found
    assert (await get(client, f"{answer.headers['Location']}/document")).raw == signed
    assert (await post(client, theirs.sign(exercise(world, OTHER)))).status == 202
    assert (await post(client, edxl(mine.sign(plain)))).json["signature"]["standing"] == "verified"


async def test_the_same_bytes_are_answered_as_before_also_when_the_certificate_has_gone(world: World) -> None:
    mine = signer()
    client = await up(world, {"sender": SENDER, "signature": "require", "certificates": mine.pem})
    signed = mine.sign(exercise(world))
    first = await post(client, signed)
    (account,) = world.of_type("account", code=CIC)
    account["terms"][0]["certificates"] = signer().pem
    await world.load(world.folder / "tocsin.toml", [account])

    async def refused() -> bool:
        return (await post(client, mine.sign(exercise(world)))).status == 403

    await until(refused, 30, every_s=0.5)  # a key is believed for some seconds
    again = await post(client, signed)

    assert (first.status, again.status) == (202, 200)
    assert again.headers["Location"] == first.headers["Location"]


async def test_where_signatures_are_accepted_what_cannot_be_verified_is_told_and_what_is_false_refused(
    world: World,
) -> None:
    mine, stranger = signer(), signer()
    client = await up(world, {"sender": SENDER, "signature": "accept", "certificates": mine.pem})

    for document, standing, rule in (
        (exercise(world), "absent", ""),
        (mine.sign(exercise(world)), "verified", ""),
        (stranger.sign(exercise(world)), "unverifiable", "S-TRUST"),
        (by_sha1(exercise(world), mine), "unverifiable", "S-METHOD"),
        (doubled(mine.sign(exercise(world))), "unverifiable", "S-SHAPE"),
    ):
        answer = await post(client, document)
        again = await post(client, document)
        page = await get(client, answer.headers["Location"])
        assert (answer.status, again.status, page.status) == (202, 200, 200), answer.json
        for said in (answer, again, page):
            assert said.json["signature"]["standing"] == standing
            assert {r for r in said.rules if r.startswith("S-")} - {"S-COUNT"} == {rule} - {""}
    broken = await post(client, mine.sign(exercise(world)).replace(b"Grijze", b"Groene"))
    assert (broken.status, broken.errors) == (403, {"S-BROKEN"})


async def test_nobody_looks_at_signatures_unless_it_is_agreed_and_the_answer_says_so(world: World) -> None:
    client = await up(world)

    answer = await post(client, signer().sign(exercise(world)))

    assert answer.status == 202
    assert answer.json["signature"] == {"standing": "unchecked"}
    assert "S-UNVERIFIED" in answer.rules


async def test_an_authority_vouches_for_certificates_in_the_senders_name_alone(world: World) -> None:
    now = datetime.now(UTC)
    ca_key = ec_key()
    ca = certificate(ca_key, "Police CA", ca=True, start=now - DAY, end=now + DAY)
    named, other = (signer(name, issuer=(ca_key, ca)) for name in ("cic.police.example", "shop.example"))
    client = await up(
        world,
        {
            "sender": SENDER,
            "signature": "require",
            "authorities": ca.public_bytes(Encoding.PEM).decode(),
            "names": ["cic.police.example"],
        },
    )

    assert (await post(client, named.sign(exercise(world)))).status == 202
    refused = await post(client, other.sign(exercise(world)))
    assert (refused.status, refused.errors) == (403, {"S-TRUST"})
    # A heap of certificates, or a huge one, costs nobody anything.
    signed = named.sign(exercise(world))
    one = re.search(rb"<ds:X509Certificate>(.*?)</ds:X509Certificate>", signed, re.DOTALL)
    assert one is not None
    for heap in (signed.replace(one[0], one[0] * 900), signed.replace(one[1], b"A" * 900_000)):
        answer = await post(client, heap)
        assert (answer.status, answer.errors) == (403, {"S-TRUST"})


# ---- versions, policies, profiles ----------------------------------------------------------------------------------


def older(document: bytes) -> bytes:
    return document.replace(b"cap:1.2", b"cap:1.1").replace(b"-00:00</sent>", b"Z</sent>")


async def test_older_versions_are_read_where_it_is_agreed_and_kept_as_they_came(world: World) -> None:
    client = await up(world, {"sender": SENDER, "versions": ["1.1", "1.2"]})
    document = older(exercise(world))

    answer = await post(client, document)

    assert answer.status == 202, answer.json
    assert (answer.json["version"], answer.json["state"]) == ("1.1", "active")
    assert "NS-OLD" in answer.rules
    assert (await get(client, f"{answer.headers['Location']}/document")).raw == document
    assert (await get(client, answer.headers["Location"])).json["version"] == "1.1"
    assert (await post(client, document)).status == 200
    in_cap = cap.read((await post(client, document, Accept="application/cap+xml")).raw)
    assert in_cap.accepted, in_cap.problems
    assert in_cap.alert is not None
    assert in_cap.alert.msg_type is cap.MsgType.ACK
    # What follows may be of another version, and what it cancels is read again.
    cancel = exercise(world, msg_type="Cancel", references=reference(document).replace("Z", "-00:00"))
    assert (await post(client, cancel)).json["state"] == "cancelled"

    refused = await post(client, older(exercise(world, OTHER)))
    assert (refused.status, refused.errors) == (422, {"NS"})
    assert (await post(client, exercise(world))).json["version"] == "1.2"


async def test_a_policy_of_ours_warns_and_refuses_the_sender_with_whom_that_is_agreed(world: World) -> None:
    client = await up(world, {"sender": OTHER, "strict": ["G-ALT-ORDER"]})

    def upside_down(sender: str) -> bytes:
        made = exercise(world, sender)
        return made.replace(b"</area>", b"<altitude>900</altitude><ceiling>300</ceiling></area>", 1)

    answer, refused = await post(client, upside_down(SENDER)), await post(client, upside_down(OTHER))

    assert answer.status == 202, answer.json
    assert [r["level"] for r in answer.json["warnings"] if r["rule"] == "G-ALT-ORDER"] == ["warning"]
    assert (refused.status, refused.errors) == (422, {"G-ALT-ORDER"})


async def test_an_alert_that_ends_before_it_begins_is_sent_to_nobody_even_where_that_is_let_pass(world: World) -> None:
    client = await up(world, {"sender": SENDER})
    now = datetime.now(UTC)

    answer = await post(client, exercise(world, effective=now + 3 * DAY, expires=now + DAY))

    assert (answer.status, answer.json["state"], answer.json.get("zones", [])) == (202, "expired", [])
    assert {"I-TIME-ORDER", "I-EXPIRED"} <= answer.rules


async def test_a_profile_adds_its_rules_for_the_sender_who_is_held_to_it(world: World) -> None:
    client = await up(world, {"sender": SENDER, "profiles": ["be-plp"]})

    def spanish(sender: str) -> bytes:
        return exercise(world, sender).replace(b"<language>fr-BE", b"<language>es-ES")

    refused, passed = await post(client, spanish(SENDER)), await post(client, spanish(OTHER))

    assert (refused.status, refused.errors) == (422, {"BE-LANG"})
    (problem,) = [p for p in refused.json["problems"] if p["rule"] == "BE-LANG"]
    assert (problem["path"], problem["value"], problem["line"] > 0) == ("/alert/info[2]/language", "es-ES", True)
    assert passed.status == 202, passed.json


async def test_terms_that_make_no_sense_are_not_loaded_and_an_expired_certificate_is_told(world: World) -> None:
    (account,) = world.of_type("account", code=CIC)
    now = datetime.now(UTC)
    key = ec_key()
    old = certificate(key, "old.example", start=now - 3 * DAY, end=now - DAY).public_bytes(Encoding.PEM).decode()
    settings = world.settings({})
    await world.load(settings)

    async def loaded(**terms: Any) -> tuple[int, str]:
        line = account | {"terms": [{"sender": SENDER} | terms]}
        path = world.folder / "terms.jsonl"
        path.write_bytes(msgspec.json.encode(line))
        return await world.tocsin("load", str(path), "--config", str(settings))

    code, said = await loaded(relaxed=["G-DESC"], certificates="-----BEGIN CERTIFICATE-----\nAA\n")
    assert code == 1
    assert (
        "line 1: $.terms[0].relaxed: G-DESC is what CAP itself demands (3.2.4 areaDesc) and cannot be relaxed" in said
    )
    assert "line 1: $.terms[0].certificates: this cannot be read as certificates in PEM" in said

    code, said = await loaded(signature="require", certificates=old)
    assert code == 0, said
    assert "line 1: $.terms[0].certificates: certificate 1 (CN=old.example) expired on" in said
    assert "account: 0 new, 1 changed" in said


# ---- envelopes -----------------------------------------------------------------------------------------------------


def edxl(alerts: bytes, status: str = "Exercise", kind: str = "Report", name: str = "d-1") -> bytes:
    """EDXL-DE 1.0 around documents."""
    bare = re.sub(rb"<\?xml.*?\?>\s*", b"", alerts)
    return b"""<?xml version="1.0" encoding="UTF-8"?>
<de:EDXLDistribution xmlns:de="urn:oasis:names:tc:emergency:EDXL:DE:1.0" xmlns:unused="urn:unused">
  <de:distributionID>%s</de:distributionID><de:senderID>hub@police.example</de:senderID>
  <de:dateTimeSent>2026-05-11T21:50:00+02:00</de:dateTimeSent>
  <de:distributionStatus>%s</de:distributionStatus><de:distributionType>%s</de:distributionType>
  <de:contentObject><de:xmlContent><de:embeddedXMLContent>
%s</de:embeddedXMLContent></de:xmlContent></de:contentObject>
</de:EDXLDistribution>
""" % (name.encode(), status.encode(), kind.encode(), bare)


def edxl_2(alerts: bytes) -> bytes:
    bare = re.sub(rb"<\?xml.*?\?>\s*", b"", alerts)
    return (
        b"""<edxlDistribution xmlns="urn:oasis:names:tc:emergency:EDXL:DE:2.0"><distributionID>d-2</distributionID>
<senderID>hub@police.example</senderID><distributionStatus>Exercise</distributionStatus>
<content><contentObject><contentXML><embeddedXMLContent>%s</embeddedXMLContent></contentXML></contentObject></content>
</edxlDistribution>"""
        % bare
    )


async def test_an_alert_in_an_envelope_is_the_same_alert_in_any_other_and_both_are_kept(world: World) -> None:
    client = await up(world)
    document = exercise(world)
    body = edxl(document)

    answer = await post(client, body, **{"Content-Type": "application/edxl+xml"})
    again = await post(client, edxl_2(document), **{"Content-Type": "application/xml"})

    assert (answer.status, again.status) == (202, 200), (answer.json, again.json)
    assert answer.headers["Location"] == again.headers["Location"]
    assert answer.json["envelope"] == "EDXL-DE 1.0 d-1 hub@police.example"
    assert "E-OPENED" in answer.rules
    kept = await get(client, f"{answer.headers['Location']}/document")
    assert cap.read(kept.raw).alert == cap.read(document).alert
    enveloped = await get(client, f"{answer.headers['Location']}/document?envelope=1")
    assert (enveloped.status, enveloped.raw) == (200, body)
    assert enveloped.headers["Content-Type"] == "application/edxl+xml"
    by_itself = await post(client, exercise(world))
    assert (await get(client, f"{by_itself.headers['Location']}/document?envelope=1")).status == 404
    in_cap = cap.read((await post(client, body, Accept="application/cap+xml")).raw)
    assert in_cap.accepted, in_cap.problems
    assert in_cap.alert is not None
    assert in_cap.alert.references == (cap.read(document).alert.reference,)  # type: ignore[union-attr]
    # An envelope of utf-16 is one, too.
    assert (await post(client, edxl_2(document).decode().encode("utf-16"))).status == 200


async def test_an_envelope_that_leaves_doubts_is_refused_with_the_reason(world: World) -> None:
    client = await up(world)
    document = exercise(world)
    nested = b"<alert xmlns='urn:oasis:names:tc:emergency:cap:1.2'><de:embeddedXMLContent>" * 80
    nested += b"x" * 500_000 + b"</de:embeddedXMLContent></alert>" * 80
    empty = b'<alert xmlns="urn:oasis:names:tc:emergency:cap:1.2"/>'

    for body, status, rule in (
        (edxl(document + exercise(world)), 422, "E-ONE"),
        (edxl(b""), 422, "E-ONE"),
        (edxl(empty * 900), 422, "E-ONE"),
        (edxl(empty * 6_000), 422, "XML-LIMIT"),
        (edxl(document, status="Actual"), 422, "E-STATUS"),
        (edxl(document, status="whatever"), 422, "E-STATUS"),
        (edxl(document, kind="Cancel"), 422, "E-KIND"),
        (edxl(nested), 422, "XSD"),
        (edxl(document).replace(b"<de:EDXL", b"<!DOCTYPE x><de:EDXL", 1), 400, "XML-DTD"),
        (edxl(document)[:-40], 400, "XML-WF"),
        (edxl(edxl(document)), 202, "E-OPENED"),
    ):
        answer = await post(client, body)
        assert (answer.status, rule in answer.rules) == (status, True), (rule, answer.json)


async def test_what_is_wrong_in_an_envelope_is_told_with_the_line_of_the_envelope(world: World) -> None:
    client = await up(world)
    body = edxl(exercise(world).replace(b"<info>", b"\n<info>\n").replace(b"<urgency>Immediate", b"\n<urgency>Soon", 1))

    answer = await post(client, body)

    (problem,) = [p for p in answer.json["problems"] if p["path"] == "/alert/info[1]/urgency"]
    assert b"<urgency>Soon" in body.splitlines()[problem["line"] - 1]


# ---- languages -----------------------------------------------------------------------------------------------------


async def test_what_is_wrong_is_told_in_the_language_of_the_client(world: World) -> None:
    client = await up(world)
    shape = f"<areaDesc>Centrum</areaDesc><polygon>{world.ring(NETWORK)}</polygon>".encode()
    bad = exercise(world).replace(shape, b"<areaDesc> </areaDesc>")

    for wish, language, words in (
        ("nl-BE, fr;q=0.5", "nl", "Een gebied wordt beschreven."),
        ("fr", "fr", "Une zone est décrite."),
        ("de-BE", "de", "Ein Gebiet"),
        ("en", "en", ""),
        ("\xe9\xff;;q=x,,=;q=,*;q=2" * 200, "en", ""),
        ("nl;q=0", "en", ""),
    ):
        answer = await post(client, bad, **{"Accept-Language": wish})
        assert answer.status == 422
        assert answer.headers["Content-Language"] == language
        assert answer.headers["Vary"] == "Accept, Accept-Language"
        problems = [p for p in answer.json["problems"] if p["rule"] == "G-DESC"]
        assert [p["path"] for p in problems] == [f"/alert/info[{n}]/area[1]/areaDesc" for n in (1, 2)]
        assert all(p["line"] > 0 and p["remedy"] and p["section"] for p in problems)
        assert words in problems[0]["text"]

    answer = await post(client, bad, **{"Accept-Language": "nl", "Accept": "application/cap+xml"})
    reading = cap.read(answer.raw)
    assert (answer.status, answer.headers["Content-Language"]) == (422, "nl")
    assert answer.headers["Vary"] == "Accept, Accept-Language"
    assert reading.alert is not None
    assert reading.alert.msg_type is cap.MsgType.ERROR
    assert "G-DESC /alert/info[1]/area[1]/areaDesc: Een gebied wordt beschreven." in (reading.alert.note or "")


async def test_warnings_of_what_is_accepted_are_told_now_and_later_in_any_language(world: World) -> None:
    client = await up(world)
    long = exercise(world).replace(b"<headline>", b"<headline>" + b"x" * 161)

    answer = await post(client, long, **{"Accept-Language": "fr"})
    page = await get(client, answer.headers["Location"], **{"Accept-Language": "de"})
    tried = await post(client, long, "/cap/v1/validate", **{"Accept-Language": "nl"})

    assert (answer.status, tried.status) == (202, 200)
    assert "I-HEADLINE-160" in answer.rules
    assert answer.rules == page.rules
    assert answer.headers["Content-Language"] == "fr"
    assert page.headers["Content-Language"] == "de"
    assert tried.headers["Content-Language"] == "nl, en"
    first = {r["rule"]: r for r in answer.json["warnings"]}["I-HEADLINE-160"]
    later = {r["rule"]: r for r in page.json["warnings"]}["I-HEADLINE-160"]
    assert first["text"] != later["text"]
    assert {k: first[k] for k in ("path", "line", "value")} == {k: later[k] for k in ("path", "line", "value")}


# ---- threads -------------------------------------------------------------------------------------------------------


async def test_what_a_message_may_do_to_others_is_answered_with_the_rule(world: World) -> None:
    client = await up(world)
    first, others = exercise(world), exercise(world, OTHER)
    for document in (first, others):
        assert (await post(client, document)).status == 202
    about = reference(first)

    def update(references: str = about, **more: Any) -> bytes:
        return exercise(world, msg_type="Update", references=references, **more)

    for document, status, rule in (
        (first.replace(b"Grijze", b"Groene"), 409, "C-DUP"),
        (exercise(world, "stranger@x.example"), 403, "A-SENDER-AUTH"),
        (exercise(world, OTHER, msg_type="Update", references=about), 403, "C-AUTH"),
        (update(status="Actual"), 409, "C-STATUS"),
        (exercise(world, kind=""), 202, ""),
        (exercise(world, kind="nonsense", channels="sms fax"), 422, "K-WORD"),
        (exercise(world, kind="nonsense", channels="sms fax"), 422, "K-CHANNEL"),
        (update(f"{SENDER},never-was,2026-01-01T00:00:00-00:00"), 202, "C-KNOWN"),
        (exercise(world, status="System"), 202, "C-LIVE"),
        (exercise(world, msg_type="Ack", references=about), 202, "C-ACK"),
        (update(f"{about} {reference(others)}"), 202, "C-AUTH"),
    ):
        answer = await post(client, document, **{"Accept-Language": "nl"})
        assert answer.status == status, (rule, answer.json)
        told = [r for r in answer.json.get("problems", answer.json.get("warnings", ())) if r["rule"] == rule]
        assert bool(told) is bool(rule), (rule, answer.json)
        assert all(r["path"].startswith("/alert/") and r["line"] > 0 for r in told if status >= 400)

    # A fork and a latecomer: the later word holds, and both are told.
    later = datetime.now(UTC) + timedelta(seconds=2)
    second = update(sent=later, effective=datetime.now(UTC) + DAY / 24)
    early = await post(client, second)
    assert (early.status, "C-LATER" in early.rules) == (202, True)
    fork = await post(client, update(sent=later + timedelta(seconds=2)))
    assert (fork.status, {"C-ORDER", "C-SUPERSEDE"} <= fork.rules) == (202, True), fork.json
    late = await post(client, update(sent=later + timedelta(seconds=1)))
    assert (late.status, late.json["state"], "C-ORDER" in late.rules) == (202, "logged", True)


async def test_who_acts_for_another_sender_may_end_his_alert_but_only_in_zones_that_are_his_too(world: World) -> None:
    """A Cancel that left one zone sending would be shown as done."""
    rights = [{"action": a, "zone": "5301"} for a in ("submit", "read")]
    for code, sender in (("deputy", "deputy@police.example"), ("outsider", "outsider@police.example")):
        acts_for = [{"sender": sender, "acts_for": [SENDER]}] if code == "deputy" else []
        world.seed.append(world.account(code, rights, "officer", senders=[sender], terms=acts_for))
    client = await up(world)
    server = next(p for p in world.processes if isinstance(p, Server))
    deputy, outsider = (world.client(server, code) for code in ("deputy", "outsider"))
    there = exercise(world)
    everywhere = alert(
        {code: world.ring(code) for code in (NETWORK, "PLP-5302-1")}, status="Exercise", note="Oefening 7"
    )
    for document in (there, everywhere):
        assert (await post(client, document)).status == 202

    def cancel(of: bytes, sender: str) -> bytes:
        made = alert({}, status="Exercise", note="Oefening 7", msg_type="Cancel", references=reference(of), kind="")
        return made.replace(f"<sender>{SENDER}".encode(), f"<sender>{sender}".encode())

    refused = await post(outsider, cancel(there, "outsider@police.example"))
    assert (refused.status, refused.errors) == (403, {"C-AUTH"})
    beyond = await post(deputy, cancel(everywhere, "deputy@police.example"))
    assert (beyond.status, beyond.errors) == (403, {"C-AUTH"})
    assert "5302" in beyond.json["title"]
    done = await post(deputy, cancel(there, "deputy@police.example"))
    assert (done.status, done.json["state"]) == (202, "cancelled"), done.json


async def test_what_waits_in_an_envelope_comes_out_of_it_once_what_it_names_has_come(world: World) -> None:
    client = await up(world, {"sender": SENDER, "versions": ["1.1", "1.2"]})
    first = older(exercise(world))
    body = edxl(exercise(world, msg_type="Update", references=reference(first).replace("Z", "-00:00")))
    waiting = await post(client, body)
    assert (waiting.status, waiting.json["state"], "C-KNOWN" in waiting.rules) == (202, "parked", True)

    assert (await post(client, first)).status == 202

    page = await get(client, waiting.headers["Location"])
    async with asyncio.timeout(20):
        while page.json["state"] == "parked":
            await asyncio.sleep(0.1)
            page = await get(client, waiting.headers["Location"])
    assert page.json["state"] == "active", page.json
    assert "C-KNOWN" not in page.rules
    assert "E-OPENED" in page.rules
    assert page.json["envelope"].startswith("EDXL-DE 1.0")
    assert (await get(client, f"{waiting.headers['Location']}/document?envelope=1")).raw == body
    assert (await post(client, body)).status == 200
