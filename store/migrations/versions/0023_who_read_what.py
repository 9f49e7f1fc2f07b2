"""lines of the audit know their zone, on whose behalf and from where; readings are lines; reading the audit is a right

A line of before is of form 1, and its bytes and hash stay what they were. Who read everything of a zone as its auditor
reads its audit from now on.
"""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_BY = ("account_id", "behalf_id", "zone_id")
_GRANT = """
INSERT INTO account_right (account_id, zone_id, network_id, action, kind, channel, mode)
SELECT DISTINCT r.account_id, r.zone_id, CAST(NULL AS BIGINT), 'audit', '*', '*', '*'
FROM account_right r JOIN account a ON a.id = r.account_id
WHERE a.type = 'auditor' AND r.action = 'read' AND r.network_id IS NULL
AND r.kind = '*' AND r.channel = '*' AND r.mode = '*'
"""


def upgrade() -> None:
    op.add_column("audit", sa.Column("form", _BIG, nullable=False, server_default=sa.text("1")))
    op.add_column("audit", sa.Column("behalf_id", _BIG))
    op.add_column("audit", sa.Column("zone_id", _BIG))
    op.add_column("audit", sa.Column("via", sa.Text(), nullable=False, server_default=sa.text("''")))
    op.drop_index("ix_audit_subject", "audit")
    op.create_index("ix_audit_at_ms_id", "audit", ["at_ms", "id"])
    for column in ("action", "subject"):
        op.create_index(f"ix_audit_{column}_at_ms_id", "audit", [column, "at_ms", "id"])
    for column in _BY:
        known = sa.text(f"{column} IS NOT NULL")
        op.create_index(
            f"ix_audit_{column}_at_ms_id",
            "audit",
            [column, "at_ms", "id"],
            sqlite_where=known,
            postgresql_where=known,
        )
    op.create_table(
        "audit_reading",
        sa.Column("slot_ms", _BIG, primary_key=True, autoincrement=False),
        sa.Column("key", sa.Text(), primary_key=True),
    )
    op.execute(_GRANT)


def downgrade() -> None:
    op.execute("DELETE FROM account_right WHERE action = 'audit'")
    op.drop_table("audit_reading")
    for column in (*_BY, "action", "subject"):
        op.drop_index(f"ix_audit_{column}_at_ms_id", "audit")
    op.drop_index("ix_audit_at_ms_id", "audit")
    op.create_index("ix_audit_subject", "audit", ["subject"])
    for column in ("via", "zone_id", "behalf_id", "form"):
        op.drop_column("audit", column)
