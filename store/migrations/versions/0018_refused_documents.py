"""documents that were refused are kept for a while"""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TEXTS = ("sender", "identifier")
_NUMBERS = ("first_ms", "last_ms", "times", "status")
_SAID = ("code", "title", "problems", "sha256")


def upgrade() -> None:
    op.create_table(
        "refused_document",
        sa.Column("id", _BIG, primary_key=True, autoincrement=True),
        sa.Column("public_id", sa.Text(), nullable=False, unique=True),
        sa.Column("account_id", _BIG, sa.ForeignKey("account.id"), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in _TEXTS),
        *(sa.Column(name, _BIG, nullable=False) for name in _NUMBERS),
        *(sa.Column(name, sa.Text(), nullable=False) for name in _SAID),
        sa.Column("size", _BIG, nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.UniqueConstraint("account_id", "sha256"),
    )
    op.create_index("ix_refused_document_account_id_last_ms", "refused_document", ["account_id", "last_ms"])
    op.create_index("ix_refused_document_last_ms", "refused_document", ["last_ms"])


def downgrade() -> None:
    op.drop_table("refused_document")
