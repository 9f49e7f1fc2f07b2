"""The story of one alert: posted, launched in two zones, sent by three channels, watched, published and accounted for.

The document is a real one (the AMBER alert of the CAP specification's appendix) brought to the demonstration's
networks; one of our own tells the story again.
"""

import asyncio
import collections
import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from lxml import etree

from tests.acceptance.expected import Expected, expect
from tests.acceptance.world import ROOT, SENDER, Client, Line, Server, World, alert, moment, opened, summed

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

SAMPLE = ROOT.parent / "shared" / "cap-samples" / "oasiscap" / "v1dot2_appendix_adot4.xml"
NETWORKS = ("PLP-5301-1", "PLP-5302-1")
CAP = "{urn:oasis:names:tc:emergency:cap:1.2}"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with opened(tmp_path) as made:
        made.people(members=150)
        made.seed += [
            person("5301", "x1", "Sans Téléphone", "fr", email="sans@example.org"),
            person("5301", "x2", "Sans Rien", "fr"),
            person("5302", "x3", "From Paris", "en", mobile="+33 6 12 34 56 78"),
            person(
                "5302", "x4", "Robert'); DROP TABLE member;--", "de", mobile="0475 98 76 54", email="Bob@Mail.Example"
            ),
            person("5301", "x5", "Not Concerned", "nl", network="PLP-5301-2", mobile="0475 98 76 55"),
        ]
        yield made


def person(zone: str, reference: str, name: str, language: str, network: str = "", **contacts: str) -> Line:
    return {
        "type": "member",
        "zone": zone,
        "reference": reference,
        "name": name,
        "language": language,
        "networks": [{"code": network or f"PLP-{zone}-1"}],
        "contacts": [{"type": kind, "value": value} for kind, value in contacts.items()],
    }


@pytest.mark.parametrize(
    "sample",
    [
        pytest.param(SAMPLE, marks=pytest.mark.skipif(not SAMPLE.exists(), reason=f"{SAMPLE.name} is not at hand")),
        pytest.param(None, id="our own document, without calls"),
    ],
)
async def test_an_alert_reaches_everyone_concerned_once_and_its_report_says_what_the_sinks_saw(
    world: World, sample: Path | None
) -> None:
    await world.smsc("first", receipt_delay_s=0.2)
    await world.smsc("second", receipt_delay_s=0.2)
    await world.smtp()
    server, client = await world.up(world.ways_out(voice=sample is not None))
    document = brought_home(world, sample)
    should = expect(world.seed, NETWORKS, unavailable=() if sample else ("voice",))

    # A dry run says what it would be, and sends nothing.
    status, preview = await client.submit(document, "/cap/v1/validate")
    assert (status, preview["action"]) == (200, "launch"), preview
    assert {z["zone"]: z["resolved"] for z in preview["zones"]} == {z: len(e.resolved) for z, e in should.items()}

    # It is posted, by nothing but bytes on a socket.
    status, headers, answer = await posted(server, world.token("cic-demo"), document)
    assert status == 202, answer
    campaigns = {zone["zone"]: zone["campaign"] for zone in answer["zones"]}
    assert set(campaigns) == set(should)

    # The same bytes again are the same alert; other bytes under its name are refused.
    assert (await posted(server, world.token("cic-demo"), document))[:2] == (200, headers)
    changed = document.replace(b"</alert>", b"<!-- --></alert>")
    assert (await posted(server, world.token("cic-demo"), changed))[0] == 409

    # Everybody may watch it to the end.
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        for campaign in campaigns.values():
            tasks.create_task(watched(client, campaign))

    # What arrived is what the register says, person by person.
    sent = world.sms() + await world.settled_mails() + world.calls()
    for zone, expected in should.items():
        await same_as_the_sinks(world, client, campaigns[zone], expected, preview)
    wanted = sorted((c, a) for e in should.values() for c in e.deliveries for a in e.addresses(c))
    assert sorted((got.channel, got.address) for got in sent) == wanted

    # The free feed has it, byte for byte.
    assert await client.published() == [document]

    # What was promised is what was reserved.
    for zone in preview["zones"]:
        page = await client.campaign(campaigns[zone["zone"]])
        assert page["reserved_millieuro"] == zone["price_millieuro"] > 0
        assert page["progress"]["charged_millieuro"] <= page["reserved_millieuro"]
    assert await server.end() == 0


async def test_a_campaign_whose_messages_are_all_final_is_sealed_and_settled_within_its_reservation(
    world: World,
) -> None:
    await world.smsc("first", refuse_suffix="7")
    _, client = await world.up()
    document = alert({"here": world.ring("PLP-5301-1")}, channels="sms")
    before = (await client.submit(document, "/cap/v1/validate"))[1]["zones"][0]

    campaign = (await client.launch_alert(document))["5301"]

    events = [event async for event in client.events(campaign)]
    assert events[-1][0] == "end"
    report = await client.report(campaign)
    assert report["sums_close"]
    assert report["campaign"]["sealed"]
    money = report["money"]
    refused = sum(line["status"] != 0 for line in world.segments())
    assert refused > 0
    assert money["reserved_millieuro"] == before["price_millieuro"]
    assert money["settled_millieuro"] == before["price_millieuro"] - refused * 55
    again = alert({"here": world.ring("PLP-5301-1")}, channels="sms")
    after = (await client.submit(again, "/cap/v1/validate"))[1]["zones"][0]
    assert after["balance_millieuro"] == before["balance_millieuro"] - money["settled_millieuro"]


# ---- the parts of the story ----------------------------------------------------------------------------------------


