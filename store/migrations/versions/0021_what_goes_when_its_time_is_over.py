"""campaigns are cleared, and receipts that wait are tried at longer and longer intervals"""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("campaign", sa.Column("cleared_ms", _BIG))
    op.create_index(
        "ix_campaign_uncleared",
        "campaign",
        ["sealed_ms"],
        sqlite_where=sa.text("cleared_ms IS NULL AND sealed_ms IS NOT NULL"),
        postgresql_where=sa.text("cleared_ms IS NULL AND sealed_ms IS NOT NULL"),
    )
    op.add_column("receipt_inbox", sa.Column("due_ms", _BIG, nullable=False, server_default=sa.text("0")))
    op.create_index(
        "ix_receipt_inbox_due",
        "receipt_inbox",
        ["due_ms", "id"],
        sqlite_where=sa.text("matched_ms IS NULL"),
        postgresql_where=sa.text("matched_ms IS NULL"),
    )
    op.create_index(
        "ix_receipt_inbox_matched",
        "receipt_inbox",
        ["matched_ms"],
        sqlite_where=sa.text("matched_ms IS NOT NULL"),
        postgresql_where=sa.text("matched_ms IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("ix_receipt_inbox_matched", "receipt_inbox")
    op.drop_index("ix_receipt_inbox_due", "receipt_inbox")
    op.drop_column("receipt_inbox", "due_ms")
    op.drop_index("ix_campaign_uncleared", "campaign")
    op.drop_column("campaign", "cleared_ms")
