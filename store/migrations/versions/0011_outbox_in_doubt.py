"""what is in doubt waits by itself"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


_UNFINISHED = (
    ("ix_batch_open", "batch", "campaign_id", "state <> 3"),
    ("ix_campaign_unended", "campaign", "state", "ended_ms IS NULL"),
    ("ix_expansion_unfinished", "expansion", "campaign_id", "expanded_upto < size"),
)
"""What is looked through several times a second: only what is not over, however much is."""


def upgrade() -> None:
    for name, table, column, where in _UNFINISHED:
        op.create_index(name, table, [column], sqlite_where=sa.text(where), postgresql_where=sa.text(where))


def downgrade() -> None:
    for name, table, _, _ in _UNFINISHED:
        op.drop_index(name, table_name=table)
