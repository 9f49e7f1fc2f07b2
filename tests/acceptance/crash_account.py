"""What the peers saw of each person held against what the store says of them, after any number of crashes.

Reads the store by SQL of its own: what the product would answer is compared elsewhere.
"""

import asyncio
import math
import shutil
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from gateway.directory.audience import decode
from store.states import DeliveryState as S
from tests.acceptance.crash_stage import Site, until
from tests.acceptance.world import World

Row = tuple[Any, ...]

IN_HAND = """
SELECT d.id, b.lease FROM batch b JOIN delivery d ON d.id BETWEEN b.first AND b.cursor
WHERE b.state = 1 AND d.state IN (0, 1) AND d.round < b.round AND b.node LIKE '%{boot}'
"""


async def rows(store_url: str, sql: str) -> list[Row]:
    """Of a store that may have died a moment ago: SQLite's file is read from a copy, so that the next life finds
    the log as the last one left it."""
    if store_url.startswith("postgresql"):
        conn = await asyncpg.connect(store_url.replace("+asyncpg", ""))
        try:
            return [tuple(r) for r in await conn.fetch(sql)]
        finally:
            await conn.close()
    return await asyncio.to_thread(_rows_of_copy, Path(store_url.partition("///")[2]), sql)


def _rows_of_copy(path: Path, sql: str) -> list[Row]:
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        for suffix in ("", "-wal"):
            if Path(f"{path}{suffix}").exists():
                shutil.copy(f"{path}{suffix}", Path(folder) / f"copy.db{suffix}")
        conn = sqlite3.connect(Path(folder) / "copy.db")
        try:
            return conn.execute(sql).fetchall()
        finally:
            conn.close()


InHand = set[tuple[int, int]]


async def in_hand(store_url: str, boot: str = "") -> InHand:
    """(delivery, lease) whose bytes may have left without a record: of this life, or of whoever is dead."""
    return {(int(row[0]), int(row[1])) for row in await rows(store_url, IN_HAND.format(boot=boot))}


async def moment(store_url: str) -> dict[int, tuple[int, int]]:
    """campaign -> (sent, queued) at this instant, what is not a row yet among the queued."""
    made = await rows(
        store_url, "SELECT id >> 24, SUM(CASE WHEN sent_ms IS NULL THEN 0 ELSE 1 END) FROM delivery GROUP BY 1"
    )
    sent = {int(campaign): int(n) for campaign, n in made}
    queued = await rows(store_url, "SELECT campaign_id, SUM(queued) FROM progress GROUP BY 1")
    return {int(campaign): (sent.get(int(campaign), 0), int(n)) for campaign, n in queued}


async def something_leaves(here: Site) -> None:
    """Until more has been sent than now."""
    before = await _sent(here)

    async def more() -> bool:
        return await _sent(here) > before

    await until(more, 20, every_s=0.05)


async def _sent(here: Site) -> int:
    return sum(sent for sent, _ in (await moment(here.store_url)).values())


@dataclass(frozen=True, slots=True)
class Fate:
    """One delivery at the end."""

    id: int
    channel: str
    address: str
    state: S
    attempts: int
    charged: int
    arrivals: int


def arrivals(world: World, marker: str) -> dict[tuple[str, str], int]:
    """(channel, address) -> how often somebody was reached in a campaign whose texts bear the marker."""
    return dict(Counter((got.channel, got.address) for got in world.sms() + world.mails() if marker in got.text))


async def fates(store_url: str, campaign: int, seen: Mapping[tuple[str, str], int]) -> list[Fate]:
    """Fails when anybody was reached who is not in the audience."""
    sql = f"SELECT id, channel, address, state, attempts, charged FROM delivery WHERE id >> 24 = {campaign}"
    found = [Fate(r[0], r[1], r[2], S(r[3]), r[4], r[5], seen.get((r[1], r[2]), 0)) for r in await rows(store_url, sql)]
    strangers = set(seen) - {(f.channel, f.address) for f in found}
    assert not strangers, f"reached and not in the audience: {sorted(strangers)[:5]}"
    return found


@dataclass(frozen=True, slots=True)
class Verdict:
    persons: int
    lost: int
    """Neither arrived nor called in doubt."""
    unknown: int
    doubled: int
    """Arrivals beyond the first."""


