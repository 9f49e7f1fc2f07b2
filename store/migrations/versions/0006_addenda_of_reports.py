"""what late receipts move after the seal is kept as addenda, each with what it changed"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "addendum",
        sa.Column("campaign_id", _BIG, nullable=False),
        sa.Column("number", _BIG, autoincrement=False, nullable=False),
        sa.Column("at_ms", _BIG, nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaign.id"], name="fk_addendum_campaign_id"),
        sa.PrimaryKeyConstraint("campaign_id", "number", name="pk_addendum"),
    )
    op.add_column("progress", sa.Column("told_revision", _BIG))
    op.create_index("ix_campaign_sealed_ms", "campaign", ["sealed_ms"])
    # Reports that were sealed before are looked through once: what has moved since becomes their first addendum.
    op.execute(
        "UPDATE progress SET told_revision = 0"
        " WHERE campaign_id IN (SELECT id FROM campaign WHERE sealed_ms IS NOT NULL)"
    )


def downgrade() -> None:
    op.drop_index("ix_campaign_sealed_ms", table_name="campaign")
    op.drop_column("progress", "told_revision")
    op.drop_table("addendum")
