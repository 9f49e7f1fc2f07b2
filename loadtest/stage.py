"""What a load test stands on: its folder, population, settings and processes, and the end of all of them.

Everything listens on 127.0.0.1. Whoever leaves `Stage.open` ends what it started, the last one first.
"""

import asyncio
import contextlib
import json
import os
import secrets
import signal
import socket
import sys
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from loadtest.population import Line, account_codes, population, token
from loadtest.sinks import stalls
from loadtest.watching import Plan

READY_S = 60.0
_LOT_MILLIEURO = 2_000_000_000
"""Every zone can pay for what is asked of it: the ledger is written all the same."""


class StageFailed(Exception):
    """A part did not start; the text says which and where its log is."""


class RunTerms(msgspec.Struct, frozen=True, kw_only=True):
    """The contracts and settings of a run, as they go into the gateway's settings file."""

    sms_per_s: float = 600.0
    email_per_s: float = 3000.0
    sms_window: int = 200
    binds: int = 2
    connections: int = 16
    smscs: int = 1
    smtps: int = 1
    smsc_flags: tuple[tuple[str, ...], ...] = ((),)
    """Arguments of each SMSC's process."""
    smtp_flags: tuple[str, ...] = ()
    """Arguments of every SMTP sink's process."""
    call_speed: float = 10.0
    """Times faster than life that the simulated trunk's calls talk: starts are never faster."""
    store: str = ""
    """URL of a PostgreSQL database that is empty; else a SQLite file in the folder."""
    trusted_proxies: tuple[str, ...] = ()
    """Whose word the gateway takes for a client's address: whoever plays many clients is one of them."""


@dataclass(slots=True)
class ChildProcess:
    """A process of ours."""

    name: str
    process: asyncio.subprocess.Process
    port: int = 0

    @property
    def pid(self) -> int:
        return self.process.pid

    def cpu_s(self) -> float:
        """User and system seconds so far, of all its threads; 0 when it has ended."""
        return cpu_of(self.pid)

    def made(self) -> dict[str, int]:
        """The processes that it has made and that live: name as `ps` shows it -> id."""
        found = {}
        with contextlib.suppress(OSError):
            for children in Path(f"/proc/{self.pid}/task").glob("*/children"):
                for pid in children.read_text().split():
                    found[Path(f"/proc/{pid}/comm").read_text().strip()] = int(pid)
        return found

    def switches(self) -> int:
        """Context switches so far, of all its threads; 0 when it has ended."""
        total = 0
        try:
            for status in Path(f"/proc/{self.pid}/task").glob("*/status"):
                words = (line.partition(":") for line in status.read_text().splitlines())
                total += sum(int(value) for name, _, value in words if name.endswith("ctxt_switches"))
        except OSError:
            return 0
        return total

    def memory_mib(self) -> float:
        """Resident now; 0 when it has ended."""
        return memory_of(self.pid)


def cpu_of(pid: int) -> float:
    """User and system seconds so far, of all threads of a process; 0 when it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_of(pid: int) -> float:
    """MiB of a process that are resident now; 0 when it has ended."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1_048_576


