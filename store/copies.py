"""Copies of a store in a file: taken while a server runs, looked through, and noticed when one is served.

A copy knows less than the store has done since: what it calls queued may have been sent. Whoever serves one gets a
new generation, by which late receipts and bounces of the lost timeline hit nobody, and a hold on each campaign that
the copy calls unfinished. What is launched from then on goes out.
"""

import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from store import audit, meta
from store.audit_line import SERVER, Actor
from store.engine.soundness import is_damage
from store.engine.transaction import Transaction
from store.errors import StoreDamaged, StoreUnavailable
from store.tables import meta as kept_facts

COPIED = "copied_ms"
"""In a copy: when it was taken."""
LAST = "backup"
"""In a store: its last good backup."""
FILE = "file"
"""In a store: which file it is."""
_COUNTED = ("member", "account", "campaign", "alert", "audit", "entry")
_PAGES = 2_000
"""Copied in one step, 8 MiB: a few milliseconds, in which nobody waits."""


class Copied(msgspec.Struct, frozen=True):
    """A copy that was written and looked through."""

    path: str
    at_ms: int
    bytes: int
    rows: dict[str, int]
    """Of the tables that tell most."""


class LastBackup(msgspec.Struct, frozen=True):
    path: str
    at_ms: int
    bytes: int


class Which(msgspec.Struct, frozen=True):
    """A file, as it is known again. The device alone may have another number after a reboot."""

    device: int
    inode: int
    machine: str = ""


def which(path: Path) -> Which:
    found = path.stat()
    with contextlib.suppress(OSError):
        return Which(found.st_dev, found.st_ino, Path("/etc/machine-id").read_text().strip()[:64])
    return Which(found.st_dev, found.st_ino)


def same(one: Which, other: Which) -> bool:
    return one.inode == other.inode and (one.device == other.device or one.machine == other.machine)


# ---- taking one --------------------------------------------------------------------------------------------------


def take(source: Path, target: Path, tell: Callable[[int, int], None] = lambda done, of: None) -> Copied:
    """Copy a store that may be written to meanwhile, as it stands at this instant, and look through the copy. `tell`
    hears of pages done and of how many. Blocking: in a thread. `target` appears whole or not at all.

    Raises StoreUnavailable, StoreDamaged, FileExistsError.
    """
    if target.exists():
        raise FileExistsError(f"{target} is there already: a backup is a new file")
    part = target.with_name(f".{target.name}.part")
    part.unlink(missing_ok=True)
    try:
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        rows = _copy(source, part, tell)
        at_ms = _mark(part)
        found = look_through(part)
        if found != rows:
            raise StoreUnavailable(f"the copy holds {found}, the store {rows}: it is thrown away")
        _to_disk(part)
        part.rename(target)
        _to_disk(target.parent)
    except sqlite3.Error as exc:
        raise StoreUnavailable(f"the store cannot be copied: {exc}") from exc
    finally:
        for leftover in (part, Path(f"{part}-journal"), Path(f"{part}-wal"), Path(f"{part}-shm")):
            leftover.unlink(missing_ok=True)
    return Copied(str(target), at_ms, target.stat().st_size, rows)


def look_through(path: Path) -> dict[str, int]:
    """Reads every page of a copy and the rows of the tables that tell most. Raises StoreDamaged."""
    with _opened(path, "ro") as connection:
        try:
            found = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(1)")]
            if found != ["ok"]:
                raise StoreDamaged(path, found[0][:200])
            return _counts(connection)
        except sqlite3.DatabaseError as exc:
            if is_damage(exc) or "no such table" in str(exc):
                raise StoreDamaged(path, str(exc)) from exc
            raise


def _copy(source: Path, part: Path, tell: Callable[[int, int], None]) -> dict[str, int]:
    with _opened(source, "ro") as live, _opened(part, "rw") as copy:
        # Read within one transaction, the pages are those of one instant, whoever writes meanwhile.
        live.execute("BEGIN")
        rows = _counts(live)
        live.backup(copy, pages=_PAGES, progress=lambda _, left, of: tell(of - left, of))
        live.execute("ROLLBACK")
    return rows


def _mark(part: Path) -> int:
    """It says that it is a copy, and no server lives on it."""
    now_ms = time.time_ns() // 1_000_000
    with _opened(part, "rw") as copy:
        copy.execute("PRAGMA journal_mode=DELETE")
        copy.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (COPIED, str(now_ms)))
        copy.execute("DELETE FROM node")
    return now_ms


def _counts(connection: sqlite3.Connection) -> dict[str, int]:
    return {t: int(connection.execute(f"SELECT count(*) FROM {t}").fetchone()[0]) for t in _COUNTED}  # noqa: S608


@contextlib.contextmanager
def _opened(path: Path, mode: str) -> Iterator[sqlite3.Connection]:
    # isolation_level None: the transactions are those that are written here.
    uri = f"file:{quote(str(path.absolute()))}?mode={mode}"  # a folder may have a sign of URIs in its name
    connection = sqlite3.connect(uri, uri=True, timeout=5.0, isolation_level=None)
    try:
        yield connection
    finally:
        connection.close()


def _to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


async def note(tx: Transaction, taken: Copied, by: Actor = SERVER) -> None:
    """Makes a copy known as the last good backup, and writes it into the audit."""
    value = msgspec.json.encode(LastBackup(taken.path, taken.at_ms, taken.bytes)).decode()
    await tx.run(sa.delete(kept_facts).where(kept_facts.c.key == LAST))
    await tx.run(sa.insert(kept_facts).values(key=LAST, value=value))
    detail = {"bytes": taken.bytes, "rows": taken.rows}
    await audit.note(tx, "backup", "store", by, detail=detail, apart={"path": taken.path})


async def last_backup(conn: AsyncConnection) -> LastBackup | None:
    value = (await conn.execute(sa.select(kept_facts.c.value).where(kept_facts.c.key == LAST))).scalar()
    return None if value is None else msgspec.json.decode(value, type=LastBackup)


# ---- serving one -------------------------------------------------------------------------------------------------


async def notice(tx: Transaction, path: Path, by: Actor = SERVER) -> str:
    """Before anything is served from this file: why it is a copy, with its holds placed; empty for the store itself,
    which knows its file from then on."""
    known = await tx.first(sa.select(kept_facts.c.value).where(kept_facts.c.key == FILE))
    copied = await tx.first(sa.select(kept_facts.c.value).where(kept_facts.c.key == COPIED))
    here = which(path)
    why = ""
    if copied is not None:
        why = "it was made by 'tocsin backup'"
    elif known is not None and not same(msgspec.json.decode(known.value, type=Which), here):
        why = "its file is another one than the one that was served last"
    if why:
        await meta.renew_generation(tx, by)
    await adopt(tx, here)
    return why


async def adopt(tx: Transaction, here: Which) -> None:
    """Makes this file known as the store itself, and no copy."""
    await tx.run(sa.delete(kept_facts).where(kept_facts.c.key.in_((FILE, COPIED))))
    await tx.run(sa.insert(kept_facts).values(key=FILE, value=msgspec.json.encode(here).decode()))
