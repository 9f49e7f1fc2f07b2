"""SMS, durable and with receipts: the real gateway beside Kannel, through the same sink, and the sink alone."""

import asyncio
import time
from pathlib import Path

import msgspec

from loadtest import arrivals
from loadtest.bench import kannel
from loadtest.bench.figures import Claim, Failed, Figure, PeerMissing, ratio
from loadtest.bench.ground import BenchGround
from loadtest.stage import RunTerms, Stage

TITLE = "SMS over SMPP, one account, 1,000 segments unanswered at most"
_TERMS = RunTerms(sms_per_s=100_000, sms_window=500, binds=2)
_ENOUGH_S = 120.0


class SmsRun(msgspec.Struct, frozen=True):
    """What the sink saw, per second, and what it cost."""

    messages: int
    submits_per_s: float
    """From the first arrival to the last."""
    lives_per_s: float
    """From the first arrival to the last receipt that was kept; the same where there are none."""
    cpu_us: float
    """User and system, all processes of the product, per message."""


def terms(receipt_delay_s: float) -> RunTerms:
    """The sink of the gateway and of the peers alike."""
    flags = ("--receipt-delay-s", str(receipt_delay_s))
    return msgspec.structs.replace(_TERMS, smsc_flags=(flags,))


def receipts_come(delay_s: float) -> str:
    return f"receipts {delay_s:g} s after their answers, which is in the time" if delay_s else "receipts at once"


async def measure(ground: BenchGround) -> list[Figure]:
    come = receipts_come(ground.receipt_delay_s)
    async with ground.stage(terms(ground.receipt_delay_s)) as stage:
        limit = (await stage.limits(1.0 if ground.quick else 3.0))["smsc_per_s"]
        ours = await _gateway(ground, stage)
    peers = [await _peer(ground, receipts=receipts) for receipts in (True, False)]
    with_receipts, without = peers
    return [
        Figure(
            what="gateway: whole life, receipt kept",
            value=ours.lives_per_s,
            unit="SMS/s",
            claims=(
                *ratio(ours.lives_per_s, with_receipts, "x Kannel with receipts", 3.0),
                *ratio(ours.lives_per_s, without, "x Kannel without receipts", 3.0),
                Claim("of the sink's own limit", ours.lives_per_s / limit, 0.2),
            ),
            settings=(
                f"campaign of {ours.messages:,}, {_TERMS.binds} binds with a window of {_TERMS.sms_window}, ceiling "
                f"{_TERMS.sms_per_s:,.0f}/s, SQLite with synchronous=FULL; from the first arrival at the sink to the "
                f"last receipt that is committed; {come}; every number reached once"
            ),
        ),
        Figure(what="gateway: submits", value=ours.submits_per_s, unit="SMS/s"),
        Figure(
            what="gateway: CPU an SMS",
            value=ours.cpu_us,
            unit="us",
            settings="user and system of the whole process, launch, API and receipts included",
        ),
        *peers,
        Figure(
            what="the sink alone",
            value=limit,
            unit="SMS/s",
            settings="a client that only writes, 2 binds with a window of 200, receipts at once, acknowledged unread",
        ),
    ]


async def _gateway(ground: BenchGround, stage: Stage) -> SmsRun:
    async with ground.gateway(stage) as gateway:
        before_s = gateway.child.cpu_s()
        campaign, mark, _ = await gateway.launch(["sms"])
        counts = await gateway.until(campaign, "sms", ("delivered",), _ENOUGH_S)
        done_s = time.time()
        used_s = gateway.child.cpu_s() - before_s
    return await asyncio.to_thread(read_run, stage.smsc_dumps[0], mark, int(counts["total"]), done_s, used_s)


async def _peer(ground: BenchGround, *, receipts: bool) -> Figure:
    what = f"Kannel {'with' if receipts else 'without'} receipts"
    come = f"; {receipts_come(ground.receipt_delay_s)}" if receipts else ""
    count = (2_000 if ground.quick else 20_000) * (1 if receipts else 2)
    try:
        async with ground.stage(terms(ground.receipt_delay_s)) as stage:
            port = stage.children["smsc-0"].port
            async with kannel.running(stage, port) as peer:
                sent = await peer.send(count, receipts=receipts)
            run = await asyncio.to_thread(read_run, stage.smsc_dumps[0], kannel.MARK, count, sent.done_s, sent.cpu_s)
    except PeerMissing as exc:
        return Figure(what=what, skipped=str(exc))
    return Figure(
        what=what,
        value=run.lives_per_s,
        unit="SMS/s",
        settings=(
            f"{peer.described(receipts=receipts)}{come}; {run.messages:,} messages, {run.cpu_us:.0f} us of CPU each"
        ),
    )


def read_run(dump: Path, mark: str, count: int, done_s: float, used_s: float) -> SmsRun:
    """What the sink has seen. Raises Failed when a number was reached twice or not at all."""
    arrived = arrivals.sms(dump)
    reached = [n for (head, _), n in arrived.by_address.items() if mark in head]
    if len(reached) != count or sum(reached) != count:
        raise Failed(f"{count} messages, but the sink has {sum(reached)} for {len(reached)} numbers")
    first_s, last_s = float(arrived.units_s[0]), float(arrived.units_s[-1])
    return SmsRun(count, count / (last_s - first_s), count / (max(done_s, last_s) - first_s), 1e6 * used_s / count)
