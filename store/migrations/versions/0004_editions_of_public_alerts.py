"""public alerts are kept as they were published, and every change of the feed has a number

What was published before stays as it was: byte for byte as it was received.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_OVER = """
SELECT feed_entry.id FROM feed_entry JOIN alert ON alert.id = feed_entry.alert_id
WHERE alert.state <> 'active' AND alert.msg_type <> 'Cancel' ORDER BY feed_entry.id
"""


def upgrade() -> None:
    for column in (
        sa.Column("seq", _BIG), sa.Column("ended_seq", _BIG), sa.Column("ended_ms", _BIG),
        sa.Column("document", sa.LargeBinary),
    ):  # fmt: skip
        op.add_column("feed_entry", column)
    _number_what_is_there(op.get_bind())
    op.create_index("ix_feed_entry_seq", "feed_entry", ["seq"], unique=True)
    op.create_index("ix_feed_entry_ended_seq", "feed_entry", ["ended_seq"], unique=True)
    op.create_index("ix_feed_entry_expires_ms", "feed_entry", ["expires_ms"])


def _number_what_is_there(conn: sa.Connection) -> None:
    ids = [row[0] for row in conn.execute(sa.text("SELECT id FROM feed_entry ORDER BY id"))]
    over = [row[0] for row in conn.execute(sa.text(_OVER))]
    published = sa.text("UPDATE feed_entry SET seq = :seq WHERE id = :id")
    ended = sa.text("UPDATE feed_entry SET ended_seq = :seq, ended_ms = published_ms WHERE id = :id")
    for seq, entry_id in enumerate(ids, 1):
        conn.execute(published, {"seq": seq, "id": entry_id})
    for seq, entry_id in enumerate(over, len(ids) + 1):
        conn.execute(ended, {"seq": seq, "id": entry_id})
    revision_ = {"value": str(len(ids) + len(over))}
    conn.execute(sa.text("INSERT INTO meta (key, value) VALUES ('feed_revision', :value)"), revision_)


def downgrade() -> None:
    for index in ("ix_feed_entry_expires_ms", "ix_feed_entry_ended_seq", "ix_feed_entry_seq"):
        op.drop_index(index, table_name="feed_entry")
    for column in ("document", "ended_ms", "ended_seq", "seq"):
        op.drop_column("feed_entry", column)
    op.execute("DELETE FROM meta WHERE key = 'feed_revision'")
