"""The world of an acceptance test: a folder, people who do not exist, sinks and servers in processes of their own.

Everything stands on 127.0.0.1 and is ended by its process id when the test ends, however it ends. What people got is
read from the sinks' own dumps. Knows nothing of the gateway's inside: settings, `load`, HTTP and sinks are all it has.
"""

import asyncio
import contextlib
import hashlib
import json
import os
import re
import secrets
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from lxml import etree

from loadtest.population import population, token
from tests import declared

ROOT = Path(__file__).parents[2]
READY_S = 30.0
POLL_S = 0.05
CIC = "cic-demo"
SENDER = "cic@police.example"
_CIRCULATION_S = 0.5
"""How often the mail sink writes its dump."""
_LISTENING = "0A"

Line = dict[str, Any]
Tables = dict[str, Any]


# ---- processes ---------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Process:
    """One process that the test started."""

    name: str
    handle: asyncio.subprocess.Process
    log: Path

    @property
    def pid(self) -> int:
        return self.handle.pid

    @property
    def running(self) -> bool:
        return self.handle.returncode is None

    async def end(self, number: int = signal.SIGTERM, timeout_s: float = 40.0) -> int:
        """Send the signal and wait; killed if it takes longer than that. The exit code."""
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                self.handle.send_signal(number)
        try:
            async with asyncio.timeout(timeout_s):
                return await self.handle.wait()
        except TimeoutError:
            self.handle.kill()
            return await self.handle.wait()

    async def kill(self) -> None:
        """kill -9, and gone."""
        await self.end(signal.SIGKILL)

    def peers(self) -> set[tuple[int, int]]:
        """(own port, the other's port) of every TCP connection that this process holds, on 127.0.0.1 or elsewhere."""
        inodes = set()
        for entry in Path(f"/proc/{self.pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                inodes.add(os.readlink(entry))
        found = set()
        for table in ("tcp", "tcp6"):
            for row in Path(f"/proc/{self.pid}/net/{table}").read_text().splitlines()[1:]:
                words = row.split()
                if f"socket:[{words[9]}]" in inodes and words[3] != _LISTENING:
                    found.add((int(words[1].rpartition(":")[2], 16), int(words[2].rpartition(":")[2], 16)))
        return found

    def said(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""


@dataclass(slots=True)
class Sink(Process):
    port: int = 0
    dump: Path = Path()


@dataclass(slots=True)
class Server(Process):
    url: str = ""

    def logged(self, action: str) -> list[Line]:
        """The log lines with this action word."""
        found = []
        for text in self.said().splitlines():
            with contextlib.suppress(ValueError):
                line = json.loads(text)
                if line.get("action") == action:
                    found.append(line)
        return found


# ---- what the sinks saw --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Got:
    """One whole message that reached a sink."""

    channel: str
    address: str
    """As the register has it: +32..., or the mailbox."""
    text: str
    """The SMS; the mail's subject; empty for a call."""
    at_ms: int
    """When it arrived (the completing part), UTC."""
    way: str
    """Which sink."""
    token: str = ""
    """Mail and calls: the reference of the delivery, the attempt included."""
    answered: bool = True
    body: str = ""


def json_lines(path: Path) -> list[Line]:
    """The whole lines of a file that may still be written."""
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8")
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


# ---- the world -----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class World:
    folder: Path
    store_url: str
    salt: str = field(default_factory=lambda: secrets.token_hex(8))
    seed: list[Line] = field(default_factory=list)
    """The lines of the register, as loaded or to be loaded."""
    sinks: dict[str, Sink] = field(default_factory=dict)
    processes: list[Process] = field(default_factory=list)
    sessions: list[aiohttp.ClientSession] = field(default_factory=list)
    _serial: int = 0

    # ---- people

    def people(
        self,
        members: int = 60,
        zones: int = 2,
        networks: int = 3,
        seed: int = 7,
        edit: Callable[[Line], None] | None = None,
    ) -> None:
        """Make up a population in `self.seed`. `edit` may change each line."""
        self.seed = list(population(zones=zones, networks=networks, members=members, seed=seed, key_salt=self.salt))
        for line in self.seed if edit else ():
            edit(line)  # type: ignore[misc]

    def of_type(self, kind: str, **wanted: Any) -> list[Line]:
        return [e for e in self.seed if e["type"] == kind and all(e.get(k) == v for k, v in wanted.items())]

    def account(self, code: str, rights: Sequence[Line], account_type: str = "coordinator", **more: Any) -> Line:
        """An account's line, with the key that `token` names."""
        _, key_id, secret = self.token(code).split("_")
        key = {"key_id": key_id, "secret_sha256": hashlib.sha256(secret.encode()).hexdigest()}
        line: Line = {"type": "account", "code": code, "name": code, "account_type": account_type}
        return line | {"rights": list(rights), "keys": [key]} | more

    def ring(self, network: str) -> str:
        """The territory of a network as CAP writes a polygon."""
        line = next(e for e in self.seed if e["type"] == "network" and e["code"] == network)
        return " ".join(f"{lat},{lon}" for lat, lon in line["territory"][0])

    def token(self, account: str) -> str:
        return token(account, self.salt)

    async def load(self, settings: Path, lines: Iterable[Line] | None = None) -> str:
        """`tocsin load` of all lines, or of these; what it said."""
        self._serial += 1
        path = self.folder / f"seed-{self._serial}.jsonl"
        chosen = self.seed if lines is None else list(lines)
        path.write_text("".join(json.dumps(e, ensure_ascii=False) + "\n" for e in chosen), encoding="utf-8")
        code, said = await self.tocsin("load", str(path), "--config", str(settings))
        assert code == 0, said
        return said

    # ---- settings

    def settings(self, tables: Tables, name: str = "tocsin") -> Path:
        """Write settings: the folder's store and a free port, with `tables` laid over them."""
        base: Tables = {"server": {"port": 0}, "store": {"url": self.store_url, "min_free_mib": 1}}
        path = self.folder / f"{name}.toml"
        path.write_text(toml(_laid_over(base, tables)), encoding="utf-8")
        return path

    def ways_out(self, *, rate_per_s: float = 500.0, mail_per_s: float = 2500.0, voice: bool = False) -> Tables:
        """The tables of carriers for the sinks there are, in the order in which they were started."""
        sms: Tables = {}
        email: Tables = {}
        for name, sink in self.sinks.items():
            if sink.name == "smsc":
                sms[name] = smsc_account(sink.port, name, rate_per_s)
            else:
                email[name] = relay(sink.port, mail_per_s)
        tables: Tables = {"sms": {"carriers": sms}, "email": {"carriers": email}}
        if voice:
            trunk: Tables = {"type": "simulated", "rate_per_s": 500.0, "dump": str(self.folder / "calls.jsonl")}
            trunk |= {"speed": 1000.0, "answer": {"least": 0.01, "mean": 0.02, "most": 0.05}}
            tables["voice"] = {"carriers": {"trunk": trunk}}
            # A simulated carrier among live ones must be asked for.
            tables["server"] = {"demonstration": True}
        return tables

    # ---- processes

    async def tocsin(self, *arguments: str, timeout_s: float = 60.0) -> tuple[int, str]:
        """The command, to its end: exit code and everything it said."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway", *arguments, cwd=ROOT, env=_environment(),
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        try:
            async with asyncio.timeout(timeout_s):
                said, _ = await process.communicate()
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            raise
        return process.returncode or 0, said.decode("utf-8", "replace")

    async def smsc(self, name: str, **options: Any) -> Sink:
        """Start a false SMSC; `options` are those of `loadtest.sinks.smsc`. Again after it ended, on its old port."""
        return await self._sink("smsc", name, options)

    async def smtp(self, name: str = "relay", **options: Any) -> Sink:
        """Start a mail sink with these flags of `loadtest.sinks.smtp`. Writing bodies down holds it up for a tenth of a
        second now and then: who measures time says `bodies=False`."""
        return await self._sink("smtp", name, {"bodies": True} | options)

    async def _sink(self, kind: str, name: str, options: Mapping[str, Any]) -> Sink:
        old = self.sinks.get(name)
        self._serial += 1
        dump = self.folder / f"{name}-{self._serial}.jsonl"
        arguments = ["-m", f"loadtest.sinks.{kind}", "--port", str(old.port if old else 0), "--dump", str(dump)]
        for option, value in options.items():
            flag = "--" + option.replace("_", "-")
            for each in value if isinstance(value, list) else [value]:
                if each is not False:
                    arguments += [flag] if each is True else [flag, str(each)]
        process = await self._start(kind, arguments, f"{name}-{self._serial}")
        started = await self._until_said(process, lambda said: said.partition("\n")[0] if "\n" in said else "")
        port = int(json.loads(started)["port"])
        sink = Sink(kind, process.handle, process.log, port=port, dump=dump)
        self.processes[self.processes.index(process)] = sink
        if old is not None:
            self.processes.append(old)  # its dump still counts
        self.sinks[name] = sink
        return sink

    async def serve(self, settings: Path, module: str = "gateway", *more: str, wait: bool = True) -> Server:
        """Start a server and wait until its door is open. `module` may be a stand-in that takes the same options."""
        self._serial += 1
        words = ["serve"] if module == "gateway" else []
        arguments = ["-m", module, *words, "--config", str(settings), *more]
        process = await self._start("server", arguments, f"server-{self._serial}")
        server = Server("server", process.handle, process.log)
        self.processes[self.processes.index(process)] = server
        if wait:
            server.url = await self._until_said(process, _door)
        return server

    async def up(self, tables: Tables | None = None) -> tuple[Server, "Client"]:
        """Settings (for the sinks there are), the register, a server, and the CIC's client once carriers are bound."""
        settings = self.settings(self.ways_out() if tables is None else tables)
        await self.load(settings)
        server = await self.serve(settings)
        client = self.client(server)
        await self.until_ready(client)
        return server, client

    async def _start(self, name: str, arguments: Sequence[str], label: str) -> Process:
        log = self.folder / f"{label}.log"
        with log.open("wb") as file:
            handle = await asyncio.create_subprocess_exec(
                sys.executable, *arguments, cwd=ROOT, env=_environment(),
                stdin=asyncio.subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True,
            )  # fmt: skip
        process = Process(name, handle, log)
        self.processes.append(process)
        return process

    async def _until_said(self, process: Process, look: Callable[[str], str]) -> str:
        deadline = time.monotonic() + READY_S
        while not (found := look(process.said())):
            if not process.running or time.monotonic() > deadline:
                raise AssertionError(f"{process.name} did not start:\n{process.said()[-4000:]}")
            await asyncio.sleep(POLL_S)
        return found

    async def close(self) -> None:
        """End what is still there: servers first, then sinks."""
        for session in self.sessions:
            await session.close()
        for process in sorted(self.processes, key=lambda p: not isinstance(p, Server)):
            if process.running:
                await process.end(timeout_s=30.0)

    # ---- clients

    def client(self, server: Server, account: str = CIC) -> "Client":
        session = aiohttp.ClientSession(
            base_url=server.url,
            headers={"Authorization": f"Bearer {self.token(account)}"} if account else {},
            timeout=aiohttp.ClientTimeout(total=60),
        )
        self.sessions.append(session)
        return Client(session)

    async def until_ready(self, client: "Client", timeout_s: float = READY_S) -> None:
        """Until every check of /readyz is well: the carriers are bound."""
        async with asyncio.timeout(timeout_s):
            while True:
                _, body = await client.get("/readyz")
                if all(check["well"] for check in body.get("checks", [])) and body.get("checks"):
                    return
                await asyncio.sleep(0.1)

    # ---- what people got

    def sms(self, name: str | None = None) -> list[Got]:
        """Whole SMS that sinks took, over all sinks or of one, in the order of their arrival."""
        found = []
        for way, line in self._dumped("smsc", name):
            if line["text"] is not None and line["status"] == 0:
                number = "+" + line["destination"]
                found.append(Got("sms", number, line["text"], line["at_ns"] // 1_000_000, way, line["id"]))
        return sorted(found, key=lambda got: got.at_ms)

    def segments(self, name: str | None = None) -> list[Line]:
        """Every submit_sm as it came, refused ones too."""
        return [line for _, line in self._dumped("smsc", name)]

    def mails(self, name: str | None = None) -> list[Got]:
        """Mails that sinks read to the final dot. Their dump is half a second behind: see `settled_mails`."""
        found = [
            Got(
                "email", line["rcpt"], line["subject"], line["arrived_ns"] // 1_000_000, way, line["token"],
                line["answered"], line.get("text", ""),
            )
            for way, line in self._dumped("smtp", name)
        ]  # fmt: skip
        return sorted(found, key=lambda got: got.at_ms)

    async def settled_mails(self, name: str | None = None) -> list[Got]:
        """Mails, once the sinks have written what they had: nothing more came for a while, however busy the machine."""
        found, before = self.mails(name), -1
        while len(found) > before:
            before = len(found)
            await asyncio.sleep(_CIRCULATION_S + 0.5)
            found = self.mails(name)
        return found

    def calls(self) -> list[Got]:
        """Calls that the trunk started."""
        return [
            Got("voice", line["address"], "", line["at_ms"], "trunk", line["reference"])
            for line in json_lines(self.folder / "calls.jsonl")
        ]

    def _dumped(self, kind: str, name: str | None) -> list[tuple[str, Line]]:
        found = []
        for sink in self.processes:
            if isinstance(sink, Sink) and sink.name == kind:
                way = sink.dump.name.rpartition("-")[0]
                if name in (None, way):
                    found += [(way, line) for line in json_lines(sink.dump)]
        return found


@contextlib.asynccontextmanager
async def opened(folder: Path, store_url: str = "") -> AsyncIterator[World]:
    """A world in this folder, on its own SQLite file unless a store is given."""
    world = World(folder, store_url or f"sqlite+aiosqlite:///{folder}/tocsin.db")
    try:
        yield world
    finally:
        await world.close()


# ---- the client ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Client:
    """One account at one server's door. Every call returns (status, JSON)."""

    session: aiohttp.ClientSession

    async def get(self, path: str, **query: Any) -> tuple[int, Any]:
        async with self.session.get(path, params=query) as response:
            return response.status, await _json(response)

    async def post(self, path: str, body: Any = None, key: str = "") -> tuple[int, Any]:
        """`key` names the decision; without one each is new."""
        headers = {"Idempotency-Key": key or secrets.token_hex(8)}
        async with self.session.post(path, json=body, headers=headers) as response:
            return response.status, await _json(response)

    async def send(self, method: str, path: str, body: Any, media_type: str) -> tuple[int, Any]:
        """A body that the API's document shows: JSON, or the text of a CAP document, sent now."""
        data = body if isinstance(body, str) else json.dumps(body)
        data = re.sub("<sent>[^<]*", f"<sent>{moment(datetime.now(UTC))}", data)
        headers = {"Content-Type": media_type, "Idempotency-Key": secrets.token_hex(8), "If-Match": "*"}
        async with self.session.request(method, path, data=data, headers=headers) as response:
            return response.status, await _json(response)

    async def submit(self, document: bytes, path: str = "/cap/v1/alerts") -> tuple[int, Any]:
        headers = {"Content-Type": "application/cap+xml"}
        async with self.session.post(path, data=document, headers=headers) as response:
            body = await _json(response)
            if "Location" in response.headers:
                body["location"] = response.headers["Location"]
            return response.status, body

    async def launch_alert(self, document: bytes) -> dict[str, str]:
        """Submit what must be accepted; zone -> campaign."""
        status, answer = await self.submit(document)
        assert status == 202, answer
        return {zone["zone"]: zone["campaign"] for zone in answer["zones"] if zone.get("campaign")}

    async def raw(self, path: str) -> tuple[int, bytes]:
        async with self.session.get(path) as response:
            return response.status, await response.read()

    async def published(self) -> list[bytes]:
        """The documents that the free feed links to, in its order."""
        status, body = await self.raw("/cap/feed.atom")
        assert status == 200
        links = etree.fromstring(body).iterfind(".//{*}entry/{*}link[@type='application/cap+xml']")
        found = [await self.raw(urlsplit(str(link.get("href"))).path) for link in links]
        assert [status for status, _ in found] == [200] * len(found)
        return [document for _, document in found]

    async def campaign(self, campaign: str) -> Line:
        status, body = await self.get(f"/api/v1/campaigns/{campaign}")
        assert status == 200, body
        return dict(body)

    async def report(self, campaign: str) -> Line:
        status, body = await self.get(f"/api/v1/campaigns/{campaign}/report")
        assert status == 200, body
        return dict(body)

    async def deliveries(self, campaign: str, **query: Any) -> list[Line]:
        """Every page."""
        found: list[Line] = []
        path: str | None = f"/api/v1/campaigns/{campaign}/deliveries"
        while path:
            status, body = await self.get(path, **({} if "?" in path else query | {"limit": 1000}))
            assert status == 200, body
            found += body["deliveries"]
            path = body.get("next")
        return found

    async def events(self, campaign: str, last_id: int | None = None) -> AsyncIterator[tuple[str, int, Line]]:
        """(event, id, data) of the progress stream, until it ends."""
        headers = {} if last_id is None else {"Last-Event-ID": str(last_id)}
        timeout = aiohttp.ClientTimeout(total=None, sock_read=60)
        path = f"/api/v1/campaigns/{campaign}/progress"
        async with self.session.get(path, headers=headers, timeout=timeout) as response:
            assert response.status == 200, await response.text()
            event, number = "", 0
            async for raw in response.content:
                name, _, value = raw.decode().rstrip("\n").partition(": ")
                if name == "event":
                    event = value
                elif name == "id":
                    number = int(value)
                elif name == "data":
                    yield event, number, json.loads(value)

    async def until(
        self, campaign: str, done: Callable[[dict[str, int]], bool], timeout_s: float = 60.0
    ) -> dict[str, int]:
        """Poll until the counts of all channels together say so: state -> deliveries, with `total` and `open`."""
        counts: dict[str, int] = {}
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    counts = summed((await self.campaign(campaign))["progress"])
                    if done(counts):
                        return counts
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            raise AssertionError(f"campaign {campaign} stays at {counts} after {timeout_s:g} s") from None

    async def until_sent(self, campaign: str, timeout_s: float = 60.0) -> dict[str, int]:
        """Until nothing is left to send and nothing waits for an answer."""
        return await self.until(campaign, lambda c: c["total"] > 0 and not c["open"], timeout_s)

    async def until_delivered(self, campaign: str, channel: str = "sms", timeout_s: float = 60.0) -> None:
        """Until the receipts of a channel have come: none of its deliveries is open, accepted or unknown."""
        async with asyncio.timeout(timeout_s):
            while True:
                page = await self.campaign(campaign)
                mine = [c for c in page["progress"]["channels"] if c["channel"] == channel]
                if mine and not any(c["queued"] + c["retry"] + c["accepted"] + c["unknown"] for c in mine):
                    return
                await asyncio.sleep(POLL_S)


STATES = (
    "queued", "retry", "unknown", "accepted", "delivered", "failed", "expired", "cancelled", "not_needed",
)  # fmt: skip


def summed(progress: Line) -> dict[str, int]:
    """The channels of a progress snapshot added up."""
    counts = dict.fromkeys(("total", *STATES), 0) | {"open": progress["open"]}
    for channel in progress["channels"]:
        for name in ("total", *STATES):
            counts[name] += channel[name]
    return counts


async def _json(response: aiohttp.ClientResponse) -> Any:
    body = await response.read()
    declared.hold(response.method, response.url.path, response.status, response.headers, body)
    return json.loads(body) if body else {}


# ---- documents -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Words:
    """One info block."""

    language: str
    headline: str
    description: str = "Grijze bestelwagen met drie inzittenden."
    instruction: str = "Bel 101."


async def until(done: Callable[[], object], timeout_s: float = 30.0) -> None:
    """Look until it is so; fails after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not done():
        assert time.monotonic() < deadline, f"still not so after {timeout_s:g} s"
        await asyncio.sleep(POLL_S)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def alert(
    areas: Mapping[str, str],
    words: Sequence[Words] = (Words("nl-BE", "Verdachte bestelwagen"), Words("fr-BE", "Camionnette suspecte")),
    *,
    identifier: str = "",
    sent: datetime | None = None,
    status: str = "Actual",
    msg_type: str = "Alert",
    references: str = "",
    kind: str = "alert",
    channels: str = "",
    effective: datetime | None = None,
    expires: datetime | None = None,
    addresses: str = "",
    note: str = "",
) -> bytes:
    """A CAP 1.2 document; `areas`: description -> polygon. An identifier of its own unless given."""
    sent = sent or datetime.now(UTC)
    name = identifier or f"t-{secrets.token_hex(6)}"
    expires = expires or sent + timedelta(hours=2)
    parts = [
        '<?xml version="1.0" encoding="UTF-8"?>\n<alert xmlns="urn:oasis:names:tc:emergency:cap:1.2">',
        f"<identifier>{name}</identifier><sender>{SENDER}</sender><sent>{moment(sent)}</sent>",
        f"<status>{status}</status><msgType>{msg_type}</msgType>",
        f"<scope>{'Private' if addresses else 'Public'}</scope>",
        f"<addresses>{addresses}</addresses>" if addresses else "",
        f"<note>{note}</note>" if note else "",
        f"<references>{references}</references>" if references else "",
    ]
    where = "".join(f"<area><areaDesc>{d}</areaDesc><polygon>{p}</polygon></area>" for d, p in areas.items())
    given = f"<parameter><valueName>tocsin:kind</valueName><value>{kind}</value></parameter>" if kind else ""
    if channels:
        given += f"<parameter><valueName>tocsin:channels</valueName><value>{channels}</value></parameter>"
    begins = f"<effective>{moment(effective)}</effective>" if effective else ""
    parts += [
        f"<info><language>{said.language}</language><category>Security</category><event>Inbraak</event>"
        f"<urgency>Immediate</urgency><severity>Moderate</severity><certainty>Observed</certainty>{begins}"
        f"<expires>{moment(expires)}</expires><senderName>CIC</senderName><headline>{said.headline}</headline>"
        f"<description>{said.description}</description><instruction>{said.instruction}</instruction>"
        f"{given}{where}</info>"
        for said in words
    ]
    return ("".join(parts) + "</alert>\n").encode()


def reference(document: bytes) -> str:
    """What a later message's `references` calls this one."""
    text = document.decode()

    def inner(name: str) -> str:
        return text.partition(f"<{name}>")[2].partition(f"</{name}>")[0]

    return f"{inner('sender')},{inner('identifier')},{inner('sent')}"


def moment(instant: datetime) -> str:
    # CAP-v1.2 3.3.2: UTC is written -00:00
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S-00:00")


# ---- settings ------------------------------------------------------------------------------------------------------


def smsc_account(port: int, name: str, rate_per_s: float = 500.0, **more: Any) -> Tables:
    account: Tables = {
        "type": "smpp", "host": "127.0.0.1", "port": port, "system_id": name[:15], "source_address": "TOCSIN",
        "rate_per_s": float(rate_per_s), "reconnect_first_s": 0.2,
    }  # fmt: skip
    return account | more


def relay(port: int, rate_per_s: float = 2500.0, **more: Any) -> Tables:
    account: Tables = {
        "type": "smtp",
        "host": "127.0.0.1",
        "port": port,
        "tls": "none",
        "rate_per_s": float(rate_per_s),
    }
    return account | more


def toml(tables: Tables) -> str:
    """Tables of strings, numbers, booleans and tables, as TOML."""
    return "".join(_toml_table(tables, ()))


def _toml_table(table: Tables, path: tuple[str, ...]) -> list[str]:
    lines = [f"[{'.'.join(path)}]\n"] if path else []
    # A JSON string is a TOML basic string, and so are numbers and booleans.
    lines += [f"{key} = {json.dumps(value)}\n" for key, value in table.items() if not isinstance(value, dict)]
    for key, value in table.items():
        if isinstance(value, dict):
            lines += _toml_table(value, (*path, key))
    return lines


def _laid_over(base: Tables, over: Tables) -> Tables:
    made = dict(base)
    for key, value in over.items():
        known = made.get(key)
        made[key] = _laid_over(known, value) if isinstance(known, dict) and isinstance(value, dict) else value
    return made


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _door(said: str) -> str:
    for line in said.splitlines():
        if '"action":"start"' in line.replace(" ", ""):
            return str(json.loads(line)["url"])
    return ""


def _environment() -> dict[str, str]:
    return os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "120"}
