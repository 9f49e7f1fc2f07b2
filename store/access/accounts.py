"""Accounts, their keys and rights: one look-up for the door, one write for whoever manages them.

Knows hashes only: a key's secret never comes here. What a right's words mean is `gateway/access`.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from store import audit
from store.audit_line import SERVER, Actor, changes
from store.engine.prepared_statement import Prepared
from store.engine.transaction import Transaction, rows_of
from store.register.writing import RegisterTally
from store.tables import account, account_right, api_key, network, zone


class RightRow(msgspec.Struct, frozen=True):
    action: str
    zone_id: int | None
    """None: every zone."""
    network_id: int | None
    """None: the whole zone."""
    kind: str = "*"
    channel: str = "*"
    mode: str = "*"


class KeyRow(msgspec.Struct, frozen=True):
    """An API key with the account it belongs to and that account's rights."""

    key_id: str
    secret_sha256: str
    """Hexadecimal."""
    revoked_ms: int | None
    account_id: int
    code: str
    name: str
    type: str
    senders: str
    """JSON: the CAP sender values it may post under."""
    kind_rules: str
    """JSON, gateway/directory/senders.py."""
    disabled_ms: int | None
    terms: str = "[]"
    """JSON, gateway/directory/agreements.py."""
    rights: tuple[RightRow, ...] = ()
    expires_ms: int | None = None
    """From then on the key is good no longer; None: until it is revoked."""


class KeyView(msgspec.Struct, frozen=True):
    """A key as whoever manages it sees it."""

    key_id: str
    account: str
    note: str
    created_ms: int
    expires_ms: int | None
    revoked_ms: int | None
    disabled_ms: int | None
    """Of its account."""


class KeyRecord(msgspec.Struct, frozen=True):
    key_id: str
    secret_sha256: str


class AccountRecord(msgspec.Struct, frozen=True):
    code: str
    name: str
    type: str
    senders: str
    kind_rules: str
    rights: frozenset[RightRow] = frozenset()
    keys: tuple[KeyRecord, ...] = ()
    terms: str = "[]"


_OWN = ("name", "type", "senders", "kind_rules")
_WRITTEN = (*_OWN, "terms")
_by_key = Prepared(
    sa.select(
        api_key.c.key_id,
        api_key.c.secret_sha256,
        api_key.c.revoked_ms,
        account.c.id,
        account.c.code,
        *(account.c[column] for column in _OWN),
        account.c.disabled_ms,
        account.c.terms,
        api_key.c.expires_ms,
        account_right.c.id.label("right_id"),
        account_right.c.action,
        account_right.c.zone_id,
        account_right.c.network_id,
        account_right.c.kind,
        account_right.c.channel,
        account_right.c.mode,
    )
    .select_from(
        api_key.join(account, account.c.id == api_key.c.account_id).outerjoin(
            account_right, account_right.c.account_id == account.c.id
        )
    )
    .where(api_key.c.key_id == sa.bindparam("key"))
    .order_by(account_right.c.id)
)


async def find_key(conn: AsyncConnection, key_id: str) -> KeyRow | None:
    """The key of this id with everything that a decision needs, in one query; revoked and disabled ones too."""
    rows = await rows_of(conn, _by_key, {"key": key_id})
    if not rows:
        return None
    rights = tuple(RightRow(*row[13:]) for row in rows if row.right_id is not None)
    key: Any = rows[0]
    own: tuple[Any, ...] = (*key[:10], key.terms, rights, key.expires_ms)
    return KeyRow(*own)


class TermsRow(msgspec.Struct, frozen=True):
    """What is agreed with an account about its senders."""

    account_id: int
    code: str
    terms: str
    """JSON, gateway/directory/agreements.py."""


async def terms_of_all(conn: AsyncConnection) -> list[TermsRow]:
    """All of them, in the order of their accounts' codes."""
    columns = (account.c.id, account.c.code, account.c.terms)
    rows = await conn.execute(sa.select(*columns).order_by(account.c.code))
    return [TermsRow(*row) for row in rows.all()]


