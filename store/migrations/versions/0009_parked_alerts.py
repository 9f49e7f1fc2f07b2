"""the alerts that wait are looked for every second, and counted by account: without a walk through all documents"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "ix_alert_parked",
        "alert",
        ["id", "account_id"],
        sqlite_where=sa.text("state = 'parked'"),
        postgresql_where=sa.text("state = 'parked'"),
    )


def downgrade() -> None:
    op.drop_index("ix_alert_parked", table_name="alert")
