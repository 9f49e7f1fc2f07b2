"""`tocsin status`: what is running, what is stuck and why, and the command that mends it. Reads the store and asks the
server nothing, so it works when the server does not."""

from collections.abc import Sequence
from pathlib import Path

from channels.contract import CarrierState
from gateway.accounting.tariff import PRICE_LIST, NoPrice, Tariff
from gateway.operations.status_line import StatusLine, age, hold_line
from gateway.settings import BackupSettings, RetentionSettings, ServerSettings
from store.access import break_glass
from store.access.break_glass import BreakGlassStanding
from store.campaigns import reading as campaigns
from store.campaigns.reading import Campaign
from store.copies import LastBackup, last_backup
from store.engine.database import Database
from store.outbox import holds
from store.outbox.hold_statements import Hold
from store.outbox.overview import ChannelView, NodeView, nodes, overview
from store.register import export_and_erase
from store.retention import RetentionPeriods, ToGo, to_go
from store.states import CampaignState

LATE_MS = 8_000
"""A server gives a sign of life every 5 s (`gateway/dispatch/housekeeping.py`): one is overdue."""
SILENT_MS = 15_000
"""A server that has given none for this long is not there."""
GATHERED_MS = 60_000
"""Whom a Cancel goes to is known by then, also of a million people (some 10 s)."""
PRICES_END_MS = 60 * 86_400_000
"""How long before the price list runs out its end is told: a contract takes its weeks."""
_MOST_CAMPAIGNS = 5


async def server_lives(database: Database, now_ms: int) -> bool:
    """Whether a server has given a sign of life of late."""
    async with database.read() as conn:
        return _any_alive(await nodes(conn), now_ms)


async def hold_lines(database: Database, now_ms: int, config: Path | None = None) -> list[StatusLine]:
    """A line for each hold that stands, with the command that lifts it."""
    async with database.read() as conn:
        standing = await holds.standing(conn)
        return [hold_line(hold, now_ms, config) for hold in standing]


async def status_lines(
    database: Database,
    now_ms: int,
    min_free_mib: int,
    config: Path | None = None,
    backup: BackupSettings | None = None,
    keeping: RetentionSettings | None = None,
) -> list[StatusLine]:
    """The lines of `tocsin status`, about ten, the worst ones marked. `min_free_mib`: the watermark below which the
    server takes nothing on; `config`: the file of settings, for the commands that are shown; `backup`: how often one
    is to be made; `keeping`: what goes when."""
    async with database.read() as conn:
        view = await overview(conn, now_ms)
        standing = await holds.standing(conn)
        unsealed = await campaigns.unfinished(conn, most=_MOST_CAMPAIGNS)
        last = await last_backup(conn)
        days = keeping or RetentionSettings()
        going = await to_go(conn, now_ms, RetentionPeriods(days.deliveries_days, days.receipts_days, days.audit_days))
        erasures = await export_and_erase.waiting(conn)
        codes = await break_glass.standings(conn)
        waiting = {c.id: sum(count.open for count in await campaigns.counts(conn, c.id)) for c in unsealed}
        size = await database.size_bytes(conn)
    disk = _disk(database, size, min_free_mib)
    lines = [*_nodes(view.nodes, now_ms), *_carriers(view.nodes, now_ms), disk]
    lines += await hold_lines(database, now_ms, config)
    lines += _backup(database, last, backup, now_ms)
    lines += _prices(now_ms)
    alive = [n for n in view.nodes if now_ms - n.seen_ms < SILENT_MS]
    lines += [_channel(c, standing, disk.well, alive) for c in view.channels]
    lines.append(
        StatusLine(True, f"campaigns: {view.campaigns_running} running, {view.campaigns_unsealed} not sealed yet")
    )
    lines += [StatusLine(not _is_stuck(c, now_ms), f"  {_campaign(c, waiting[c.id], now_ms)}") for c in unsealed]
    if view.campaigns_unsealed > len(unsealed):
        lines.append(StatusLine(True, f"  and {view.campaigns_unsealed - len(unsealed)} more"))
    lines += _kept(going, days.deliveries_days, now_ms)
    if erasures:
        lines.append(StatusLine(True, f"{erasures} persons are to be erased once nothing needs their addresses"))
    lines += [_used(one, now_ms) for one in codes if one.state == "used"]
    if view.open_receipts:
        lines.append(StatusLine(False, f"{view.open_receipts} receipts match no message (yet)"))
    return lines


