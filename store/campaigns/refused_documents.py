"""Documents that were refused at the door: kept for a while, for whoever mends what sends them.

One row for each account and body. Nothing of it was ever acted on. Instants are UTC milliseconds.
"""

import zlib
from collections.abc import Sequence

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert as insert_postgresql
from sqlalchemy.dialects.sqlite import insert as insert_sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from store.engine.transaction import Transaction
from store.tables import account, refused_document


class NewRefused(msgspec.Struct, frozen=True, kw_only=True):
    """One refusal. `document` is the body as received, packed by `pack`."""

    public_id: str
    account_id: int
    sender: str
    identifier: str
    at_ms: int
    status: int
    code: str
    title: str
    problems: str
    """JSON."""
    sha256: str
    size: int
    document: bytes


class RefusedDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of one document without its bytes; the verdict is that of the last time."""

    id: int
    public_id: str
    account_id: int
    account: str
    """Its code."""
    sender: str
    identifier: str
    first_ms: int
    last_ms: int
    times: int
    status: int
    code: str
    title: str
    problems: str
    sha256: str
    size: int


class RefusedQuota(msgspec.Struct, frozen=True):
    """How much is kept of one account: what came longest ago goes first."""

    documents: int
    bytes: int
    """Of packed documents."""


def pack(body: bytes) -> bytes:
    return zlib.compress(body)


_KEPT = refused_document.c
_NAMES = tuple(name for name in RefusedDocument.__struct_fields__ if name != "account")
_columns = (*(_KEPT[name] for name in _NAMES), account.c.code.label("account"))
_rows = sa.select(*_columns).select_from(refused_document.join(account, account.c.id == _KEPT.account_id))
_LATEST = (_KEPT.last_ms.desc(), _KEPT.id.desc())
_AGAIN = ("last_ms", "status", "code", "title", "problems")


async def keep(tx: Transaction, refused: Sequence[NewRefused], keeping: RefusedQuota) -> None:
    """Keeps a refused document. The same body of the same account again is counted, with the verdict of this time."""
    insert = insert_sqlite if tx.sqlite else insert_postgresql
    for each in refused:
        values = msgspec.structs.asdict(each)
        at_ms = values.pop("at_ms")
        new = insert(refused_document).values(**values, first_ms=at_ms, last_ms=at_ms, times=1)
        verdict = {name: new.excluded[name] for name in _AGAIN}
        await tx.run(
            new.on_conflict_do_update(
                index_elements=["account_id", "sha256"], set_=verdict | {"times": _KEPT.times + 1}
            )
        )
    for account_id in sorted({each.account_id for each in refused}):
        await _trim(tx, account_id, keeping)


async def _trim(tx: Transaction, account_id: int, keeping: RefusedQuota) -> None:
    place = sa.func.row_number().over(order_by=_LATEST).label("place")
    sizes = sa.func.sum(sa.func.length(_KEPT.document)).over(order_by=_LATEST).label("sizes")
    ranked = sa.select(_KEPT.id, place, sizes).where(_KEPT.account_id == account_id).subquery()
    beyond = sa.select(ranked.c.id).where(
        sa.or_(ranked.c.place > keeping.documents, sa.and_(ranked.c.sizes > keeping.bytes, ranked.c.place > 1))
    )
    await tx.run(sa.delete(refused_document).where(_KEPT.id.in_(beyond)))


async def forget(tx: Transaction, before_ms: int) -> int:
    """Removes what has not come since that instant; returns how many."""
    return await tx.run(sa.delete(refused_document).where(_KEPT.last_ms < before_ms))


async def any_before(conn: AsyncConnection, before_ms: int) -> bool:
    return (await conn.execute(sa.select(_KEPT.id).where(_KEPT.last_ms < before_ms).limit(1))).first() is not None


async def latest(
    conn: AsyncConnection,
    *,
    account_id: int | None = None,
    account_code: str = "",
    sender: str = "",
    since_ms: int = 0,
    before: RefusedDocument | None = None,
    most: int = 100,
) -> list[RefusedDocument]:
    """A page of refused documents, those that came last first; `before` is the last one of the page before. Without an
    account: of all accounts."""
    wanted = _rows.where(_KEPT.last_ms >= since_ms)
    if account_id is not None:
        wanted = wanted.where(_KEPT.account_id == account_id)
    if account_code:
        wanted = wanted.where(account.c.code == account_code)
    if sender:
        wanted = wanted.where(_KEPT.sender == sender)
    if before is not None:
        at = before.last_ms
        wanted = wanted.where(sa.or_(_KEPT.last_ms < at, sa.and_(_KEPT.last_ms == at, _KEPT.id < before.id)))
    rows = await conn.execute(wanted.order_by(*_LATEST).limit(most))
    return [RefusedDocument(**row._asdict()) for row in rows.all()]


async def by_public_id(conn: AsyncConnection, public_id: str) -> RefusedDocument | None:
    row = (await conn.execute(_rows.where(_KEPT.public_id == public_id))).first()
    return None if row is None else RefusedDocument(**row._asdict())


async def body_of(conn: AsyncConnection, id: int) -> bytes | None:
    """The body as it was received; None where it has gone meanwhile."""
    packed = (await conn.execute(sa.select(_KEPT.document).where(_KEPT.id == id))).scalar_one_or_none()
    return None if packed is None else zlib.decompress(packed)
