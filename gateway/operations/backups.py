"""Backups of a store in a file: by hand or by schedule, encrypted where a key is set, and put back.

An encrypted backup is AES-256-GCM in pieces of a megabyte (the STREAM construction: numbered, the last one marked, so
that none can be left out, moved or cut off), under a key drawn by HKDF from the secret and a salt of its own.
"""

import asyncio
import hashlib
import logging
import os
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gateway.settings import BackupSettings
from store import copies
from store.copies import Copied
from store.engine.database import Database
from store.engine.turns import Turn
from store.errors import StoreError

log = logging.getLogger(__name__)

MAGIC = b"TOCSIN-BACKUP-1\n"
_SALT = 16
_PIECE = 1 << 20
_TAG = 16


class BackupRefused(StoreError):
    """What is there cannot be used as a backup; the text says why."""


def make(source: Path, target: Path, secret: str, tell: Callable[[int, int], None] = lambda done, of: None) -> Copied:
    """A verified backup in `target`, which appears whole or not at all. Blocking: in a thread.

    Raises StoreError, FileExistsError, OSError."""
    if not secret:
        return copies.take(source, target, tell)
    if target.exists():
        raise FileExistsError(f"{target} is there already: a backup is a new file")
    plain = target.with_name(f".{target.name}.plain-{secrets.token_hex(4)}")
    part = target.with_name(f".{target.name}.sealed")
    try:
        taken = copies.take(source, plain, tell)
        seal(plain, part, secret)
        if _sha256(_unsealed(part, secret)) != _sha256(_pieces(plain)):
            raise BackupRefused("what was encrypted is not what was copied: it is thrown away")
        part.rename(target)
    finally:
        plain.unlink(missing_ok=True)
        part.unlink(missing_ok=True)
    return msgspec.structs.replace(taken, path=str(target), bytes=target.stat().st_size)


def is_sealed(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def seal(source: Path, target: Path, secret: str) -> None:
    salt = secrets.token_bytes(_SALT)
    cipher = _cipher(secret, salt)
    with source.open("rb") as plain, _private(target) as sealed:
        sealed.write(MAGIC + salt)
        piece, number = plain.read(_PIECE), 0
        while True:
            following = plain.read(_PIECE)
            sealed.write(cipher.encrypt(_nonce(number), piece, _place(last=not following)))
            if not following:
                break
            piece, number = following, number + 1
        sealed.flush()
        os.fsync(sealed.fileno())


def unseal(source: Path, target: Path, secret: str) -> None:
    """Decrypts a backup. Raises BackupRefused for another key, and for what was changed or cut off."""
    with _private(target) as plain:
        for piece in _unsealed(source, secret):
            plain.write(piece)
        plain.flush()
        os.fsync(plain.fileno())


def _unsealed(source: Path, secret: str) -> Iterator[bytes]:
    with source.open("rb") as sealed:
        head = sealed.read(len(MAGIC) + _SALT)
        if not head.startswith(MAGIC) or len(head) < len(MAGIC) + _SALT:
            raise BackupRefused(f"{source} is no encrypted backup")
        cipher = _cipher(secret, head[len(MAGIC) :])
        piece, number = sealed.read(_PIECE + _TAG), 0
        while True:
            following = sealed.read(_PIECE + _TAG)
            try:
                yield cipher.decrypt(_nonce(number), piece, _place(last=not following))
            except (InvalidTag, ValueError) as exc:
                why = "backup.backup_key is another one, or the file was changed or cut off"
                raise BackupRefused(f"{source} cannot be decrypted: {why}") from exc
            if not following:
                return
            piece, number = following, number + 1


def _cipher(secret: str, salt: bytes) -> AESGCM:
    return AESGCM(HKDF(SHA256(), 32, salt, b"tocsin backup").derive(secret.encode()))


def _nonce(number: int) -> bytes:
    return number.to_bytes(12, "big")


def _place(*, last: bool) -> bytes:
    return b"last" if last else b"more"


def _private(path: Path) -> IO[bytes]:
    return os.fdopen(os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "wb")


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            yield piece


def _sha256(pieces: Iterator[bytes]) -> bytes:
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.digest()


# ---- put back ----------------------------------------------------------------------------------------------------


def put_back(backup: Path, store: Path, secret: str, *, replace: bool) -> dict[str, int]:
    """Puts a backup in the place of the store; one that is there is set aside, with `replace`. Returns rows by table.

    Raises BackupRefused, StoreDamaged, OSError. Nobody may serve the store meanwhile."""
    if store.exists() and not replace:
        raise BackupRefused(f"there is a store in {store}: with --replace it is set aside for the backup")
    store.parent.mkdir(parents=True, exist_ok=True)
    fresh = store.with_name(f".{store.name}.restored")
    try:
        if is_sealed(backup):
            if not secret:
                raise BackupRefused(f"{backup} is encrypted: backup.backup_key must be set")
            unseal(backup, fresh, secret)
        else:
            with _private(fresh) as plain:
                for piece in _pieces(backup):
                    plain.write(piece)
                plain.flush()
                os.fsync(plain.fileno())
        rows = copies.look_through(fresh)
        _set_aside(store)
        fresh.rename(store)
    finally:
        fresh.unlink(missing_ok=True)
    return rows


def _set_aside(store: Path) -> None:
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    for suffix in ("", "-wal", "-shm", "-note"):
        old = Path(f"{store}{suffix}")
        if old.exists():
            old.rename(f"{store}.before-{stamp}{suffix}")


# ---- by schedule -------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Schedule:
    """Backups into a folder, so many of them kept. A chore of the server."""

    database: Database
    settings: BackupSettings

    async def run(self) -> bool:
        """Makes a backup, if its time has come. Raises nothing that a full disk or a folder that is gone can cause:
        it says so."""
        source = self.database.path
        if source is None or not self.settings.folder:
            return False
        async with self.database.read() as conn:
            last = await copies.last_backup(conn)
        now_ms = self.database.clock.now_ms()
        if last is not None and now_ms - last.at_ms < self.settings.every_h * 3_600_000:
            return False
        stamp = datetime.fromtimestamp(now_ms / 1000, UTC).strftime("%Y%m%dT%H%M%SZ")
        folder = Path(self.settings.folder)
        ending = ".sealed" if self.settings.backup_key else ""
        target = folder / f"{source.stem}-{stamp}.db{ending}"
        try:
            await asyncio.to_thread(folder.mkdir, mode=0o700, parents=True, exist_ok=True)
            taken = await asyncio.to_thread(make, source, target, self.settings.backup_key)
            await asyncio.to_thread(prune, folder, source.stem, self.settings.keep)
        except (StoreError, OSError) as exc:
            log.error("the backup failed", extra={"action": "backup-failed", "alarm": True, "why": str(exc)})
            return False
        await self.database.write(lambda tx: copies.note(tx, taken), turn=Turn.LAST)
        log.info("backup", extra={"action": "backup", "path": taken.path, "bytes": taken.bytes})
        return False


def prune(folder: Path, stem: str, keep: int) -> None:
    """Removes the oldest backups; only those that a schedule has made, by their names."""
    made = sorted(p for p in folder.glob(f"{stem}-*T*Z.db*") if p.suffix in (".db", ".sealed"))
    for old in made[:-keep]:
        old.unlink()