@dataclass(slots=True)
class Stage:
    folder: Path
    terms: RunTerms
    zones: int = 2
    processes: int = 0
    """`server.processes` of the gateway."""
    networks: int = 0
    children: dict[str, ChildProcess] = field(default_factory=dict)
    lines: dict[str, list[Line]] = field(default_factory=dict)
    """Of the population, those that a client needs to know: networks."""
    port: int = 0
    _salt: str = field(default_factory=lambda: secrets.token_hex(8))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def settings(self) -> Path:
        return self.folder / "tocsin.toml"

    @property
    def store_url(self) -> str:
        return self.terms.store or f"sqlite+aiosqlite:///{self.folder.absolute()}/tocsin.db"

    @property
    def smsc_dumps(self) -> list[Path]:
        return [self.folder / f"smsc-{n}.jsonl" for n in range(self.terms.smscs)]

    @property
    def smtp_dumps(self) -> list[Path]:
        return [self.folder / f"{name}.jsonl" for name in self.relays]

    @property
    def relays(self) -> list[str]:
        """Names of the SMTP sinks."""
        return ["smtp", *(f"smtp-{n}" for n in range(1, self.terms.smtps))]

    @property
    def voice_dump(self) -> Path:
        return self.folder / "voice.jsonl"

    def token(self, account: str) -> str:
        return token(account, self._salt)

    def accounts(self, kind: str) -> list[str]:
        return [code for code in account_codes(self.zones, self.networks) if code.startswith(kind)]

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            yield
        finally:
            for child in reversed(list(self.children.values())):
                await end(child)

    # ---- before the run ------------------------------------------------------------------------------

    async def populate(self, members: int, networks: int) -> float:
        """Make the register and load it with the gateway's own command; seconds that the loading took."""
        self.networks = networks
        seed = self.folder / "seed.jsonl"
        await self._made(seed, members)
        loop = asyncio.get_running_loop()
        started_s = loop.time()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway", "load", str(seed), "--config", str(self.settings),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        self.children["load"] = ChildProcess("load", process)
        said, _ = await process.communicate()
        if process.returncode:
            raise StageFailed(f"the population could not be loaded:\n{said.decode(errors='replace')[-2000:]}")
        await asyncio.to_thread(seed.unlink)
        return loop.time() - started_s

    async def command(self, *arguments: str) -> str:
        """What a command of the gateway prints, with the settings of this stage. Raises StageFailed."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway", *arguments, "--config", str(self.settings),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        said, _ = await process.communicate()
        if process.returncode:
            raise StageFailed(f"{' '.join(arguments)}:\n{said.decode(errors='replace')[-2000:]}")
        return said.decode()

    async def _made(self, seed: Path, members: int) -> None:
        stop = threading.Event()
        try:
            await asyncio.to_thread(self._write_seed, seed, members, stop)
        finally:
            stop.set()  # a million lines take a while, and a thread cannot be cancelled

    def _write_seed(self, seed: Path, members: int, stop: threading.Event) -> None:
        made = population(zones=self.zones, networks=self.networks, members=members, seed=1, key_salt=self._salt)
        self.lines = {"zone": [], "network": []}
        with seed.open("w", encoding="utf-8") as out:
            for line in self._for_load(made):
                if stop.is_set():
                    return
                out.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n")

    def _for_load(self, made: Iterator[Line]) -> Iterator[Line]:
        for line in made:
            if line["type"] == "zone":
                line["policy"] = {"news_channels": ["sms", "email", "voice"]}
            elif line["type"] == "lot":
                line["amount_millieuro"] = _LOT_MILLIEURO
            if line["type"] in self.lines:
                self.lines[line["type"]].append(line)
            yield line

    # ---- processes -----------------------------------------------------------------------------------

    async def sinks(self) -> None:
        terms = self.terms
        for n, dump in enumerate(self.smsc_dumps):
            flags = terms.smsc_flags[n % len(terms.smsc_flags)]
            await self.sink("smsc", f"smsc-{n}", "--dump", str(dump), *flags)
        for name, dump in zip(self.relays, self.smtp_dumps, strict=True):
            await self.sink("smtp", name, "--dump", str(dump), *terms.smtp_flags)

    async def sink(self, module: str, name: str, *arguments: str) -> ChildProcess:
        child = await self._start(name, "-m", f"loadtest.sinks.{module}", "--port", "0", *arguments, piped=True)
        assert child.process.stdout is not None
        try:
            async with asyncio.timeout(READY_S):
                line = await child.process.stdout.readline()
            child.port = int(json.loads(line)["port"])
        except (TimeoutError, ValueError, KeyError) as exc:
            raise StageFailed(f"{name} did not start: see {self.folder}/{name}.log") from exc
        return child

    async def limits(self, seconds: float = 2.0) -> dict[str, float]:
        """How fast sinks like these are, by a client that does nothing else; see `loadtest.sink_speed`."""
        smsc = await self.sink("smsc", "limit-smsc", "--dump", str(self.folder / "limit-smsc.jsonl"))
        smtp = await self.sink("smtp", "limit-smtp", "--dump", str(self.folder / "limit-smtp.jsonl"))
        arguments = ("--smsc", str(smsc.port), "--smtp", str(smtp.port), "--seconds", str(seconds))
        client = await self._start("limits", "-m", "loadtest.sink_speed", *arguments, piped=True)
        said, _ = await client.process.communicate()
        for child in (client, smsc, smtp):
            await end(child)
            del self.children[child.name]
        for dump in (self.folder / "limit-smsc.jsonl", self.folder / "limit-smtp.jsonl"):
            dump.unlink(missing_ok=True)
            stalls.beside(dump).unlink(missing_ok=True)
        found: dict[str, float] = json.loads(said)
        return found

    async def server(self) -> ChildProcess:
        return await self._start("gateway", "-m", "gateway", "serve", "--config", str(self.settings))

    async def _start(self, name: str, *arguments: str, piped: bool = False, environ: Any = None) -> ChildProcess:
        with (self.folder / f"{name}.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable, *arguments,
                stdout=asyncio.subprocess.PIPE if piped else log, stderr=log,
                start_new_session=True, env=os.environ | environ if environ else None,
            )  # fmt: skip
        child = self.children[name] = ChildProcess(name, process)
        return child

    async def locust(self, seconds: float, users: Sequence[str], plan: dict[str, Any]) -> ChildProcess:
        """`users` are names of `loadtest.locustfile`; `plan` is what they are told."""
        told = self.folder / "plan.json"
        told.write_text(json.dumps(plan), encoding="utf-8")
        return await self._start(
            "locust", "-m", "locust", "-f", str(Path(__file__).parent / "locustfile.py"), "--headless",
            "--host", self.url, "--run-time", f"{seconds:.0f}s", "--users", str(plan["users"]),
            "--spawn-rate", str(max(10, plan["users"] // 5)), "--loglevel", "WARNING", "--only-summary", *users,
            environ={"TOCSIN_LOAD_PLAN": str(told)},
        )  # fmt: skip

    async def watching(self, plan: Plan) -> ChildProcess:
        """See `loadtest.watching`; ends by itself."""
        told = self.folder / "watching.json"
        told.write_bytes(msgspec.json.encode(plan))
        return await self._start("watching", "-m", "loadtest.watching", "--plan", str(told))

    def write_settings(self) -> None:
        """Ports of sinks that are not started yet stand as 1: nobody listens there."""
        terms, self.port = self.terms, self.port or free_port()
        smscs = "".join(
            f'[sms.carriers.smsc-{n}]\ntype = "smpp"\nhost = "127.0.0.1"\nport = {self._port(f"smsc-{n}")}\n'
            f'system_id = "smsc-{n}"\nsource_address = "TOCSIN"\nrate_per_s = {terms.sms_per_s}\n'
            f"binds = {terms.binds}\nwindow = {terms.sms_window}\nreconnect_first_s = 0.2\n"
            for n in range(terms.smscs)
        )
        relays = "".join(
            f'[email.carriers.{name.replace("smtp", "relay")}]\ntype = "smtp"\nhost = "127.0.0.1"\n'
            f'port = {self._port(name)}\ntls = "none"\nrate_per_s = {terms.email_per_s}\n'
            f"connections = {terms.connections}\n"
            for name in self.relays
        )
        text = f"""# Written by the load test.
