"""publishing is a right, rights have a mode, and a zone has a territory

Who was meant to publish goes on: systems of dispatch centres that submit alerts for whole zones, by every channel.
"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

_GRANT = """
INSERT INTO account_right (account_id, zone_id, network_id, action, kind, channel, mode)
SELECT DISTINCT r.account_id, r.zone_id, CAST(NULL AS BIGINT), 'publish', r.kind, '*', '*'
FROM account_right r JOIN account a ON a.id = r.account_id
WHERE r.action = 'submit' AND r.network_id IS NULL AND r.channel = '*' AND a.type = 'cic'
"""


def upgrade() -> None:
    op.add_column("zone", sa.Column("territory", sa.Text(), nullable=False, server_default=sa.text("''")))
    op.add_column("account_right", sa.Column("mode", sa.Text(), nullable=False, server_default=sa.text("'*'")))
    op.execute(_GRANT)


def downgrade() -> None:
    op.execute("DELETE FROM account_right WHERE action = 'publish'")
    op.drop_column("account_right", "mode")
    op.drop_column("zone", "territory")
