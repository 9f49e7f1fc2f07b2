"""the leased batches of a lane are looked up at every window: has one of a more urgent kind something left to send?"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "ix_batch_leased",
        "batch",
        ["channel", "mode", "priority"],
        sqlite_where=sa.text("state = 1"),
        postgresql_where=sa.text("state = 1"),
    )


def downgrade() -> None:
    op.drop_index("ix_batch_leased", table_name="batch")
