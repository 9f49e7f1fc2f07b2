"""Who did what: lines that are never changed, a chain that shows if one was, and beside them what may be erased.

A line holds ids and words of the house alone; names of people, and what stood before and after, stand apart with a salt
and can be erased without breaking the chain. One linker at a time holds the head and chains what has been committed,
in its own order: ids are given before their transactions are committed.
"""

import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from store.audit_line import SERVER, Actor, noting, salted, sha256_of
from store.engine.json_rows import json_rows, pack
from store.engine.prepared_statement import Prepared
from store.engine.transaction import AnyRow, Transaction
from store.tables import audit, audit_detail, audit_link, meta

HEAD = "audit_head"
GENESIS = "0" * 64
_WINDOW = 100_000
"""Ids behind the last chained line among which one may still appear: a transaction takes seconds at most."""
_PAGE = 1_000


class Head(msgspec.Struct, frozen=True):
    """Where the chain ends: kept elsewhere, it shows that no line was taken away or written anew."""

    number: int
    hash: str

    def __str__(self) -> str:
        return f"{self.number}:{self.hash}"


class ChainVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """What the chain says."""

    links: int
    waiting: int
    """Lines that no server has chained yet."""
    gone: int
    """Lines whose time was over: their links are there."""
    erased: int
    """Lines of which what stood apart was erased."""
    head: Head
    faults: tuple[str, ...]


_line = sa.select(
    audit.c.id, audit.c.form, audit.c.at_ms, audit.c.account_id, audit.c.behalf_id, audit.c.zone_id, audit.c.via,
    audit.c.action, audit.c.subject, audit.c.detail, audit.c.apart,
)  # fmt: skip


async def note(
    tx: Transaction,
    action: str,
    subject: str,
    by: Actor = SERVER,
    *,
    zone_id: int | None = None,
    detail: Mapping[str, Any] | None = None,
    apart: Mapping[str, Any] | None = None,
) -> None:
    """A line in the transaction of what it tells of. `detail`: ids and words of the house; `apart`: the rest."""
    await tx.follow(noting(tx.now_ms, action, subject, by, zone_id=zone_id, detail=detail, apart=apart))


# ---- the chain ---------------------------------------------------------------------------------------------------

_linked = sa.select(audit_link.c.audit_id).where(audit_link.c.audit_id == audit.c.id)
_latest = sa.select(sa.func.coalesce(sa.func.max(audit_link.c.audit_id), 0) - _WINDOW).scalar_subquery()
_unlinked = _line.where(audit.c.id > _latest, ~sa.exists(_linked)).order_by(audit.c.id)
_next_unlinked = Prepared(_unlinked.limit(sa.bindparam("most")))
_links_made = json_rows("links", no=int, audit_id=int, line_sha256=str, hash=str)
_add_links = Prepared(
    sa.insert(audit_link).from_select(["no", "audit_id", "line_sha256", "hash"], sa.select(_links_made))
)
_begin = Prepared(sa.text("INSERT INTO meta (key, value) VALUES (:key, :value) ON CONFLICT DO NOTHING"))
_take_head = Prepared(sa.update(meta).where(meta.c.key == HEAD).values(value=meta.c.value))
_read_head = Prepared(sa.select(meta.c.value).where(meta.c.key == HEAD))
_move_head = Prepared(sa.update(meta).where(meta.c.key == HEAD).values(value=sa.bindparam("value_")))


LINKED_AT_ONCE = 500


async def link(tx: Transaction, most: int = LINKED_AT_ONCE) -> int:
    """Chain what is not yet; returns how many lines. Whoever else links waits."""
    await tx.run(_begin, {"key": HEAD, "value": f"0:{GENESIS}"})
    await tx.run(_take_head)
    found = await tx.first(_read_head)
    assert found is not None
    head = _head(found.value)
    links = []
    for row in await tx.rows(_next_unlinked, {"most": most}):
        sha256 = sha256_of(row)
        head = _next(head, sha256)
        links.append((head.number, row.id, sha256, head.hash))
    if links:
        await tx.run(_add_links, {"links": pack(links)})
        await tx.run(_move_head, {"value_": str(head)})
    return len(links)


