"""`tocsin status`: ten lines on what is running, what is stuck and why. Reads the store and asks the server nothing,
so it works when the server does not."""

from dataclasses import dataclass

from store import campaigns, holds
from store.database import Database
from store.overview import ChannelView, Overview, overview

SILENT_MS = 15_000
"""A node that has not been seen for this long is not there."""


@dataclass(frozen=True, slots=True)
class Line:
    well: bool
    text: str


async def status_lines(database: Database, now_ms: int, min_free_mib: int) -> list[Line]:
    """About ten, the worst ones marked. `min_free_mib`: the watermark below which the server takes nothing on."""
    async with database.read() as conn:
        view = await overview(conn, now_ms)
        standing = await holds.standing(conn)
        unfinished = await campaigns.unfinished(conn)
    lines = [_nodes(view, now_ms), _disk(database, min_free_mib)]
    lines += [
        Line(
            False, f"HOLD on {h.scope} {h.subject}".rstrip() + f" since {_age(now_ms - h.at_ms)} by {h.by}: {h.reason}"
        )
        for h in standing
    ]
    lines += [_channel(c, view, now_ms) for c in view.channels]
    lines.append(Line(True, f"campaigns: {view.campaigns_running} running, {view.campaigns_unsealed} not sealed yet"))
    lines += [
        Line(True, f"  {c.public_id} {c.zone_code} {c.kind} {c.mode} {c.state}: {c.title[:50]}") for c in unfinished[:3]
    ]
    if view.open_receipts:
        lines.append(Line(False, f"{view.open_receipts} receipts match no message (yet)"))
    return lines


def _nodes(view: Overview, now_ms: int) -> Line:
    alive = [n for n in view.nodes if now_ms - n.seen_ms < SILENT_MS]
    if not alive:
        last = f", last seen {_age(now_ms - view.nodes[0].seen_ms)} ago" if view.nodes else ""
        return Line(False, f"NO SERVER is running on this store{last}: nothing leaves")
    names = ", ".join(f"{n.name} (up {_age(now_ms - n.started_ms)})" for n in alive)
    return Line(True, f"server: {names}")


def _disk(database: Database, min_free_mib: int) -> Line:
    free = database.free_bytes()
    if free is None:
        return Line(True, "store: PostgreSQL")
    size = database.path.stat().st_size if database.path else 0
    text = f"store: {size / 2**20:.0f} MiB in {database.path}, {free / 2**30:.1f} GiB free"
    if free < min_free_mib * 2**20:
        return Line(False, f"{text}; THE DISK IS FULL: below {min_free_mib} MiB nothing is launched or claimed")
    return Line(True, text)


def _channel(c: ChannelView, view: Overview, now_ms: int) -> Line:
    text = (
        f"{c.channel} {c.mode}: {c.queued} queued, {c.retry} to retry, {c.unknown} in doubt, "
        f"{c.accepted} accepted; batches {c.ready_batches} ready, {c.leased_batches} leased, "
        f"{c.waiting_batches} waiting"
    )
    if c.late_leases:
        return Line(False, f"{text}; {c.late_leases} LEASES ENDED and not taken back: is a server running?")
    if c.ready_batches and not c.leased_batches:
        return Line(False, f"{text}; NOTHING IS TAKEN UP: no carrier is open, the disk is full or there is a hold")
    return Line(True, text)


def _age(ms: int) -> str:
    seconds = max(ms, 0) // 1000
    if seconds < 120:
        return f"{seconds} s"
    return f"{seconds // 60} min" if seconds < 7200 else f"{seconds // 3600} h"
