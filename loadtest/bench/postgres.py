"""A private PostgreSQL from Debian's binaries, on a free port, in a folder that goes with it; durable as in service."""

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg

from loadtest.bench.figures import Failed, PeerMissing
from loadtest.bench.processes import folder_of, listening, start
from loadtest.stage import ChildProcess, Stage, end, free_port

SETTINGS = "PostgreSQL on this machine, fsync and synchronous_commit on, shared_buffers 256 MB"
_USER = "postgres"
_READY_S = 20.0


def binaries() -> Path:
    """The folder of the newest version's programs. Raises PeerMissing."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[4]))
    if not found:
        raise PeerMissing("PostgreSQL is not installed: as root, 'make bench' installs it from Debian")
    return found[-1].parent


def _as_server(*command: str) -> list[str]:
    """PostgreSQL refuses to run as root."""
    if os.geteuid():
        return list(command)
    return ["setpriv", f"--reuid={_USER}", f"--regid={_USER}", "--clear-groups", *command]


@contextlib.asynccontextmanager
async def running(stage: Stage) -> AsyncIterator[str]:
    """Yields the server's URL without the name of a database. Raises PeerMissing, Failed."""
    bin_dir, port = binaries(), free_port()
    with folder_of(_USER) as folder:
        data = folder / "data"
        made = await asyncio.create_subprocess_exec(
            *_as_server(f"{bin_dir}/initdb", "-D", str(data), "-U", "tocsin", "-A", "trust", "-E", "UTF8",
                        "--locale=C.UTF-8"),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=folder,
        )  # fmt: skip
        _, said = await made.communicate()
        if made.returncode:
            raise Failed(f"initdb failed: {said.decode(errors='replace')[-300:]}")
        options = ("listen_addresses=127.0.0.1", f"unix_socket_directories={folder}", "shared_buffers=256MB",
                   "max_connections=60")  # fmt: skip
        server = await start(
            stage, "postgres", *_as_server(f"{bin_dir}/postgres", "-D", str(data), "-p", str(port)),
            *(word for option in options for word in ("-c", option)),
        )  # fmt: skip
        try:
            await listening(server, port)
            await _ready(port)
            yield f"postgresql+asyncpg://tocsin@127.0.0.1:{port}/"
        finally:
            await _end(server)


async def new_database(server_url: str, name: str, *, template: str = "template1") -> str:
    """Makes a database, empty or as a copy; returns its URL."""
    conn = await _connect(int(server_url.rstrip("/").rpartition(":")[2]))
    try:
        await conn.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        await conn.execute("CHECKPOINT")
    finally:
        await conn.close()
    return server_url + name


async def _ready(port: int) -> None:
    deadline = asyncio.get_running_loop().time() + _READY_S
    while True:
        try:
            await (await _connect(port)).close()
            return
        except (OSError, asyncpg.PostgresError) as exc:
            if asyncio.get_running_loop().time() > deadline:
                raise Failed(f"PostgreSQL did not come up: {exc}") from exc
            await asyncio.sleep(0.1)


async def _connect(port: int) -> asyncpg.Connection:
    return await asyncpg.connect(host="127.0.0.1", port=port, user="tocsin", database="postgres")


async def _end(server: ChildProcess) -> None:
    """A fast shutdown: sessions are cut."""
    if server.process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            server.process.send_signal(signal.SIGINT)
    await end(server, 20.0)
