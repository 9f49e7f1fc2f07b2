"""Approvals: what one person asks for and a second one decides. Asking freezes it, and it is decided once.

Nothing here knows what an act means: it is bytes with a digest. Whoever decides has the row locked until what was asked
for is done in the same transaction, on whichever node.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from store import audit
from store.audit_line import SERVER, Actor
from store.engine.prepared_statement import Prepared
from store.engine.storable_text import readable
from store.engine.transaction import Transaction, rows_of
from store.errors import Conflict
from store.tables import account, approval, approval_target, zone

OPEN = ("asked", "granted")
AT_ONCE = 50
_PART = 500


class NewApproval(msgspec.Struct, frozen=True, kw_only=True):
    public_id: str
    subject: str
    zone_id: int | None
    act: str
    summary: str
    """JSON: what lists show of it."""
    digest: str
    asked_by: int
    asked_behalf: int | None
    ends_ms: int
    targets: tuple[str, ...]
    """What it is about, each once: as long as it is open nothing else is asked about them."""
    not_before_ms: int | None = None
    """Its asker grants it alone: it is done then."""


class Approval(msgspec.Struct, frozen=True, kw_only=True):
    number: int
    public_id: str
    subject: str
    zone_id: int | None
    """None: it is of several zones, or of every one."""
    zone: str | None
    act: str
    """Empty in lists: it may be long."""
    summary: str
    digest: str
    asked_by: int
    asked_code: str
    asked_behalf: int | None
    behalf_code: str | None
    asked_ms: int
    not_before_ms: int | None
    ends_ms: int
    state: str
    decided_by: int | None
    decided_code: str | None
    decided_ms: int | None
    evidence: str

    @property
    def is_open(self) -> bool:
        return self.state in OPEN


_asker, _behalf, _decider = (account.alias(name) for name in ("asker", "behalf", "decider"))


def _reading(act: sa.ColumnElement[str]) -> sa.Select[Any]:
    return (
        sa.select(
            approval.c.id, approval.c.public_id, approval.c.subject, approval.c.zone_id, zone.c.code, act,
            approval.c.summary, approval.c.digest, approval.c.asked_by, _asker.c.code, approval.c.asked_behalf,
            _behalf.c.code, approval.c.asked_ms, approval.c.not_before_ms, approval.c.ends_ms, approval.c.state,
            approval.c.decided_by, _decider.c.code, approval.c.decided_ms, approval.c.evidence,
        )
        .join(_asker, _asker.c.id == approval.c.asked_by)
        .outerjoin(_behalf, _behalf.c.id == approval.c.asked_behalf)
        .outerjoin(_decider, _decider.c.id == approval.c.decided_by)
        .outerjoin(zone, zone.c.id == approval.c.zone_id)
    )  # fmt: skip


_every, _headings = _reading(approval.c.act), _reading(sa.literal_column("''"))


def _approval(row: Sequence[Any]) -> Approval:
    return Approval(**dict(zip(Approval.__struct_fields__, row, strict=True)))


def subject_of(public_id: str) -> str:
    """How the audit names an approval."""
    return f"approval {public_id}"


# ---- asking --------------------------------------------------------------------------------------------------------

_claim = Prepared(
    sa.text(
        "INSERT INTO approval_target (subject, target, approval_id)"
        " SELECT :subject, value, :approval_id FROM json_each(:targets) WHERE true ON CONFLICT DO NOTHING"
    ),
    sa.text(
        "INSERT INTO approval_target (subject, target, approval_id)"
        " SELECT CAST(:subject AS TEXT), value, CAST(:approval_id AS BIGINT)"
        " FROM jsonb_array_elements_text(CAST(:targets AS jsonb)) ON CONFLICT DO NOTHING"
    ),
)


async def ask(tx: Transaction, new: NewApproval, by: Actor) -> str:
    """Keeps what is asked for. Returns the public id of another open one that is about the same, or an empty text;
    where there is one the caller must let this transaction fail."""
    values = msgspec.structs.asdict(new)
    values.pop("targets")
    alone = new.not_before_ms is not None
    values |= {"asked_ms": tx.now_ms, "state": "granted" if alone else "asked"}
    if alone:
        values |= {"decided_by": new.asked_by, "decided_ms": tx.now_ms}
    row = await tx.first(sa.insert(approval).values(values).returning(approval.c.id))
    assert row is not None
    claimed = {"subject": new.subject, "approval_id": int(row.id), "targets": _listed(new.targets)}
    if await tx.run(_claim, claimed) < len(new.targets):
        return await _holder(tx, int(row.id), new)
    detail = {"digest": new.digest, "of": new.subject, "not_before_ms": new.not_before_ms, "targets": len(new.targets)}
    await audit.note(tx, "approval-ask", subject_of(new.public_id), by, zone_id=new.zone_id, detail=detail)
    return ""


async def by_the_try_before(tx: Transaction, new: NewApproval) -> Approval | None:
    """What the try before this one kept, where only the answer to its commit was lost."""
    if tx.tried_us is None:
        return None
    same = sa.and_(approval.c.asked_by == new.asked_by, approval.c.digest == new.digest)
    row = await tx.first(_every.where(same, approval.c.asked_ms >= tx.tried_us // 1000).limit(1))
    return None if row is None else _approval(row)


def _listed(targets: Sequence[str]) -> str:
    """In one order, so that two who ask about the same wait for one another in turn."""
    return msgspec.json.encode([readable(target) for target in sorted(targets)]).decode()


async def _holder(tx: Transaction, own: int, new: NewApproval) -> str:
    wanted = sa.and_(approval_target.c.subject == new.subject, approval_target.c.approval_id != own)
    for at in range(0, len(new.targets), _PART):
        some = approval_target.c.target.in_([readable(target) for target in new.targets[at : at + _PART]])
        others = sa.select(approval.c.public_id).join(approval_target, approval_target.c.approval_id == approval.c.id)
        found = await tx.first(others.where(wanted, some).order_by(approval.c.id).limit(1))
        if found is not None:
            return str(found.public_id)
    raise Conflict  # PostgreSQL: it was decided in this very moment


async def granted_alone(tx: Transaction, asked_by: int, since_ms: int) -> int:
    """How many somebody has asked for, and granted alone, since then."""
    alone = sa.and_(approval.c.asked_by == asked_by, approval.c.not_before_ms.is_not(None))
    row = await tx.first(sa.select(sa.func.count()).where(alone, approval.c.asked_ms > since_ms))
    return int(row[0]) if row else 0


async def pending(conn: AsyncConnection, subject: str, target: str) -> str:
    """The public id of the open approval that is about this; empty: there is none."""
    about = sa.and_(approval_target.c.subject == subject, approval_target.c.target == readable(target))
    others = sa.select(approval.c.public_id).join(approval_target, approval_target.c.approval_id == approval.c.id)
    found = (await conn.execute(others.where(about).limit(1))).first()
    return "" if found is None else str(found.public_id)


# ---- deciding ------------------------------------------------------------------------------------------------------


async def locked(tx: Transaction, public_id: str) -> Approval | None:
    """An approval that nobody else decides before this transaction ends; None where there is none."""
    lock = sa.select(approval.c.id).where(approval.c.public_id == public_id).with_for_update(key_share=True)
    return None if await tx.first(lock) is None else await by_public_id(tx.conn, public_id)


async def close(
    tx: Transaction,
    seen: Approval,
    state: str,
    by: Actor = SERVER,
    *,
    decided_by: int | None = None,
    evidence: Mapping[str, Any] | None = None,
    apart: Mapping[str, Any] | None = None,
) -> bool:
    """Ends an open approval as refused, withdrawn, expired or done; False where it is open no more, or is another act.
    `decided_by`: who decided it now; None: it stays as it was."""
    as_seen = sa.and_(approval.c.id == seen.number, approval.c.digest == seen.digest, approval.c.state.in_(OPEN))
    values: dict[str, Any] = {"state": state}
    if decided_by is not None:
        values |= {"decided_by": decided_by, "decided_ms": tx.now_ms}
    if evidence is not None:
        values["evidence"] = readable(msgspec.json.encode(evidence).decode())
    if await tx.run(sa.update(approval).where(as_seen).values(values)) != 1:
        return False
    await tx.run(sa.delete(approval_target).where(approval_target.c.approval_id == seen.number))
    detail = {"digest": seen.digest, "of": seen.subject}
    subject = subject_of(seen.public_id)
    await audit.note(tx, _ACTS[state], subject, by, zone_id=seen.zone_id, detail=detail, apart=apart)
    return True


_ACTS = {
    "refused": "approval-refuse",
    "withdrawn": "approval-withdraw",
    "expired": "approval-expire",
    "done": "approval-grant",
}
"""What the audit calls it."""


# ---- what stands ---------------------------------------------------------------------------------------------------

_over = Prepared(
    sa.select(approval.c.public_id)
    .where(
        sa.or_(
            sa.and_(sa.text("state IN ('asked', 'granted')"), approval.c.ends_ms <= sa.bindparam("now_ms")),
            sa.and_(sa.text("state = 'granted'"), approval.c.not_before_ms <= sa.bindparam("now_ms")),
        )
    )
    .order_by(approval.c.id)
    .limit(AT_ONCE)
)


async def due(conn: AsyncConnection, now_ms: int) -> list[str]:
    """The public ids of some that have ended undecided, or whose time to be done has come."""
    return [str(row.public_id) for row in await rows_of(conn, _over, {"now_ms": now_ms})]


async def by_public_id(conn: AsyncConnection, public_id: str) -> Approval | None:
    row = (await conn.execute(_every.where(approval.c.public_id == public_id))).first()
    return None if row is None else _approval(row)


async def page(
    conn: AsyncConnection,
    zone_ids: frozenset[int] | None,
    asker: int,
    *,
    open_only: bool,
    before: int | None,
    most: int,
) -> list[Approval]:
    """The newest first: those of these zones (None: of all, and of several together), and what `asker` has asked
    for."""
    statement = _headings.order_by(approval.c.id.desc()).limit(most)
    if zone_ids is not None:
        statement = statement.where(sa.or_(approval.c.zone_id.in_(sorted(zone_ids)), approval.c.asked_by == asker))
    if open_only:
        statement = statement.where(approval.c.state.in_(OPEN))
    if before is not None:
        statement = statement.where(approval.c.id < before)
    return [_approval(row) for row in (await conn.execute(statement)).all()]
