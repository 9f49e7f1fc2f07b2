"""a hold of a restore has a mark of its own, and is not known by its reason, which anybody may write

Of before: with the reason that restores gave, or placed by the command that places them, and by no account.
"""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_MARK = """
UPDATE hold SET of_restore = 1 WHERE scope = 'campaign' AND account_id IS NULL
AND (reason = 'restored copy: what it calls queued may have been sent since' OR "by" = 'tocsin new-generation')
"""


def upgrade() -> None:
    op.add_column("hold", sa.Column("of_restore", _BIG, nullable=False, server_default=sa.text("0")))
    op.execute(_MARK)


def downgrade() -> None:
    op.drop_column("hold", "of_restore")
