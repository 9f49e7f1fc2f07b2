"""the audit is chained, keys end by themselves, persons are erased"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("audit", sa.Column("apart", sa.Text(), nullable=False, server_default=sa.text("''")))
    op.create_index("ix_audit_subject", "audit", ["subject"])
    op.create_table(
        "audit_detail",
        sa.Column("audit_id", _BIG, sa.ForeignKey("audit.id"), primary_key=True),
        sa.Column("salt", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
    )
    op.create_table(
        "audit_link",
        sa.Column("no", _BIG, primary_key=True, autoincrement=False),
        sa.Column("audit_id", _BIG, nullable=False),
        sa.Column("line_sha256", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.UniqueConstraint("audit_id"),
    )
    op.create_table(
        "erasure",
        sa.Column("member_id", _BIG, sa.ForeignKey("member.id"), primary_key=True),
        sa.Column("zone_id", _BIG, sa.ForeignKey("zone.id"), nullable=False),
        sa.Column("asked_ms", _BIG, nullable=False),
        sa.Column("reference_sha256", sa.Text(), nullable=False),
        sa.Column("upto", _BIG, nullable=False, server_default=sa.text("0")),
        sa.Column("done_ms", _BIG),
    )
    op.create_index("ix_erasure_zone_id", "erasure", ["zone_id"])
    op.add_column("campaign", sa.Column("retired_ms", _BIG))
    op.add_column("api_key", sa.Column("expires_ms", _BIG))
    op.add_column("api_key", sa.Column("note", sa.Text(), nullable=False, server_default=sa.text("''")))


def downgrade() -> None:
    op.drop_column("campaign", "retired_ms")
    op.drop_column("api_key", "note")
    op.drop_column("api_key", "expires_ms")
    op.drop_table("erasure")
    op.drop_table("audit_link")
    op.drop_table("audit_detail")
    op.drop_index("ix_audit_subject", "audit")
    op.drop_column("audit", "apart")
