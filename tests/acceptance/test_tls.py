"""A server with TLS of its own takes up a renewed certificate while it runs, and cuts nobody off for it."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.acceptance.world import Server, World, opened, until
from tests.gateway.http.server_certificates import DAY, HOST, NOW, Files, files

pytestmark = pytest.mark.slow

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]
LOOKS_S = 10.0
"""How often a server looks at the files."""


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with opened(tmp_path) as world:
        yield world


async def test_a_renewal_is_taken_up_and_a_connection_that_stands_goes_on(world: World):
    found = files(world.folder, end=NOW + 20 * DAY)
    settings = world.settings({"server": {"public_url": f"https://{HOST}"} | found.settings})
    server = await world.serve(settings)

    before = await connected(server, found)
    await answered(before)
    files(world.folder, end=NOW + 90 * DAY)
    await until(lambda: server.logged("certificate-renewed"), LOOKS_S + 20)
    await answered(before)
    after = await connected(server, found)
    await answered(after)

    assert shown(after) != shown(before)
    _, told = await world.tocsin("status", "--config", str(settings))
    for _, writer in (before, after):
        writer.close()
    assert f"certificate: {found.certificate} expires in" in told


async def connected(server: Server, trusted: Files) -> Connection:
    context = ssl.create_default_context(cafile=str(trusted.certificate))
    port = urlsplit(server.url).port
    return await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=HOST)


async def answered(connection: Connection) -> None:
    reader, writer = connection
    writer.write(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n")
    async with asyncio.timeout(20):
        head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert b"Strict-Transport-Security: max-age=31536000\r\n" in head


def shown(connection: Connection) -> bytes:
    """The server's certificate on it."""
    found = connection[1].get_extra_info("ssl_object").getpeercert(binary_form=True)
    assert isinstance(found, bytes)
    return found
