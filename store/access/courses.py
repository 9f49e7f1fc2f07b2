"""Courses at an account: what somebody has learnt, on which day, and who says so. Each is noted or taken away, never
changed; both are lines of the audit, one for each zone whose business the account is."""

from collections.abc import Collection

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from store import audit
from store.audit_line import SERVER, Actor
from store.engine.prepared_statement import Prepared
from store.engine.transaction import Transaction, rows_of
from store.tables import account, account_right, course

MOST = 200
"""Courses of one account."""


class CourseRow(msgspec.Struct, frozen=True):
    id: int
    name: str
    on_date: str
    """ISO 8601, as the day was where the zones lie."""
    by: str
    """The code of the account that says so; empty: somebody at the machine's terminal."""
    noted_ms: int


class TaughtAccount(msgspec.Struct, frozen=True):
    """An account as far as it decides who may note its courses."""

    id: int
    code: str
    zones: frozenset[int | None]
    """Where it has a right; None stands for every zone."""


_noting = account.alias()
_of_account = Prepared(
    sa.select(
        course.c.id, course.c.name, course.c.on_date, sa.func.coalesce(_noting.c.code, "").label("by"),
        course.c.noted_ms,
    )
    .outerjoin(_noting, _noting.c.id == course.c.by_account_id)
    .where(course.c.account_id == sa.bindparam("account"))
    .order_by(course.c.on_date.desc(), course.c.id.desc())
)  # fmt: skip
_latest = Prepared(
    sa.select(sa.func.max(course.c.on_date).label("on_date")).where(
        course.c.account_id == sa.bindparam("account"), course.c.on_date <= sa.bindparam("until")
    )
)


async def find(conn: AsyncConnection, code: str) -> TaughtAccount | None:
    """The account of a code; None where there is none."""
    rights = account.outerjoin(account_right, account_right.c.account_id == account.c.id)
    columns = (account.c.id, account_right.c.id.label("right_id"), account_right.c.zone_id)
    rows = (await conn.execute(sa.select(*columns).select_from(rights).where(account.c.code == code))).all()
    if not rows:
        return None
    return TaughtAccount(int(rows[0].id), code, frozenset(row.zone_id for row in rows if row.right_id is not None))


async def of_account(conn: AsyncConnection, account_id: int) -> list[CourseRow]:
    """All of an account, the latest first."""
    return [CourseRow(*row) for row in await rows_of(conn, _of_account, {"account": account_id})]


async def latest(conn: AsyncConnection, account_id: int, until: str) -> str | None:
    """The day of the account's last course that is not after `until`, both in ISO 8601; None: it has none."""
    [row] = await rows_of(conn, _latest, {"account": account_id, "until": until})
    return None if row.on_date is None else str(row.on_date)


async def note(tx: Transaction, taught: TaughtAccount, name: str, on_date: str, by: Actor = SERVER) -> CourseRow | None:
    """Notes a course; the same one again is the one that stands. None where the account has as many as there may be."""
    known = await of_account(tx.conn, taught.id)
    same = next((one for one in known if (one.name, one.on_date) == (name, on_date)), None)
    if same is not None or len(known) >= MOST:
        return same
    values: dict[str, object] = {"account_id": taught.id, "name": name, "on_date": on_date}
    values |= {"by_account_id": by.account_id, "noted_ms": tx.now_ms}
    added = await tx.first(sa.insert(course).values(values).returning(course.c.id))
    assert added is not None
    await _tell(tx, "course-note", taught, int(added.id), name, on_date, by)
    return next(one for one in await of_account(tx.conn, taught.id) if one.id == added.id)


async def remove(tx: Transaction, taught: TaughtAccount, number: int, by: Actor = SERVER) -> bool:
    """Takes a course away; False where the account has no such course."""
    which = sa.and_(course.c.id == number, course.c.account_id == taught.id)
    gone = await tx.first(sa.delete(course).where(which).returning(course.c.name, course.c.on_date))
    if gone is None:
        return False
    await _tell(tx, "course-remove", taught, number, gone.name, gone.on_date, by)
    return True


async def _tell(
    tx: Transaction, action: str, taught: TaughtAccount, number: int, name: str, on_date: str, by: Actor
) -> None:
    zones: Collection[int | None] = taught.zones or {None}
    for zone_id in sorted(zones, key=lambda zone: (zone is not None, zone or 0)):
        detail = {"course": number, "on_date": on_date}
        await audit.note(tx, action, taught.code, by, zone_id=zone_id, detail=detail, apart={"name": name})
