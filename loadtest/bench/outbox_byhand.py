"""The same lives by a loop written by hand on the same tables with `sqlite3`: what the outbox is measured against.

As short as it can be: no fence but the cursor, no re-tries, no long messages, no other state than the one expected. The
same durability: WAL, synchronous=FULL, a commit for each of claim, cursor, settle and receipts.

    python -m loadtest.bench.outbox_byhand --file tocsin.db

prints {"lives": n, "start_s": ..., "end_s": ..., "cpu_us": ...}.
"""

import argparse
import json
import sqlite3
import time
from pathlib import Path

from loadtest.bench.outbox_steps import ref_of
from loadtest.bench.queue import CARRIER

_PRAGMAS = (
    "PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL", "PRAGMA wal_autocheckpoint=16000",
    "PRAGMA cache_size=-65536", "PRAGMA foreign_keys=ON",
)  # fmt: skip
_CLAIM = (
    "SELECT b.id, b.campaign_id, b.first, b.last FROM batch b JOIN campaign c ON c.id = b.campaign_id "
    "WHERE b.channel = 'sms' AND b.mode = 'live' AND b.state = 0 AND c.state = 'running' "
    "ORDER BY b.priority, b.tag, b.id LIMIT 1"
)
_LEASE = "UPDATE batch SET state = 1, node = 'hand', lease = lease + 1, round = round + 1, due_ms = ? WHERE id = ?"
_ROWS = (
    "SELECT d.id, d.address, m.name, d.language FROM delivery d JOIN member m ON m.id = d.member_id "
    "WHERE d.id BETWEEN ? AND ? AND d.state IN (0, 1) ORDER BY d.id"
)
_SLOT = (
    "INSERT INTO slot (ceiling, mode, next_us) VALUES ('hand', 'live', ?) "
    "ON CONFLICT DO UPDATE SET next_us = excluded.next_us"
)
_CURSOR = "UPDATE batch SET cursor = ?, due_ms = ? WHERE id = ?"
_ACCEPTED = (
    "UPDATE delivery SET state = 3, attempts = attempts + 1, round = 1, charged = 1, carrier = ?, sent_ms = ?, "
    "changed_ms = ? WHERE id = ? AND state IN (0, 1)"
)
_REF = (
    "INSERT INTO carrier_ref (carrier, ref, delivery_id, attempt, part, parts) VALUES (?, ?, ?, 1, 1, 1) "
    "ON CONFLICT DO NOTHING"
)
_COUNT_ACCEPTED = (
    "UPDATE progress SET queued = queued - ?1, accepted = accepted + ?1, "
    "charged_millieuro = charged_millieuro + 55 * ?1, revision = revision + 1 "
    "WHERE campaign_id = ?2 AND channel = 'sms'"
)
_DONE = "UPDATE batch SET state = 3, due_ms = NULL, node = NULL WHERE id = ?"
_FIND = (
    "SELECT r.id, r.delivery_id FROM carrier_ref r JOIN delivery d ON d.id = r.delivery_id "
    "WHERE r.carrier = ? AND r.ref = ? AND d.address = ?"
)
_REPORTED = "UPDATE carrier_ref SET state = 1 WHERE id = ? AND state = 0"
_DELIVERED = "UPDATE delivery SET state = 4, changed_ms = ? WHERE id = ? AND state = 3"
_COUNT_DELIVERED = (
    "UPDATE progress SET accepted = accepted - ?1, delivered = delivered + ?1, revision = revision + 1 "
    "WHERE campaign_id = ?2 AND channel = 'sms'"
)


def live(db: sqlite3.Connection) -> int:
    """Lives one batch; returns how many deliveries it had, 0 when there is none."""
    db.execute("BEGIN IMMEDIATE")
    found = db.execute(_CLAIM).fetchone()
    if found is None:
        db.execute("ROLLBACK")
        return 0
    batch, campaign, first, last = found
    now_ms = time.time_ns() // 1_000_000
    db.execute(_LEASE, (now_ms + 60_000, batch))
    rows = db.execute(_ROWS, (first, last)).fetchall()
    db.execute("COMMIT")

    db.execute("BEGIN IMMEDIATE")
    db.execute(_SLOT, (now_ms * 1000 + len(rows),))
    db.execute(_CURSOR, (last, now_ms + 60_000, batch))
    db.execute("COMMIT")

    db.execute("BEGIN IMMEDIATE")
    db.executemany(_ACCEPTED, [(CARRIER, now_ms, now_ms, row[0]) for row in rows])
    db.executemany(_REF, [(CARRIER, ref_of(row[0]), row[0]) for row in rows])
    db.execute(_COUNT_ACCEPTED, (len(rows), campaign))
    db.execute(_DONE, (batch,))
    db.execute("COMMIT")

    db.execute("BEGIN IMMEDIATE")
    matched = [db.execute(_FIND, (CARRIER, ref_of(row[0]), row[1])).fetchone() for row in rows]
    db.executemany(_REPORTED, [(ref,) for ref, _ in matched])
    db.executemany(_DELIVERED, [(now_ms, delivery) for _, delivery in matched])
    db.execute(_COUNT_DELIVERED, (len(matched), campaign))
    db.execute("COMMIT")
    return len(rows)


def run(file: Path) -> dict[str, float]:
    db = sqlite3.connect(file, isolation_level=None)
    for pragma in _PRAGMAS:
        db.execute(pragma)
    start_s, cpu_s, lives = time.time(), time.process_time(), 0
    while count := live(db):
        lives += count
    end_s, used_s = time.time(), time.process_time() - cpu_s
    db.close()
    return {"lives": lives, "start_s": start_s, "end_s": end_s, "cpu_us": 1e6 * used_s / max(lives, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m loadtest.bench.outbox_byhand", description="Lives written by hand."
    )
    parser.add_argument("--file", type=Path, required=True)
    print(json.dumps(run(parser.parse_args().file)))


if __name__ == "__main__":
    main()
