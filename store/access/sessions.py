"""Sessions of people: found by the hash of their token with all that a decision needs, made, renewed, listed.

The token itself never comes here. How one ends is store/access/session_ends.py.
"""

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from store import audit
from store.access import session_ends
from store.access.accounts import IS_OPEN, RightRow
from store.audit_line import Actor
from store.engine.prepared_statement import Prepared
from store.engine.transaction import Transaction, rows_of
from store.tables import account, account_right, session

MOST = 20
"""Of one account that last; one more ends the one that was made first."""
TOUCHED_EVERY_MS = 60_000
FORGOTTEN_MS = 30 * 86_400_000
"""After its end."""


class SessionRow(msgspec.Struct, frozen=True):
    """A session that has not been ended, with its account and that account's rights."""

    number: int
    public_id: str
    made_ms: int
    seen_ms: int
    ends_ms: int
    factors: str
    """JSON: the factors that were shown when its token was given."""
    factor_ms: int
    enrol_only: bool
    locked: bool
    break_glass_use_id: int | None
    account_id: int
    code: str
    name: str
    type: str
    senders: str
    kind_rules: str
    terms: str
    rights: tuple[RightRow, ...] = ()


class NewSession(msgspec.Struct, frozen=True, kw_only=True):
    public_id: str
    token_sha256: str
    account_id: int
    factors: str
    enrol_only: bool
    life_ms: int
    address: str
    agent: str
    break_glass_use_id: int | None = None
    """Of the paper code that opens it."""


class SessionView(msgspec.Struct, frozen=True, kw_only=True):
    """A session as its owner sees it."""

    public_id: str
    made_ms: int
    seen_ms: int
    ends_ms: int
    factors: str
    factor_ms: int
    enrol_only: bool
    locked: bool
    address: str
    agent: str


_OF_SESSION = (
    "public_id", "made_ms", "seen_ms", "ends_ms", "factors", "factor_ms", "enrol_only", "locked", "break_glass_use_id",
)  # fmt: skip
_OF_ACCOUNT = ("code", "name", "type", "senders", "kind_rules", "terms")
_find = Prepared(
    sa.select(
        session.c.id.label("number"),
        *(session.c[name] for name in _OF_SESSION),
        account.c.id.label("account_id"),
        *(account.c[name] for name in _OF_ACCOUNT),
        account_right.c.id.label("right_id"),
        *(account_right.c[name].label(f"right_{name}") for name in RightRow.__struct_fields__),
    )
    .select_from(
        session.join(account, account.c.id == session.c.account_id).outerjoin(
            account_right, account_right.c.account_id == account.c.id
        )
    )
    .where(
        session.c.token_sha256 == sa.bindparam("sha256"),
        session.c.ended_ms.is_(None),
        IS_OPEN,
    )
    .order_by(account_right.c.id)
)
_FIRST_RIGHT = 2 + len(_OF_SESSION) + len(_OF_ACCOUNT) + 1
_touch = Prepared(
    sa.update(session)
    .where(
        session.c.id == sa.bindparam("number"),
        session.c.seen_ms <= sa.bindparam("before_ms"),
        session.c.ended_ms.is_(None),
    )
    .values(seen_ms=sa.bindparam("now_ms"))
)


async def find(conn: AsyncConnection, token_sha256: str) -> SessionRow | None:
    """The session of a token, with everything that a decision needs, in one query; None where it was ended or its
    account is disabled. Whether its time is over is the caller's to say."""
    rows = await rows_of(conn, _find, {"sha256": token_sha256})
    if not rows:
        return None
    rights = tuple(RightRow(*row[_FIRST_RIGHT:]) for row in rows if row.right_id is not None)
    first = rows[0]
    values = dict(zip(SessionRow.__struct_fields__, first[: _FIRST_RIGHT - 1], strict=False))
    values |= {"enrol_only": bool(first.enrol_only), "locked": bool(first.locked)}
    return SessionRow(**values, rights=rights)


async def make(tx: Transaction, new: NewSession, by: Actor, code: str) -> int:
    """Opens a session, with its line; where its account has too many, the first of them ends. Returns its number."""
    values = msgspec.structs.asdict(new) | {"enrol_only": int(new.enrol_only)}
    life_ms = values.pop("life_ms")
    now = dict.fromkeys(("made_ms", "seen_ms", "factor_ms"), tx.now_ms)
    statement = sa.insert(session).values(values | now | {"ends_ms": tx.now_ms + life_ms})
    row = await tx.first(statement.returning(session.c.id))
    assert row is not None
    await session_ends.end_beyond(tx, new.account_id, MOST, by)
    detail = {"session": new.public_id, "factors": msgspec.json.decode(new.factors), "enrol_only": new.enrol_only}
    await audit.note(tx, "sign-in", code, by, detail=detail, apart={"agent": new.agent} if new.agent else None)
    return int(row[0])


async def renew(
    tx: Transaction,
    number: int,
    token_sha256: str,
    factors: str,
    *,
    seen_factor_ms: int,
    enrol_only: bool = False,
    life_ms: int | None = None,
) -> bool:
    """Gives a session another token for a factor that was shown: it is locked no longer, and the token before is worth
    nothing. `life_ms`: counted anew from here; None: it ends when it would have. False where it has ended, or a factor
    was shown for it since it was seen: of two tabs one gives the browser its cookie."""
    values: dict[str, object] = {"token_sha256": token_sha256, "factors": factors, "factor_ms": tx.now_ms}
    values |= {"seen_ms": tx.now_ms, "locked": 0, "enrol_only": int(enrol_only)}
    if life_ms is not None:
        values["ends_ms"] = tx.now_ms + life_ms
    seen = sa.and_(session.c.id == number, session.c.factor_ms == seen_factor_ms)
    lasts = sa.and_(seen, session.c.ended_ms.is_(None), session.c.ends_ms > tx.now_ms)
    return await tx.run(sa.update(session).where(lasts).values(values)) == 1


async def touch(tx: Transaction, number: int) -> None:
    """Notes that somebody is there; once a minute at most."""
    before_ms = tx.now_ms - TOUCHED_EVERY_MS
    await tx.run(_touch, {"number": number, "before_ms": before_ms, "now_ms": tx.now_ms})


async def lasting(conn: AsyncConnection, account_id: int, now_ms: int) -> list[SessionView]:
    """Those of an account that last, the newest first."""
    columns = [session.c[name] for name in SessionView.__struct_fields__]
    alive = sa.and_(session.c.account_id == account_id, session.c.ended_ms.is_(None), session.c.ends_ms > now_ms)
    rows = (await conn.execute(sa.select(*columns).where(alive).order_by(session.c.id.desc()))).all()
    views = (SessionView(**row._mapping) for row in rows)
    return [msgspec.structs.replace(v, enrol_only=bool(v.enrol_only), locked=bool(v.locked)) for v in views]


async def forget(tx: Transaction, most: int = 200) -> int:
    """Deletes what ended long ago, so many at a time; returns how many."""
    over = session.c.ends_ms < tx.now_ms - FORGOTTEN_MS
    rows = await tx.rows(sa.select(session.c.id).where(over).limit(most))
    return await tx.run(sa.delete(session).where(session.c.id.in_([row.id for row in rows]))) if rows else 0
