"""Paper codes by which a zone is launched for when nobody of it can sign in: issued, used once, counted.

A zone has one that is valid. Who uses it acts as an account of the zone's own, which has no other way in: what it may
is rows of rights like everybody's, and a rehearsal's are for simulation alone. Codes that are none are counted by
origin and by zone; of a zone that there is not as of one that there is.
"""

import hashlib
import hmac
import secrets
from typing import Literal

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from store import audit
from store.access import accounts
from store.access.accounts import AccountRecord, RightRow
from store.audit_line import Actor
from store.engine.prepared_statement import Prepared
from store.engine.storable_text import readable
from store.engine.transaction import AnyRow, Transaction
from store.tables import account, break_glass, break_glass_guess, break_glass_use, zone

TYPE = "break-glass"
"""Of its accounts."""
LIFE_MS = 60 * 60_000
"""Of what a code opens."""
WINDOW_MS = 60 * 60_000
"""In which guesses are counted."""
MOST_GUESSES = 10
"""Of one origin in that time: it waits then, whatever it brings. Nobody locks a zone out by guessing from elsewhere."""
MOST_COUNTED = 1_000
"""At one zone in that time: beyond them guesses are not even written down."""
_ACTIONS = ("launch", "read", "stop")
_NOBODY = hashlib.sha256(b"the code that nobody has").hexdigest()
Mode = Literal["live", "simulation"]


class BreakGlassUse(msgspec.Struct, frozen=True, kw_only=True):
    """A zone that is open to whoever had its paper code."""

    number: int
    public_id: str
    zone_id: int
    zone: str
    account_id: int
    """As which it acts."""
    account: str
    name: str
    """Of the person, as typed."""
    reason: str
    mode: Mode
    """simulation: a rehearsal, which tells nobody anything live."""
    began_ms: int
    ends_ms: int


class WrongCode(msgspec.Struct, frozen=True):
    """Nothing is open. The same for every reason: who guesses is not told what was right."""

    zone_id: int | None
    """None: there is no zone of that name."""
    guesses: int
    """At this zone in this hour, with this one."""


class TooManyGuesses(msgspec.Struct, frozen=True):
    """Of this origin: nothing was looked at."""

    wait_ms: int


class BreakGlassStanding(msgspec.Struct, frozen=True):
    """How it is with the paper code of a zone."""

    zone: str
    state: Literal["valid", "used"]
    """`used`: there is none until another is issued."""
    since_ms: int
    issued_ms: int
    issued_by: str
    uses: int
    """Of all codes of the zone, rehearsals left out."""
    rehearsals: int


# ---- issuing -------------------------------------------------------------------------------------------------------


async def issue(tx: Transaction, zone_code: str, code_sha256: str, by: Actor) -> str | None:
    """Makes this the one code of a zone: the one before opens nothing from here on. Returns its public id; None where
    there is no such zone. Raises ValueError where an account of another type has the name of one of its accounts."""
    found = await tx.first(sa.select(zone.c.id).where(zone.c.code == zone_code).with_for_update(key_share=True))
    if found is None:
        return None
    for mode in ("live", "simulation"):
        await _put_account(tx, int(found.id), zone_code, mode, by)
    valid = sa.and_(break_glass.c.zone_id == found.id, break_glass.c.state == "valid")
    replaced = await tx.run(sa.update(break_glass).where(valid).values(state="replaced", state_ms=tx.now_ms))
    public_id = secrets.token_hex(10)
    values = {
        "public_id": public_id, "zone_id": found.id, "code_sha256": code_sha256, "issued_ms": tx.now_ms,
        "issued_by": by.login, "state": "valid", "state_ms": tx.now_ms,
    }  # fmt: skip
    await tx.run(sa.insert(break_glass).values(values))
    detail = {"code": public_id, "replaced": bool(replaced)}
    await audit.note(tx, "break-glass-issue", f"zone {zone_code}", by, zone_id=int(found.id), detail=detail)
    return public_id


def account_code(zone_code: str, mode: str) -> str:
    """Of the account as which a code acts."""
    return f"{TYPE}-{zone_code}-{mode}"


