"""members know at which revision of their zone's register they last changed: a snapshot is brought up to date by them"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("zone", sa.Column("places_rev", _BIG, nullable=False, server_default=sa.text("0")))
    op.add_column("member", sa.Column("changed_rev", _BIG, nullable=False, server_default=sa.text("0")))
    op.create_index("ix_member_zone_id_changed_rev", "member", ["zone_id", "changed_rev"])


def downgrade() -> None:
    op.drop_index("ix_member_zone_id_changed_rev", table_name="member")
    op.drop_column("member", "changed_rev")
    op.drop_column("zone", "places_rev")
