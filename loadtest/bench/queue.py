"""A store with a campaign that waits to be sent: what the outbox's row and its programs begin with."""

import secrets

from store.access import accounts
from store.access.accounts import AccountRecord
from store.campaigns import launching
from store.campaigns import reading as campaigns
from store.campaigns.launching import Launch
from store.engine.database import Database, open_database
from store.engine.schema import migrate
from store.engine.transaction import Transaction
from store.outbox import expansion
from store.outbox.expansion import AudienceEntry
from store.outbox.records import NewCampaign, NewText
from store.register import writing as register
from store.register.writing import ContactRecord, MemberRecord, ZoneRecord

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
    """How many deliveries are delivered, as the counters tell it."""
    async with database.read() as conn:
        [made] = await campaigns.unfinished(conn, most=1)
        return sum(count.delivered for count in await campaigns.counts(conn, made.id))


async def _somebody(tx: Transaction) -> None:
    """The first of each: zone 1, account 1."""
    await register.put_zone(tx, ZoneRecord(code="5301", name="Zone", convention=1, policy="{}"))
    officer = AccountRecord(code="officer", name="Officer", type="officer", senders="[]", kind_rules="[]")
    await accounts.put_account(tx, officer)


async def _people(tx: Transaction, numbers: range) -> None:
    """Member n of an empty register has contact n at address n."""
    records = [
        MemberRecord(f"r{n}", f"Zoë {n}", "nl", contacts=(ContactRecord("mobile", _mobile(n)),)) for n in numbers
    ]
    await register.put_members(tx, 1, records, lambda: secrets.token_hex(8))


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
