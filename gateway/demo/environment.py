"""What the demonstration stands on: its folder, keys, settings, and the processes that it starts and ends."""

import asyncio
import contextlib
import ctypes
import fcntl
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

MEMBERS = 300
SEED = 7
READY_S = 120.0
"""A peer on a machine that is busy with something else. One that ends instead is told at once."""


class DemoFailed(Exception):
    """A part did not start; the text says which and where its log is."""


@dataclass(slots=True)
class DemoEnvironment:
    """The folder of the demonstration, kept from one run to the next."""

    folder: Path
    processes: list[asyncio.subprocess.Process] = field(default_factory=list)
    lock: IO[str] | None = None

    @property
    def keys(self) -> dict[str, str]:
        """The token of each account, by its code."""
        lines = (self.folder / "keys.tsv").read_text(encoding="utf-8").splitlines()
        return dict(line.split("\t") for line in lines)

    def key_file(self, account: str) -> Path:
        return self.folder / f"{account}.key"

    def prepare(self) -> Path:
        """Make the population and its keys (once); returns the seed file."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._claim()
        seed, tokens = self.folder / "seed.jsonl", self.folder / "keys.tsv"
        if not seed.exists() or not tokens.exists():
            command = [sys.executable, "-m", "loadtest.population", "--zones", "2", "--networks", "3"]
            command += ["--members", str(MEMBERS), "--seed", str(SEED), "--tokens", str(tokens)]
            # The keys of a demonstration open nothing but itself; all the same no two demonstrations share them.
            command += ["--key-salt", secrets.token_hex(8)]
            made = subprocess.run(command, check=True, capture_output=True)  # noqa: S603 - our own module
            _private(seed, made.stdout.decode())
        for account, token in self.keys.items():
            _private(self.key_file(account), token)
        return seed

    def _claim(self) -> None:
        """One demonstration a folder: a second one would write over the settings of the first."""
        self.lock = (self.folder / "demo.lock").open("w")
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise DemoFailed(
                f"another demonstration is running in {self.folder}: use --folder for a second one"
            ) from exc

    def write_settings(self, port: int, smsc: Sequence[int], smtp: int, bounces: int) -> Path:
        carriers = "".join(
            f"""
[sms.carriers.{name}]
type = "smpp"
host = "127.0.0.1"
port = {smsc_port}
system_id = "{name}"
source_address = "TOCSIN"
rate_per_s = 500.0
reconnect_first_s = 0.2
"""
            for name, smsc_port in zip(("first", "second"), smsc, strict=True)
        )
        path = self.folder / "tocsin.toml"
        path.write_text(
            f"""# Written by `tocsin demo` at every start.
[server]
port = {port}
demonstration = true
[store]
url = "sqlite+aiosqlite:///{self.folder.absolute()}/tocsin.db"
{carriers}
[email.bounces]
enabled = true
port = {bounces}
[email.carriers.relay]
type = "smtp"
host = "127.0.0.1"
port = {smtp}
tls = "none"
rate_per_s = 2500.0
[voice.carriers.trunk]
type = "simulated"
rate_per_s = 10.0
shares = {{ heard = 0.3, voicemail = 0.1, busy = 0.05, no-answer = 0.1 }}
speed = 10.0
""",
            encoding="utf-8",
        )
        return path

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """The environment for the length of the block; whatever was started is ended then, the last one first."""
        try:
            yield
        finally:
            for process in reversed(self.processes):
                await _end(process)

    async def sink(self, module: str, *arguments: str) -> int:
        """Start a peer; returns the port on which it listens."""
        log = (self.folder / f"{module}.log").open("wb")
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", f"loadtest.sinks.{module}", "--port", "0", *arguments,
            stdout=asyncio.subprocess.PIPE, stderr=log, start_new_session=True, preexec_fn=_die_with_parent,
        )  # fmt: skip
        log.close()
        self.processes.append(process)
        assert process.stdout is not None
        try:
            async with asyncio.timeout(READY_S):
                line = await process.stdout.readline()
            return int(json.loads(line)["port"])
        except (TimeoutError, ValueError, KeyError) as exc:
            raise DemoFailed(f"the {module} sink did not start: see {self.folder}/{module}.log") from exc

    async def server(self, settings: Path) -> asyncio.subprocess.Process:
        log = (self.folder / "server.log").open("wb")
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway", "serve", "--config", str(settings),
            stdout=log, stderr=log, start_new_session=True, preexec_fn=_die_with_parent,
        )  # fmt: skip
        log.close()
        self.processes.append(process)
        return process


def _die_with_parent() -> None:
    """In the child: PR_SET_PDEATHSIG (prctl(2)), so that a demonstration that is killed leaves nothing behind."""
    ctypes.CDLL(None).prctl(1, int(signal.SIGTERM))


def _private(path: Path, text: str) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(30):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def free_port(wanted: int = 0) -> int:
    """`wanted` if nobody listens there, else any free one."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError:
            probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
