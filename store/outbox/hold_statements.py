"""The emergency brake: a hold as its statements, and the driver of a file alone to set it with.

`tocsin hold` is pulled by somebody who cannot wait: SQLAlchemy takes half a second of CPU to load, and a hold needs
four statements.
"""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import msgspec

from store.audit_line import noting
from store.clock import Clock
from store.engine import revision
from store.engine.soundness import is_damage
from store.engine.steps import Steps, T
from store.engine.storable_text import readable
from store.errors import StoreDamaged, StoreUnavailable

SCOPES = ("all", "channel", "zone", "campaign")
_BUSY_S = 5.0
"""How long the writer of a running server may be in a transaction."""
_REVISION = "SELECT version_num FROM alembic_version"
_PLACE = (
    'INSERT INTO hold (scope, subject, reason, "by", at_ms) VALUES (:scope, :subject, :reason, :by, :at)'
    " ON CONFLICT DO NOTHING RETURNING scope"
)
_STANDING = (
    'SELECT hold.scope, hold.subject, hold.reason, hold."by", hold.at_ms,'
    " COALESCE(zone.code, campaign.public_id, hold.subject) FROM hold"
    " LEFT JOIN zone ON hold.scope = 'zone' AND hold.subject = CAST(zone.id AS TEXT)"
    " LEFT JOIN campaign ON hold.scope = 'campaign' AND hold.subject = CAST(campaign.id AS TEXT)"
    " ORDER BY hold.id"
)
_SUBJECTS = {
    "zone": "SELECT id FROM zone WHERE code = :name",
    "campaign": "SELECT id FROM campaign WHERE public_id = :name",
}


class Hold(msgspec.Struct, frozen=True):
    """What keeps messages from leaving."""

    scope: str
    subject: str
    """The store's own word: a channel's name, the number of a zone or campaign; empty for `all`."""
    reason: str
    by: str
    at_ms: int
    """UTC."""
    name: str
    """The subject as people know it: a zone's code, a campaign's public id."""


def placing(scope: str, subject: str, reason: str, by: str, now_ms: int) -> Steps[None]:
    """Places a hold. Idempotent: a second one of the same thing keeps the first one's time and reason."""
    reason, by = readable(reason), readable(by)  # a terminal hands over whatever octets were typed
    values = {"scope": scope, "subject": subject, "reason": reason, "by": by, "at": now_ms}
    if (yield _PLACE, values):
        line = noting(now_ms, "hold", f"{scope} {subject}".rstrip(), apart={"by": by, "reason": reason})
        yield from line


def standing() -> Steps[list[Hold]]:
    """Every hold that stands, the oldest first."""
    return [Hold(*row) for row in (yield _STANDING, {})]


def subject_of(scope: str, name: str) -> Steps[str | None]:
    """The store's own word for what people call `name`; None for a zone or campaign that there is not."""
    if scope not in _SUBJECTS:
        return name
    rows = yield _SUBJECTS[scope], {"name": readable(name)}
    return str(rows[0][0]) if rows else None


# ---- a file, beside the server that may be running on it ----------------------------------------------------------


class FileBrake:
    """A transaction on the file of a store, with the standard driver. Use `on_file`."""

    def __init__(self, connection: sqlite3.Connection, now_ms: int) -> None:
        self._connection = connection
        self.now_ms = now_ms

    def follow(self, steps: Steps[T]) -> T:
        """Runs each statement and returns what the work returns."""
        try:
            sql, values = next(steps)
            while True:
                sql, values = steps.send(self._connection.execute(sql, values).fetchall())
        except StopIteration as end:
            result: T = end.value
            return result


@contextlib.contextmanager
def on_file(path: Path) -> Iterator[FileBrake]:
    """One transaction, durable when the block ends, nothing of it when it raises.

    Raises SchemaMismatch where the tables are of another version or there are none, StoreDamaged, and StoreUnavailable
    where the file cannot be written within five seconds."""
    if not path.exists():
        revision.require(None, str(path))
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)) as connection:
            connection.text_factory = _lenient
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA foreign_keys=ON")
            revision.require(_revision(connection), str(path))
            connection.execute("BEGIN IMMEDIATE")
            yield FileBrake(connection, Clock().now_ms())
            connection.execute("COMMIT")
    except sqlite3.DatabaseError as exc:
        if is_damage(exc):
            raise StoreDamaged(path, str(exc)) from exc
        raise StoreUnavailable(f"the store {path} (store.url) cannot be used: {exc}") from exc


def _revision(connection: sqlite3.Connection) -> str | None:
    there = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone()
    row = connection.execute(_REVISION).fetchone() if there else None
    return None if row is None else str(row[0])


def _lenient(octets: bytes) -> str:
    """One name that is no UTF-8 must not stand in the way of the brake."""
    return octets.decode("utf-8", "replace")
