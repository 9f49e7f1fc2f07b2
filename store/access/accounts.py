"""Accounts, their keys and rights: one look-up for the door, one write for whoever manages them.

Knows hashes only: a key's secret never comes here. What a right's words mean is `gateway/access`.
"""

import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from store import audit
from store.access import session_ends
from store.audit_line import SERVER, Actor, changes
from store.engine.prepared_statement import Prepared
from store.engine.transaction import AnyRow, Transaction, rows_of
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
    joined_ms: int | None = 0
    """None: the account is invited, and nobody has answered yet."""
    ended_ms: int | None = None

    @property
    def may_come_in(self) -> bool:
        """Whether the account is there to be used: neither invited still, nor disabled, nor ended."""
        return self.joined_ms is not None and self.disabled_ms is None and self.ended_ms is None


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


IS_OPEN = sa.and_(account.c.disabled_ms.is_(None), account.c.ended_ms.is_(None))
"""Of an account: it is neither disabled nor ended."""
_OWN = ("name", "type", "senders", "kind_rules")
_WRITTEN = (*_OWN, "terms")
_RIGHT = tuple(account_right.c[name] for name in RightRow.__struct_fields__)
_ACCOUNT = (
    account.c.id.label("account_id"), account.c.code, *(account.c[column] for column in (*_OWN, "terms")),
    account.c.disabled_ms, account.c.joined_ms, account.c.ended_ms,
)  # fmt: skip
_KEY = tuple(api_key.c[name] for name in ("key_id", "secret_sha256", "revoked_ms", "expires_ms"))
_with_rights = account.outerjoin(account_right, account_right.c.account_id == account.c.id)
_by_key = Prepared(
    sa.select(*_KEY, *_ACCOUNT, account_right.c.id.label("right_id"), *_RIGHT)
    .select_from(_with_rights.join(api_key, api_key.c.account_id == account.c.id))
    .where(api_key.c.key_id == sa.bindparam("key"))
    .order_by(account_right.c.id)
)
_keyless: tuple[sa.Label[Any], ...] = tuple(
    sa.literal_column(word).label(name)
    for word, name in (("''", "key_id"), ("''", "secret_sha256"), ("NULL", "revoked_ms"), ("NULL", "expires_ms"))
)
_alone = sa.select(*_keyless, *_ACCOUNT, account_right.c.id.label("right_id"), *_RIGHT).select_from(_with_rights)
_by_id = Prepared(_alone.where(account.c.id == sa.bindparam("account")).order_by(account_right.c.id))
_by_code = Prepared(_alone.where(account.c.code == sa.bindparam("code")).order_by(account_right.c.id))


async def find_key(conn: AsyncConnection, key_id: str) -> KeyRow | None:
    """The key of this id with everything that a decision needs, in one query; revoked and disabled ones too."""
    return _key(await rows_of(conn, _by_key, {"key": key_id}))


async def find_account(conn: AsyncConnection, account_id: int) -> KeyRow | None:
    """An account by its id, with its rights, as if it came with a key that is good; whether it may come in at all is
    `KeyRow.may_come_in`."""
    return _key(await rows_of(conn, _by_id, {"account": account_id}))


async def find_code(conn: AsyncConnection, code: str) -> KeyRow | None:
    """The same by its code."""
    return _key(await rows_of(conn, _by_code, {"code": code}))


def _key(rows: list[AnyRow]) -> KeyRow | None:
    if not rows:
        return None
    width = len(_KEY) + len(_ACCOUNT)
    rights = tuple(RightRow(*row[width + 1 :]) for row in rows if row.right_id is not None)
    own = {name: value for name, value in rows[0]._asdict().items() if name in KeyRow.__struct_fields__}
    return KeyRow(**own | {"rights": rights})


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


def sought_of(code: str, name: str, email: str) -> str:
    """What a search for an account looks through."""
    return plain(f"{code} {name} {email}")


def plain(text: str) -> str:
    """A text as it is searched: without case and accents."""
    parted = unicodedata.normalize("NFKD", text.casefold())
    return "".join(letter for letter in parted if not unicodedata.combining(letter))


async def put_account(tx: Transaction, record: AccountRecord, by: Actor = SERVER) -> tuple[int, RegisterTally]:
    """The account's id; its rights become exactly those of the record, keys are added or given a new hash.

    Keys that the record does not name stay: revoking is its own act (`revoke_key`).
    """
    values: dict[str, Any] = {name: getattr(record, name) for name in _WRITTEN}
    found = await tx.first(sa.select(account).where(account.c.code == record.code))
    if found is None:
        # Whom a file lets in has nothing to answer first.
        begun = {"created_ms": tx.now_ms, "changed_ms": tx.now_ms, "joined_ms": tx.now_ms}
        sought = {"sought": sought_of(record.code, record.name, "")}
        row = await tx.first(
            sa.insert(account).values(code=record.code, **values, **begun, **sought).returning(account.c.id)
        )
        assert row is not None
        account_id, changed = int(row[0]), False
    else:
        account_id = int(found.id)
        changed = any(getattr(found, name) != value for name, value in values.items())
        if changed:
            sought = {"sought": sought_of(record.code, record.name, found.email)}
            await tx.run(sa.update(account).where(account.c.id == account_id).values(values | _moved(tx) | sought))
    if found is None or changed:
        apart = changes(None if found is None else found._mapping, values)
        await audit.note(tx, "account-load", record.code, by, detail={"new": found is None}, apart=apart)
    altered = await put_rights(tx, account_id, record.code, record.rights, by)
    if altered and found is not None and not changed:
        await tx.run(sa.update(account).where(account.c.id == account_id).values(_moved(tx)))
    altered |= await _put_keys(tx, account_id, record.code, record.keys, by)
    if found is None:
        return account_id, RegisterTally(new=1)
    return account_id, RegisterTally(changed=1) if changed or altered else RegisterTally(unchanged=1)


