"""The client that docs/integrating.md shows does what it says, against a real gateway that is away at first."""

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.acceptance.world import World, alert, opened

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

PAGE = Path(__file__).parents[2] / "docs" / "integrating.md"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with opened(tmp_path) as made:
        made.people(members=20)
        await made.smsc("first")
        await made.smtp()
        yield made


async def test_it_posts_through_a_restart_and_the_same_bytes_are_one_alert(world: World) -> None:
    settings = world.settings(world.ways_out() | {"server": {"port": 0}})
    await world.load(settings)
    server = await world.serve(settings)
    url = server.url
    await server.kill()
    (world.folder / "alert.xml").write_bytes(alert({"here": world.ring("PLP-5301-1")}))
    (world.folder / "key").write_text(world.token("cic-demo"))
    [code] = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    code = code.replace("http://127.0.0.1:8080", url)
    code = code.replace("var/demo/cic-demo.key", str(world.folder / "key")).replace(
        "var/demo/alert.xml", str(world.folder / "alert.xml")
    )

    client = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code + "print(post(open(sys.argv[1], 'rb').read()))".replace("sys.argv[1]", repr(
            str(world.folder / "alert.xml"))), stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    await asyncio.sleep(1.0)  # it finds nobody, and tries again
    settings = world.settings(world.ways_out() | {"server": {"port": int(url.rpartition(":")[2])}})
    await world.serve(settings)
    async with asyncio.timeout(60):
        said, _ = await client.communicate()

    first, again = said.decode().splitlines()
    assert first.startswith("(202, '/cap/v1/alerts/")
    assert again.startswith("(200, '/cap/v1/alerts/")
    assert first.split("'")[1] == again.split("'")[1]