def certificate_lines(server: ServerSettings, now_ms: int) -> list[StatusLine]:
    """The door's certificate as its files hold it now; none where it speaks no TLS."""
    if not server.tls_certificate:
        return []
    # Who has no certificate does not wait for the cryptography, nor does lifting a hold, which uses this module, too.
    from gateway.server_certificate import CertificateRefused, read_server_certificate

    try:
        found = read_server_certificate(server.tls_certificate, server.tls_key)
    except CertificateRefused as exc:
        text = f"certificate: {exc}; a running server keeps the one it has, and cannot start again"
        return [StatusLine(False, text)]
    if found is None:
        return []
    warning = found.warning(now_ms)
    if warning:
        return [StatusLine(False, f"certificate: {server.tls_certificate}: {warning}")]
    return [StatusLine(True, f"certificate: {server.tls_certificate} expires in {age(found.end_ms - now_ms)}")]


def _kept(going: ToGo, days: int, now_ms: int) -> list[StatusLine]:
    """What grows, and when it goes."""
    if going.oldest_ms is None:
        return []
    text = f"kept: {going.deliveries} deliveries of {going.uncleared} sealed campaigns"
    if going.campaigns:
        text += f"; {going.campaigns} campaigns are being cleared of theirs: {days} days are over"
    else:
        text += f"; the first go in {age(going.oldest_ms + days * 86_400_000 - now_ms)}, {days} days after their seal"
    return [StatusLine(True, text)]


def _used(code: BreakGlassStanding, now_ms: int) -> StatusLine:
    ago = age(now_ms - code.since_ms)
    return StatusLine(False, f"zone {code.zone}: its break-glass code was USED {ago} ago, and no other is issued")


def _any_alive(seen: Sequence[NodeView], now_ms: int) -> bool:
    return any(now_ms - n.seen_ms < SILENT_MS for n in seen)


def _nodes(seen: Sequence[NodeView], now_ms: int) -> list[StatusLine]:
    """A line each: one that was killed cannot say so, its last sign of life can."""
    alive = [n for n in seen if now_ms - n.seen_ms < SILENT_MS]
    if not alive:
        last = f", last sign of life {age(now_ms - seen[0].seen_ms)} ago" if seen else ""
        return [StatusLine(False, f"NO SERVER is running on this store{last}: nothing leaves")]
    return [_node(n, now_ms) for n in alive]


def _carriers(seen: Sequence[NodeView], now_ms: int) -> list[StatusLine]:
    """A line for each that somebody should look at; the others are well and say nothing."""
    lines = []
    for node in seen:
        if now_ms - node.seen_ms >= SILENT_MS:
            continue
        for c in node.carriers:
            if c.refuses_us:
                lines.append(StatusLine(False, f"{c.channel} carrier {c.name} REFUSES US: {c.refuses_us}"))
            elif c.state != CarrierState.UP:
                lines.append(StatusLine(False, f"{c.channel} carrier {c.name} is {c.state}: {c.detail}"))
    return list(dict.fromkeys(lines))


def _node(n: NodeView, now_ms: int) -> StatusLine:
    silence_ms = now_ms - n.seen_ms
    text = f"server: {n.name}, started {age(now_ms - n.started_ms)} ago, last sign of life {age(silence_ms)} ago"
    if silence_ms < LATE_MS:
        return StatusLine(True, text)
    return StatusLine(False, f"{text}: OVERDUE, it gives one every 5 s; it was stopped, killed or cannot write")


def _disk(database: Database, size: int, min_free_mib: int) -> StatusLine:
    free = database.free_bytes()
    if free is None:
        return StatusLine(True, f"store: {size / 2**20:.0f} MiB in PostgreSQL")
    text = f"store: {size / 2**20:.0f} MiB in {database.path}, {free / 2**30:.1f} GiB free"
    if free < min_free_mib * 2**20:
        return StatusLine(False, f"{text}; THE DISK IS FULL: below {min_free_mib} MiB nothing is launched or claimed")
    return StatusLine(True, text)


