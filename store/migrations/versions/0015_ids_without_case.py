"""ids of carriers are looked up without regard to case"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_NAME = "ix_carrier_ref_carrier_ref"


def upgrade() -> None:
    op.drop_index(_NAME, table_name="carrier_ref")
    op.create_index(_NAME, "carrier_ref", ["carrier", sa.text("lower(ref)")])


def downgrade() -> None:
    op.drop_index(_NAME, table_name="carrier_ref")
    op.create_index(_NAME, "carrier_ref", ["carrier", "ref"])