async def put_account(tx: Transaction, record: AccountRecord, by: Actor = SERVER) -> tuple[int, RegisterTally]:
    """The account's id; its rights become exactly those of the record, keys are added or given a new hash.

    Keys that the record does not name stay: revoking is its own act (`revoke_key`).
    """
    values = {name: getattr(record, name) for name in _WRITTEN}
    found = await tx.first(sa.select(account).where(account.c.code == record.code))
    if found is None:
        row = await tx.first(sa.insert(account).values(code=record.code, **values).returning(account.c.id))
        assert row is not None
        account_id, changed = int(row[0]), False
    else:
        account_id = int(found.id)
        changed = any(getattr(found, name) != value for name, value in values.items())
        if changed:
            await tx.run(sa.update(account).where(account.c.id == account_id).values(values))
    if found is None or changed:
        apart = changes(None if found is None else found._mapping, values)
        await audit.note(tx, "account-load", record.code, by, detail={"new": found is None}, apart=apart)
    altered = await _put_rights(tx, account_id, record.code, record.rights, by)
    altered |= await _put_keys(tx, account_id, record.code, record.keys, by)
    if found is None:
        return account_id, RegisterTally(new=1)
    return account_id, RegisterTally(changed=1) if changed or altered else RegisterTally(unchanged=1)


async def add_key(
    tx: Transaction, code: str, key: KeyRecord, *, expires_ms: int | None = None, note: str = "", by: Actor = SERVER
) -> bool:
    """Adds a key to an account; False where there is no such account. Raises Conflict (out of `Database.write`) for
    a key id that is taken."""
    found = await tx.first(sa.select(account.c.id).where(account.c.code == code))
    if found is None:
        return False
    row = {"account_id": found.id, "created_ms": tx.now_ms, "expires_ms": expires_ms, "note": note}
    await tx.run(sa.insert(api_key).values(row | msgspec.structs.asdict(key)))
    detail = {"account": code, "expires_ms": expires_ms}
    await audit.note(tx, "key-make", key.key_id, by, detail=detail, apart={"note": note} if note else None)
    return True


async def revoke_key(tx: Transaction, key_id: str, by: Actor = SERVER) -> bool:
    """Makes a key worthless from now on; False where there is none, or it was revoked before."""
    statement = sa.update(api_key).where(api_key.c.key_id == key_id, api_key.c.revoked_ms.is_(None))
    revoked = await tx.run(statement.values(revoked_ms=tx.now_ms)) == 1
    if revoked:
        await audit.note(tx, "key-revoke", key_id, by)
    return revoked


async def expire_key(tx: Transaction, key_id: str, expires_ms: int | None, by: Actor = SERVER) -> bool:
    """Gives a key its end; None: it has none. False where there is no such key, or it was revoked."""
    statement = sa.update(api_key).where(api_key.c.key_id == key_id, api_key.c.revoked_ms.is_(None))
    changed = await tx.run(statement.values(expires_ms=expires_ms)) == 1
    if changed:
        await audit.note(tx, "key-expire", key_id, by, detail={"expires_ms": expires_ms})
    return changed


async def set_disabled(tx: Transaction, code: str, disabled: bool, by: Actor = SERVER, reason: str = "") -> bool | None:
    """Disables or enables an account; while it is disabled none of its keys is good. Returns whether that changed
    anything; None where there is no such account."""
    found = await tx.first(sa.select(account.c.id, account.c.disabled_ms).where(account.c.code == code))
    if found is None:
        return None
    if (found.disabled_ms is not None) == disabled:
        return False
    changed = sa.update(account).where(account.c.id == found.id)
    await tx.run(changed.values(disabled_ms=tx.now_ms if disabled else None))
    action = "account-disable" if disabled else "account-enable"
    await audit.note(tx, action, code, by, apart={"reason": reason} if reason else None)
    return True


async def id_of(conn: AsyncConnection, code: str) -> int | None:
    """The number of an account; None where there is none of this code."""
    found = (await conn.execute(sa.select(account.c.id).where(account.c.code == code))).scalar()
    return None if found is None else int(found)


async def keys(conn: AsyncConnection, code: str = "") -> list[KeyView]:
    """The keys of one account, or of all, the newest of each account first."""
    statement = (
        sa.select(
            api_key.c.key_id, account.c.code, api_key.c.note, api_key.c.created_ms, api_key.c.expires_ms,
            api_key.c.revoked_ms, account.c.disabled_ms,
        )
        .join(account, account.c.id == api_key.c.account_id)
        .order_by(account.c.code, api_key.c.id.desc())
    )  # fmt: skip
    rows = await conn.execute(statement.where(account.c.code == code) if code else statement)
    return [KeyView(*row) for row in rows.all()]


