"""A private PostgreSQL in one temporary directory, from Debian's binaries, on 127.0.0.1."""

import asyncio
import contextlib
import glob
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest


def missing(what: str) -> None:
    """A peer that is not installed: a reason to skip by hand, a failure where everything must have been installed."""
    if os.environ.get("CI"):
        pytest.fail(f"{what} is not installed")
    pytest.skip(f"{what} is not installed: run 'make peers'")


def binaries() -> Path | None:
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/postgres"), key=lambda p: int(p.split("/")[4]))
    path = found[-1] if found else shutil.which("postgres")
    return Path(path).parent if path else None


def _as_server(command: list[str]) -> list[str]:
    """PostgreSQL refuses to run as root."""
    return command if os.geteuid() else ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", *command]


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


@dataclass(slots=True)
class PrivatePostgres:
    """A server that can be taken away and given back. Not for use inside a running event loop, but for `freeze`,
    `thaw` and `break_off`."""

    url: str
    """Without the database's name: `postgresql+asyncpg://tocsin@127.0.0.1:PORT/`."""
    command: list[str]
    root: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(self.command, **_quiet(self.root))
        asyncio.run(_until_ready(int(self.url.rpartition(":")[2].rstrip("/"))))

    def freeze(self) -> None:
        """Every process of it stands still: connections stay, nothing is answered."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def break_off(self) -> None:
        """An immediate shutdown, as after a crash: connections are cut and refused."""
        assert self.process is not None
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait(20)

    def stop(self) -> None:
        assert self.process is not None
        if self.process.poll() is None:
            self.thaw()
            self.process.terminate()
            self.process.wait(20)

    def _signal(self, number: int) -> None:
        assert self.process is not None
        for pid in (self.process.pid, *_children(self.process.pid)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


def _children(parent: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # pid (name) state ppid ...; a name may hold anything, a bracket as well
            if int(stat.read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(int(stat.parent.name))
    return found


def _quiet(root: Path) -> dict[str, Any]:
    return {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": root}


@contextlib.contextmanager
def private_postgres() -> Iterator[str]:
    """Yields its URL, see `PrivatePostgres.url`."""
    with controlled_postgres() as server:
        yield server.url


@contextlib.contextmanager
def controlled_postgres() -> Iterator[PrivatePostgres]:
    """Yields it running."""
    bin_dir = binaries()
    if bin_dir is None:
        missing("PostgreSQL")
    assert bin_dir is not None
    root = Path(tempfile.mkdtemp(prefix="tocsin-pg-"))
    if not os.geteuid():
        user = pwd.getpwnam("postgres")
        os.chown(root, user.pw_uid, user.pw_gid)
    data, port = root / "data", free_port()
    subprocess.run(
        _as_server([f"{bin_dir}/initdb", "-D", str(data), "-U", "tocsin", "-A", "trust", "-N", "-E", "UTF8",
                    "--locale=C.UTF-8"]), check=True, **_quiet(root))  # fmt: skip
    command = _as_server([f"{bin_dir}/postgres", "-D", str(data), "-p", str(port), "-c", "listen_addresses=127.0.0.1",
                          "-c", f"unix_socket_directories={root}", "-c", "fsync=off",
                          "-c", "max_connections=60"])  # fmt: skip
    server = PrivatePostgres(f"postgresql+asyncpg://tocsin@127.0.0.1:{port}/", command, root)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        # A thousand databases of three hundred files each: nobody waits for that.
        subprocess.run(["sh", "-c", 'nice -n 19 rm -rf "$0" &', str(root)], check=True, **_quiet(Path("/")))


async def _until_ready(port: int) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            conn = await asyncpg.connect(host="127.0.0.1", port=port, user="tocsin", database="postgres")
            await conn.close()
            return
        except (OSError, asyncpg.PostgresError):
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.05)


async def new_database(server_url: str, name: str, *, template: str = "template1") -> str:
    """A database on the private server, a copy of `template`; returns its URL."""
    host = server_url.split("@")[1].rstrip("/")
    conn = await asyncpg.connect(f"postgresql://tocsin@{host}/postgres")
    try:
        await conn.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    finally:
        await conn.close()
    return server_url + name
