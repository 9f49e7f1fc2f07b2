"""The public feed as it is kept: what waits to be published, what was published in which bytes, what is in force.

Every change of it has a number, given under a lock: who has seen one number has seen all below it, whichever node
wrote them. An alert enters by `publish` and never changes afterwards; it leaves when it is ended there, or by the
clock. Knows no CAP: documents are bytes.
"""

from collections.abc import Collection, Sequence

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from store import meta
from store.engine.json_rows import json_rows, pack
from store.engine.prepared_statement import Prepared
from store.engine.transaction import Transaction, rows_of
from store.tables import alert, feed_entry
from store.tables import meta as meta_table

_REVISION = "feed_revision"

_document = sa.func.coalesce(feed_entry.c.document, alert.c.document)
_entries = feed_entry.join(alert, alert.c.id == feed_entry.c.alert_id)
_in_time = sa.or_(feed_entry.c.expires_ms.is_(None), feed_entry.c.expires_ms > sa.bindparam("now"))
_in_force = sa.and_(feed_entry.c.seq.is_not(None), feed_entry.c.ended_seq.is_(None), _in_time)


class PendingAlert(msgspec.Struct, frozen=True):
    """A public alert that was accepted and is not in the feed yet."""

    id: int
    public_id: str
    sender: str
    identifier: str
    document: bytes
    """As it was received."""


class Edition(msgspec.Struct, frozen=True):
    """The form in which an alert is published."""

    id: int
    document: bytes | None
    """None: byte for byte as it was received."""


_without = json_rows("without", id=int)
_pending = Prepared(
    sa.select(feed_entry.c.id, alert.c.public_id, alert.c.sender, alert.c.identifier, alert.c.document)
    .select_from(_entries)
    .where(feed_entry.c.seq.is_(None), feed_entry.c.id.not_in(sa.select(_without.c.id)))
    .order_by(feed_entry.c.id)
    .limit(sa.bindparam("most"))
)


async def pending(conn: AsyncConnection, *, most: int = 20, without: Collection[int] = ()) -> list[PendingAlert]:
    """Alerts that are not in the feed yet, in the order in which they were accepted; none of those `without`."""
    rows = await rows_of(conn, _pending, {"most": most, "without": pack((i,) for i in without)})
    return [PendingAlert(*(*row[:4], bytes(row.document))) for row in rows]


def _over_statement() -> sa.Select[tuple[int]]:
    """In the feed, and no longer to be: an Update or Cancel was accepted. What takes its place goes first, so that
    the feed never shows both, nor neither."""
    waiting, successor = feed_entry.alias("waiting"), alert.alias("successor")
    waits = (
        sa.exists()
        .where(
            waiting.c.seq.is_(None),
            successor.c.id == waiting.c.alert_id,
            successor.c.thread_id == alert.c.thread_id,
        )
        .correlate(alert)
    )
    return (
        sa.select(feed_entry.c.id)
        .select_from(_entries)
        .where(_in_force, alert.c.state != "active", alert.c.msg_type != "Cancel", ~waits)
        .order_by(feed_entry.c.id)
    )


_over = Prepared(_over_statement())
_first_over = Prepared(_over_statement().limit(1))


async def anything_over(conn: AsyncConnection, now_ms: int) -> bool:
    return bool(await rows_of(conn, _first_over, {"now": now_ms}))


_ours = meta_table.c.key == _REVISION
_take_revision = Prepared(sa.select(meta_table.c.value).where(_ours).with_for_update())
_move_revision = Prepared(sa.update(meta_table).where(_ours).values(value=sa.bindparam("value_")))
_let_in = Prepared(
    sa.update(feed_entry)
    .where(feed_entry.c.id == sa.bindparam("entry"), feed_entry.c.seq.is_(None))
    .values(seq=sa.bindparam("seq_"), document=sa.bindparam("document_"), published_ms=sa.bindparam("now"))
)
_take_away = Prepared(sa.delete(feed_entry).where(feed_entry.c.id == sa.bindparam("entry"), feed_entry.c.seq.is_(None)))
_end = Prepared(
    sa.update(feed_entry)
    .where(feed_entry.c.id == sa.bindparam("entry"), feed_entry.c.ended_seq.is_(None))
    .values(ended_seq=sa.bindparam("seq_"), ended_ms=sa.bindparam("now"))
)


