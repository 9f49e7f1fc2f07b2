"""The write note: which messages a carrier has begun to write, kept where a kill of the process does not reach.

A file in memory (mmap), beside a store in a file or where the settings say. Its pages are the kernel's, so what a
process noted before it was killed is there when the next one starts. It says nothing after a reboot, and is void then.
A message is entered before a carrier has it, with a byte (`channels.begun`) that whichever process writes it sets
BEFORE the first octet leaves: what has no entry, or a byte that is not set, was not written.

Two rings. The first has claims and grants in one order: as long as the claim of a round is in it, every grant of that
round is too. The second has answers that the store may not have heard of yet: each stands for itself.
"""

import contextlib
import fcntl
import logging
import mmap
import os
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from channels.begun import BegunBytes
from store.outbox.records import Batch, Settlement

log = logging.getLogger(__name__)

_MAGIC = b"tocsin note 2\n\0\0"
_HEAD = struct.Struct("<16s36s36s200s")  # magic, boot id, store id, node
_FIRST = 4096
_STEP = struct.Struct("<QQII")  # number, id, round, check
_CHECKED = struct.Struct("<QQI")
_CLAIM = 1 << 63
STEPS = 262_144
"""Claims and grants that are kept: at 3,000 messages a second a minute and a half, where a round takes four seconds."""
_ANSWER = struct.Struct("<QQIHI")  # number, id, round, length, check
_SLOT = 192
ANSWERS = 32_768
"""Answers that are kept: the store has heard of each within a second."""
_ANSWERS_AT = _FIRST + STEPS * _STEP.size
_BEGUN_AT = _ANSWERS_AT + ANSWERS * _SLOT
SIZE = _BEGUN_AT + STEPS


DYING_S = 1.0
"""How long a process takes to die at most, once the one that made it has been killed."""


class WriteNote:
    """Of one process. Nothing here waits for a disk."""

    def __init__(self, memory: mmap.mmap, lock: int) -> None:
        """`lock`: the file, open and locked for as long as the process lives, or one that it made lives."""
        self._memory, self._lock = memory, lock
        self.begun = BegunBytes(memory, lock, _BEGUN_AT, STEPS)
        """Set by whoever begins to write."""
        self._answers = 0
        self._encoder = msgspec.msgpack.Encoder()

    def claim(self, batch: Batch) -> Callable[[int], int]:
        """A round begins. What comes back is called with a delivery's id before a carrier has it, and gives the number
        under which it is among `begun`."""
        self._step(batch.id | _CLAIM, batch.round)
        round_ = batch.round

        def granted(delivery_id: int) -> int:
            return self._step(delivery_id, round_)

        return granted

    def answered(self, round_: int, settlement: Settlement) -> None:
        """What a carrier said of it; an answer too long for its place is left out."""
        body = self._encoder.encode(settlement)
        if _ANSWER.size + len(body) > _SLOT:
            return
        number = self._answers = self._answers + 1
        at = _ANSWERS_AT + (number % ANSWERS) * _SLOT
        check = zlib.crc32(body, number & 0xFFFFFFFF)
        _ANSWER.pack_into(self._memory, at, number, settlement.delivery_id, round_, len(body), check)
        self._memory[at + _ANSWER.size : at + _ANSWER.size + len(body)] = body

    def close(self) -> None:
        self._memory.close()
        os.close(self._lock)

    def _step(self, id_: int, round_: int) -> int:
        number = self.begun.allot()
        at = _FIRST + (number % STEPS) * _STEP.size
        _STEP.pack_into(self._memory, at, number, id_, round_, _check(number, id_, round_))
        return number


class Noted:
    """What the process before this one noted (`store.recovery.Evidence`)."""

    def __init__(self, memory: bytes, node: str) -> None:
        self.node = node
        """Who noted it."""
        self._claims: set[tuple[int, int]] = set()
        self._writes: set[tuple[int, int]] = set()
        for number, id_, round_ in _steps_of(memory):
            if id_ & _CLAIM:
                self._claims.add((id_ & ~_CLAIM, round_))
            elif memory[_BEGUN_AT + number % STEPS]:
                self._writes.add((id_, round_))
        self._answers = dict(_answers_of(memory))

    def was_claimed(self, batch_id: int, round_: int) -> bool:
        return (batch_id, round_) in self._claims

    def was_begun(self, delivery_id: int, round_: int) -> bool:
        return (delivery_id, round_) in self._writes

    def answer(self, delivery_id: int, round_: int) -> Settlement | None:
        return self._answers.get((delivery_id, round_))


