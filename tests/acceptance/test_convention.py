"""A zone under convention type 2 reaches members of its networks and groups only, whichever door is taken and however
the place is named; under type 1 whoever lives there is reached too."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.acceptance.world import Client, Line, World, alert, opened

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

NETWORK = "PLP-5301-1"
NEIGHBOUR, IN_GROUP = "+32499000001", "+32499000002"
"""Who lives among the members of the network: in no network and no group, and in a group alone."""
OFFICER = "officer-5301"


@pytest.fixture(params=[1, 2], ids=["type 1", "type 2"])
async def world(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[World]:
    def edit(line: Line) -> None:
        if line["type"] == "zone":
            line["convention"] = request.param
            line["policy"] = {"news_channels": ["sms"], "area_mode": "members"}

    async with opened(tmp_path) as made:
        made.people(members=20, zones=1, networks=1, edit=edit)
        lives = made.of_type("member")[0]
        corners = made.of_type("network")[0]["territory"][0][:4]
        middle = {"lat": sum(lat for lat, _ in corners) / 4, "lon": sum(lon for _, lon in corners) / 4}
        for number, groups in ((NEIGHBOUR, []), (IN_GROUP, ["coordinators"])):
            person = {"position": middle, "postcode": lives["postcode"], "refnis": lives["refnis"]}
            made.seed.append(
                person
                | {"type": "member", "zone": "5301", "reference": number, "name": number, "language": "nl"}
                | {"groups": groups, "contacts": [{"type": "mobile", "value": number}]}
            )
        await made.smsc("first", receipts="none")
        yield made


def ways_to_name_it(world: World) -> list[tuple[str, Line]]:
    """How a place can be named, as targets of a message."""
    points = [[float(n) for n in pair.split(",")] for pair in world.ring(NETWORK).split()]
    person = world.of_type("member")[0]
    middle = world.of_type("member", reference=NEIGHBOUR)[0]["position"]
    return [
        ("polygon", {"polygons": [{"area": "here", "points": points}]}),
        ("circle", {"circles": [{"area": "here", "lat": middle["lat"], "lon": middle["lon"], "radius_km": 20}]}),
        ("municipality", {"geocodes": [{"area": "here", "system": "REFNIS", "value": str(person["refnis"])}]}),
        ("postcode", {"geocodes": [{"area": "here", "system": "postcode", "value": str(person["postcode"])}]}),
        ("network", {"networks": [NETWORK]}),
        ("whole zone", {"whole_zone": True}),
    ]


def document(world: World, targets: Line) -> bytes | None:
    """The same place in CAP; None of what CAP has no word for."""
    if "whole_zone" in targets:
        return None
    if "networks" in targets:
        return alert({"here": "-"}, addresses=f"plp:{NETWORK}", channels="sms").replace(b"<polygon>-</polygon>", b"")
    shape = f"<polygon>{world.ring(NETWORK)}</polygon>"
    for circle in targets.get("circles", ()):
        shape = f"<circle>{circle['lat']},{circle['lon']} {circle['radius_km']}</circle>"
    for code in targets.get("geocodes", ()):
        shape = f"<geocode><valueName>{code['system']}</valueName><value>{code['value']}</value></geocode>"
    return alert({"here": "-"}, channels="sms").replace(b"<polygon>-</polygon>", shape.encode())


async def reached(world: World, client: Client, campaign: str, before: int) -> set[str]:
    await client.until_sent(campaign)
    return {got.address for got in world.sms()[before:]}


async def test_who_is_in_no_network_and_no_group_is_reached_under_type_1_alone(world: World) -> None:
    server, client = await world.up()
    officer = world.client(server, OFFICER)
    type_2 = world.of_type("zone")[0]["convention"] == 2
    for name, targets in ways_to_name_it(world):
        wish = {
            "zone": "5301", "kind": "news", "title": name, "targets": targets, "channels": ["sms"],
            "terms_confirmed": True, "texts": [{"language": "nl", "sms": f"Nieuws {name}"}],
        }  # fmt: skip
        status, dry = await officer.post("/api/v1/campaigns?dry_run=1", wish)
        assert status == 200, (name, dry)
        before = len(world.sms())
        status, answer = await officer.post("/api/v1/campaigns", wish)
        assert status == 202, (name, answer)
        got = await reached(world, officer, answer["campaign"], before)
        assert (NEIGHBOUR in got) is (not type_2 and name != "network"), (name, got)
        assert len(got) == dry["channels"][0]["deliveries"]

        asked = document(world, targets)
        if asked is not None:
            status, preview = await client.submit(asked, "/cap/v1/validate")
            assert status == 200, (name, preview)
            before = len(world.sms())
            [campaign] = (await client.launch_alert(asked)).values()
            got = await reached(world, client, campaign, before)
            assert (NEIGHBOUR in got) is (not type_2 and name != "network"), (name, got)
            assert len(got) == preview["zones"][0]["channels"][0]["deliveries"]
