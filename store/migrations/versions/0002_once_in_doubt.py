"""deliveries once in doubt are looked up by address, too"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index("ix_delivery_unknown_address", table_name="delivery")
    op.create_index(
        "ix_delivery_doubt_address",
        "delivery",
        ["address"],
        sqlite_where=sa.text("(state = 2 OR doubted = 1)"),
        postgresql_where=sa.text("(state = 2 OR doubted = 1)"),
    )


def downgrade() -> None:
    op.drop_index("ix_delivery_doubt_address", table_name="delivery")
    op.create_index(
        "ix_delivery_unknown_address",
        "delivery",
        ["address"],
        sqlite_where=sa.text("state = 2"),
        postgresql_where=sa.text("state = 2"),
    )
