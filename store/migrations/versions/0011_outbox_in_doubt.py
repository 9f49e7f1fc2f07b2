"""attempts in doubt are rows; the first of a campaign have their turn; waiting receipts are found by destination"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_OPEN: dict[str, Any] = {
    "sqlite_where": sa.text("matched_ms IS NULL"),
    "postgresql_where": sa.text("matched_ms IS NULL"),
}
_ANSWERS: dict[str, Any] = {
    "sqlite_where": sa.text("matched_ms IS NULL AND answers IS NOT NULL"),
    "postgresql_where": sa.text("matched_ms IS NULL AND answers IS NOT NULL"),
}
_READY: dict[str, Any] = {"sqlite_where": sa.text("state = 0"), "postgresql_where": sa.text("state = 0")}
_WAITS: dict[str, Any] = {"sqlite_where": sa.text("waits = 1"), "postgresql_where": sa.text("waits = 1")}
_DOUBTED: dict[str, Any] = {
    "sqlite_where": sa.text("(state = 2 OR doubted = 1)"),
    "postgresql_where": sa.text("(state = 2 OR doubted = 1)"),
}


_UNFINISHED = (
    ("ix_batch_open", "batch", "campaign_id", "state <> 3"),
    ("ix_campaign_unended", "campaign", "state", "ended_ms IS NULL"),
    ("ix_expansion_unfinished", "expansion", "campaign_id", "expanded_upto < size"),
)
"""What is looked through several times a second: only what is not over, however much is."""


def upgrade() -> None:
    op.create_table(
        "doubt",
        sa.Column("delivery_id", _BIG, autoincrement=False, nullable=False),
        sa.Column("round", _BIG, autoincrement=False, nullable=False),
        sa.Column("attempt", _BIG, nullable=False),
        sa.Column("carrier", sa.Text(), nullable=True),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("handed_ms", _BIG, nullable=False),
        sa.Column("state", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("parts", sa.SmallInteger(), nullable=True),
        sa.PrimaryKeyConstraint("delivery_id", "round", name=op.f("pk_doubt")),
    )
    # Who is in doubt now, or is about to be sent to again, is so by the last attempt. Of a doubt that another attempt
    # followed only that it was is known: it gets the round before. When it left was not kept: a minute before it was
    # called in doubt at most, which is longer than any carrier's answer is waited for but a relay's.
    op.execute(
        "INSERT INTO doubt (delivery_id, round, attempt, carrier, address, handed_ms)"
        " SELECT id, round, attempts, carrier, address, COALESCE(sent_ms, changed_ms, 60000) - 60000"
        " FROM delivery WHERE state = 2 OR (state = 1 AND doubted = 1)"
    )
    op.execute(
        "INSERT INTO doubt (delivery_id, round, attempt, carrier, address, handed_ms)"
        " SELECT id, round - 1, attempts - 1, NULL, address, COALESCE(sent_ms, changed_ms, 60000) - 60000"
        " FROM delivery WHERE doubted = 1 AND state <> 1"
    )
    op.execute("UPDATE delivery SET doubted = 1 WHERE state = 2 AND doubted = 0")
    op.create_index("ix_doubt_address", "doubt", ["address"], **_READY)
    op.drop_index("ix_delivery_doubt_address", table_name="delivery")
    op.add_column("batch", sa.Column("turn", sa.SmallInteger(), server_default=sa.text("1"), nullable=False))
    op.add_column("batch", sa.Column("claimed_ms", _BIG, nullable=True))
    op.add_column("batch", sa.Column("losses", _BIG, server_default=sa.text("0"), nullable=False))
    op.drop_index("ix_batch_ready", table_name="batch")
    op.create_index("ix_batch_ready", "batch", ["channel", "mode", "priority", "turn", "tag"], **_READY)
    op.create_index("ix_receipt_inbox_destination", "receipt_inbox", ["destination"], **_OPEN)
    op.add_column("receipt_inbox", sa.Column("mode", sa.Text(), server_default=sa.text("'live'"), nullable=False))
    op.add_column("receipt_inbox", sa.Column("answers", _BIG, nullable=True))
    op.add_column("receipt_inbox", sa.Column("attempt", _BIG, server_default=sa.text("0"), nullable=False))
    op.create_index("ix_receipt_inbox_answers", "receipt_inbox", ["answers"], **_ANSWERS)
    for name, table, column, where in _UNFINISHED:
        op.create_index(name, table, [column], sqlite_where=sa.text(where), postgresql_where=sa.text(where))
    op.create_index("ix_batch_waits", "batch", ["campaign_id", "channel"], **_WAITS)


def downgrade() -> None:
    op.drop_index("ix_batch_waits", table_name="batch")
    for name, table, _, _ in _UNFINISHED:
        op.drop_index(name, table_name=table)
    op.drop_index("ix_receipt_inbox_answers", table_name="receipt_inbox")
    for column in ("attempt", "answers", "mode"):
        op.drop_column("receipt_inbox", column)
    op.drop_index("ix_receipt_inbox_destination", table_name="receipt_inbox")
    op.drop_index("ix_batch_ready", table_name="batch")
    op.create_index("ix_batch_ready", "batch", ["channel", "mode", "priority", "tag"], **_READY)
    op.drop_column("batch", "losses")
    op.drop_column("batch", "claimed_ms")
    op.drop_column("batch", "turn")
    op.create_index("ix_delivery_doubt_address", "delivery", ["address"], **_DOUBTED)
    op.drop_table("doubt")
