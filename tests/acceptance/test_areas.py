"""Areas as they are drawn in life, posted to a running gateway: whoever a good one means is told, and an alert that
reaches nobody is never answered as if it had.
"""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from tests.acceptance.expected import expect
from tests.acceptance.world import Client, World, alert, opened

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

MINE, NEIGHBOUR = "PLP-5301-1", "PLP-5301-2"
SLIVER = "50.85,4.35 50.90,4.40 50.900000001,4.400000001 50.85,4.35"
LINE = "50.85,4.35 50.90,4.40 50.95,4.45 50.85,4.35"
AT_SEA = "45.0,-30.0 45.1,-30.0 45.1,-29.9 45.0,-30.0"
SWAPPED = "4.30,50.80 4.40,50.90 4.40,50.80 4.30,50.80"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with opened(tmp_path) as made:
        made.people(members=60)
        _side_by_side(made)
        await made.smsc("first")
        yield made


def _side_by_side(world: World) -> None:
    """Two networks that share a border, as networks in life do."""
    mine, other = (next(e for e in world.of_type("network", code=code)) for code in (MINE, NEIGHBOUR))
    lats, lons = zip(*mine["territory"][0], strict=True)
    south, north, west, east = min(lats), max(lats), min(lons), max(lons)
    for network, left, right in ((mine, west, east), (other, east, 2 * east - west)):
        network["territory"] = [[[south, left], [south, right], [north, right], [north, left], [south, left]]]


def rules(answer: dict[str, Any]) -> set[str]:
    return {reason["rule"] for reason in answer.get("warnings", ())}


async def reached(client: Client, answer: dict[str, Any]) -> set[str]:
    found: set[str] = set()
    for zone in answer.get("zones", ()):
        if zone.get("campaign"):
            await client.until_sent(zone["campaign"])
            found |= {row["address"] for row in await client.deliveries(zone["campaign"], channel="sms")}
    return found


async def as_cap(client: Client, document: bytes) -> tuple[int, Any]:
    headers = {"Content-Type": "application/cap+xml", "Accept": "application/cap+xml"}
    async with client.session.post("/cap/v1/alerts", data=document, headers=headers) as response:
        return response.status, etree.fromstring(await response.read())


def said(answer: Any, name: str) -> str:
    return str(answer.findtext(f"{{*}}{name}"))


async def test_areas_as_they_come(world: World) -> None:
    _, client = await world.up()
    ours = {"channels": "sms"}
    territory = world.ring(MINE)
    should = expect(world.seed, (MINE,), kind="alert", channels=["sms"])["5301"].addresses("sms")

    # A shape without area, or one that cannot be read, beside a good one.
    for name, bad, rule in (
        ("sliver", SLIVER, "T-FLAT-SHAPE"),
        ("line", LINE, "T-FLAT-SHAPE"),
        ("swapped", SWAPPED, "T-BAD-SHAPE"),
    ):
        status, answer = await client.submit(alert({"Good": territory, name: bad}, **ours))
        assert status == 202, answer
        assert rule in rules(answer), answer
        assert await reached(client, answer) >= should

    # What only borders is told by name.
    status, answer = await client.submit(alert({"A's own": territory}, **ours))
    assert status == 202
    assert await reached(client, answer) >= should
    told = [reason["text"] for reason in answer["warnings"] if reason["rule"] == "T-ONLY-BORDERS"]
    assert told == [f"It also reaches {NEIGHBOUR}, which only borders on it."]

    # Nobody: published all the same, and never answered as more than that.
    document = alert({"At sea": AT_SEA}, **ours)
    status, answer = await client.submit(document)
    assert (status, answer["note"]) == (202, "Published; nobody was told.")
    assert "NOBODY-TOLD" in rules(answer)
    status, acknowledged = await as_cap(client, alert({"At sea": AT_SEA}, **ours))
    assert (status, said(acknowledged, "msgType")) == (202, "Ack")
    assert "Published; nobody was told." in said(acknowledged, "note")
    assert len(await client.published()) >= 2

    # Nobody, and not public: refused, with the reasons.
    for areas in ({"At sea": AT_SEA}, {"Line": LINE.replace("50.", "45.")}, {"Swapped": SWAPPED}):
        private = alert(areas, **ours).replace(
            b"<scope>Public</scope>", b"<scope>Restricted</scope><restriction>x</restriction>"
        )
        status, refused = await client.submit(private)
        assert status == 422, refused
        assert refused["problems"]
        status, error = await as_cap(client, private)
        assert (status, said(error, "msgType")) == (422, "Error")
        assert next(iter(areas)) in said(error, "note")
