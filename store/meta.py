"""Facts about this store itself: its generation, its own keys."""

import secrets

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from store import audit
from store.audit_line import SERVER, Actor
from store.engine.prepared_statement import Prepared
from store.engine.transaction import Transaction, rows_of
from store.outbox.holds import hold_unfinished
from store.states import CampaignState
from store.tables import approval, approval_target, campaign, meta, password_reset, session

GENERATION = "generation"
BOUNCE_KEY = "bounce_key"
SIGN_IN_KEY = "sign_in_key"
RESTORED = "restored copy: what it calls queued may have been sent since"
"""The reason of the holds, for people: a hold of a restore is known by its mark (`hold.of_restore`)."""
_keep = Prepared(sa.text("INSERT INTO meta (key, value) VALUES (:key, :value) ON CONFLICT DO NOTHING"))
_withdraw = Prepared(
    sa.update(approval).where(sa.text("state IN ('asked', 'granted')")).values(state=sa.literal_column("'withdrawn'"))
)
_value = Prepared(sa.select(meta.c.value).where(meta.c.key == sa.bindparam("key")))


# What the platform told somebody in the lost timeline is not told again by a copy: its links and codes may be used, and
# no list shows it for anybody to decide. Whoever was still to be told is in doubt from then on.
_give_notices_up = Prepared(
    sa.update(campaign)
    .where(campaign.c.zone_id.is_(None), campaign.c.sealed_ms.is_(None))
    .values(state=str(CampaignState.STOPPED), epoch=campaign.c.epoch + 1, retired_ms=sa.bindparam("now"))
)


async def kept(tx: Transaction, key: str, new: str) -> str:
    """The value kept under a key; `new` is kept when there is none."""
    await tx.run(_keep, {"key": key, "value": new})
    row = await tx.first(_value, {"key": key})
    assert row is not None
    return str(row.value)


async def generation(tx: Transaction) -> str:
    """Part of every reference that leaves; a restore must give the store a new one (`renew_generation`)."""
    return await kept(tx, GENERATION, secrets.token_hex(3))


async def renew_generation(tx: Transaction, by: Actor = SERVER) -> str:
    """After a restore: receipts of the timeline that was lost hit nobody, and what the copy calls unfinished, which
    may have been sent, ended or cancelled since, is held until somebody decides; who was signed in signs in anew. What
    waits for a second person is withdrawn: it may have been refused since, and is asked anew."""
    await generation(tx)
    await tx.run(_give_notices_up, {"now": tx.now_ms})
    held = await hold_unfinished(tx, RESTORED, "tocsin new-generation")
    # What was ended, or used up, since the copy would be good again.
    await tx.run(sa.update(session).where(session.c.ended_ms.is_(None)).values(ended_ms=tx.now_ms, ended_by="restored"))
    await tx.run(sa.update(password_reset).where(password_reset.c.used_ms.is_(None)).values(used_ms=tx.now_ms))
    await tx.run(sa.delete(approval_target))
    withdrawn = await tx.run(_withdraw)
    new = secrets.token_hex(3)
    await audit.note(tx, "new-generation", new, by, detail={"held": held, "withdrawn": withdrawn})
    await tx.run(sa.update(meta).where(meta.c.key == GENERATION).values(value=new))
    return new


async def read(conn: AsyncConnection, key: str) -> str | None:
    rows = await rows_of(conn, _value, {"key": key})
    return str(rows[0].value) if rows else None