[server]
port = {self.port}
processes = {self.processes}
demonstration = true
max_watchers_per_account = 0
trusted_proxies = {json.dumps(terms.trusted_proxies)}
[store]
url = "{self.store_url}"
{smscs}{relays}[voice.carriers.trunk]
type = "simulated"
rate_per_s = 10.5
shares = {{ heard = 0.3, voicemail = 0.1, busy = 0.05 }}
speed = {terms.call_speed}
dump = "{self.voice_dump.absolute()}"
"""
        self.settings.write_text(text, encoding="utf-8")

    def _port(self, name: str) -> int:
        return self.children[name].port if name in self.children else 1


def kill(child: ChildProcess) -> None:
    """At once, as a power cut would: nothing is said and nothing answered any more."""
    if child.process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            child.process.kill()


async def end(child: ChildProcess, patience_s: float = 40.0) -> None:
    """Ask it to stop, wait, and end it by force when it does not."""
    process = child.process
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(patience_s):
                # What it prints at its end must be read, or it may wait for ever to print it.
                await process.communicate()
        except TimeoutError:
            process.kill()
            await process.wait()


def machine_cpu_s() -> float:
    """Seconds that all cores together have been busy since the start of the machine; 0 where nobody tells."""
    try:
        fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    except OSError:
        return 0.0
    user, nice, system, _idle, _iowait, irq, softirq = (int(f) for f in fields[:7])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def machine_stolen_s() -> float:
    """Seconds that the host of a virtual machine gave to others while a core of ours wanted to run; 0 where nobody
    tells."""
    try:
        fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    except OSError:
        return 0.0
    return int(fields[7]) / os.sysconf("SC_CLK_TCK") if len(fields) > 7 else 0.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
