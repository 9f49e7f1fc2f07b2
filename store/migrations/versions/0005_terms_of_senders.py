"""accounts have terms for each sender, alerts what was found of them when they came"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("account", sa.Column("terms", sa.Text(), nullable=False, server_default=sa.text("'[]'")))
    op.create_table(
        "alert_finding",
        sa.Column("alert_id", _BIG, nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("signature", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False, server_default=sa.text("''")),
        sa.Column("signer", sa.Text(), nullable=False, server_default=sa.text("''")),
        sa.Column("certificate", sa.Text(), nullable=False, server_default=sa.text("''")),
        sa.Column("warnings", sa.Text(), nullable=False, server_default=sa.text("'[]'")),
        sa.Column("envelope_name", sa.Text(), nullable=False, server_default=sa.text("''")),
        sa.Column("envelope", sa.LargeBinary(), nullable=True),
        sa.ForeignKeyConstraint(["alert_id"], ["alert.id"], name=op.f("fk_alert_finding_alert_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("alert_id", name=op.f("pk_alert_finding")),
    )


def downgrade() -> None:
    op.drop_table("alert_finding")
    op.drop_column("account", "terms")
