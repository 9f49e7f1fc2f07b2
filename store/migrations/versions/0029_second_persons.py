"""what is dangerous is asked of a second person; a paper code opens a zone when nobody of it can sign in"""

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _id() -> sa.Column[int]:
    return sa.Column("id", _BIG, primary_key=True, autoincrement=True)


def _ref(name: str, target: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, _BIG, sa.ForeignKey(f"{target}.id"), nullable=nullable)


def _partial(name: str, table: str, column: str, where: str, *, unique: bool = False) -> None:
    op.create_index(name, table, [column], unique=unique, sqlite_where=sa.text(where), postgresql_where=sa.text(where))


def upgrade() -> None:
    op.create_table(
        "approval",
        _id(),
        sa.Column("public_id", sa.Text(), nullable=False, unique=True),
        sa.Column("subject", sa.Text(), nullable=False),
        _ref("zone_id", "zone", nullable=True),
        sa.Column("act", sa.Text(), nullable=False),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        _ref("asked_by", "account"),
        _ref("asked_behalf", "account", nullable=True),
        sa.Column("asked_ms", _BIG, nullable=False),
        sa.Column("not_before_ms", _BIG),
        sa.Column("ends_ms", _BIG, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        _ref("decided_by", "account", nullable=True),
        sa.Column("decided_ms", _BIG),
        sa.Column("evidence", sa.Text(), nullable=False, server_default=sa.text("'{}'")),
    )
    op.create_index("ix_approval_zone_id_id", "approval", ["zone_id", "id"])
    _partial("ix_approval_ends_ms", "approval", "ends_ms", "state IN ('asked', 'granted')")
    _partial("ix_approval_not_before_ms", "approval", "not_before_ms", "state = 'granted'")
    op.create_table(
        "approval_target",
        sa.Column("subject", sa.Text(), primary_key=True),
        sa.Column("target", sa.Text(), primary_key=True),
        _ref("approval_id", "approval"),
    )
    op.create_index("ix_approval_target_approval_id", "approval_target", ["approval_id"])
    op.create_table(
        "break_glass",
        _id(),
        sa.Column("public_id", sa.Text(), nullable=False, unique=True),
        _ref("zone_id", "zone"),
        sa.Column("code_sha256", sa.Text(), nullable=False),
        sa.Column("issued_ms", _BIG, nullable=False),
        sa.Column("issued_by", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("state_ms", _BIG, nullable=False),
    )
    op.create_index("ix_break_glass_zone_id", "break_glass", ["zone_id"])
    _partial("ix_break_glass_valid", "break_glass", "zone_id", "state = 'valid'", unique=True)
    op.create_table(
        "break_glass_use",
        _id(),
        sa.Column("public_id", sa.Text(), nullable=False, unique=True),
        sa.Column("break_glass_id", _BIG, sa.ForeignKey("break_glass.id"), nullable=False, unique=True),
        _ref("account_id", "account"),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("began_ms", _BIG, nullable=False),
        sa.Column("ends_ms", _BIG, nullable=False),
    )
    op.create_table(
        "break_glass_guess",
        sa.Column("scope", sa.Text(), primary_key=True),
        sa.Column("subject", sa.Text(), primary_key=True),
        sa.Column("since_ms", _BIG, nullable=False),
        sa.Column("guesses", _BIG, nullable=False),
    )
    op.create_index("ix_break_glass_guess_since_ms", "break_glass_guess", ["since_ms"])
    for table in ("campaign", "session"):
        op.add_column(table, sa.Column("break_glass_use_id", _BIG))


def downgrade() -> None:
    for table in ("session", "campaign"):
        op.drop_column(table, "break_glass_use_id")
    for table in ("break_glass_guess", "break_glass_use", "break_glass", "approval_target", "approval"):
        op.drop_table(table)
    op.execute("DELETE FROM account_right WHERE action = 'administer'")
