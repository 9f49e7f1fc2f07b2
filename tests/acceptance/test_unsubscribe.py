"""A mail of news says how to get off its list, and whoever does gets no more of them; alerts carry no such link."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.acceptance.world import Line, World, alert, json_lines, opened

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

PUBLIC = "https://alerts.example.be"
NETWORK = "PLP-5301-1"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with opened(tmp_path) as made:
        made.people(members=40, zones=1)
        yield made


def news(title: str) -> dict[str, object]:
    texts = [{"language": "nl", "subject": title, "email": "Vergadering om 20 uur."}]
    return {
        "zone": "5301", "kind": "news", "title": title, "texts": texts, "channels": ["email"],
        "targets": {"networks": [NETWORK]}, "terms_confirmed": True,
    }  # fmt: skip


async def taken(world: World, subject: str = "") -> list[Line]:
    """The mails that the sink took, as it wrote them down."""
    await world.settled_mails()
    lines = json_lines(world.sinks["relay"].dump)
    return [line for line in lines if subject in ("", line["subject"])]


async def test_who_clicks_gets_no_more_news_and_still_every_alert(world: World) -> None:
    await world.smtp()
    await world.smsc("first")
    world.seed.append(world.account("editor", [{"action": a, "zone": "5301"} for a in ("launch", "read")]))
    tables = world.ways_out()
    tables["server"] = {"public_url": PUBLIC}
    server, client = await world.up(tables)
    editor = world.client(server, "editor")

    status, first = await editor.post("/api/v1/campaigns", news("Eerste"))
    assert status == 202, first
    await editor.until_sent(first["campaign"])
    mails = await taken(world, "Eerste")
    gone, (link, post) = mails[0]["rcpt"], mails[0]["leaving"]
    assert post == "List-Unsubscribe=One-Click"
    found = re.fullmatch(rf"<{re.escape(PUBLIC)}(/unsubscribe/[a-z0-9.-]+)>", link)
    assert found is not None
    assert len({mail["leaving"][0] for mail in mails}) == len(mails)

    async with client.session.get(found[1]) as looked:
        assert looked.status == 200
    async with client.session.post(found[1], data="List-Unsubscribe=One-Click") as left:
        assert left.status == 200

    status, second = await editor.post("/api/v1/campaigns", news("Tweede"))
    assert status == 202, second
    assert second["preview"]["channels"][0]["deliveries"] == len(mails) - 1
    await editor.until_sent(second["campaign"])
    told = {mail["rcpt"] for mail in await taken(world, "Tweede")}
    assert told == {mail["rcpt"] for mail in mails} - {gone}

    document = alert({NETWORK: world.ring(NETWORK)}, channels="email")
    campaign = (await client.launch_alert(document))["5301"]
    await client.until_sent(campaign)
    warned = [mail for mail in await taken(world) if mail["subject"] not in ("Eerste", "Tweede")]
    assert gone in {mail["rcpt"] for mail in warned}
    assert {tuple(mail["leaving"]) for mail in warned} == {("", "")}
