"""By what people sign in: passkeys, a password, a TOTP secret, recovery codes. Hashes, public keys and sealed secrets
only; each change with its line in the audit."""

from collections.abc import Sequence

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from store import audit
from store.access import session_ends
from store.access.accounts import IS_OPEN
from store.audit_line import Actor
from store.engine.transaction import Transaction
from store.tables import account, account_right, network, passkey, password, recovery_code, totp, zone

MOST_PASSKEYS = 20


class Person(msgspec.Struct, frozen=True):
    """An account as somebody who signs in, with what it takes."""

    account_id: int
    code: str
    name: str
    email: str
    language: str
    disabled: bool
    password_hash: str
    """Empty: none."""
    totp_sealed: str
    """Empty: none that is confirmed."""
    passkeys: int
    actions: frozenset[str]
    """That its rights are for."""


class PasskeyRow(msgspec.Struct, frozen=True):
    number: int
    public_id: str
    account_id: int
    credential_id: str
    credential: bytes
    user_handle: str
    name: str
    counter: int
    made_ms: int
    used_ms: int | None


class FactorOverview(msgspec.Struct, frozen=True):
    """What an account can sign in by."""

    passkeys: tuple[PasskeyRow, ...]
    password_set_ms: int | None
    totp_set_ms: int | None
    recovery_codes_left: int
    recovery_codes_made_ms: int | None


class OfferedTotp(msgspec.Struct, frozen=True):
    sealed: str
    offered_ms: int


async def person_of(conn: AsyncConnection, name: str) -> Person | None:
    """The account of this code, else the one of this mail address, as it is kept."""
    if not name:
        return None
    found = await _person(conn, account.c.code == name) or await _person(conn, account.c.email == name)
    return found[0] if found else None


async def person(conn: AsyncConnection, account_id: int) -> Person | None:
    found = await _person(conn, account.c.id == account_id)
    return found[0] if found else None


async def _person(conn: AsyncConnection, which: sa.ColumnElement[bool]) -> list[Person]:
    number = sa.select(sa.func.count()).where(passkey.c.account_id == account.c.id).scalar_subquery()
    statement = (
        sa.select(
            account.c.id, account.c.code, account.c.name, account.c.email, account.c.language, IS_OPEN,
            password.c.hash, totp.c.sealed, number,
        )
        .outerjoin(password, password.c.account_id == account.c.id)
        .outerjoin(totp, totp.c.account_id == account.c.id)
        .where(which)
        .limit(2)
    )  # fmt: skip
    people = []
    for row in (await conn.execute(statement)).all():
        rights = sa.select(account_right.c.action).where(account_right.c.account_id == row[0]).distinct()
        actions = frozenset(str(one.action) for one in (await conn.execute(rights)).all())
        number_, code, name, email, language, is_open, hash_, sealed, passkeys = row
        own = (number_, code, name, email, language, not is_open)
        people.append(Person(*own, hash_ or "", sealed or "", passkeys, actions))
    return people


# ---- passkeys ------------------------------------------------------------------------------------------------------

_PASSKEY = tuple(
    passkey.c.id.label("number") if name == "number" else passkey.c[name] for name in PasskeyRow.__struct_fields__
)


async def passkey_of(conn: AsyncConnection, credential_id: str) -> PasskeyRow | None:
    """Whosever it is."""
    row = (await conn.execute(sa.select(*_PASSKEY).where(passkey.c.credential_id == credential_id))).first()
    return None if row is None else PasskeyRow(*row)


async def passkeys_of(conn: AsyncConnection, account_id: int) -> list[PasskeyRow]:
    statement = sa.select(*_PASSKEY).where(passkey.c.account_id == account_id).order_by(passkey.c.id)
    return [PasskeyRow(*row) for row in (await conn.execute(statement)).all()]


async def add_passkey(
    tx: Transaction, account_id: int, code: str, public_id: str, *, credential_id: str, credential: bytes,
    user_handle: str, name: str, counter: int, by: Actor,
) -> bool:  # fmt: skip
    """False where the account has too many. Raises Conflict (out of `Database.write`) where the credential is known."""
    number = await tx.first(sa.select(sa.func.count()).where(passkey.c.account_id == account_id))
    if number is not None and number[0] >= MOST_PASSKEYS:
        return False
    await tx.run(
        sa.insert(passkey).values(
            account_id=account_id, public_id=public_id, credential_id=credential_id, credential=credential,
            user_handle=user_handle, name=name, counter=counter, made_ms=tx.now_ms,
        )
    )  # fmt: skip
    await audit.note(tx, "passkey-add", code, by, detail={"passkey": public_id}, apart={"name": name} if name else None)
    return True


async def remove_passkey(tx: Transaction, account_id: int, code: str, public_id: str, by: Actor) -> bool:
    which = sa.and_(passkey.c.account_id == account_id, passkey.c.public_id == public_id)
    removed = await tx.run(sa.delete(passkey).where(which)) == 1
    if removed:
        await audit.note(tx, "passkey-remove", code, by, detail={"passkey": public_id})
    return removed


async def note_use(tx: Transaction, number: int, counter: int) -> bool:
    """That a passkey was used; False where it is gone meanwhile."""
    statement = sa.update(passkey).where(passkey.c.id == number).values(counter=counter, used_ms=tx.now_ms)
    return await tx.run(statement) == 1


# ---- password, TOTP, recovery codes --------------------------------------------------------------------------------


