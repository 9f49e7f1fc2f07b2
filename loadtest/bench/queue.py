"""A store with a campaign that waits to be sent: what the outbox's row and its programs begin with."""

import sqlalchemy as sa

from store import expansion, launching
from store.database import Database, open_database
from store.expansion import AudienceEntry
from store.launching import Launch
from store.records import NewCampaign, NewText
from store.schema import migrate
from store.tables import account, address, contact, member, progress, zone
from store.transaction import Transaction

BATCH = 500
"""Deliveries of one lease: the product's own, for SMS."""
CARRIER = "bench"
_CHUNK = 2_000
_DAY_MS = 86_400_000


async def fill(url: str, deliveries: int) -> None:
    """Tables, people with a mobile each, one SMS campaign to all of them, its rows and batches."""
    await migrate(url)
    async with open_database(url) as database:
        await database.write(_somebody)
        for first in range(1, deliveries + 1, _CHUNK):
            numbers = range(first, min(first + _CHUNK, deliveries + 1))
            await database.write(lambda tx, n=numbers: _people(tx, n))  # type: ignore[misc]
        campaign_id = await database.write(lambda tx: _launch(tx, deliveries))
        for first in range(0, deliveries, _CHUNK):
            entries = [
                AudienceEntry(seq, seq + 1, seq + 1, "nl") for seq in range(first, min(first + _CHUNK, deliveries))
            ]
            await database.write(
                lambda tx, e=entries: expansion.expand(tx, campaign_id, "sms", e, batch_size=BATCH)  # type: ignore[misc]
            )


async def delivered(database: Database) -> int:
    """What the counters say."""
    async with database.read() as conn:
        return int((await conn.execute(sa.select(sa.func.sum(progress.c.delivered)))).scalar_one())


async def _somebody(tx: Transaction) -> None:
    await tx.conn.execute(sa.insert(zone).values(id=1, code="5301", name="Zone", convention=1, policy="{}"))
    await tx.conn.execute(sa.insert(account).values(id=1, code="officer", name="Officer", type="officer"))


async def _people(tx: Transaction, numbers: range) -> None:
    """Member n has contact n at address n."""
    await tx.conn.execute(sa.insert(member), [
        {"id": n, "zone_id": 1, "public_id": f"m{n}", "reference": f"r{n}", "name": f"Zoë {n}", "language": "nl"}
        for n in numbers
    ])  # fmt: skip
    await tx.conn.execute(sa.insert(address), [{"id": n, "value": _mobile(n)} for n in numbers])
    await tx.conn.execute(sa.insert(contact), [
        {"id": n, "member_id": n, "address_id": n, "type": "mobile", "value": _mobile(n), "from_ms": 0}
        for n in numbers
    ])  # fmt: skip


def _mobile(n: int) -> str:
    return f"+3247{n:07d}"


async def _launch(tx: Transaction, deliveries: int) -> int:
    new = NewCampaign(
        public_id="bench", zone_id=1, account_id=1, purpose="message", title="Bench", kind="news", mode="live",
        state="running", priority=2, crash_policy="report", weight=1, starts_ms=tx.now_ms,
        expires_ms=tx.now_ms + _DAY_MS, horizon_ms=_DAY_MS, targets="{}", counts="{}", reserved_millieuro=0,
        texts=(NewText("sms", "nl", "{}", 1, 55),), audience=b"bench", sizes=(("sms", deliveries),),
    )  # fmt: skip
    (campaign_id,) = (await launching.launch(tx, Launch(account_id=1, alert=None, campaigns=(new,)))).campaign_ids
    return campaign_id
