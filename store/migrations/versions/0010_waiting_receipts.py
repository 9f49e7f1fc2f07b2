"""receipts that wait are gone through in their order every few seconds: not past all that have ever waited"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "ix_receipt_inbox_waiting",
        "receipt_inbox",
        ["received_ms", "id"],
        sqlite_where=sa.text("matched_ms IS NULL"),
        postgresql_where=sa.text("matched_ms IS NULL"),
    )


def downgrade() -> None:
    op.drop_index("ix_receipt_inbox_waiting", table_name="receipt_inbox")
