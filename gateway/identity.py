"""What this store and this process call themselves, and what the process before left in hand."""

import asyncio
import hashlib
import logging
import os
import secrets
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from channels.processes.supervisor import ProcessView
from gateway.dispatch.write_note import Noted, WriteNote, begin_note, memory_note, read_note
from gateway.settings import Settings
from store import meta
from store.engine.database import Database
from store.engine.transaction import Transaction
from store.outbox import recovery

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Identity:
    """What this store calls itself to the outside."""

    generation: str
    bounce_key: bytes
    sign_in_key: bytes
    """32 octets: of what is sealed for those who sign in, and of their challenges. All nodes have the same."""
    boot_id: str
    """Of this process."""
    note: WriteNote = field(default_factory=memory_note)
    """It outlives this process, but on PostgreSQL without `store.write_note`, and without room on the disk."""

    @property
    def node(self) -> str:
        """Under this name its lanes hold leases."""
        return f"{socket.gethostname()}-{self.boot_id}"


async def identify(database: Database, settings: Settings) -> Identity:
    """The store's generation and keys; whoever held a lease of a SQLite file before this process is dead."""
    generation = await database.write(meta.generation)
    if settings.email.bounce_key:
        key = settings.email.bounce_key
    else:
        key = await database.write(lambda tx: meta.kept(tx, meta.BOUNCE_KEY, secrets.token_hex(16)))
    identity = Identity(generation, key.encode(), await _sign_in_key(database, settings), secrets.token_hex(8))
    path = _note_path(database, settings)
    noted = None if path is None else await asyncio.to_thread(read_note, path, generation)
    if database.sqlite:
        await database.write(recovery.end_all_leases)
        stepped_ms = await database.write(recovery.forget_the_future)
        if stepped_ms:
            log.warning("the clock was stepped back", extra={"action": "clock-stepped", "ms": stepped_ms})
    if noted is not None:
        await _take_up(database, noted)
    # Not before: until it is taken up, another kill must find it.
    if path is None:
        return identity
    return replace(identity, note=await asyncio.to_thread(begin_note, path, generation, identity.node))


async def _sign_in_key(database: Database, settings: Settings) -> bytes:
    """Of the settings' secret, which no copy of the store has; else the store's own."""
    told = settings.sign_in.seal_key
    if not told:
        told = await database.write(lambda tx: meta.kept(tx, meta.SIGN_IN_KEY, secrets.token_hex(32)))
    return hashlib.sha256(b"tocsin sign-in " + told.encode()).digest()


def _note_path(database: Database, settings: Settings) -> Path | None:
    if settings.store.write_note:
        return Path(settings.store.write_note)
    return None if database.path is None else database.path.with_name(f"{database.path.name}-note")


async def _take_up(database: Database, noted: Noted) -> None:
    """What was in hand when the process before was killed, as far as it has noted what became of it."""
    await database.write(lambda tx: recovery.end_leases_of(tx, noted.node))
    alone: set[int] = set()
    in_doubt = 0

    async def work(tx: Transaction) -> list[recovery.Recovered]:
        return await recovery.recover(tx, left_alone=alone, evidence=noted, node_name=noted.node)

    while found := await database.write(work):
        in_doubt += sum(one.unknown for one in found)
    if in_doubt:
        about = {"action": "in-doubt-after-kill", "deliveries": in_doubt}
        log.warning("the process before was killed: what had been written and not answered is in doubt", extra=about)


def process_name(made: Sequence[ProcessView] = ()) -> str:
    """As `tocsin status` shows it, with the processes that it has made: two servers on one machine are told apart."""
    own = f"{socket.gethostname()}, process {os.getpid()}"
    return ", ".join([own, *map(_shown, made)])


def _shown(process: ProcessView) -> str:
    again = f", made {process.lives} times" if process.lives > 1 else ""
    return f"{process.name} {process.pid}{again}" if process.pid else f"{process.name} IS BEING MADE ANEW{again}"
