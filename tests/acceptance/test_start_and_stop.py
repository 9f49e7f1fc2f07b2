"""A server starts or says why, and ends when it is told to, whatever its carriers are doing at that moment.

Each server is a process; what it says last is what its operator reads first.
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sqlite3
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import aiohttp
import pytest

from store.engine.schema import migrate
from tests.acceptance.world import ROOT, Tables, World, opened, relay

pytestmark = pytest.mark.slow

GIVES_UP_S = 5.0
"""A part that cannot start ends the process by then."""
LOADS_S = 40.0
"""What Python takes to begin, on a slow machine with other work."""
STOPS_S = 6.0
"""`server.stop_timeout_s` of these servers."""
MARGIN_S = 10.0
"""For a machine that has other things to do; what these tests are about never ended at all."""

Relay = Callable[[World], Awaitable[int]]
"""Makes a relay, or what stands in its place; its port."""


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with opened(tmp_path) as world:
        yield world


@contextlib.contextmanager
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as held:
        yield held.getsockname()[1]


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Somebody listens there, and never says a word."""
    with taken_port() as port:
        yield port


def refusing_port() -> int:
    with taken_port() as port:
        return port


async def connected(world: World) -> int:
    return (await world.smtp("relay")).port


async def away(_: World) -> int:
    return refusing_port()


def settings(world: World, relay_port: int, tables: Tables | None = None) -> Path:
    server: Tables = {"stop_timeout_s": STOPS_S}
    given = dict(tables or {})
    email = {"carriers": {"relay": relay(relay_port, 100.0)}} | given.pop("email", {})
    return world.settings({"server": server | given.pop("server", {}), "email": email} | given)


async def said_last(world: World, path: Path) -> str:
    """The last line of a server that cannot start; it ends by itself, and not well."""
    began_s = time.monotonic()
    server = await world.serve(path, wait=False)
    async with asyncio.timeout(GIVES_UP_S + LOADS_S):
        code = await server.handle.wait()
    print(f"ended after {time.monotonic() - began_s:.1f} s")
    assert code not in (0, None)
    assert "Traceback" not in server.said().splitlines()[-1]
    return server.said().splitlines()[-1]


@pytest.mark.parametrize("relay_of", [connected, away])
@pytest.mark.parametrize("table", ["server", "email.bounces"])
async def test_a_port_that_is_taken_is_said_with_its_key(world: World, relay_of: Relay, table: str):
    with taken_port() as port:
        listens: Tables = {"server": {"port": port}}
        if table == "email.bounces":
            listens = {"email": {"bounces": {"enabled": True, "port": port}}}
        last = await said_last(world, settings(world, await relay_of(world), listens))

    assert f"127.0.0.1:{port}: address already in use" in last
    assert f"{table}.port" in last


async def test_a_port_that_is_taken_is_said_while_a_relay_says_nothing(world: World, silent_port: int):
    with taken_port() as port:
        last = await said_last(world, settings(world, silent_port, {"server": {"port": port}}))

    assert "server.port" in last


@pytest.mark.parametrize(
    ("octets", "said"),
    [(b"this is no database, and has never been one" * 100, "not a database"), (None, "damaged")],
)
async def test_a_store_that_is_damaged_is_said_with_what_to_do(world: World, octets: bytes | None, said: str):
    file = world.folder / "tocsin.db"
    if octets is None:
        await migrate(world.store_url)
        with contextlib.closing(sqlite3.connect(file)) as connection:
            connection.execute("PRAGMA journal_mode = DELETE")
        whole = bytearray(file.read_bytes())
        half = len(whole) // 2
        whole[half : half + 40_000] = os.urandom(40_000)
        file.write_bytes(whole)
    else:
        file.write_bytes(octets)

    last = await said_last(world, settings(world, await connected(world)))

    assert said in last
    assert "tocsin.db" in last or "store" in last