def begin_note(path: Path, store_id: str, node: str) -> WriteNote:
    """The note of this process, in place of the one before; one in memory only without room on the disk, and where
    another process that lives writes there."""
    try:
        with _held(path):
            return _fresh(path, store_id, node)
    except OSError as exc:
        fields = {"action": "no-write-note", "file": str(path), "error": str(exc)}
        log.warning("no write note: after a kill whatever was granted will be in doubt", extra=fields)
        return memory_note()


def memory_note() -> WriteNote:
    """A note that ends with this process, and with those that it made: it tells what these had begun when they died.
    Raises OSError."""
    file = os.memfd_create("write-note", os.MFD_CLOEXEC)
    os.ftruncate(file, SIZE)
    return WriteNote(mmap.mmap(file, SIZE), file)


def read_note(path: Path, store_id: str) -> Noted | None:
    """What the process before this one noted; None where it says nothing: there is none, its process lives, the machine
    was started since, or it is of another store."""
    try:
        with _held(path), path.open("rb") as file:
            memory = file.read(SIZE)
    except OSError:
        return None
    if len(memory) != SIZE:
        return None
    *known, node = _HEAD.unpack_from(memory)
    if known != [_MAGIC, _boot(), _padded(store_id)]:
        return None
    return Noted(memory, node.rstrip(b"\0").decode("utf-8", "replace"))


@contextlib.contextmanager
def _held(path: Path) -> Iterator[None]:
    """Raises OSError while a process that lives has this note. Those that a killed process had made die a moment after
    it: they are waited for."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        yield
        return
    with file:
        until_s = time.monotonic() + DYING_S
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until_s:
                    raise
                time.sleep(0.01)
        yield


def _fresh(path: Path, store_id: str, node: str) -> WriteNote:
    # Under another name first: a kill in the midst leaves the old note or the new one.
    made = path.with_name(f"{path.name}.new")
    file = os.open(made, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # With its place on the disk: writing to a page that has none would end the process.
        os.posix_fallocate(file, 0, SIZE)
        memory = mmap.mmap(file, SIZE)
        _HEAD.pack_into(memory, 0, _MAGIC, _boot(), _padded(store_id), node.encode()[:200])
        os.replace(made, path)
    except BaseException:
        os.close(file)
        raise
    return WriteNote(memory, file)


def _steps_of(memory: bytes | mmap.mmap) -> Iterator[tuple[int, int, int]]:
    """(number, id, round) of the entries from the last one back to the first gap: what a damaged one said is not known,
    and a claim from before it says nothing any more."""
    entries = _STEP.iter_unpack(memory[_FIRST:_ANSWERS_AT])
    whole = {n: (id_, round_) for n, id_, round_, check in entries if n and check == _check(n, id_, round_)}
    number = max(whole, default=0)
    while number in whole:
        yield (number, *whole[number])
        number -= 1


def _answers_of(memory: bytes | mmap.mmap) -> Iterator[tuple[tuple[int, int], Settlement]]:
    """In the order in which they came."""
    found = []
    for at in range(_ANSWERS_AT, _BEGUN_AT, _SLOT):
        number, id_, round_, length, check = _ANSWER.unpack_from(memory, at)
        body = memory[at + _ANSWER.size : at + _ANSWER.size + length]
        if number and length <= _SLOT - _ANSWER.size and check == zlib.crc32(body, number & 0xFFFFFFFF):
            found.append((number, (id_, round_), body))
    for _, key, body in sorted(found):
        try:
            yield key, msgspec.msgpack.decode(body, type=Settlement)
        except msgspec.MsgspecError:
            continue


def _check(number: int, id_: int, round_: int) -> int:
    return zlib.crc32(_CHECKED.pack(number, id_, round_))


def _boot() -> bytes:
    """Of this run of the machine: its pages are gone with it."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_bytes().strip()[:36].ljust(36, b"\0")
    except OSError:
        return os.urandom(36)  # nobody can tell, so no note says anything


def _padded(store_id: str) -> bytes:
    return store_id.encode()[:36].ljust(36, b"\0")
