"""a hold has an id outside, a revision, the account that placed it, and who changed it last"""

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("hold", sa.Column("public_id", sa.Text()))
    op.add_column("hold", sa.Column("account_id", _BIG))
    op.add_column("hold", sa.Column("revision", _BIG, nullable=False, server_default=sa.text("1")))
    op.add_column("hold", sa.Column("changed_by", sa.Text(), nullable=False, server_default=sa.text("''")))
    op.add_column("hold", sa.Column("changed_ms", _BIG, nullable=False, server_default=sa.text("0")))
    held = op.get_bind().execute(sa.text("SELECT id FROM hold")).scalars().all()
    for id_ in held:
        values = sa.text('UPDATE hold SET public_id = :public_id, changed_by = "by", changed_ms = at_ms WHERE id = :id')
        op.execute(values.bindparams(public_id=secrets.token_hex(10), id=id_))
    with op.batch_alter_table("hold") as table:
        table.alter_column("public_id", existing_type=sa.Text(), nullable=False)
        table.create_unique_constraint("uq_hold_public_id", ["public_id"])
        table.create_foreign_key("fk_hold_account_id", "account", ["account_id"], ["id"])


def downgrade() -> None:
    with op.batch_alter_table("hold") as table:
        table.drop_constraint("fk_hold_account_id", type_="foreignkey")
        table.drop_constraint("uq_hold_public_id", type_="unique")
    for column in ("changed_ms", "changed_by", "revision", "account_id", "public_id"):
        op.drop_column("hold", column)
