"""money is double entry

What stands in the ledger is told again as bookings, in its own order and with its own instants: lots are used up in
the order in which they expire, what no lot covered was lent, and the next lot takes that over. Nothing expires here:
the program books the end of a lot by itself.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeAlias

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "lot",
        sa.Column("id", _BIG, autoincrement=True, nullable=False),
        sa.Column("zone_id", _BIG, nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("amount_millieuro", _BIG, nullable=False),
        sa.Column("valid_until_ms", _BIG),
        sa.Column("at_ms", _BIG, nullable=False),
        sa.Column("expired_ms", _BIG),
        sa.ForeignKeyConstraint(["zone_id"], ["zone.id"], name="fk_lot_zone_id"),
        sa.PrimaryKeyConstraint("id", name="pk_lot"),
    )
    op.create_index("ix_lot_zone_id", "lot", ["zone_id"])
    op.create_index(
        "ix_lot_ends",
        "lot",
        ["valid_until_ms"],
        sqlite_where=sa.text("expired_ms IS NULL"),
        postgresql_where=sa.text("expired_ms IS NULL"),
    )
    op.create_table(
        "booking",
        sa.Column("id", _BIG, autoincrement=True, nullable=False),
        sa.Column("zone_id", _BIG, nullable=False),
        sa.Column("at_ms", _BIG, nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("campaign_id", _BIG),
        sa.Column("note", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.ForeignKeyConstraint(["zone_id"], ["zone.id"], name="fk_booking_zone_id"),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaign.id"], name="fk_booking_campaign_id"),
        sa.PrimaryKeyConstraint("id", name="pk_booking"),
    )
    op.create_index("ix_booking_zone_id", "booking", ["zone_id"])
    op.create_table(
        "entry",
        sa.Column("id", _BIG, autoincrement=True, nullable=False),
        sa.Column("booking_id", _BIG, nullable=False),
        sa.Column("zone_id", _BIG, nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("lot_id", _BIG),
        sa.Column("campaign_id", _BIG),
        sa.Column("network_id", _BIG),
        sa.Column("amount_millieuro", _BIG, nullable=False),
        sa.Column("balance_millieuro", _BIG, nullable=False),
        sa.ForeignKeyConstraint(["booking_id"], ["booking.id"], name="fk_entry_booking_id"),
        sa.ForeignKeyConstraint(["zone_id"], ["zone.id"], name="fk_entry_zone_id"),
        sa.ForeignKeyConstraint(["lot_id"], ["lot.id"], name="fk_entry_lot_id"),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaign.id"], name="fk_entry_campaign_id"),
        sa.ForeignKeyConstraint(["network_id"], ["network.id"], name="fk_entry_network_id"),
        sa.PrimaryKeyConstraint("id", name="pk_entry"),
    )
    op.create_index("ix_entry_booking_id", "entry", ["booking_id"])
    op.create_index("ix_entry_campaign_id", "entry", ["campaign_id"])
    op.create_index("ix_entry_zone_id_lot_id_account_id", "entry", ["zone_id", "lot_id", "account", "id"])
    _tell_again(op.get_bind())
    op.drop_table("ledger")


def downgrade() -> None:
    op.create_table(
        "ledger",
        sa.Column("id", _BIG, autoincrement=True, nullable=False),
        sa.Column("zone_id", _BIG, nullable=False),
        sa.Column("campaign_id", _BIG),
        sa.Column("entry", sa.Text(), nullable=False),
        sa.Column("amount_millieuro", _BIG, nullable=False),
        sa.Column("at_ms", _BIG, nullable=False),
        sa.Column("valid_until_ms", _BIG),
        sa.Column("note", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaign.id"], name="fk_ledger_campaign_id"),
        sa.ForeignKeyConstraint(["zone_id"], ["zone.id"], name="fk_ledger_zone_id"),
        sa.PrimaryKeyConstraint("id", name="pk_ledger"),
    )
    op.create_index("ix_ledger_campaign_id", "ledger", ["campaign_id"])
    op.create_index("ix_ledger_zone_id", "ledger", ["zone_id"])
    op.execute(_TOLD_AS_BEFORE)
    op.drop_table("entry")
    op.drop_table("booking")
    op.drop_table("lot")


# A settlement was written as what goes back of a reservation and what is paid: two lines. What was recalled before it
# had gone back too early.
_TOLD_AS_BEFORE = """
INSERT INTO ledger (zone_id, campaign_id, entry, amount_millieuro, at_ms, valid_until_ms, note)
SELECT zone_id, campaign_id, entry, amount, at_ms, valid_until_ms, note FROM (
    SELECT b.id AS booking, 1 AS line, b.zone_id, b.campaign_id, 'lot' AS entry, e.amount_millieuro AS amount, b.at_ms,
           l.valid_until_ms, l.reference AS note
    FROM booking b JOIN entry e ON e.booking_id = b.id JOIN lot l ON l.id = e.lot_id
    WHERE b.what = 'lot' AND e.account = 'lot'
    UNION ALL
    SELECT b.id, 1, b.zone_id, b.campaign_id, 'reserve', -SUM(e.amount_millieuro), b.at_ms, CAST(NULL AS BIGINT), b.note
    FROM booking b JOIN entry e ON e.booking_id = b.id
    WHERE b.what = 'reserve' AND e.account = 'reserved'
    GROUP BY b.id, b.zone_id, b.campaign_id, b.at_ms, b.note
    UNION ALL
    SELECT b.id, 2, b.zone_id, b.campaign_id, 'release', -SUM(e.amount_millieuro), b.at_ms, CAST(NULL AS BIGINT), b.note
    FROM booking b JOIN entry e ON e.booking_id = b.id
    WHERE b.what IN ('release', 'recall', 'settle', 'addendum') AND e.account = 'reserved'
    GROUP BY b.id, b.zone_id, b.campaign_id, b.at_ms, b.note
    UNION ALL
    SELECT b.id, 3, b.zone_id, b.campaign_id, b.what, -SUM(e.amount_millieuro), b.at_ms, CAST(NULL AS BIGINT), b.note
    FROM booking b JOIN entry e ON e.booking_id = b.id
    WHERE b.what IN ('settle', 'addendum') AND e.account = 'spent'
    GROUP BY b.id, b.zone_id, b.campaign_id, b.at_ms, b.what, b.note
) AS lines ORDER BY booking, line
"""

# ---- what stands in the ledger, told again -----------------------------------------------------------------------

_LEDGER = sa.table(
    "ledger",
    *(sa.column(n) for n in ("id", "zone_id", "campaign_id", "entry", "amount_millieuro", "at_ms", "valid_until_ms")),
    sa.column("note"),
)
_PAGE = 1_000
_Entry: TypeAlias = tuple[str, int | None, int]
"""Account, lot, amount."""


def _tell_again(bind: sa.Connection) -> None:
    book = _Book(bind)
    ordered = sa.select(_LEDGER).order_by(_LEDGER.c.zone_id, _LEDGER.c.id)
    for zone_id, rows in _by(bind.execute(ordered).all(), "zone_id"):
        zone = _Zone(book, zone_id)
        for (at_ms, campaign_id), together in _moments(rows):
            zone.tell(at_ms, campaign_id, together)
    book.write()


def _by(rows: Sequence[Any], name: str) -> Iterator[tuple[Any, list[Any]]]:
    found: dict[Any, list[Any]] = defaultdict(list)
    for row in rows:
        found[getattr(row, name)].append(row)
    yield from found.items()


def _moments(rows: Iterable[Any]) -> Iterator[tuple[tuple[int, int | None], list[Any]]]:
    """What was written of one campaign at one instant belongs together: a seal was a release and a settlement."""
    found: dict[tuple[int, int | None], list[Any]] = defaultdict(list)
    for row in rows:
        found[row.at_ms, row.campaign_id].append(row)
    yield from found.items()


class _Book:
    """The rows of the new tables, with ids of their own, written a page at a time."""

    def __init__(self, bind: sa.Connection) -> None:
        self.bind = bind
        self.rows: dict[str, list[dict[str, Any]]] = {"lot": [], "booking": [], "entry": []}
        self.last = dict.fromkeys(self.rows, 0)

    def add(self, table: str, values: dict[str, Any]) -> int:
        self.last[table] += 1
        self.rows[table].append({"id": self.last[table]} | values)
        if len(self.rows["entry"]) >= _PAGE:
            self._flush()
        return self.last[table]

    def write(self) -> None:
        self._flush()
        if self.bind.dialect.name == "postgresql":
            for table, last in self.last.items():
                if last:
                    self.bind.execute(sa.text(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), {last})"))

    def _flush(self) -> None:
        for table, rows in self.rows.items():
            if rows:
                self.bind.execute(sa.table(table, *(sa.column(n) for n in rows[0])).insert(), rows)
                rows.clear()


class _Zone:
    """A zone's money as the ledger's lines pass over it. A lot without an id is what was lent."""

    def __init__(self, book: _Book, zone_id: int) -> None:
        self.book = book
        self.zone_id = zone_id
        self.ends: dict[int, int | None] = {}
        self.held: dict[tuple[int | None, str], int] = defaultdict(int)
        self.reserved: dict[int | None, dict[int | None, int]] = defaultdict(lambda: defaultdict(int))
        self.spent_on_credit: dict[int | None, int] = defaultdict(int)
        self.released: dict[int | None, dict[int | None, int]] = defaultdict(lambda: defaultdict(int))

    def tell(self, at_ms: int, campaign_id: int | None, rows: Sequence[Any]) -> None:
        sums: dict[str, int] = defaultdict(int)
        for row in rows:
            if row.entry == "lot":
                self.lot(row)
            else:
                sums[row.entry] += row.amount_millieuro
        if sums["reserve"] < 0:
            self.reserve(at_ms, campaign_id, -sums["reserve"], "reserve")
        for entry in ("settle", "addendum"):
            if sums[entry] < 0:
                note = next((row.note for row in rows if row.entry == entry), "")
                self.settle(at_ms, campaign_id, -sums[entry], entry, note)
        if sums["release"] > 0:
            self.release(at_ms, campaign_id, sums["release"] + sums["settle"] + sums["addendum"])

    def lot(self, row: Any) -> None:
        lot_id = self.book.add("lot", {
            "zone_id": self.zone_id, "reference": row.note, "amount_millieuro": row.amount_millieuro,
            "valid_until_ms": row.valid_until_ms, "at_ms": row.at_ms,
        })  # fmt: skip
        self.ends[lot_id] = row.valid_until_ms
        self.post(row.at_ms, "lot", None, [("operator", lot_id, -row.amount_millieuro),
                                           ("lot", lot_id, row.amount_millieuro)], row.note)  # fmt: skip
        self.cover(row.at_ms)

    def reserve(self, at_ms: int, campaign_id: int | None, amount: int, what: str) -> None:
        entries: list[_Entry] = []
        lacking = amount
        for lot_id in self.valid(at_ms):
            taken = min(self.held[lot_id, "lot"], lacking)
            if taken > 0:
                entries += [("lot", lot_id, -taken), ("reserved", lot_id, taken)]
                self.reserved[campaign_id][lot_id] += taken
                lacking -= taken
        if lacking:
            entries += [("reserved", None, lacking), ("operator", None, -lacking)]
            self.reserved[campaign_id][None] += lacking
        self.post(at_ms, what, campaign_id, entries)

    def settle(self, at_ms: int, campaign_id: int | None, amount: int, what: str, note: str) -> None:
        mine = self.reserved[campaign_id]
        lacking = amount - sum(mine.values())
        if lacking > 0:
            self.recall(at_ms, campaign_id, lacking)
        entries: list[_Entry] = []
        left = amount
        for lot_id in self.in_order(mine):
            paid = min(mine[lot_id], left)
            if paid > 0:
                entries += [("reserved", lot_id, -paid), ("spent", lot_id, paid)]
                mine[lot_id] -= paid
                left -= paid
                if lot_id is None:
                    self.spent_on_credit[campaign_id] += paid
        self.post(at_ms, what, campaign_id, entries, note)

    def recall(self, at_ms: int, campaign_id: int | None, amount: int) -> None:
        """What came to be paid after its reservation had gone back: of the lots that it went back to."""
        entries: list[_Entry] = []
        left = amount
        back = self.released[campaign_id]
        for lot_id in self.in_order(back):
            for account in ("lot", "expired") if lot_id is not None else ():
                taken = min(back[lot_id], left, self.held[lot_id, account])
                if taken > 0:
                    entries += [(account, lot_id, -taken), ("reserved", lot_id, taken)]
                    self.reserved[campaign_id][lot_id] += taken
                    back[lot_id] -= taken
                    left -= taken
        if entries:
            self.post(at_ms, "recall", campaign_id, entries)
        if left:
            self.reserve(at_ms, campaign_id, left, "recall")

    def release(self, at_ms: int, campaign_id: int | None, amount: int) -> None:
        entries: list[_Entry] = []
        left = amount
        mine = self.reserved[campaign_id]
        for lot_id in reversed(self.in_order(mine)):
            freed = min(mine[lot_id], left)
            if freed > 0:
                home = "operator" if lot_id is None else "lot" if self.is_valid(lot_id, at_ms) else "expired"
                entries += [("reserved", lot_id, -freed), (home, lot_id, freed)]
                mine[lot_id] -= freed
                self.released[campaign_id][lot_id] += freed
                left -= freed
        if entries:
            self.post(at_ms, "release", campaign_id, entries)
            self.cover(at_ms)

    def cover(self, at_ms: int) -> None:
        """Lots take over what was lent, what is spent before what is only reserved."""
        owed = [("spent", c, n) for c, n in sorted(self.spent_on_credit.items(), key=_campaign) if n]
        owed += [("reserved", c, of[None]) for c, of in sorted(self.reserved.items(), key=_campaign) if of[None]]
        for account, campaign_id, amount in owed:
            entries: list[_Entry] = []
            lacking = amount
            for lot_id in self.valid(at_ms):
                taken = min(self.held[lot_id, "lot"], lacking)
                if taken > 0:
                    entries += [("lot", lot_id, -taken), (account, lot_id, taken)]
                    entries += [(account, None, -taken), ("operator", None, taken)]
                    lacking -= taken
                    if account == "reserved":
                        self.reserved[campaign_id][lot_id] += taken
            if account == "reserved":
                self.reserved[campaign_id][None] = lacking
            else:
                self.spent_on_credit[campaign_id] = lacking
            if entries:
                self.post(at_ms, "cover", campaign_id, entries)

    def post(
        self,
        at_ms: int,
        what: str,
        campaign_id: int | None,
        entries: Sequence[_Entry],
        note: str = "",
    ) -> None:
        values = {"zone_id": self.zone_id, "at_ms": at_ms, "what": what, "campaign_id": campaign_id, "note": note}
        booking_id = self.book.add("booking", values)
        for account, lot_id, amount in sorted(entries, key=lambda e: e[0] == "operator"):
            self.held[lot_id, account] += amount
            self.book.add("entry", {
                "booking_id": booking_id, "zone_id": self.zone_id, "account": account, "lot_id": lot_id,
                "campaign_id": campaign_id, "amount_millieuro": amount,
                "balance_millieuro": self.held[lot_id, account],
            })  # fmt: skip

    def valid(self, at_ms: int) -> list[int]:
        return [lot_id for lot_id in self.in_order(self.ends) if lot_id is not None and self.is_valid(lot_id, at_ms)]

    def is_valid(self, lot_id: int, at_ms: int) -> bool:
        end = self.ends[lot_id]
        return end is None or end > at_ms

    def in_order(self, lots: Iterable[int | None]) -> list[int | None]:
        """Of expiry; what was lent comes last."""
        return sorted(lots, key=self._rank)

    def _rank(self, lot_id: int | None) -> tuple[bool, bool, int, int]:
        if lot_id is None:
            return (True, True, 0, 0)
        end = self.ends[lot_id]
        return (False, end is None, end or 0, lot_id)


def _campaign(of: tuple[int | None, Any]) -> int:
    return of[0] or 0