def judge(found: Iterable[Fate], kills: Iterable[InHand], *, resends: bool) -> Verdict:
    """Person by person: what may be in doubt or doubled was in hand at a kill. `kills`: what was in hand at each;
    a lease that nobody took over between two kills counts once."""
    fates = list(found)
    in_hand = Counter(i for i, _ in {held for kill in kills for held in kill})
    for f in fates:
        told = f"{f} was in hand at {in_hand[f.id]} kills"
        # Shown as reached: it was. Not shown as reached: it is in doubt, and for a reason.
        assert f.state in (S.ACCEPTED, S.DELIVERED, S.UNKNOWN), told
        assert f.arrivals or f.state is S.UNKNOWN, f"lost, or falsely shown as {f.state.word}: {told}"
        if f.state is S.UNKNOWN:
            assert in_hand[f.id] >= (3 if resends else 1), f"in doubt without a reason: {told}"
        assert f.arrivals <= 1 + (in_hand[f.id] if resends else 0), f"doubled: {told}"
        assert f.charged <= 1, told
    return Verdict(
        persons=len(fates),
        lost=sum(not f.arrivals and f.state is not S.UNKNOWN for f in fates),
        unknown=sum(f.state is S.UNKNOWN for f in fates),
        doubled=sum(max(f.arrivals - 1, 0) for f in fates),
    )


async def assert_books_close(store_url: str, campaign: int) -> dict[str, int]:
    """Counters, rows, money and the frozen audience, each counted from the start. Returns summed counters."""
    counts = await rows(
        store_url,
        "SELECT channel, state, COUNT(*), SUM(charged * price_millieuro) FROM delivery "
        f"WHERE id >> 24 = {campaign} GROUP BY channel, state",
    )
    words = [s.word for s in S]
    named = ", ".join(words)
    kept = await rows(
        store_url,
        f"SELECT channel, charged_millieuro, resent, {named} FROM progress WHERE campaign_id = {campaign}",
    )
    for channel, charged, _, *counters in kept:
        counted = {S(state).word: n for c, state, n, _ in counts if c == channel}
        assert dict(zip(words, counters, strict=True)) == {w: counted.get(w, 0) for w in words}, channel
        assert charged == sum(money for c, _, _, money in counts if c == channel), channel
    ((reserved,),) = await rows(store_url, f"SELECT reserved_millieuro FROM campaign WHERE id = {campaign}")
    assert sum(k[1] for k in kept) <= reserved
    await _assert_audience_is_rows(store_url, campaign)
    totals = {word: sum(k[3 + n] for k in kept) for n, word in enumerate(words)}
    return totals | {"resent": sum(k[2] for k in kept), "charged": sum(k[1] for k in kept), "reserved": int(reserved)}


async def _assert_audience_is_rows(store_url: str, campaign: int) -> None:
    ((blob,),) = await rows(store_url, f"SELECT blob FROM audience WHERE campaign_id = {campaign}")
    frozen = decode(bytes(blob))
    for channel in frozen.channels:
        wanted = frozen.deliveries[channel]
        made = await rows(
            store_url,
            "SELECT member_id, contact_id FROM delivery "
            f"WHERE id >> 24 = {campaign} AND channel = '{channel.value}' ORDER BY id",
        )
        assert made == list(zip(wanted.member_id.tolist(), wanted.contact_id.tolist(), strict=True)), channel


async def assert_no_receipt_is_lost(store_url: str, world: World) -> int:
    """Every SMS that the SMSC took was reported by a receipt that is on file, with its message or in the inbox."""
    matched = await rows(store_url, "SELECT ref FROM carrier_ref WHERE state = 1")
    waiting = await rows(store_url, "SELECT ref FROM receipt_inbox")
    on_file = {row[0] for row in matched} | {row[0] for row in waiting}
    missing = {got.token for got in world.sms()} - on_file
    assert not missing, f"acknowledged and lost: {sorted(missing)[:5]} and {len(missing) - 5} more"
    return len(waiting)


async def judged(here: Site, campaign: int, marker: str, kills: Iterable[InHand], *, resends: bool) -> Verdict:
    """Every person, every counter and the money of one campaign, once peers and gateway have ended."""
    found = await fates(here.store_url, campaign, arrivals(here.world, marker))
    verdict = judge(found, kills, resends=resends)
    totals = await assert_books_close(here.store_url, campaign)
    # What was sent twice is counted, and charged once.
    assert verdict.doubled <= totals["resent"]
    assert totals["charged"] <= totals["reserved"]
    assert resends or totals["resent"] == verdict.doubled == 0
    return verdict


def assert_contract_held(world: World, per_s: float) -> None:
    """1.01 times what the SMSC's contract allows in any second, measured where it arrives. A tenth of that second is
    left to three processes that wake up late on a busy machine: slots given twice would be half of it or more."""
    at_ms = sorted(part["at_ns"] / 1e6 for part in world.segments())
    most = math.ceil(1.01 * per_s)
    for first, beyond in zip(at_ms, at_ms[most:], strict=False):
        assert beyond - first >= 900, f"{most + 1} segments within {beyond - first:.1f} ms"