async def _put_account(tx: Transaction, zone_id: int, zone_code: str, mode: str, by: Actor) -> None:
    """As it is to be, whoever has changed it: with these rights, enabled, and without a key."""
    code, of = account_code(zone_code, mode), "*" if mode == "live" else mode
    found = await tx.first(sa.select(account.c.id, account.c.type).where(account.c.code == code))
    if found is not None and found.type != TYPE:
        raise ValueError(f"the account {code} is of the type {found.type}, and not {TYPE}")
    rights = frozenset(RightRow(action, zone_id, None, mode=of) for action in _ACTIONS)
    record = AccountRecord(code, f"Break-glass of zone {zone_code}", TYPE, "[]", "[]", rights)
    await accounts.put_account(tx, record, by)
    await accounts.set_disabled(tx, code, False, by)
    for key in await accounts.keys(tx.conn, code):
        await accounts.revoke_key(tx, key.key_id, by)


# ---- using ---------------------------------------------------------------------------------------------------------

_code_of = (
    sa.select(break_glass.c.id, break_glass.c.code_sha256)
    .where(break_glass.c.zone_id == sa.bindparam("zone_id"), break_glass.c.state == "valid")
    .limit(1)
)


async def use(
    tx: Transaction, zone_code: str, code_sha256: str, origin: str, *, name: str, reason: str, mode: Mode, by: Actor
) -> BreakGlassUse | WrongCode | TooManyGuesses:
    """Opens a zone by its code, which is worth nothing from here on, also where this is a rehearsal: it was seen.
    `origin`: what counts as one address; `by`: with the client's address, of no account. The caller commits whatever is
    returned, so that guesses are counted."""
    wait_ms = await _wait_ms(tx, origin)
    if wait_ms:
        return TooManyGuesses(wait_ms)
    earlier = await _by_the_try_before(tx, code_sha256)
    if earlier is not None:
        return earlier
    of_zone = await tx.first(sa.select(zone.c.id).where(zone.c.code == readable(zone_code)))
    zone_id = None if of_zone is None else int(of_zone.id)
    code = await tx.first(_code_of, {"zone_id": zone_id or 0})
    acting = await tx.first(_acting(account_code(readable(zone_code), mode)))
    same = hmac.compare_digest(code.code_sha256 if code is not None else _NOBODY, code_sha256)
    if code is None or acting is None or not same or zone_id is None or not await _spend(tx, int(code.id)):
        return WrongCode(zone_id, await _counted(tx, origin, str(zone_id or 0)))
    values = {
        "public_id": secrets.token_hex(10), "break_glass_id": code.id, "account_id": acting.id,
        "name": readable(name), "reason": readable(reason), "mode": mode, "began_ms": tx.now_ms,
        "ends_ms": tx.now_ms + LIFE_MS,
    }  # fmt: skip
    row = await tx.first(sa.insert(break_glass_use).values(values).returning(break_glass_use.c.id))
    assert row is not None
    detail = {"use": values["public_id"], "mode": mode}
    actor = msgspec.structs.replace(by, account_id=int(acting.id))
    apart = {"name": name, "reason": reason}
    await audit.note(tx, "break-glass-use", f"zone {zone_code}", actor, zone_id=zone_id, detail=detail, apart=apart)
    found = await one(tx.conn, int(row[0]))
    assert found is not None
    return found


