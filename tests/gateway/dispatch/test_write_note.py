"""What a process noted before it was killed is found by the next one; what cannot be believed says nothing."""

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.dispatch import write_note
from gateway.dispatch.write_note import WriteNote, begin_note, read_note
from store.outbox.records import Batch, Settlement
from store.states import DeliveryEvent

STORE, NODE = "g1", "host-1"


def a_batch(id_: int = 7, round_: int = 1) -> Batch:
    return Batch(
        id=id_, lease=1, node="n", round=round_, campaign_id=1, channel="sms", mode="live", priority=0, first=1, last=9,
        epoch=1, starts_ms=0, expires_ms=0, crash_policy="report", stalls=0, rows=(),
    )  # fmt: skip


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tocsin.db-note"


def begun(path: Path) -> WriteNote:
    """As by a process that ends: what holds the file is let go, as the end of a process lets it go."""
    note = begin_note(path, STORE, NODE)
    fcntl.flock(note._lock, fcntl.LOCK_UN)
    return note


def beginning(note: WriteNote, batch: Batch) -> Callable[[int], None]:
    """Claim it; what comes back grants a delivery and begins to write it."""
    granted = note.claim(batch)
    return lambda delivery_id: note.begun(granted(delivery_id))


def test_what_was_begun_in_a_claimed_round_is_known_and_what_was_not_too(path: Path) -> None:
    note = begun(path)
    granted = note.claim(a_batch(7, 3))
    note.begun(granted(41))
    granted(42)

    noted = read_note(path, STORE)

    assert noted is not None
    assert noted.node == NODE
    assert noted.was_claimed(7, 3)
    assert noted.was_begun(41, 3)
    assert not noted.was_begun(42, 3)
    assert not noted.was_begun(41, 4), "another round is another attempt"
    assert not noted.was_claimed(7, 4)


def test_answers_are_kept_as_they_were(path: Path) -> None:
    note = begun(path)
    taken = Settlement(41, DeliveryEvent.ACCEPTED, "first", ("id-1", "id-2"))
    refused = Settlement(42, DeliveryEvent.DEFERRED, "first", code="0x14", text="full", wait_ms=2000)
    for each in (taken, refused):
        note.answered(3, each)
    note.answered(3, Settlement(43, DeliveryEvent.REFUSED, "first", text="x" * 500))

    noted = read_note(path, STORE)

    assert noted is not None
    assert noted.answer(41, 3) == taken
    assert noted.answer(42, 3) == refused
    assert noted.answer(41, 4) is None
    assert noted.answer(43, 3) is None, "what has no place is left out: it stays in doubt"


def test_of_an_earlier_claim_nothing_is_said_once_its_writes_may_have_been_written_over(path: Path) -> None:
    note = begun(path)
    early = beginning(note, a_batch(7, 1))
    early(41)
    late = beginning(note, a_batch(8, 1))
    for n in range(write_note.STEPS - 2):
        late(1000 + n)

    noted = read_note(path, STORE)

    assert noted is not None
    assert not noted.was_claimed(7, 1)
    assert noted.was_claimed(8, 1)
    assert noted.was_begun(1000, 1)


@pytest.mark.parametrize("damage", ["boot", "store", "short", "none", "other"])
def test_a_note_that_cannot_be_believed_says_nothing(path: Path, damage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    beginning(begun(path), a_batch())(41)
    match damage:
        case "boot":
            monkeypatch.setattr(write_note, "_boot", lambda: b"x" * 36)
        case "short":
            path.write_bytes(path.read_bytes()[:-1])
        case "none":
            path.unlink()
        case "other":
            path.write_bytes(b"\0" * write_note.SIZE)

    assert read_note(path, "g2" if damage == "store" else STORE) is None


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.integers(1, 2**62), st.integers(0, 2**31), st.booleans()), max_size=50))
def test_whatever_was_noted_is_found_and_nothing_else(tmp_path_factory, steps) -> None:
    path = tmp_path_factory.mktemp("note") / "n"
    note = begun(path)
    claims, writes = set(), set()
    for id_, round_, is_claim in steps:
        if is_claim:
            note.claim(a_batch(id_, round_))
            claims.add((id_, round_))
        else:
            beginning(note, a_batch(1, round_))(id_)
            claims.add((1, round_))
            writes.add((id_, round_))

    noted = read_note(path, STORE)

    assert noted is not None
    for id_, round_, _ in steps:
        assert noted.was_claimed(id_, round_) == ((id_, round_) in claims)
        assert noted.was_begun(id_, round_) == ((id_, round_) in writes)


@settings(deadline=None, max_examples=60)
@given(at=st.integers(write_note._FIRST, write_note._FIRST + 24 * 4 - 1), bit=st.integers(0, 7))
def test_what_was_claimed_before_a_damaged_entry_is_not_believed(tmp_path_factory, at: int, bit: int) -> None:
    """One of the first three entries, in any bit."""
    path = tmp_path_factory.mktemp("note") / "n"
    begins = beginning(begun(path), a_batch(7, 1))
    begins(41)
    begins(42)
    begins(43)
    octets = bytearray(path.read_bytes())
    octets[at] ^= 1 << bit
    path.write_bytes(octets)

    noted = read_note(path, STORE)

    assert noted is not None
    if noted.was_claimed(7, 1):
        # Of the last entry nobody can tell whether it was made at all: it is made before any byte leaves.
        assert noted.was_begun(41, 1)


def test_a_kill_leaves_all_that_was_noted(path: Path) -> None:
    """In a process of its own, that is killed as soon as it says so."""
    program = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from tests.gateway.dispatch.test_write_note import a_batch, beginning, begun\n"
        "note = begun(Path(sys.argv[1]))\n"
        "begins = beginning(note, a_batch(7, 1))\n"
        "for n in range(5000): begins(n)\n"
        "print('noted', flush=True)\n"
        "time.sleep(60)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"noted\n"
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    child.stdout.close()

    noted = read_note(path, STORE)

    assert noted is not None
    assert noted.was_claimed(7, 1)
    assert all(noted.was_begun(n, 1) for n in range(5000))


def test_without_room_on_the_disk_there_is_no_note_and_that_is_told(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)

    note = begin_note(path, STORE, NODE)

    beginning(note, a_batch(7, 1))(41)
    assert not path.exists()
    assert [getattr(r, "action", "") for r in caplog.records] == ["no-write-note"]


def test_an_answer_is_small_enough_for_its_place() -> None:
    """A long SMS in ten parts with the longest ids that SMPP allows is the exception."""
    usual = Settlement(2**40, DeliveryEvent.ACCEPTED, "carrier-name", ("1234567890123456",) * 3)

    assert write_note._ANSWER.size + len(msgspec.msgpack.encode(usual)) <= write_note._SLOT


def test_the_note_of_a_process_that_lives_is_nobody_elses(path: Path) -> None:
    """Two nodes of one database with the same settings."""
    mine = begin_note(path, STORE, NODE)
    begins = beginning(mine, a_batch(7, 1))

    assert read_note(path, STORE) is None
    beginning(begin_note(path, STORE, "host-2"), a_batch(7, 2))(41)

    begins(41)
    mine.close()
    noted = read_note(path, STORE)
    assert noted is not None
    assert (noted.node, noted.was_begun(41, 1)) == (NODE, True)
