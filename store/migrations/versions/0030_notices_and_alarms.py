"""what the platform itself tells: notices are campaigns of no zone; alarms, webhooks, and what lies outside"""

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_OF_ZONES = ("zone_id", "thread_id", "account_id")
# Dropped before and made after: where an engine makes the table anew, they are to be word for word what they were.
_PARTIAL = (
    ("ix_campaign_uncleared", ["sealed_ms"], "cleared_ms IS NULL AND sealed_ms IS NOT NULL"),
    ("ix_campaign_unsealed", ["state"], "sealed_ms IS NULL"),
    ("ix_campaign_unended", ["state"], "ended_ms IS NULL"),
)
_OF_NOTICES = "SELECT id FROM campaign WHERE purpose = 'notice'"


def _int(name: str, default: int | None = None) -> sa.Column[int]:
    return sa.Column(name, _BIG, nullable=False, server_default=None if default is None else sa.text(str(default)))


def _text(name: str, default: str | None = None) -> sa.Column[str]:
    return sa.Column(
        name, sa.Text(), nullable=False, server_default=None if default is None else sa.text(f"'{default}'")
    )


def upgrade() -> None:
    _zones_may_be_none(may=True)
    op.add_column("account", _int("tell_ended", 1))
    op.create_table(
        "notice",
        sa.Column("id", _BIG, autoincrement=True, nullable=False),
        sa.Column("campaign_id", _BIG),
        _text("subject"),
        sa.Column("dedupe", sa.Text()),
        _int("made_ms"),
        _int("recipients"),
        _int("held_back", 0),
        sa.Column("wiped_ms", _BIG),
        sa.PrimaryKeyConstraint("id", name="pk_notice"),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaign.id"], name="fk_notice_campaign_id"),
        sa.UniqueConstraint("campaign_id", name="uq_notice_campaign_id"),
        sa.UniqueConstraint("dedupe", name="uq_notice_dedupe"),
    )
    _partial("ix_notice_unwiped", "notice", ["made_ms"], "wiped_ms IS NULL")
    op.create_table(
        "notice_quota",
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        *map(_text, ("channel", "language")),
        *map(_int, ("hour_ms", "in_hour", "day_ms", "in_day")),
        _int("held_back", 0),
        sa.PrimaryKeyConstraint("address", "subject", name="pk_notice_quota"),
    )
    _partial("ix_notice_quota_held_back", "notice_quota", ["hour_ms"], "held_back > 0")
    op.create_index("ix_notice_quota_day_ms", "notice_quota", ["day_ms"])
    _alarms()


def _alarms() -> None:
    op.create_table(
        "alarm",
        sa.Column("key", sa.Text(), nullable=False),
        *map(_text, ("kind", "about", "state")),
        _text("value", ""),
        _int("since_ms"),
        _int("raised_ms", 0),
        _int("seen_ms"),
        *(_text(name, "") for name in ("path", "tried")),
        _int("told_ms", 0),
        *(sa.Column(name, _BIG) for name in ("campaign_id", "call_id", "confirmed_ms")),
        sa.PrimaryKeyConstraint("key", name="pk_alarm"),
    )
    op.create_table(
        "webhook_call",
        sa.Column("id", _BIG, autoincrement=True, nullable=False),
        *map(_text, ("public_id", "type", "body")),
        _int("made_ms"),
        sa.Column("due_ms", _BIG),
        _int("attempts", 0),
        sa.Column("taken_ms", _BIG),
        _text("error", ""),
        sa.PrimaryKeyConstraint("id", name="pk_webhook_call"),
        sa.UniqueConstraint("public_id", name="uq_webhook_call_public_id"),
    )
    _partial("ix_webhook_call_due_ms", "webhook_call", ["due_ms"], "due_ms IS NOT NULL")
    op.create_index("ix_webhook_call_made_ms", "webhook_call", ["made_ms"])
    op.create_table(
        "outside",
        sa.Column("name", sa.Text(), nullable=False),
        *(_int(name, 0) for name in ("ok_ms", "failed_ms")),
        _text("detail", ""),
        sa.PrimaryKeyConstraint("name", name="pk_outside"),
    )


def _partial(name: str, table: str, columns: list[str], which: str) -> None:
    op.create_index(name, table, columns, sqlite_where=sa.text(which), postgresql_where=sa.text(which))


def _zones_may_be_none(*, may: bool) -> None:
    for name, _, _ in _PARTIAL:
        op.drop_index(name, table_name="campaign")
    with op.batch_alter_table("campaign") as table:
        for column in _OF_ZONES:
            table.alter_column(column, existing_type=_BIG, nullable=may)
    for name, columns, which in _PARTIAL:
        _partial(name, "campaign", columns, which)


def downgrade() -> None:
    """Notices go: without a zone there is no place for them."""
    for table in ("outside", "webhook_call", "alarm", "notice_quota", "notice"):
        op.drop_table(table)
    of_deliveries = f"IN (SELECT d.id FROM delivery d WHERE (d.id >> 24) IN ({_OF_NOTICES}))"  # noqa: S608
    for table, column in (("carrier_ref", "delivery_id"), ("doubt", "delivery_id"), ("delivery", "id")):
        op.execute(f"DELETE FROM {table} WHERE {column} {of_deliveries}")  # noqa: S608
    for table in ("batch", "campaign_text", "progress"):
        op.execute(f"DELETE FROM {table} WHERE campaign_id IN ({_OF_NOTICES})")  # noqa: S608
    op.execute("DELETE FROM campaign WHERE purpose = 'notice'")
    _zones_may_be_none(may=False)
    op.drop_column("account", "tell_ended")
