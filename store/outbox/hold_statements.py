"""The emergency brake: a hold as its statements, and the driver of a file alone to set it with.

`tocsin hold` is pulled by somebody who cannot wait: SQLAlchemy takes half a second of CPU to load, and a hold needs
four statements.
"""

import contextlib
import secrets
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from store.audit_line import Actor, noting
from store.clock import Clock
from store.engine import revision
from store.engine.soundness import is_damage
from store.engine.steps import Steps, T
from store.engine.storable_text import readable
from store.errors import StoreDamaged, StoreUnavailable

SCOPES = ("all", "channel", "carrier", "zone", "campaign")
_BUSY_S = 5.0
"""How long the writer of a running server may be in a transaction."""
_REVISION = "SELECT version_num FROM alembic_version"
_PLACE = (
    'INSERT INTO hold (public_id, scope, subject, reason, "by", account_id, at_ms, changed_by, changed_ms)'
    " VALUES (:public_id, :scope, :subject, :reason, :by, :account_id, :at, :by, :at)"
    " ON CONFLICT DO NOTHING RETURNING scope"
)
_HOLDS = (
    'SELECT hold.scope, hold.subject, hold.reason, hold."by", hold.at_ms,'
    " COALESCE(zone.code, campaign.public_id, hold.subject), hold.id, hold.public_id, COALESCE(account.code, ''),"
    " COALESCE(zone.id, campaign.zone_id), hold.revision, hold.changed_by, hold.changed_ms, hold.of_restore FROM hold"
    " LEFT JOIN zone ON hold.scope = 'zone' AND hold.subject = CAST(zone.id AS TEXT)"
    " LEFT JOIN campaign ON hold.scope = 'campaign' AND hold.subject = CAST(campaign.id AS TEXT)"
    " LEFT JOIN account ON account.id = hold.account_id"
)
_STANDING = f"{_HOLDS} ORDER BY hold.id"
_PAGE = f"{_HOLDS} WHERE hold.id > :after ORDER BY hold.id LIMIT :most"
_OF_ID = f"{_HOLDS} WHERE hold.public_id = :public_id"
_OF_THING = f"{_HOLDS} WHERE hold.scope = :scope AND hold.subject = :subject"
_SUBJECTS = {
    "zone": "SELECT id FROM zone WHERE code = :name",
    # A notice is held by no name of its own: whoever sees to a zone is shown what is held for everybody.
    "campaign": "SELECT id FROM campaign WHERE public_id = :name AND zone_id IS NOT NULL",
}
_ZONE_OF_CAMPAIGN = "SELECT zone_id FROM campaign WHERE id = :campaign"
# What is complete and has an open batch goes on: a worker that was thought dead says that some were not sent.
_OVER = (
    "SELECT 1 FROM campaign WHERE id = :campaign AND (state IN ('stopped', 'cancelled', 'superseded', 'expired')"
    " OR state = 'completed'"
    " AND NOT EXISTS (SELECT 1 FROM batch WHERE batch.campaign_id = campaign.id AND batch.state <> 3))"
)


class Hold(msgspec.Struct, frozen=True):
    """What keeps messages from leaving."""

    scope: str
    subject: str
    """The store's own word: the name of a channel or carrier, the number of a zone or campaign; empty for `all`."""
    reason: str
    by: str
    at_ms: int
    """UTC."""
    name: str
    """The subject as people know it: a zone's code, a campaign's public id."""
    number: int
    """Its place in the order of placing."""
    public_id: str
    account: str
    """The code of the account that placed it; empty: somebody at the terminal did, or a restore."""
    zone_id: int | None
    """Of a zone, or of a campaign's; None: it is everybody's business."""
    revision: int
    changed_by: str
    changed_ms: int
    """UTC."""
    of_restore: bool
    """A restore holds this campaign, perhaps beside whoever placed the hold before: it may have been sent since the
    copy was made. Neither the reason nor whoever placed it says so."""


def new_public_id() -> str:
    """An id of 80 random bits: it tells nothing and cannot be guessed."""
    return secrets.token_hex(10)


def placing(scope: str, subject: str, reason: str, by: str, now_ms: int, actor: Actor | None = None) -> Steps[bool]:
    """Places a hold; False where one stands already, which keeps its time and reason. `by`: whom everybody is shown;
    `actor`: whom the audit tells, where it is not somebody at the terminal of that name."""
    actor = actor or Actor(via="cli", login=readable(by))
    reason, by = readable(reason), readable(by)  # a terminal hands over whatever octets were typed
    values = {"public_id": new_public_id(), "account_id": actor.account_id, "scope": scope, "subject": subject}
    placed = yield _PLACE, values | {"reason": reason, "by": by, "at": now_ms}
    if placed:
        zone_id = yield from zone_of(scope, subject)
        apart = {"reason": reason} if reason else None
        yield from noting(now_ms, "hold", f"{scope} {subject}".rstrip(), actor, zone_id=zone_id, apart=apart)
    return bool(placed)


def standing() -> Steps[list[Hold]]:
    """Every hold that stands, the oldest first."""
    return [_hold(row) for row in (yield _STANDING, {})]


def page(after: int, most: int) -> Steps[list[Hold]]:
    """The holds behind this place in their order."""
    return [_hold(row) for row in (yield _PAGE, {"after": after, "most": most})]


def one_of_id(public_id: str) -> Steps[Hold | None]:
    """None where none stands."""
    rows = yield _OF_ID, {"public_id": readable(public_id)}
    return _hold(rows[0]) if rows else None


def one_of_thing(scope: str, subject: str) -> Steps[Hold | None]:
    """None where none stands. `subject`: the store's own word."""
    rows = yield _OF_THING, {"scope": scope, "subject": subject}
    return _hold(rows[0]) if rows else None


def _hold(row: Sequence[Any]) -> Hold:
    found = Hold(*row)
    return msgspec.structs.replace(found, of_restore=bool(found.of_restore))  # the store keeps 0 or 1


def subject_of(scope: str, name: str) -> Steps[str | None]:
    """The store's own word for what people call `name`; None for a zone or campaign that there is not. Carriers stand
    in the settings: whether there is one of a name is not known here."""
    if scope not in _SUBJECTS:
        return name
    rows = yield _SUBJECTS[scope], {"name": readable(name)}
    return str(rows[0][0]) if rows else None


def zone_of(scope: str, subject: str) -> Steps[int | None]:
    """The zone whose business a hold is; None where it is everybody's. `subject`: the store's own word."""
    if scope == "zone":
        return int(subject)
    if scope != "campaign":
        return None
    rows = yield _ZONE_OF_CAMPAIGN, {"campaign": int(subject)}
    return int(rows[0][0]) if rows else None


def is_over(scope: str, subject: str) -> Steps[bool]:
    """Whether this is a campaign of which nothing more leaves: there is nothing to hold. `subject`: the store's own
    word."""
    return scope == "campaign" and bool((yield _OVER, {"campaign": int(subject)}))


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
