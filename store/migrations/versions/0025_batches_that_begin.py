"""the batches that begin a campaign have an index of their own: they are few, and looked for beside thousands of others"""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

_BEGINS = sa.text("state = 0 AND turn = 0")


def upgrade() -> None:
    columns = ["channel", "mode", "turn", "priority", "tag"]
    op.create_index("ix_batch_begins", "batch", columns, sqlite_where=_BEGINS, postgresql_where=_BEGINS)


def downgrade() -> None:
    op.drop_index("ix_batch_begins", "batch")