async def set_password(tx: Transaction, account_id: int, code: str, hash_: str, by: Actor) -> None:
    values = {"hash": hash_, "set_ms": tx.now_ms}
    if not await tx.run(sa.update(password).where(password.c.account_id == account_id).values(values)):
        await tx.run(sa.insert(password).values(account_id=account_id, **values))
    await audit.note(tx, "password-set", code, by)


async def password_hash(tx: Transaction, account_id: int) -> str:
    """As it stands now; empty: none."""
    row = await tx.first(sa.select(password.c.hash).where(password.c.account_id == account_id))
    return "" if row is None else str(row.hash)


async def use_step(tx: Transaction, account_id: int, sealed: str, step: int) -> bool:
    """Whether the code of this step of time is the first of it or of a later one, of the secret that was looked at."""
    which = sa.and_(totp.c.account_id == account_id, totp.c.last_step < step, totp.c.sealed == sealed)
    return await tx.run(sa.update(totp).where(which).values(last_step=step)) == 1


async def offer_totp(tx: Transaction, account_id: int, sealed: str) -> None:
    """A secret that is in force once it is confirmed; the one before stays until then."""
    values = {"offered": sealed, "offered_ms": tx.now_ms}
    if not await tx.run(sa.update(totp).where(totp.c.account_id == account_id).values(values)):
        await tx.run(sa.insert(totp).values(account_id=account_id, **values))


async def offered_totp(conn: AsyncConnection, account_id: int) -> OfferedTotp | None:
    statement = sa.select(totp.c.offered, totp.c.offered_ms).where(totp.c.account_id == account_id)
    row = (await conn.execute(statement)).first()
    return OfferedTotp(*row) if row is not None and row.offered else None


async def confirm_totp(tx: Transaction, account_id: int, code: str, offered: OfferedTotp, step: int, by: Actor) -> bool:
    """The secret that was offered is in force; its confirming code is used. False where another was offered since."""
    which = sa.and_(totp.c.account_id == account_id, totp.c.offered == offered.sealed)
    values = {"sealed": offered.sealed, "set_ms": tx.now_ms, "last_step": step, "offered": "", "offered_ms": 0}
    confirmed = await tx.run(sa.update(totp).where(which).values(values)) == 1
    if confirmed:
        await audit.note(tx, "totp-set", code, by)
    return confirmed


async def remove_totp(tx: Transaction, account_id: int, code: str, by: Actor) -> bool:
    removed = await tx.run(sa.delete(totp).where(totp.c.account_id == account_id)) == 1
    if removed:
        await audit.note(tx, "totp-remove", code, by)
    return removed


async def put_recovery_codes(tx: Transaction, account_id: int, code: str, sha256s: Sequence[str], by: Actor) -> None:
    """These and no others are good from now on, each once."""
    await tx.run(sa.delete(recovery_code).where(recovery_code.c.account_id == account_id))
    rows = [{"account_id": account_id, "code_sha256": one, "made_ms": tx.now_ms} for one in sha256s]
    await tx.conn.execute(sa.insert(recovery_code), rows)
    await audit.note(tx, "recovery-codes", code, by, detail={"codes": len(rows)})


async def use_recovery_code(tx: Transaction, account_id: int, sha256: str) -> bool:
    which = sa.and_(
        recovery_code.c.account_id == account_id,
        recovery_code.c.code_sha256 == sha256,
        recovery_code.c.used_ms.is_(None),
    )
    return await tx.run(sa.update(recovery_code).where(which).values(used_ms=tx.now_ms)) == 1


async def remove_all(tx: Transaction, account_id: int, code: str, by: Actor) -> None:
    """Nothing signs in to an account any more, and whoever has signed in is out: it takes another invitation."""
    for table in (passkey, password, totp, recovery_code):
        await tx.run(sa.delete(table).where(table.c.account_id == account_id))
    await session_ends.end_others(tx, account_id, None, session_ends.FACTORS, by)
    await audit.note(tx, "factors-reset", code, by)


async def overview(conn: AsyncConnection, account_id: int) -> FactorOverview:
    set_ms = (await conn.execute(sa.select(password.c.set_ms).where(password.c.account_id == account_id))).scalar()
    confirmed = sa.select(totp.c.set_ms).where(totp.c.account_id == account_id, totp.c.sealed != "")
    totp_ms = (await conn.execute(confirmed)).scalar()
    codes = sa.select(sa.func.count().filter(recovery_code.c.used_ms.is_(None)), sa.func.max(recovery_code.c.made_ms))
    left, made_ms = (await conn.execute(codes.where(recovery_code.c.account_id == account_id))).one()
    return FactorOverview(tuple(await passkeys_of(conn, account_id)), set_ms, totp_ms, left, made_ms)


_MOST_NAMES = 300


async def names_around(conn: AsyncConnection, account_id: int) -> list[str]:
    """Codes and names of the zones where an account has rights, and of their networks: what it would think of first."""
    of_account = sa.select(account_right.c.id).where(account_right.c.account_id == account_id)
    here = sa.exists(of_account.where(sa.or_(account_right.c.zone_id.is_(None), account_right.c.zone_id == zone.c.id)))
    zones = sa.select(zone.c.code, zone.c.name).where(here).limit(_MOST_NAMES)
    networks = sa.select(network.c.code, network.c.name).join(zone, zone.c.id == network.c.zone_id).where(here)
    rows = [*(await conn.execute(zones)).all(), *(await conn.execute(networks.limit(_MOST_NAMES))).all()]
    return [str(name) for row in rows for name in row]