def _backup(
    database: Database, last: LastBackup | None, settings: BackupSettings | None, now_ms: int
) -> list[StatusLine]:
    if database.path is None:
        return []
    scheduled = settings is not None and bool(settings.folder)
    if last is None:
        return (
            [StatusLine(False, "backup: NONE yet; a running server makes the first within minutes")]
            if scheduled
            else []
        )
    age_ms = now_ms - last.at_ms
    text = f"backup: the last good one is {age(age_ms)} old, {last.bytes / 2**20:.0f} MiB in {last.path}"
    late = settings is not None and scheduled and age_ms > 2 * settings.every_h * 3_600_000
    return [StatusLine(False, f"{text}: TOO OLD, the log of the server says why") if late else StatusLine(True, text)]


def _prices(now_ms: int, tariff: Tariff = PRICE_LIST) -> list[StatusLine]:
    """Nothing as long as the price list holds for a while."""
    try:
        until = tariff.at(now_ms).until
    except NoPrice as exc:
        return [StatusLine(False, f"prices: {exc}; is this machine's clock right?")]
    left_ms = until.timestamp() * 1000 - now_ms
    if left_ms > PRICES_END_MS:
        return []
    day = until.date().isoformat()
    if tariff.lapsed(now_ms):
        return [
            StatusLine(
                False, f"prices: THE PRICE LIST HAS RUN OUT on {day}; its prices are charged until there is another"
            )
        ]
    return [
        StatusLine(False, f"prices: the price list runs out on {day}, in {age(int(left_ms))}; agree on the next one")
    ]


def _channel(c: ChannelView, standing: Sequence[Hold], room: bool, alive: Sequence[NodeView]) -> StatusLine:
    text = (
        f"{c.channel} {c.mode}: {c.queued} queued, {c.retry} to retry, {c.unknown} in doubt, "
        f"{c.accepted} handed over and not confirmed; batches {c.ready_batches} ready, {c.leased_batches} leased, "
        f"{c.waiting_batches} waiting"
    )
    if c.late_leases:
        return StatusLine(False, f"{text}; {c.late_leases} LEASES ENDED and not taken back: is a server running?")
    if c.ready_batches and not c.leased_batches:
        return StatusLine(False, f"{text}; NOTHING IS TAKEN UP: {_why(c, standing, room, alive)}")
    return StatusLine(True, text)


def _why(c: ChannelView, standing: Sequence[Hold], room: bool, alive: Sequence[NodeView]) -> str:
    """The first cause that explains it."""
    if not alive:
        return "no server is running"
    if not room:
        return "the disk is full"
    if any(h.scope == "all" or (h.scope, h.subject) == ("channel", c.channel) for h in standing):
        return "it is held"
    held = {h.subject for h in standing if h.scope == "carrier"}
    there = {one.name for node in alive for one in node.carriers if (one.channel, one.mode) == (c.channel, c.mode)}
    if there and there <= held:
        return "its carriers are held"
    carriers = "no carrier of this channel takes anything: the lines on carriers, or the log, say which and why"
    return f"its zones or campaigns are held, or {carriers}" if standing else carriers


def _is_stuck(c: Campaign, now_ms: int) -> bool:
    return c.state == CampaignState.PREPARING and now_ms - c.created_ms > GATHERED_MS


def _campaign(c: Campaign, waiting: int, now_ms: int) -> str:
    if _is_stuck(c, now_ms):
        since = age(now_ms - c.created_ms)
        when = f"ITS AUDIENCE IS NOT DRAWN UP since {since}: nobody is told; the server's log says why (prepare-failed)"
    elif c.state == CampaignState.PREPARING:
        when = "its audience is being gathered"
    elif c.starts_ms > now_ms:
        when = f"starts in {age(c.starts_ms - now_ms)}"
    elif c.ended_ms is not None:
        when = f"ended {age(now_ms - c.ended_ms)} ago, waits for its receipts"
    else:
        when = f"started {age(now_ms - c.starts_ms)} ago"
    return f"{c.public_id} {c.zone_code} {c.kind} {c.mode} {c.state}, {when}, {waiting} to send: {c.title[:50]}"