async def verify(conn: AsyncConnection, expected: Head | None = None, most_faults: int = 20) -> ChainVerdict:
    """Go through the whole chain. `expected`: a head that was kept elsewhere."""
    faults: list[str] = []
    head = Head(0, GENESIS)
    gone = erased = 0
    seen = expected is None or expected.number == 0
    lines_began = False
    async for page in _links(conn):
        rows = {row.id: row for row in await _lines(conn, [each.audit_id for each in page])}
        details = {row.audit_id: row for row in await _details(conn, list(rows))}
        for each in page:
            head, row = _next(head, each.line_sha256), rows.get(each.audit_id)
            if (each.no, each.hash) != (head.number, head.hash):
                faults.append(f"link {each.no}: it does not follow from the one before")
                head = Head(each.no, each.hash)
            if row is None:
                gone += 1
                if lines_began:
                    faults.append(f"link {each.no}: its line {each.audit_id} is gone, and older ones are there")
            else:
                lines_began = True
                fault, was_erased = _judge(row, details.get(row.id), each.line_sha256)
                erased += was_erased
                faults += [f"link {each.no}: line {row.id} {fault}"] if fault else []
            if expected is not None and each.no == expected.number:
                seen = True
                if each.hash != expected.hash:
                    faults.append(f"link {each.no}: it is not the one that was kept elsewhere")
    kept_head = await _kept_head(conn)
    if kept_head != head:
        faults.append(f"the chain ends at {head.number}, and its head says {kept_head.number}")
    if not seen and expected is not None:
        faults.append(f"the chain ends at {head.number}, before the one that was kept elsewhere ({expected.number})")
    waiting = int((await conn.execute(sa.select(sa.func.count()).select_from(_unlinked.subquery()))).scalar_one())
    return ChainVerdict(
        links=head.number, waiting=waiting, gone=gone, erased=erased, head=head, faults=tuple(faults[:most_faults])
    )


def read_head(text: str) -> Head:
    """The head that was printed as NUMBER:HASH. Raises ValueError for anything else."""
    number, _, hash_ = text.strip().partition(":")
    if not number.isdigit() or len(hash_) != 64 or set(hash_) - set("0123456789abcdef"):
        raise ValueError(f"{text!r} is no head: NUMBER:HASH, as 'tocsin audit verify' prints it")
    return Head(int(number), hash_)


def _judge(row: AnyRow, apart: AnyRow | None, sha256: str) -> tuple[str, bool]:
    """(what is wrong with it, whether what stood apart was erased)."""
    if sha256_of(row) != sha256:
        return "was changed", False
    if not row.apart:
        return ("has something beside it that it does not name" if apart is not None else ""), False
    if apart is None:
        return "", True
    return ("" if salted(apart.salt, apart.detail) == row.apart else "has something else beside it"), False


def _next(head: Head, sha256: str) -> Head:
    number = head.number + 1
    return Head(number, hashlib.sha256(f"{head.hash}:{number}:{sha256}".encode()).hexdigest())


def _head(value: str) -> Head:
    number, _, hash_ = value.partition(":")
    return Head(int(number), hash_)


async def _kept_head(conn: AsyncConnection) -> Head:
    value = (await conn.execute(sa.select(meta.c.value).where(meta.c.key == HEAD))).scalar()
    return Head(0, GENESIS) if value is None else _head(str(value))


async def _links(conn: AsyncConnection) -> AsyncIterator[Sequence[AnyRow]]:
    last = 0
    while True:
        statement = sa.select(audit_link).where(audit_link.c.no > last).order_by(audit_link.c.no).limit(_PAGE)
        page = (await conn.execute(statement)).all()
        if page:
            yield page
        if len(page) < _PAGE:
            return
        last = page[-1].no


async def _lines(conn: AsyncConnection, ids: Sequence[int]) -> Sequence[AnyRow]:
    return (await conn.execute(_line.where(audit.c.id.in_(ids)))).all()


async def _details(conn: AsyncConnection, ids: Sequence[int]) -> Sequence[AnyRow]:
    return (await conn.execute(sa.select(audit_detail).where(audit_detail.c.audit_id.in_(ids)))).all()


# ---- erasing --------------------------------------------------------------------------------------------------------


async def erase_apart(tx: Transaction, subject: str) -> int:
    """Erases what stands beside the lines about a subject; the lines stay, and the chain holds."""
    about = sa.select(audit.c.id).where(audit.c.subject == subject)
    return await tx.run(sa.delete(audit_detail).where(audit_detail.c.audit_id.in_(about)))


async def erase_apart_of(tx: Transaction, account_id: int, before_ms: int, most: int = _PAGE) -> int:
    """Erases what stands beside what an account did before an instant, of `most` lines at a time: addresses of clients
    are personal. Returns of how many; fewer than `most`: there are no more."""
    of_account = (
        sa.select(audit.c.id)
        .join(audit_detail, audit_detail.c.audit_id == audit.c.id)
        .where(audit.c.account_id == account_id, audit.c.at_ms < before_ms)
        .limit(most)
    )
    return await tx.run(sa.delete(audit_detail).where(audit_detail.c.audit_id.in_(of_account)))