@pytest.mark.parametrize("silent", [False, True], ids=["refused", "silent"])
async def test_a_database_that_is_away_is_said(world: World, silent_port: int, silent: bool):
    port = silent_port if silent else refusing_port()
    store: Tables = {"url": f"postgresql+asyncpg://tocsin@127.0.0.1:{port}/tocsin"}

    last = await said_last(world, settings(world, await connected(world), {"store": store}))

    assert "store" in last


async def test_a_certificate_that_is_none_is_said_with_its_key(world: World):
    (world.folder / "ca.pem").write_text("nothing")
    trusted: Tables = relay(await connected(world), 100.0) | {"tls": "verify", "ca_file": str(world.folder / "ca.pem")}

    path = settings(world, 0, {"email": {"carriers": {"relay": trusted}}})
    assert "1 fault in" in await said_last(world, path)

    assert "ca.pem holds no certificate in PEM - at $.email.carriers.relay.ca_file" in world.processes[-1].said()


# ---- told to end ---------------------------------------------------------------------------------------------------


async def ends(server: asyncio.subprocess.Process, number: int) -> int:
    server.send_signal(number)
    async with asyncio.timeout(STOPS_S + MARGIN_S):
        return await server.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.parametrize("peer", ["connected", "away", "silent"])
async def test_a_signal_ends_it_in_time(world: World, silent_port: int, peer: str, number: int):
    port = {"connected": connected, "away": away}[peer](world) if peer != "silent" else None
    server = await world.serve(settings(world, silent_port if port is None else await port))

    assert await ends(server.handle, number) == 0
    assert server.logged("stopped")


@pytest.mark.parametrize("after_s", [0.0, 0.3, 0.6, 1.0, 1.5, 2.5])
async def test_a_signal_while_it_starts_ends_it_in_time(world: World, silent_port: int, after_s: float):
    server = await world.serve(settings(world, silent_port), wait=False)
    await asyncio.sleep(after_s)

    await ends(server.handle, signal.SIGTERM)


async def test_signals_while_it_stops_change_nothing(world: World):
    server = await world.serve(settings(world, await connected(world)))

    server.handle.send_signal(signal.SIGTERM)
    server.handle.send_signal(signal.SIGHUP)

    assert await ends(server.handle, signal.SIGINT) == 0


# ---- its log -------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Piped:
    """A server whose log goes into a pipe that the test reads, or does not."""

    handle: asyncio.subprocess.Process
    url: str
    log: IO[bytes]
    errors: Path


@contextlib.asynccontextmanager
async def piped(world: World) -> AsyncIterator[Piped]:
    errors = world.folder / "errors.log"
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb", buffering=0) as log, errors.open("wb") as stderr:
        handle = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway", "serve", "--config", str(settings(world, await away(world))), cwd=ROOT,
            stdin=asyncio.subprocess.DEVNULL, stdout=writer, stderr=stderr, start_new_session=True,
        )  # fmt: skip
        os.close(writer)
        try:
            yield Piped(handle, await asyncio.to_thread(door_of, log), log, errors)
        finally:
            if handle.returncode is None:
                handle.kill()
                await handle.wait()


def door_of(log: IO[bytes]) -> str:
    for line in log:
        said = json.loads(line)
        if said["action"] == "start":
            return str(said["url"])
    raise AssertionError("it did not start")


async def asked(url: str, times: int) -> None:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session:
        for _ in range(times):
            async with session.get(f"{url}/api/v1/whoami") as response:
                assert response.status == 401


async def test_a_reader_of_its_log_that_stands_still_holds_up_nobody(world: World):
    async with piped(world) as server:
        await asked(server.url, 1_500)  # a pipe holds some 250 lines

        assert await ends(server.handle, signal.SIGTERM) == 0


async def test_a_reader_of_its_log_that_has_gone_costs_nothing_but_the_lines(world: World):
    async with piped(world) as server:
        server.log.close()
        await asked(server.url, 200)

        assert await ends(server.handle, signal.SIGTERM) == 0
        assert server.errors.read_bytes() == b""
