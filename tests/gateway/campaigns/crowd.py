"""An alert that has gone out to a crowd, as the engine makes it: people, contacts, deliveries and batches by number."""

from datetime import UTC, datetime, timedelta

import numpy as np
import sqlalchemy as sa

from channels.contract import Channel
from gateway.access.keys import as_caller
from gateway.access.rights import Caller
from gateway.campaigns.alert_desk import AlertDesk
from gateway.campaigns.planning import Planner
from gateway.campaigns.zones import ZonePlanning
from gateway.directory.audience import Audience, Covered, Deliveries, Excluded, SkippedChannel
from gateway.directory.cache import SnapshotCache
from store.access import accounts
from store.engine.database import Database
from store.engine.transaction import Transaction
from store.tables import account
from tests.cap.documents import changed
from tests.gateway.populated_store import House, an_alert

SENDER = "dispatch@zone-a.example"
IDENTIFIER = "cic-042.2026:17"
BATCH = 500

_NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :size)"
_MADE = (
    f"""
    INSERT INTO member (id, zone_id, public_id, reference, name, language)
    {_NUMBERS} SELECT i, CAST(:zone AS BIGINT), 'm' || i, 'r' || i, 'Person ' || i, 'nl' FROM n
    """,
    f"INSERT INTO address (id, value) {_NUMBERS} SELECT i, '+32' || (470000000 + i) FROM n",
    f"""
    INSERT INTO contact (id, member_id, address_id, type, value, from_ms)
    {_NUMBERS} SELECT i, i, i, 'mobile', '+32' || (470000000 + i), 0 FROM n
    """,
    f"""
    INSERT INTO delivery (id, channel, member_id, contact_id, address, language, units, price_millieuro, state, charged)
    {_NUMBERS}
    SELECT :base + i - 1, 'sms', i, i, '+32' || (470000000 + i), CASE WHEN i % 3 = 0 THEN 'fr' ELSE 'nl' END, 1, 55,
           CASE WHEN i <= :sent THEN 3 ELSE 0 END, CASE WHEN i <= :sent THEN 1 ELSE 0 END FROM n
    """,
)
_DONE, _LEASED, _READY = 3, 1, 0
_BATCHES = f"""
    INSERT INTO batch (campaign_id, channel, mode, priority, tag, first, last, cursor, state, due_ms, lease, round)
    {_NUMBERS}
    SELECT CAST(:campaign AS BIGINT), 'sms', 'live', 0, i, :base + (i - 1) * {BATCH}, :base + i * {BATCH} - 1,
           :base + (i - 1) * {BATCH} + CASE WHEN (i - 1) * {BATCH} < :upto THEN {BATCH // 2 - 1} ELSE -1 END,
           CASE WHEN i * {BATCH} <= :sent THEN {_DONE}
                WHEN (i - 1) * {BATCH} < :upto THEN {_LEASED} ELSE {_READY} END,
           CASE WHEN i * {BATCH} > :sent AND (i - 1) * {BATCH} < :upto THEN 9000000000000 END, 1, 1 FROM n
"""


def a_document(identifier: str, msg_type: str = "Alert", *, of: str = IDENTIFIER) -> bytes:
    """One that is no Alert names `of`."""
    now = datetime.now(UTC).replace(microsecond=0)
    sent, later = ((now + timedelta(minutes=m)).isoformat().replace("+00:00", "-00:00") for m in (-1, 60))
    changes = [
        (IDENTIFIER, identifier),
        ("2026-05-11T21:40:00+02:00", sent),
        ("    <effective>2026-05-11T21:40:00+02:00</effective>\n", ""),
        ("2026-05-12T06:00:00+02:00", later),
    ]
    if msg_type != "Alert":
        named = f"  <references>{SENDER},{of},{sent}</references>\n  <info>"
        changes += [("<msgType>Alert", f"<msgType>{msg_type}"), ("  <info>", named)]
    return changed(*changes)


def a_desk(database: Database) -> AlertDesk:
    planner = Planner(SnapshotCache(database.read), frozenset(Channel), lambda mode: {}, 1)
    return AlertDesk(database, ZonePlanning(database, planner), lambda: True, lambda: None)


async def an_author(house: House, code: str = "cic") -> Caller:
    account_id = await house.account(code, ("submit", None), ("publish", None), ("read", None))
    senders = sa.update(account).where(account.c.id == account_id).values(senders=f'["{SENDER}"]')
    await house.database.write(lambda tx: tx.run(senders))
    async with house.database.read() as conn:
        row = await accounts.find_account(conn, account_id)
    assert row is not None
    return as_caller(row)


async def a_crowd_alerted(house: House, zone: str, author: Caller, size: int, *, sent: int, in_hand: int) -> int:
    """An alert to `size` people by SMS: the first `sent` have been taken by a carrier, and of the next `in_hand` the
    first half of each batch of 500 is in a worker's hands. All of them whole batches, please."""
    audience = _everybody(size)
    document = a_document(IDENTIFIER)
    filed = an_alert(author.account_id, f"alert-{zone}", document, sender=SENDER, identifier=IDENTIFIER)
    campaign = house.campaign(zone, author.account_id, audience, f"campaign-{zone}")
    [number] = await house.launch(author.account_id, campaign, alert=filed)
    values = {"size": size, "zone": house.zones[zone], "base": number << 24, "sent": sent, "upto": sent + in_hand}

    async def fill(tx: Transaction) -> None:
        for statement in _MADE:
            await tx.run(sa.text(statement), values)
        await tx.run(sa.text(_BATCHES), values | {"size": size // BATCH, "campaign": number})
        await tx.run(sa.text("UPDATE expansion SET expanded_upto = size"))
        counted = {"queued": size - sent, "accepted": sent, "charged": sent * 55}
        await tx.run(
            sa.text("UPDATE progress SET queued = :queued, accepted = :accepted, charged_millieuro = :charged"), counted
        )

    await house.database.write(fill)
    return number


def _everybody(size: int) -> Audience:
    ids, none, small = np.arange(1, size + 1, dtype=np.int64), np.empty(0, np.int64), np.empty(0, np.uint8)
    return Audience(
        size,
        ("nl",),
        (Channel.SMS,),
        {Channel.SMS: Deliveries(ids, ids, ids, np.zeros(size, np.uint8))},
        Excluded(none, small),
        Covered(none, small, none, none, small),
        SkippedChannel(none, small, small),
    )
