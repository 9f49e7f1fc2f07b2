"""every alert and campaign has a thread"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "thread",
        sa.Column("id", _BIG, autoincrement=True, nullable=False),
        sa.Column("revision", _BIG, nullable=False, server_default=sa.text("0")),
        sa.Column("state", sa.Text(), nullable=False, server_default=sa.text("'open'")),
        sa.PrimaryKeyConstraint("id", name="pk_thread"),
        sqlite_autoincrement=True,
    )
    op.add_column("campaign", sa.Column("thread_id", _BIG))
    _give_threads()
    _drop_partial_indexes()
    with op.batch_alter_table("alert") as table:
        table.drop_constraint("fk_alert_thread_id", type_="foreignkey")
        table.alter_column("thread_id", existing_type=_BIG, nullable=False)
        table.create_foreign_key("fk_alert_thread_id", "thread", ["thread_id"], ["id"])
    with op.batch_alter_table("campaign") as table:
        table.alter_column("thread_id", existing_type=_BIG, nullable=False)
        table.create_foreign_key("fk_campaign_thread_id", "thread", ["thread_id"], ["id"])
        table.create_index("ix_campaign_thread_id", ["thread_id"])
    _make_partial_indexes()


def _give_threads() -> None:
    """A thread keeps the number of its first alert, by which its alerts name it; a composed message gets one of its
    own, behind all of these. A thread with a Cancel in it, and nothing in force beside, is cancelled."""
    op.execute("UPDATE alert SET thread_id = id WHERE thread_id IS NULL")
    op.execute(
        "INSERT INTO thread (id, state) SELECT thread_id,"
        " CASE WHEN SUM(CASE WHEN state = 'cancelled' THEN 1 ELSE 0 END) > 0"
        " AND SUM(CASE WHEN state = 'active' THEN 1 ELSE 0 END) = 0 THEN 'cancelled' ELSE 'open' END"
        " FROM alert GROUP BY thread_id"
    )
    op.execute(
        "UPDATE campaign SET thread_id = (SELECT alert.thread_id FROM alert WHERE alert.id = campaign.alert_id)"
        " WHERE alert_id IS NOT NULL"
    )
    op.execute(
        "UPDATE campaign SET thread_id = id + (SELECT COALESCE(MAX(thread.id), 0) FROM thread) WHERE alert_id IS NULL"
    )
    op.execute("INSERT INTO thread (id) SELECT thread_id FROM campaign WHERE alert_id IS NULL")
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "SELECT setval(pg_get_serial_sequence('thread', 'id'), MAX(id)) FROM thread HAVING MAX(id) IS NOT NULL"
        )


# Dropped before and made after: where an engine makes a table anew, they are to be word for word what they were.
_PARTIAL = (
    ("ix_alert_parked", "alert", ["id", "account_id"], "state = 'parked'"),
    ("ix_campaign_unsealed", "campaign", ["state"], "sealed_ms IS NULL"),
)


def _drop_partial_indexes() -> None:
    for name, table, _, _ in _PARTIAL:
        op.drop_index(name, table_name=table)


def _make_partial_indexes() -> None:
    for name, table, columns, which in _PARTIAL:
        op.create_index(name, table, columns, sqlite_where=sa.text(which), postgresql_where=sa.text(which))


def downgrade() -> None:
    """Alerts name the first alert of their thread again; composed messages have none."""
    _drop_partial_indexes()
    with op.batch_alter_table("campaign") as table:
        table.drop_index("ix_campaign_thread_id")
        table.drop_constraint("fk_campaign_thread_id", type_="foreignkey")
        table.drop_column("thread_id")
    op.add_column("alert", sa.Column("first_id", _BIG))
    op.execute(
        "UPDATE alert SET first_id = (SELECT MIN(first.id) FROM alert AS first WHERE first.thread_id = alert.thread_id)"
    )
    with op.batch_alter_table("alert") as table:
        table.drop_constraint("fk_alert_thread_id", type_="foreignkey")
        table.alter_column("thread_id", existing_type=_BIG, nullable=True)
    op.execute("UPDATE alert SET thread_id = first_id")
    with op.batch_alter_table("alert") as table:
        table.create_foreign_key("fk_alert_thread_id", "alert", ["thread_id"], ["id"])
        table.drop_column("first_id")
    _make_partial_indexes()
    op.drop_table("thread")