async def publish(tx: Transaction, editions: Sequence[Edition], unfit: Sequence[int] = ()) -> int:
    """Let these in, once each, and end what they replace; entries that are not fit for publication are taken away.

    Returns the revision afterwards.
    """
    await meta.kept(tx, _REVISION, "0")
    row = await tx.first(_take_revision)
    assert row is not None
    revision = before = int(row.value)
    for edition in editions:
        changed = {"entry": edition.id, "seq_": revision + 1, "document_": edition.document, "now": tx.now_ms}
        revision += await tx.run(_let_in, changed)
    for entry_id in unfit:
        await tx.run(_take_away, {"entry": entry_id})
    for over in await tx.rows(_over, {"now": tx.now_ms}):
        revision += await tx.run(_end, {"entry": over.id, "seq_": revision + 1, "now": tx.now_ms})
    if revision != before:
        await tx.run(_move_revision, {"value_": str(revision)})
    return revision


# ---- reading -----------------------------------------------------------------------------------------------------


async def revision(conn: AsyncConnection) -> int:
    """The number of the last change; 0 before the first. The one cheap look."""
    return int(await meta.read(conn, _REVISION) or 0)


class AlertInForce(msgspec.Struct, frozen=True):
    """An alert in force, without its document."""

    id: int
    public_id: str
    published_ms: int
    expires_ms: int | None
    size: int
    """Bytes of its document."""


class FeedState(msgspec.Struct, frozen=True):
    """The feed at one instant."""

    revision: int
    changed_ms: int
    """When it last changed, by what was published, ended or expired; 0 before anything was."""
    in_force: int
    """How many alerts, of which the newest are in `lines`."""
    lines: tuple[AlertInForce, ...]
    """Newest first. A Cancel is among them until it expires, for all to see; what was updated or cancelled is not."""


_lines = Prepared(
    sa.select(
        feed_entry.c.id,
        alert.c.public_id,
        feed_entry.c.published_ms,
        feed_entry.c.expires_ms,
        sa.func.length(_document),
    )
    .select_from(_entries)
    .where(_in_force)
    .order_by(feed_entry.c.seq.desc())
    .limit(sa.bindparam("most"))
)
_count = Prepared(sa.select(sa.func.count()).select_from(feed_entry).where(_in_force))
_changed = Prepared(
    sa.select(
        sa.select(feed_entry.c.published_ms)
        .where(feed_entry.c.seq.is_not(None))
        .order_by(feed_entry.c.seq.desc())
        .limit(1)
        .scalar_subquery(),
        sa.select(feed_entry.c.ended_ms)
        .where(feed_entry.c.ended_seq.is_not(None))
        .order_by(feed_entry.c.ended_seq.desc())
        .limit(1)
        .scalar_subquery(),
        sa.select(sa.func.max(feed_entry.c.expires_ms))
        .where(feed_entry.c.expires_ms <= sa.bindparam("now"), feed_entry.c.seq.is_not(None))
        .scalar_subquery(),
    )
)
"""When an alert was last published, ended, and expired."""


async def state(conn: AsyncConnection, now_ms: int, *, most: int = 500) -> FeedState:
    """The feed with what is in force at `now_ms`."""
    [changed] = await rows_of(conn, _changed, {"now": now_ms})
    lines = await rows_of(conn, _lines, {"now": now_ms, "most": most})
    in_force = len(lines)
    if in_force == most:
        [counted] = await rows_of(conn, _count, {"now": now_ms})
        in_force = int(counted[0])
    return FeedState(
        await revision(conn),
        max((at_ms for at_ms in changed if at_ms is not None), default=0),
        in_force,
        tuple(AlertInForce(*row) for row in lines),
    )


