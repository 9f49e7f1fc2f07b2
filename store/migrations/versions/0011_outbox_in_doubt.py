"""what is in doubt waits by itself"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    waits = sa.text("waits = 1")
    op.create_index(
        "ix_batch_waits", "batch", ["campaign_id", "channel"], sqlite_where=waits, postgresql_where=waits
    )  # fmt: skip


def downgrade() -> None:
    op.drop_index("ix_batch_waits", table_name="batch")
