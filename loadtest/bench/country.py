"""A register of a million people who do not exist, put into a store's tables directly, and the same positions in a
plain SQLite table with an index: what the resolver's row asks both of."""

import contextlib
import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

Int64 = npt.NDArray[np.int64]
E7 = 10_000_000
SOUTH, NORTH, WEST, EAST = 49.6, 51.4, 2.7, 6.3
_TOWNS = 2_000
_FIRST = 1_000_000
"""Ids begin here, above those of the register that was loaded."""


def positions(people: int) -> Int64:
    """Rows of (latitude, longitude) in 1e-7 degree: towns of very different sizes, as people live."""
    draw = np.random.default_rng(5)
    towns = np.column_stack([draw.uniform(SOUTH, NORTH, _TOWNS), draw.uniform(WEST, EAST, _TOWNS)])
    weights = draw.pareto(2.5, _TOWNS) + 0.2
    lives_in = draw.choice(_TOWNS, people, p=weights / weights.sum())
    spread = draw.normal(0, 0.012, (people, 2)) * (1.0, 1.6)
    return np.rint((towns[lives_in] + spread) * E7).astype(np.int64)


_MEMBER = (
    "INSERT INTO member (id, zone_id, public_id, reference, name, language, lat_e7, lon_e7) "
    "VALUES (?1, 1, 'b' || ?1, 'b' || ?1, 'Zoë ' || ?1, ?4, ?2, ?3)"
)
_ADDRESS = "INSERT INTO address (id, value) VALUES (?, ?)"
_CONTACT = "INSERT INTO contact (member_id, address_id, type, value, from_ms) VALUES (?, ?, ?, ?, 0)"
_POLICY = """UPDATE zone SET policy = '{"area_mode":"members"}', register_rev = register_rev + 1 WHERE id = 1"""


def settle(store: Path, places: Int64) -> None:
    """Everybody into zone 1 of a store that no server is running on; whoever was there leaves. One in seven has no
    mobile, one in three no mailbox; one in twenty shares the mobile of another."""
    draw = random.Random(6)
    ids = range(_FIRST, _FIRST + len(places))
    with _filling(store) as db:
        for table in ("contact", "membership", "group_member", "member"):
            db.execute(f"DELETE FROM {table}")  # noqa: S608 - our own four names
        languages = draw.choices(("nl", "fr", "de"), (60, 38, 2), k=len(places))
        people = ((n, lat, lon, tag) for n, (lat, lon), tag in zip(ids, places.tolist(), languages, strict=True))
        db.executemany(_MEMBER, people)
        db.executemany(_ADDRESS, ((2 * n + k, _address(n, k)) for n in ids for k in (0, 1)))
        db.executemany(_CONTACT, _contacts(ids, draw))
        db.execute(_POLICY)


def _contacts(ids: range, draw: random.Random) -> Iterator[tuple[int, int, str, str]]:
    """(member, address, type, value)."""
    for n in ids:
        if draw.random() < 6 / 7:
            owner = draw.choice(ids) if draw.random() < 0.05 else n
            yield n, 2 * owner, "mobile", _address(owner, 0)
        if draw.random() < 2 / 3:
            yield n, 2 * n + 1, "email", _address(n, 1)


def plain(file: Path, places: Int64) -> None:
    """Makes a table with one index that covers the question."""
    with _filling(file) as db:
        db.execute("CREATE TABLE person (id INTEGER PRIMARY KEY, lat_e7 INTEGER, lon_e7 INTEGER)")
        rows = ((n, lat, lon) for n, (lat, lon) in enumerate(places.tolist()))
        db.executemany("INSERT INTO person VALUES (?, ?, ?)", rows)
        db.execute("CREATE INDEX place ON person (lat_e7, lon_e7)")
        db.execute("ANALYZE")


def _address(n: int, kind: int) -> str:
    """Mobile (0) or mailbox (1)."""
    return f"b{n}@example.org" if kind else f"+3249{n % 10_000_000:07d}"


@contextlib.contextmanager
def _filling(file: Path) -> Iterator[sqlite3.Connection]:
    """One transaction, without waiting for the disk: the file is only for this run."""
    db = sqlite3.connect(file)
    try:
        db.execute("PRAGMA synchronous=OFF")
        with db:
            yield db
    finally:
        db.close()