_asked = json_rows("asked", id=int)
_documents = Prepared(
    sa.select(feed_entry.c.id, _document).select_from(_entries).where(feed_entry.c.id.in_(sa.select(_asked.c.id)))
)


async def documents(conn: AsyncConnection, ids: Sequence[int]) -> dict[int, bytes]:
    """The published bytes of these entries."""
    rows = await rows_of(conn, _documents, {"asked": pack((i,) for i in ids)})
    return {row[0]: bytes(row[1]) for row in rows}


_published = Prepared(
    sa.select(_document)
    .select_from(_entries)
    .where(feed_entry.c.seq.is_not(None), alert.c.public_id == sa.bindparam("public_id"))
)


async def published(conn: AsyncConnection, public_id: str) -> bytes | None:
    """The bytes in which an alert was published, also when it is over; None for what never was."""
    rows = await rows_of(conn, _published, {"public_id": public_id})
    return bytes(rows[0][0]) if rows else None


_original = Prepared(
    sa.select(alert.c.document)
    .select_from(_entries)
    .where(feed_entry.c.seq.is_not(None), alert.c.public_id == sa.bindparam("public_id"))
)


async def received(conn: AsyncConnection, public_id: str) -> bytes | None:
    """The bytes as they came of an alert that was published; None for what never was."""
    rows = await rows_of(conn, _original, {"public_id": public_id})
    return bytes(rows[0][0]) if rows else None


async def published_as(conn: AsyncConnection, names: Sequence[tuple[str, str]]) -> dict[tuple[str, str], bytes]:
    """The published bytes of the alerts of these (sender, identifier), also when they are over; without those that
    never were."""
    key = sa.tuple_(alert.c.sender, alert.c.identifier)
    statement = (
        sa.select(alert.c.sender, alert.c.identifier, _document)
        .select_from(_entries)
        .where(feed_entry.c.seq.is_not(None), key.in_(list(names)))
    )
    return {(row[0], row[1]): bytes(row[2]) for row in (await conn.execute(statement)).all()}


class FeedChange(msgspec.Struct, frozen=True):
    """One change of the feed: an alert came in, or was ended by a later one."""

    seq: int
    ended: bool
    public_id: str
    sender: str
    identifier: str
    sent_ms: int
    at_ms: int
    document: bytes
    """Empty for one that ended."""


_SUBJECT = (alert.c.public_id, alert.c.sender, alert.c.identifier, alert.c.sent_ms)
_came = Prepared(
    sa.select(feed_entry.c.seq, *_SUBJECT, feed_entry.c.published_ms, _document)
    .select_from(_entries)
    .where(feed_entry.c.seq > sa.bindparam("after"), feed_entry.c.seq <= sa.bindparam("upto"))
)
_ended = Prepared(
    sa.select(feed_entry.c.ended_seq, *_SUBJECT, feed_entry.c.ended_ms)
    .select_from(_entries)
    .where(feed_entry.c.ended_seq > sa.bindparam("after"), feed_entry.c.ended_seq <= sa.bindparam("upto"))
)


async def changes(conn: AsyncConnection, after: int, upto: int) -> list[FeedChange]:
    """The changes with a number above `after`, up to `upto`, in their order."""
    between = {"after": after, "upto": upto}
    came = await rows_of(conn, _came, between)
    found = [FeedChange(*(row[0], False, *row[1:6], bytes(row[6]))) for row in came]
    ended = await rows_of(conn, _ended, between)
    found += [FeedChange(*(row[0], True, *row[1:6], b"")) for row in ended]
    return sorted(found, key=lambda change: change.seq)