async def _by_the_try_before(tx: Transaction, code_sha256: str) -> BreakGlassUse | None:
    """What the try before this one did, where only the answer to its commit was lost: the code is spent, and whoever
    had it must not stand there with nothing."""
    if tx.tried_us is None:
        return None
    this = sa.and_(break_glass.c.code_sha256 == code_sha256, break_glass_use.c.began_ms >= tx.tried_us // 1000)
    found = await tx.first(_use.where(this))
    return None if found is None else _read(found)


def _acting(code: str) -> sa.Select[int]:
    return sa.select(account.c.id).where(
        account.c.code == code, account.c.type == TYPE, account.c.disabled_ms.is_(None)
    )


async def _spend(tx: Transaction, code_id: int) -> bool:
    """Whether the code was valid until now: of two who use it at once one does."""
    valid = sa.and_(break_glass.c.id == code_id, break_glass.c.state == "valid")
    return await tx.run(sa.update(break_glass).where(valid).values(state="used", state_ms=tx.now_ms)) == 1


# ---- guesses -------------------------------------------------------------------------------------------------------

_add_guess = Prepared(
    sa.text(
        "INSERT INTO break_glass_guess (scope, subject, since_ms, guesses) VALUES (:scope, :subject, :now_ms, 1)"
        " ON CONFLICT (scope, subject) DO UPDATE SET"
        " guesses = CASE WHEN break_glass_guess.since_ms <= :over_ms THEN 1 ELSE break_glass_guess.guesses + 1 END,"
        " since_ms = CASE WHEN break_glass_guess.since_ms <= :over_ms THEN :now_ms ELSE break_glass_guess.since_ms END"
        " RETURNING guesses"
    ).bindparams(*(sa.bindparam(name, type_=sa.BigInteger) for name in ("now_ms", "over_ms")))
)
_forget = Prepared(sa.delete(break_glass_guess).where(break_glass_guess.c.since_ms <= sa.bindparam("over_ms")))


async def wait_ms(conn: AsyncConnection, origin: str, now_ms: int) -> int:
    """How long an origin has to wait before what it brings is looked at; 0: not at all."""
    return _left((await conn.execute(_guesses_of(origin))).first(), now_ms)


async def _wait_ms(tx: Transaction, origin: str) -> int:
    return _left(await tx.first(_guesses_of(origin)), tx.now_ms)


def _guesses_of(origin: str) -> sa.Select[int, int]:
    guess = break_glass_guess.c
    return sa.select(guess.since_ms, guess.guesses).where(guess.scope == "origin", guess.subject == origin)


def _left(row: AnyRow | None, now_ms: int) -> int:
    if row is None or row.guesses < MOST_GUESSES:
        return 0
    return max(0, int(row.since_ms) + WINDOW_MS - now_ms)


async def _counted(tx: Transaction, origin: str, of_zone: str) -> int:
    guess = break_glass_guess.c
    known = sa.select(guess.guesses).where(guess.scope == "zone", guess.subject == of_zone)
    row = await tx.first(known.where(guess.since_ms > tx.now_ms - WINDOW_MS))
    if row is not None and row.guesses >= MOST_COUNTED:
        return int(row.guesses)
    await _count(tx, "origin", origin)
    return await _count(tx, "zone", of_zone)


async def _count(tx: Transaction, scope: str, subject: str) -> int:
    over_ms = tx.now_ms - WINDOW_MS
    await tx.run(_forget, {"over_ms": over_ms})
    row = await tx.first(_add_guess, {"scope": scope, "subject": subject, "now_ms": tx.now_ms, "over_ms": over_ms})
    assert row is not None
    return int(row[0])


# ---- what stands ---------------------------------------------------------------------------------------------------

_use = (
    sa.select(
        break_glass_use.c.id, break_glass_use.c.public_id, break_glass.c.zone_id, zone.c.code,
        break_glass_use.c.account_id, account.c.code, break_glass_use.c.name, break_glass_use.c.reason,
        break_glass_use.c.mode, break_glass_use.c.began_ms, break_glass_use.c.ends_ms,
    )
    .join(break_glass, break_glass.c.id == break_glass_use.c.break_glass_id)
    .join(zone, zone.c.id == break_glass.c.zone_id)
    .join(account, account.c.id == break_glass_use.c.account_id)
)  # fmt: skip


async def one(conn: AsyncConnection, number: int) -> BreakGlassUse | None:
    row = (await conn.execute(_use.where(break_glass_use.c.id == number))).first()
    return None if row is None else _read(row)


def _read(row: AnyRow) -> BreakGlassUse:
    return BreakGlassUse(**dict(zip(BreakGlassUse.__struct_fields__, row, strict=True)))


async def standings(conn: AsyncConnection) -> list[BreakGlassStanding]:
    """Of every zone that has ever had a code: of its newest one, in the order of the zones' codes."""
    newest = sa.select(sa.func.max(break_glass.c.id)).group_by(break_glass.c.zone_id)
    counted = (
        sa.select(
            break_glass.c.zone_id,
            sa.func.sum(sa.case((break_glass_use.c.mode == "live", 1), else_=0)).label("uses"),
            sa.func.count().label("all_"),
        )
        .join(break_glass_use, break_glass_use.c.break_glass_id == break_glass.c.id)
        .group_by(break_glass.c.zone_id)
        .subquery()
    )
    statement = (
        sa.select(
            zone.c.code, break_glass.c.state, break_glass.c.state_ms, break_glass.c.issued_ms,
            break_glass.c.issued_by, sa.func.coalesce(counted.c.uses, 0), sa.func.coalesce(counted.c.all_, 0),
        )
        .join(zone, zone.c.id == break_glass.c.zone_id)
        .outerjoin(counted, counted.c.zone_id == break_glass.c.zone_id)
        .where(break_glass.c.id.in_(newest))
        .order_by(zone.c.code)
    )  # fmt: skip
    rows = (await conn.execute(statement)).all()
    return [BreakGlassStanding(*row[:5], uses=int(row[5]), rehearsals=int(row[6]) - int(row[5])) for row in rows]