def brought_home(world: World, sample: Path | None) -> bytes:
    """The sample with our identifier, sender, times, languages and areas."""
    areas = {f"Network {code}": world.ring(code) for code in NETWORKS}
    if sample is None:
        return alert(areas)
    root = etree.fromstring(sample.read_bytes(), etree.XMLParser(remove_blank_text=True))
    now = datetime.now(UTC)
    root.find(f"{CAP}identifier").text = f"AMBER-{now:%Y%m%d%H%M%S%f}"
    root.find(f"{CAP}sender").text = SENDER
    root.find(f"{CAP}sent").text = moment(now)
    for info, language in zip(root.findall(f"{CAP}info"), ("nl-BE", "fr-BE"), strict=True):
        info.find(f"{CAP}language").text = language
        expires = etree.Element(f"{CAP}expires")
        expires.text = moment(now + timedelta(hours=1))
        info.find(f"{CAP}senderName").addprevious(expires)
        info.remove(info.find(f"{CAP}area"))
        for name, ring in areas.items():
            area = etree.SubElement(info, f"{CAP}area")
            etree.SubElement(area, f"{CAP}areaDesc").text = name
            etree.SubElement(area, f"{CAP}polygon").text = ring
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8")


async def posted(server: Server, token: str, document: bytes) -> tuple[int, str, Line]:
    """As `curl --data-binary` sends it: (status, Location, JSON)."""
    where = urlsplit(server.url)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    head = (
        f"POST /cap/v1/alerts HTTP/1.1\r\nHost: {where.netloc}\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n"
        f"Authorization: Bearer {token}\r\nContent-Type: application/cap+xml\r\n"
        f"Content-Length: {len(document)}\r\nConnection: close\r\n\r\n"
    )
    writer.write(head.encode() + document)
    async with asyncio.timeout(20):
        said = await reader.read()
    writer.close()
    top, _, body = said.partition(b"\r\n\r\n")
    location = re.search(rb"(?mi)^location: (\S+)", top)
    return int(top.split()[1]), location[1].decode() if location else "", json.loads(body)


async def watched(client: Client, campaign: str) -> None:
    """Progress never goes backwards, its states always add up, and it comes to an end."""
    revision = -1
    async for _, number, snapshot in client.events(campaign):
        assert number >= revision
        revision = number
        for channel in snapshot["channels"]:
            states = ("queued", "retry", "unknown", "accepted", "delivered", "failed", "expired", "cancelled")
            assert sum(channel[s] for s in states) + channel["not_needed"] == channel["total"]
        waiting = sum(c["accepted"] + c["unknown"] for c in snapshot["channels"] if c["channel"] != "email")
        if not snapshot["open"] and not waiting:
            assert summed(snapshot)["total"] == snapshot["deliveries"]
            return
    raise AssertionError("the stream ended before the campaign did")


async def same_as_the_sinks(world: World, client: Client, campaign: str, expected: Expected, preview: Line) -> None:
    """One zone's report, rows and sinks against the register."""
    texts = {(t["channel"], t["language"]): t for z in preview["zones"] for t in z["texts"]}
    rows = await client.deliveries(campaign)
    assert {(r["channel"], r["address"], r["language"]) for r in rows} == expected.names()
    assert len(rows) == len(expected.names())
    languages = {(r["channel"], r["address"]): r["language"] for r in rows}
    for got in world.sms():
        if ("sms", got.address) in languages:
            assert got.text == texts["sms", languages["sms", got.address]]["text"]
    for got in world.mails():
        if ("email", got.address) in languages:
            mail = texts["email", languages["email", got.address]]
            assert (got.text, got.body.strip()) == (mail["subject"], mail["text"].strip())
    states = collections.Counter((r["channel"], r["state"]) for r in rows)
    final = {"sms": "delivered", "email": "accepted", "voice": "delivered"}
    assert set(states) == {(channel, final[channel]) for channel in expected.deliveries}

    report = await client.report(campaign)
    assert report["sums_close"], [e for e in report["equations"] if not e["holds"]]
    assert report["persons"]["resolved"] == len(expected.resolved)
    excluded = collections.Counter(expected.excluded.values())
    assert {e["reason"]: e["persons"] for e in report["persons"]["excluded"]} == excluded
    assert report["persons"]["included"] == len(expected.resolved) - len(expected.excluded)
    deliveries = {c: n for c, n in report["contacts"]["deliveries"].items() if n}
    assert deliveries == {c: len(d) for c, d in expected.deliveries.items()}
    assert report["contacts"]["covered"] == counted(expected.covered)
    assert report["contacts"]["skipped"] == counted(expected.skipped)
    said = {(line["channel"], line["language"], line["state"]): line["deliveries"] for line in report["deliveries"]}
    assert said == collections.Counter((r["channel"], r["language"], r["state"]) for r in rows)
    told = {o["outcome"]: o["persons"] for o in report["persons"]["outcomes"]}
    assert told == outcomes(expected)


def counted(by_channel: dict[str, dict[str, str]]) -> dict[str, int]:
    return collections.Counter(why for found in by_channel.values() for why in found.values())


def outcomes(expected: Expected) -> dict[str, int]:
    """Whoever has an SMS or a call is reached; whoever has only mail is in doubt: nobody confirms mail."""
    final = {who for c in ("sms", "voice") for who, _ in expected.deliveries.get(c, {}).values()}
    final |= {who for c in ("sms", "voice") for who in expected.covered.get(c, ())}
    included = expected.resolved - set(expected.excluded)
    told = {"reached": len(included & final), "accepted": len(included - final)}
    return {outcome: n for outcome, n in told.items() if n}
