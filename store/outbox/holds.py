"""Holds: nothing leaves while one stands. Setting one costs the same whatever is queued: the fence looks at every
window. A hold on a carrier leaves the lane its others: the fence grants nothing on that one."""

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from store import audit
from store.audit_line import SERVER, Actor
from store.engine.prepared_statement import Prepared
from store.engine.storable_text import readable
from store.engine.transaction import Transaction, follow, rows_of
from store.outbox import hold_statements
from store.outbox.fairness import rejoin
from store.outbox.hold_statements import Hold, placing
from store.tables import Big, hold


async def place(tx: Transaction, scope: str, subject: str, reason: str, by: str, actor: Actor | None = None) -> bool:
    """Places a hold; False where one stands already, which keeps its time and reason. `by`: whom everybody is shown;
    `actor`: whom the audit tells, where it is not somebody at the terminal of that name."""
    return await tx.follow(placing(scope, subject, reason, by, tx.now_ms, actor))


_HOLD_UNFINISHED = (
    'INSERT INTO hold (public_id, scope, subject, reason, "by", at_ms, changed_by, changed_ms, of_restore)'
    " SELECT NEW_ID, 'campaign', CAST(campaign.id AS TEXT), :reason, :by, :at, :by, :at, 1 FROM campaign"
    " WHERE campaign.state IN ('preparing', 'scheduled', 'running') AND campaign.ended_ms IS NULL"
    " OR campaign.state = 'completed'"
    " AND campaign.id IN (SELECT batch.campaign_id FROM batch WHERE batch.state <> 3)"
    # Who has seen the hold that stood there as it was does not lift it from here on: its revision moves.
    " ON CONFLICT (scope, subject) DO UPDATE SET of_restore = 1, revision = hold.revision + 1,"
    " changed_by = excluded.changed_by, changed_ms = excluded.changed_ms WHERE hold.of_restore = 0"
)


def _with_ids(new_id: str) -> sa.TextClause:
    """`new_id`: 20 hexadecimal digits by chance, in the words of an engine."""
    return sa.text(_HOLD_UNFINISHED.replace("NEW_ID", new_id)).bindparams(
        sa.bindparam("reason", type_=sa.Text), sa.bindparam("by", type_=sa.Text), sa.bindparam("at", type_=Big)
    )


_hold_unfinished = Prepared(
    _with_ids("lower(hex(randomblob(10)))"), _with_ids("left(replace(CAST(gen_random_uuid() AS TEXT), '-', ''), 20)")
)


async def hold_unfinished(tx: Transaction, reason: str, by: str) -> int:
    """Every campaign that is not over gets a hold of its own that is marked as a restore's, so that what is launched
    from here on goes out. One that stood there keeps its reason and whoever placed it, and is marked as well. Returns
    how many were placed or marked."""
    return await tx.run(_hold_unfinished, {"reason": reason, "by": by, "at": tx.now_ms})


_give_reason = Prepared(
    sa.update(hold)
    .where(hold.c.public_id == sa.bindparam("id_"), hold.c.revision == sa.bindparam("seen"), hold.c.of_restore == 0)
    .values(
        reason=sa.bindparam("reason_"),
        revision=hold.c.revision + 1,
        changed_by=sa.bindparam("by_"),
        changed_ms=sa.bindparam("at"),
    )
)


async def give_reason(tx: Transaction, seen: Hold, reason: str, by: str, actor: Actor = SERVER) -> bool:
    """Gives a hold another reason; False where it is no longer as it was seen, or a restore's."""
    reason, by = readable(reason), readable(by)
    values = {"id_": seen.public_id, "seen": seen.revision, "reason_": reason, "by_": by, "at": tx.now_ms}
    changed = bool(await tx.run(_give_reason, values))
    if changed:
        apart = {"before": {"reason": seen.reason}, "after": {"reason": reason}}
        await audit.note(tx, "hold-change", _about(seen.scope, seen.subject), actor, zone_id=seen.zone_id, apart=apart)
    return changed


_of_restore = Prepared(
    sa.select(hold.c.id)
    .where(hold.c.scope == "campaign", hold.c.subject == sa.bindparam("subject_"), hold.c.of_restore == 1)
    .with_for_update()
)


