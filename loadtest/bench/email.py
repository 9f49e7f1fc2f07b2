"""E-mail, each individually addressed, status kept: the gateway beside smtp-source and aiosmtplib on one smtp-sink."""

import asyncio
import contextlib
import os
import re
import sys
import time
from collections.abc import AsyncIterator
from datetime import datetime

import msgspec

from loadtest.bench.figures import Claim, Failed, Figure, ratio
from loadtest.bench.ground import BenchGround
from loadtest.bench.processes import asked, folder_of, found, listening, start
from loadtest.stage import ChildProcess, RunTerms, Stage, end, free_port

TITLE = "e-mail over SMTP, 16 connections, each individually addressed"
_TERMS = RunTerms(email_per_s=100_000, connections=16)
_ROUNDS = 2
_ENOUGH_S = 120.0
_SAMPLE = 40
_SINK_USER = "nobody"
_ENVELOPE = re.compile(rb"(?m)^X-Rcpt-Args: <([^>]*)>.*\r?\n")
_ADDED_BY_SOURCE = 140
"""About what smtp-source writes as header fields above its payload."""


class MailSample(msgspec.Struct, frozen=True):
    """Mails of the gateway as they arrive."""

    octets: int
    """Of one, on average."""
    mail: bytes
    """One of them."""


class BestRounds(msgspec.Struct, frozen=True):
    """The best of the rounds: what disturbs a measurement only ever makes it slower."""

    per_s: float
    cpu_us: float