class AccountView(msgspec.Struct, frozen=True):
    code: str
    name: str
    type: str
    disabled_ms: int | None
    keys: int
    """That are not revoked."""


async def views(conn: AsyncConnection) -> list[AccountView]:
    """Of every account, in the order of their codes."""
    good = sa.and_(api_key.c.account_id == account.c.id, api_key.c.revoked_ms.is_(None))
    statement = (
        sa.select(account.c.code, account.c.name, account.c.type, account.c.disabled_ms, sa.func.count(api_key.c.id))
        .outerjoin(api_key, good)
        .group_by(account.c.id)
        .order_by(account.c.code)
    )
    return [AccountView(*row) for row in (await conn.execute(statement)).all()]


async def _put_rights(tx: Transaction, account_id: int, code: str, rights: frozenset[RightRow], by: Actor) -> bool:
    table = account_right
    columns = [table.c[name] for name in RightRow.__struct_fields__]
    rows = await tx.rows(sa.select(table.c.id, *columns).where(table.c.account_id == account_id))
    known = {RightRow(*row[1:]): row.id for row in rows}
    gone = [known[right] for right in known.keys() - rights]
    if gone:
        await tx.run(sa.delete(table).where(table.c.id.in_(gone)))
    new = rights - known.keys()
    for right in sorted(new, key=repr):
        await tx.run(sa.insert(table).values(account_id=account_id, **msgspec.structs.asdict(right)))
    taken = known.keys() - rights
    codes = await _codes(tx, new | taken)
    # A line for each zone: whoever sees to one learns nothing of the others.
    for zone_id in sorted({right.zone_id for right in new | taken}, key=lambda id_: (id_ is not None, id_ or 0)):
        of_zone = {
            word: sorted(_worded(right, codes) for right in some if right.zone_id == zone_id)
            for word, some in (("granted", new), ("taken", taken))
        }
        await audit.note(tx, "rights", code, by, zone_id=zone_id, detail=of_zone)
    return bool(new or taken)


async def _codes(tx: Transaction, rights: Iterable[RightRow]) -> dict[tuple[str, int | None], str]:
    """By kind and id, of the zones and networks that rights are for."""
    found: dict[tuple[str, int | None], str] = {("zone", None): "*", ("network", None): "*"}
    for kind, table, ids in (
        ("zone", zone, {right.zone_id for right in rights}),
        ("network", network, {right.network_id for right in rights}),
    ):
        rows = await tx.rows(sa.select(table.c.id, table.c.code).where(table.c.id.in_(ids - {None})))
        found |= {(kind, int(row.id)): str(row.code) for row in rows}
    return found


def _worded(right: RightRow, codes: Mapping[tuple[str, int | None], str]) -> str:
    where = f"zone {codes['zone', right.zone_id]} network {codes['network', right.network_id]}"
    return f"{right.action} {where} {right.kind} {right.channel} {right.mode}"


async def _put_keys(tx: Transaction, account_id: int, code: str, keys: tuple[KeyRecord, ...], by: Actor) -> bool:
    """Raises ValueError when a key's id belongs to another account."""
    altered = False
    for key in keys:
        found = await tx.first(sa.select(api_key).where(api_key.c.key_id == key.key_id))
        if found is None:
            row = {"account_id": account_id, "created_ms": tx.now_ms, **msgspec.structs.asdict(key)}
            await tx.run(sa.insert(api_key).values(row))
        elif found.account_id != account_id:
            raise ValueError(f"the key id {key.key_id} belongs to another account")
        elif found.secret_sha256 != key.secret_sha256:
            statement = sa.update(api_key).where(api_key.c.id == found.id)
            await tx.run(statement.values(secret_sha256=key.secret_sha256))
        else:
            continue
        altered = True
        await audit.note(tx, "key-load", key.key_id, by, detail={"account": code, "new": found is None})
    return altered


async def find_account(conn: AsyncConnection, account_id: int) -> KeyRow | None:
    """An account by its id, with its rights, through any of its keys (also a revoked one: look at `disabled_ms`)."""
    keys = sa.select(api_key.c.key_id).where(api_key.c.account_id == account_id).order_by(api_key.c.id).limit(1)
    key_id = (await conn.execute(keys)).scalar_one_or_none()
    return None if key_id is None else await find_key(conn, key_id)
