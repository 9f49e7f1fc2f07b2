"""The drill: a machine is destroyed in mid-campaign, its backup is put back elsewhere, and sending goes on.

Nobody is silently sent twice: what the copy calls unfinished is held until somebody decides, and says what it would
send. What is launched afterwards goes out at once.
"""

import asyncio
import shutil
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.acceptance.world import World, alert, opened

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

WHERE = "PLP-5301-1"
WITHIN_S = 300
"""From the loss of the machine to the first message of a new alert."""


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with opened(tmp_path) as made:
        made.people(members=400, networks=1, zones=1)
        await made.smsc("first")
        await made.smtp()
        yield made


def sent(world: World) -> Counter[str]:
    """How many SMS each number got, by what the SMSC has written down."""
    return Counter(got.address for got in world.sms())


@pytest.mark.parametrize("decision", ["retire", "resume"])
async def test_a_machine_is_lost_in_mid_campaign_and_restored_elsewhere(world: World, decision: str) -> None:
    # 20 SMS a second: the backup is of the middle of it.
    settings = world.settings(world.ways_out(rate_per_s=20.0))
    await world.load(settings)
    server = await world.serve(settings)
    client = world.client(server)
    await world.until_ready(client)
    [campaign] = (await client.launch_alert(alert({"here": world.ring(WHERE)}, kind="alert", channels="sms"))).values()
    await client.until(campaign, lambda c: c["total"] - c["open"] >= 40)

    backup = world.folder / "elsewhere" / "backup"
    backup.parent.mkdir()
    code, said = await world.tocsin("backup", str(backup), "--config", str(settings))
    assert code == 0, said
    before = await client.until(campaign, lambda c: c["total"] - c["open"] >= 80)

    lost_s = time.monotonic()
    await server.kill()
    for file in world.folder.glob("tocsin.db*"):
        file.unlink()
    code, said = await world.tocsin("restore", str(backup), "--config", str(settings))
    assert code == 0, said
    assert "would send" in said
    server = await world.serve(settings)
    client = world.client(server)
    await world.until_ready(client)

    # What is new goes out, and nothing of what is old.
    told = sum(sent(world).values())
    [new] = (await client.launch_alert(alert({"here": world.ring(WHERE)}, kind="alert", channels="sms"))).values()
    await client.until(new, lambda c: c["total"] - c["open"] >= 5)
    assert time.monotonic() - lost_s < WITHIN_S
    assert (await client.campaign(campaign))["progress"]
    held = await client.until(campaign, lambda c: c["open"] > 0)
    await asyncio.sleep(1)
    assert (await client.until(campaign, lambda c: c["open"] > 0))["open"] == held["open"]
    assert before["total"] == held["total"]
    assert told <= sum(sent(world).values())

    if decision == "retire":
        code, said = await world.tocsin("retire", campaign, "--config", str(settings))
        assert code == 0, said
        counts = await client.until(campaign, lambda c: not c["open"])
        assert counts["unknown"] >= held["open"], "nobody of them is called off: the lost timeline may have told them"
        report = await client.report(campaign)
        doubts = [o for o in report["persons"]["outcomes"] if o["outcome"] == "in_doubt"]
        assert [r["reason"] for o in doubts for r in o["reasons"]] == ["retired"]
        assert max(sent(world).values()) <= 2, "the old alert once, the new one once"
    else:
        code, said = await world.tocsin("resume", "campaign", campaign, "--config", str(settings))
        assert code == 0, said
        await client.until_sent(campaign)


def copied(store: Path) -> None:
    """A copy of the files takes their place, as a copy back from another disk would."""
    for suffix in ("", "-wal", "-shm"):
        file = Path(f"{store}{suffix}")
        if file.exists():
            shutil.copy(file, f"{store}{suffix}.copy")
            file.unlink()
            Path(f"{store}{suffix}.copy").rename(file)


async def test_a_copied_file_that_is_served_is_noticed_and_sends_nothing_old(world: World) -> None:
    settings = world.settings(world.ways_out(rate_per_s=20.0))
    await world.load(settings)
    server = await world.serve(settings)
    client = world.client(server)
    await world.until_ready(client)
    [campaign] = (await client.launch_alert(alert({"here": world.ring(WHERE)}, kind="alert", channels="sms"))).values()
    await client.until(campaign, lambda c: c["total"] - c["open"] >= 40)
    await server.kill()
    copied(world.folder / "tocsin.db")

    server = await world.serve(settings)
    client = world.client(server)
    await world.until_ready(client)

    left = (await client.until(campaign, lambda c: c["open"] > 0))["open"]
    await asyncio.sleep(1.5)
    assert (await client.until(campaign, lambda c: c["open"] > 0))["open"] == left
    [noticed] = server.logged("store-is-a-copy")
    assert noticed["alarm"] is True
    code, told = await world.tocsin("restore", "--config", str(settings))
    assert code == 0
    assert f"campaign {campaign}" in told