async def measure(ground: BenchGround) -> list[Figure]:
    sink, source = found("smtp-sink", "Postfix"), found("smtp-source", "Postfix")
    async with ground.stage(_TERMS) as stage:
        sample = await _sample(ground, stage, sink)
    count = 2_000 if ground.quick else 40_000
    ours, theirs, python = [], [], []
    for _ in range(1 if ground.quick else _ROUNDS):
        async with ground.stage(_TERMS) as stage, _sinking(stage, sink):
            theirs.append(await _smtp_source(stage, source, count, sample.octets))
            ours.append(await _gateway(ground, stage))
            python.append(await _aiosmtplib(stage, count // 4, sample.mail))
    return _lines(_best(ours), _best(theirs), _best(python), sample.octets, count)


def _lines(ours: BestRounds, theirs: BestRounds, python: BestRounds, octets: int, count: int) -> list[Figure]:
    source = Figure(
        what="smtp-source",
        value=theirs.per_s,
        unit="mails/s",
        settings=(
            f"-d -s 16 -N (sessions reused), {count:,} mails of {octets:,} octets, {theirs.cpu_us:.0f} us of CPU each"
        ),
    )
    library = Figure(
        what="aiosmtplib",
        value=python.per_s,
        unit="mails/s",
        settings=(
            f"sendmail on 16 connections, uvloop, one prebuilt mail of {octets:,} octets, no status kept, "
            f"{count // 4:,} mails, {python.cpu_us:.0f} us of CPU each"
        ),
    )
    return [
        Figure(
            what="gateway: status kept",
            value=ours.per_s,
            unit="mails/s",
            claims=(
                *ratio(ours.per_s, source, "x smtp-source", 1.0),
                *ratio(ours.per_s, library, "x aiosmtplib", 4.0),
            ),
            settings=(
                f"one campaign, ceiling {_TERMS.email_per_s:,.0f}/s, SQLite with synchronous=FULL; from the launch to "
                "the last mail that is settled; through the same smtp-sink"
            ),
        ),
        Figure(
            what="gateway: CPU a mail",
            value=ours.cpu_us,
            unit="us",
            claims=(Claim("x smtp-source's", ours.cpu_us / theirs.cpu_us),) if theirs.cpu_us else (),
            settings="user and system of the whole process, launch and API included",
        ),
        source,
        library,
    ]


def _best(rounds: list[BestRounds]) -> BestRounds:
    return max(rounds, key=lambda one: one.per_s)


# ---- the sink --------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def _sinking(stage: Stage, sink: str, *flags: str) -> AsyncIterator[ChildProcess]:
    """Postfix's smtp-sink in place of the stage's own relay."""
    await end(stage.children["smtp"])
    port = free_port()
    user = ("-u", _SINK_USER) if os.geteuid() == 0 else ()
    child = await start(stage, "smtp", sink, *user, *flags, f"127.0.0.1:{port}", "100")
    child.port = port
    await listening(child, port)
    try:
        yield child
    finally:
        await end(child)


async def _sample(ground: BenchGround, stage: Stage, sink: str) -> MailSample:
    """Send to a few through a sink that keeps them: how large a mail is, and that each has one recipient of its own."""
    with folder_of(_SINK_USER) as folder:
        async with _sinking(stage, sink, "-D", str(folder / "mails")), ground.gateway(stage) as gateway:
            network = stage.lines["network"][0]["code"]
            campaign, _, _ = await gateway.launch(["email"], {"networks": [network]})
            counts = await gateway.until(campaign, "email", ("accepted",), 30.0)
        kept = await asyncio.to_thread((folder / "mails").read_bytes)
    return read_sample(kept, int(counts["total"]))


def read_sample(kept: bytes, expected: int) -> MailSample:
    """What the sink has got. Raises Failed when the sink has other mails than the gateway says it sent."""
    recipients = _ENVELOPE.findall(kept)
    if len(recipients) != expected or len(set(recipients)) != expected:
        raise Failed(f"{expected} mails, but the sink has {len(recipients)} to {len(set(recipients))} recipients")
    # The sink writes its own head before each: X-Client-Addr to Received.
    mails = [m for m in re.split(rb"(?m)^X-Client-Addr: .*$", kept) if m.strip()]
    bodies = [_without_trace(mail) for mail in mails]
    return MailSample(sum(map(len, bodies)) // len(bodies), bodies[0])


def _without_trace(mail: bytes) -> bytes:
    """What the client sent, with CRLF as it was on the wire."""
    lines = mail.strip(b"\r\n").replace(b"\r\n", b"\n").split(b"\n")
    start_at = next(n for n, line in enumerate(lines) if not re.match(rb"X-|Received:|\s", line))
    return b"\r\n".join(lines[start_at:]) + b"\r\n"


# ---- who sends -------------------------------------------------------------------------------------------------


async def _gateway(ground: BenchGround, stage: Stage) -> BestRounds:
    async with ground.gateway(stage) as gateway:
        before_s = gateway.child.cpu_s()
        campaign, _, _ = await gateway.launch(["email"])
        launched_s = time.time()
        counts = await gateway.until(campaign, "email", ("accepted",), _ENOUGH_S)
        used_s = gateway.child.cpu_s() - before_s
    total = int(counts["total"])
    # The first may be settled before the launch has answered.
    first_s, last_s = (datetime.fromisoformat(counts[name]).timestamp() for name in ("first_sent", "last_sent"))
    took_s = last_s - min(launched_s, first_s)
    return BestRounds(total / took_s, 1e6 * used_s / total)


async def _smtp_source(stage: Stage, source: str, count: int, octets: int) -> BestRounds:
    payload = max(octets - _ADDED_BY_SOURCE, 100)
    started_s = time.monotonic()
    child = await start(
        stage, "smtp-source", source, "-d", "-s", "16", "-N", "-l", str(payload), "-m", str(count),
        "-f", "bounce@bounces.example", "-t", "member@example.org", f"127.0.0.1:{stage.children['smtp'].port}",
    )  # fmt: skip
    before = os.times()
    async with asyncio.timeout(_ENOUGH_S):
        code = await child.process.wait()
    took_s = time.monotonic() - started_s
    after = os.times()
    if code:
        raise Failed(f"smtp-source ended with {code}: see {stage.folder}/smtp-source.log")
    used_s = after.children_user + after.children_system - before.children_user - before.children_system
    return BestRounds(count / took_s, 1e6 * used_s / count)


async def _aiosmtplib(stage: Stage, count: int, mail: bytes) -> BestRounds:
    file = stage.folder / "mail.eml"
    file.write_bytes(mail)
    said = await asked(
        stage, "mailer", sys.executable, "-m", "loadtest.bench.mailer", "--port", str(stage.children["smtp"].port),
        "--count", str(count), "--connections", "16", "--mail", str(file), timeout_s=_ENOUGH_S,
    )  # fmt: skip
    return BestRounds(said["per_s"], said["cpu_us"])