async def restore_holds(tx: Transaction, campaign_id: int) -> bool:
    """Whether a restore holds this campaign; nobody else lifts or changes that hold before this transaction ends."""
    return await tx.first(_of_restore, {"subject_": str(campaign_id)}) is not None


_lift = Prepared(
    sa.delete(hold).where(hold.c.scope == sa.bindparam("scope_"), hold.c.subject == sa.bindparam("subject_"))
)


async def let_go(tx: Transaction, *campaign_ids: int) -> None:
    """Lifts the holds of campaigns of which nothing more leaves, whoever placed them."""
    for campaign_id in campaign_ids:
        await lift(tx, "campaign", str(campaign_id))


async def lift(tx: Transaction, scope: str, subject: str, by: Actor = SERVER) -> bool:
    """Lifts the hold of a thing, also a restore's; False where none stands."""
    lifted = bool(await tx.run(_lift, {"scope_": scope, "subject_": subject}))
    if lifted:
        await _lifted(tx, scope, subject, by)
    return lifted


async def lift_seen(tx: Transaction, seen: Hold, by: Actor) -> bool:
    """Lifts a hold; False where it is no longer as it was seen, or a restore's."""
    as_seen = sa.and_(hold.c.public_id == seen.public_id, hold.c.revision == seen.revision, hold.c.of_restore == 0)
    lifted = bool(await tx.run(sa.delete(hold).where(as_seen)))
    if lifted:
        await _lifted(tx, seen.scope, seen.subject, by)
    return lifted


async def _lifted(tx: Transaction, scope: str, subject: str, by: Actor) -> None:
    await rejoin(tx, scope, subject)
    zone_id = await tx.follow(hold_statements.zone_of(scope, subject))
    await audit.note(tx, "resume", _about(scope, subject), by, zone_id=zone_id)


def _about(scope: str, subject: str) -> str:
    return f"{scope} {subject}".rstrip()


# ---- what stands ---------------------------------------------------------------------------------------------------

_held_carriers = Prepared(sa.select(hold.c.subject).where(hold.c.scope == "carrier"))


async def held_carriers(conn: AsyncConnection) -> frozenset[str]:
    """The names of the carriers on which a hold stands."""
    return frozenset(str(row.subject) for row in await rows_of(conn, _held_carriers))


async def standing(conn: AsyncConnection) -> list[Hold]:
    """Every hold that stands, the oldest first."""
    return await follow(conn, hold_statements.standing())


async def page(conn: AsyncConnection, *, after: int, most: int) -> list[Hold]:
    """The holds behind this place in their order, the oldest first."""
    return await follow(conn, hold_statements.page(after, most))


async def by_public_id(conn: AsyncConnection, public_id: str) -> Hold | None:
    """The hold of an id; None where none stands."""
    return await follow(conn, hold_statements.one_of_id(public_id))


async def of_thing(conn: AsyncConnection, scope: str, subject: str) -> Hold | None:
    """The hold of a thing; None where none stands. `subject`: the store's own word."""
    return await follow(conn, hold_statements.one_of_thing(scope, subject))


_over = Prepared(
    sa.select(hold.c.scope, hold.c.subject)
    .where(
        sa.or_(
            hold.c.scope.in_(("all", "channel")),
            sa.and_(hold.c.scope == "zone", hold.c.subject == sa.bindparam("zone", type_=sa.Text)),
            sa.and_(hold.c.scope == "campaign", hold.c.subject == sa.bindparam("campaign", type_=sa.Text)),
        )
    )
    .order_by(hold.c.id)
)


async def over(conn: AsyncConnection, zone_id: int, campaign_id: int | None = None) -> list[tuple[str, str]]:
    """What stands over a zone's messages, or a campaign's, as (scope, subject): everything, channels, the zone, the
    campaign. Of carriers nothing is told: others may take their messages."""
    rows = await rows_of(conn, _over, {"zone": str(zone_id), "campaign": str(campaign_id or "")})
    return [(str(row.scope), str(row.subject)) for row in rows]
