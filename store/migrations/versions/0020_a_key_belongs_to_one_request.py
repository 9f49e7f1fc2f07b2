"""a key of a caller's belongs to one request, and says which"""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "idempotency",
        sa.Column("account_id", _BIG, sa.ForeignKey("account.id"), primary_key=True),
        sa.Column("key", sa.Text(), primary_key=True),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("campaign_id", _BIG, sa.ForeignKey("campaign.id"), nullable=False),
        sa.Column("at_ms", _BIG, nullable=False),
    )
    op.create_index("ix_idempotency_campaign_id", "idempotency", ["campaign_id"])
    op.execute(
        "INSERT INTO idempotency (account_id, key, sha256, campaign_id, at_ms)"
        " SELECT account_id, request_key, '', id, created_ms FROM campaign WHERE request_key IS NOT NULL"
    )
    with op.batch_alter_table("campaign") as table:
        table.drop_constraint("uq_campaign_account_id_request_key", type_="unique")
        table.drop_column("request_key")


def downgrade() -> None:
    with op.batch_alter_table("campaign") as table:
        table.add_column(sa.Column("request_key", sa.Text()))
        table.create_unique_constraint("uq_campaign_account_id_request_key", ["account_id", "request_key"])
    op.execute(
        "UPDATE campaign SET request_key = (SELECT key FROM idempotency WHERE idempotency.campaign_id = campaign.id)"
    )
    op.drop_table("idempotency")
