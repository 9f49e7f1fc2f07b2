"""accounts have people behind them: addresses, a language, an invitation, an end; keys are rotated; acts on behalf

Who had an account of before has come in already. Nobody is given the right `administer`: no key that is out there may
do more than the day before. `tocsin account invite --admin` makes the first who has it, or a seed file.
"""

import unicodedata

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_GIVEN = sa.text("email <> ''")
_PARTIAL = (
    ("ix_campaign_uncleared", ["sealed_ms"], "cleared_ms IS NULL AND sealed_ms IS NOT NULL"),
    ("ix_campaign_unsealed", ["state"], "sealed_ms IS NULL"),
    ("ix_campaign_unended", ["state"], "ended_ms IS NULL"),
)


def _text(name: str, default: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=False, server_default=sa.text(f"'{default}'"))


def _int(name: str, default: int) -> sa.Column[int]:
    return sa.Column(name, _BIG, nullable=False, server_default=sa.text(str(default)))


def _refer(table: str, column: str, target: str) -> None:
    """A column that refers to another row, without copying the table: SQLite takes both in one."""
    reference = sa.ForeignKey(f"{target}.id", name=f"fk_{table}_{column}")
    op.add_column(table, sa.Column(column, _BIG, reference), inline_references=True)


def upgrade() -> None:
    for column in (
        _text("email", ""), _text("mobile", ""), _text("language", "en"), _int("created_ms", 0),
        sa.Column("joined_ms", _BIG), sa.Column("ended_ms", _BIG), _int("revision", 1), _int("changed_ms", 0),
        _text("changed_by", ""), _text("sought", ""),
    ):  # fmt: skip
        op.add_column("account", column)
    _refer("account", "created_by", "account")
    _refer("api_key", "rotated_from", "api_key")
    _refer("campaign", "behalf_id", "account")
    op.execute("UPDATE account SET joined_ms = 0")
    _make_sought()
    op.create_index("ix_account_email", "account", ["email"], unique=True, sqlite_where=_GIVEN, postgresql_where=_GIVEN)
    op.create_index("ix_account_created_by", "account", ["created_by"])
    op.create_index("ix_account_right_zone_id_account_id", "account_right", ["zone_id", "account_id"])
    op.create_index("ix_api_key_rotated_from", "api_key", ["rotated_from"])
    op.create_table(
        "invitation",
        sa.Column("id", _BIG, primary_key=True, autoincrement=True),
        sa.Column("public_id", sa.Text(), nullable=False, unique=True),
        sa.Column("account_id", _BIG, sa.ForeignKey("account.id"), nullable=False),
        sa.Column("token_sha256", sa.Text(), nullable=False, unique=True),
        sa.Column("made_ms", _BIG, nullable=False),
        sa.Column("ends_ms", _BIG, nullable=False),
        sa.Column("made_by", _BIG, sa.ForeignKey("account.id")),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("state_ms", _BIG, nullable=False),
        sa.Column("campaign_id", _BIG, sa.ForeignKey("campaign.id")),
    )
    op.create_index("ix_invitation_account_id", "invitation", ["account_id"])


def _make_sought() -> None:
    connection = op.get_bind()
    for id_, code, name in connection.execute(sa.text("SELECT id, code, name FROM account")).all():
        parted = unicodedata.normalize("NFKD", f"{code} {name} ".casefold())
        plain = "".join(letter for letter in parted if not unicodedata.combining(letter))
        connection.execute(sa.text("UPDATE account SET sought = :plain WHERE id = :id"), {"plain": plain, "id": id_})


def downgrade() -> None:
    op.drop_table("invitation")
    op.drop_index("ix_api_key_rotated_from", "api_key")
    op.drop_index("ix_account_right_zone_id_account_id", "account_right")
    op.drop_index("ix_account_created_by", "account")
    op.drop_index("ix_account_email", "account")
    # Made anew: SQLite drops no column that a constraint of the whole table names, as it does where a later migration
    # made the table anew.
    for name, _, _ in _PARTIAL:
        op.drop_index(name, "campaign")
    with op.batch_alter_table("campaign") as table:
        table.drop_column("behalf_id")
    for name, columns, which in _PARTIAL:
        where = sa.text(which)
        op.create_index(name, "campaign", columns, sqlite_where=where, postgresql_where=where)
    op.drop_column("api_key", "rotated_from")
    for column in ("sought", "changed_by", "changed_ms", "revision", "ended_ms", "joined_ms", "created_by",
                   "created_ms", "language", "mobile", "email"):  # fmt: skip
        op.drop_column("account", column)