async def put_rights_of(tx: Transaction, code: str, rights: frozenset[RightRow], by: Actor = SERVER) -> bool | None:
    """An account's rights become exactly these. Returns whether that changed anything; None where there is no such
    account."""
    found = await tx.first(sa.select(account.c.id).where(account.c.code == code))
    if found is None:
        return None
    changed = await put_rights(tx, int(found.id), code, rights, by)
    if changed:
        await tx.run(sa.update(account).where(account.c.id == found.id).values(**_moved(tx)))
    return changed


def _moved(tx: Transaction) -> dict[str, Any]:
    """Of an account that is changed at the terminal, or by a file: whoever has seen it reads it again."""
    return {"revision": account.c.revision + 1, "changed_ms": tx.now_ms, "changed_by": ""}


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
    apart = {"note": note} if note else None
    await note_of_account(tx, int(found.id), "key-make", key.key_id, by, detail=detail, apart=apart)
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
    anything; None where there is no such account, or it has ended."""
    columns = (account.c.id, account.c.disabled_ms, account.c.ended_ms)
    found = await tx.first(sa.select(*columns).where(account.c.code == code))
    if found is None or found.ended_ms is not None:
        return None
    if (found.disabled_ms is not None) == disabled:
        return False
    changed = sa.update(account).where(account.c.id == found.id)
    await tx.run(changed.values(disabled_ms=tx.now_ms if disabled else None, **_moved(tx)))
    if disabled:
        await session_ends.end_others(tx, int(found.id), None, session_ends.DISABLED, by)
    action = "account-disable" if disabled else "account-enable"
    await note_of_account(tx, int(found.id), action, code, by, apart={"reason": reason} if reason else None)
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
    joined_ms: int | None
    """None: it is invited, and nobody has answered."""
    ended_ms: int | None


async def views(conn: AsyncConnection) -> list[AccountView]:
    """Of every account, in the order of their codes."""
    good = sa.and_(api_key.c.account_id == account.c.id, api_key.c.revoked_ms.is_(None))
    statement = (
        sa.select(
            account.c.code,
            account.c.name,
            account.c.type,
            account.c.disabled_ms,
            sa.func.count(api_key.c.id),
            account.c.joined_ms,
            account.c.ended_ms,
        )
        .outerjoin(api_key, good)
        .group_by(account.c.id)
        .order_by(account.c.code)
    )
    return [AccountView(*row) for row in (await conn.execute(statement)).all()]


async def put_rights(
    tx: Transaction,
    account_id: int,
    code: str,
    rights: frozenset[RightRow],
    by: Actor,
    within: frozenset[int] | None = None,
) -> bool:
    """Makes the rights of an account exactly these. `within`: those of these zones alone; the others stay. Returns
    whether that changed anything. A line of the audit for each zone that it concerns."""
    table = account_right
    rows = await tx.rows(sa.select(table.c.id, *_RIGHT).where(table.c.account_id == account_id))
    known = {RightRow(*row[1:]): row.id for row in rows if within is None or row.zone_id in within}
    gone = [known[right] for right in known.keys() - rights]
    if gone:
        await tx.run(sa.delete(table).where(table.c.id.in_(gone)))
    new = rights - known.keys()
    for right in sorted(new, key=repr):
        await tx.run(sa.insert(table).values(account_id=account_id, **msgspec.structs.asdict(right)))
    if new:
        await session_ends.lock(tx, account_id)
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


async def note_of_account(
    tx: Transaction,
    account_id: int,
    action: str,
    subject: str,
    by: Actor,
    *,
    detail: Mapping[str, Any] | None = None,
    apart: Mapping[str, Any] | None = None,
) -> None:
    """A line of the audit in each zone in which the account has rights: whoever sees to one of them has it among its
    own, and learns nothing of the others. One of no zone where it has rights in none, or in every one."""
    zones = sa.select(account_right.c.zone_id).where(account_right.c.account_id == account_id).distinct()
    found = {row.zone_id for row in await tx.rows(zones)} or {None}
    for zone_id in sorted(found, key=lambda id_: id_ or 0):
        await audit.note(tx, action, subject, by, zone_id=zone_id, detail=detail, apart=apart)
