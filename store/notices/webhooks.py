"""Webhooks that are to be called, as rows, and what was answered last from outside."""

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from store.engine.prepared_statement import Prepared
from store.engine.transaction import Transaction, rows_of
from store.tables import outside, webhook_call

_MOST_TEXT = 300


class WebhookCall(msgspec.Struct, frozen=True):
    id: int
    public_id: str
    body: str
    attempts: int
    """The one that begins included."""


_add = Prepared(
    sa.insert(webhook_call)
    .values({n: sa.bindparam(n) for n in ("public_id", "type", "body", "made_ms", "due_ms")})
    .returning(webhook_call.c.id)
)
_next = Prepared(
    sa.select(webhook_call.c.id, webhook_call.c.public_id, webhook_call.c.body, webhook_call.c.attempts)
    .where(sa.text("webhook_call.due_ms IS NOT NULL"), webhook_call.c.due_ms <= sa.bindparam("now"))
    .order_by(webhook_call.c.due_ms)
    .limit(1)
    .with_for_update(skip_locked=True)
)
_this = webhook_call.c.id == sa.bindparam("call")
_try = Prepared(
    sa.update(webhook_call).where(_this).values(due_ms=sa.bindparam("until_ms"), attempts=webhook_call.c.attempts + 1)
)
_take = Prepared(sa.update(webhook_call).where(_this).values(due_ms=None, taken_ms=sa.bindparam("now"), error=""))
_fail = Prepared(
    sa.update(webhook_call)
    .where(_this, webhook_call.c.taken_ms.is_(None))
    .values(due_ms=sa.bindparam("due"), error=sa.bindparam("why"))
)


async def queue(tx: Transaction, public_id: str, type_: str, body: str) -> int:
    """Has a webhook called from now on; returns its number."""
    values = {"public_id": public_id, "type": type_, "body": body, "made_ms": tx.now_ms, "due_ms": tx.now_ms}
    [row] = await tx.rows(_add, values)
    return int(row.id)


async def begin(tx: Transaction, lasts_ms: int) -> WebhookCall | None:
    """The next call that is due, counted as tried. Whoever dies with it has it tried again after `lasts_ms`."""
    row = await tx.first(_next, {"now": tx.now_ms})
    if row is None:
        return None
    await tx.run(_try, {"call": row.id, "until_ms": tx.now_ms + lasts_ms})
    return WebhookCall(row.id, row.public_id, row.body, row.attempts + 1)


_any_due = Prepared(
    sa.select(webhook_call.c.id)
    .where(sa.text("webhook_call.due_ms IS NOT NULL"), webhook_call.c.due_ms <= sa.bindparam("now"))
    .limit(1)
)


async def any_due(conn: AsyncConnection, now_ms: int) -> bool:
    return bool(await rows_of(conn, _any_due, {"now": now_ms}))


async def taken(tx: Transaction, call_id: int) -> None:
    await tx.run(_take, {"call": call_id, "now": tx.now_ms})


async def failed(tx: Transaction, call_id: int, why: str, again_in_ms: int | None) -> None:
    """`again_in_ms` None: it is given up."""
    due = None if again_in_ms is None else tx.now_ms + again_in_ms
    await tx.run(_fail, {"call": call_id, "due": due, "why": why[:_MOST_TEXT]})


# ---- outside -----------------------------------------------------------------------------------------------------


class OutsideView(msgspec.Struct, frozen=True):
    """What was answered last by something that lies outside."""

    name: str
    ok_ms: int
    """0: never."""
    failed_ms: int
    detail: str

    @property
    def fails(self) -> bool:
        return self.failed_ms > self.ok_ms


_note = Prepared(
    sa.text(
        "INSERT INTO outside (name, ok_ms, failed_ms, detail) VALUES (:name, :ok, :failed, :detail)"
        " ON CONFLICT (name) DO UPDATE SET detail = :detail,"
        " ok_ms = CASE WHEN :ok > 0 THEN :ok ELSE outside.ok_ms END,"
        " failed_ms = CASE WHEN :failed > 0 THEN :failed ELSE outside.failed_ms END"
    ).bindparams(*(sa.bindparam(name, type_=sa.BigInteger) for name in ("ok", "failed")))
)
_outside = Prepared(sa.select(outside).where(outside.c.name != "judge").order_by(outside.c.name))


async def note_outside(tx: Transaction, name: str, *, ok: bool, detail: str) -> None:
    now = tx.now_ms
    values = {"name": name, "detail": detail[:_MOST_TEXT]}
    await tx.run(_note, values | {"ok": now if ok else 0, "failed": 0 if ok else now})


async def outside_views(conn: AsyncConnection) -> list[OutsideView]:
    return [OutsideView(*row) for row in await rows_of(conn, _outside)]


_state = Prepared(
    sa.select(webhook_call.c.taken_ms, webhook_call.c.attempts, webhook_call.c.error, webhook_call.c.due_ms).where(
        _this
    )
)


class CallView(msgspec.Struct, frozen=True):
    taken_ms: int | None
    attempts: int
    error: str
    due_ms: int | None


async def call_view(conn: AsyncConnection, call_id: int) -> CallView | None:
    rows = await rows_of(conn, _state, {"call": call_id})
    return CallView(*rows[0]) if rows else None
