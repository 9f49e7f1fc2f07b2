"""opt-outs are rows: of a member, of a member in one network, or of an address"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_IN_FORCE = {
    "ix_opt_out_member": (["member_id"], "until_ms IS NULL AND address_id IS NULL AND network_id IS NULL"),
    "ix_opt_out_membership": (["member_id", "network_id"], "until_ms IS NULL AND network_id IS NOT NULL"),
    "ix_opt_out_address": (["address_id"], "until_ms IS NULL AND member_id IS NULL"),
}
_member = sa.table("member", sa.column("id"), sa.column("zone_id"), sa.column("opt_outs"))
_opt_out = sa.table(
    "opt_out",
    *map(sa.column, ("zone_id", "member_id", "network_id", "kind", "channel", "source", "from_ms", "until_ms")),
)


def upgrade() -> None:
    op.create_table(
        "opt_out",
        sa.Column("id", _BIG, primary_key=True, autoincrement=True),
        sa.Column("zone_id", _BIG, nullable=False),
        sa.Column("member_id", _BIG, nullable=True),
        sa.Column("address_id", _BIG, nullable=True),
        sa.Column("network_id", _BIG, nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False, server_default=sa.text("'*'")),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("from_ms", _BIG, nullable=False),
        sa.Column("until_ms", _BIG, nullable=True),
        sa.CheckConstraint(
            "(member_id IS NULL) <> (address_id IS NULL) AND (network_id IS NULL OR address_id IS NULL)",
            name=op.f("ck_opt_out_subject"),
        ),
        sa.ForeignKeyConstraint(["zone_id"], ["zone.id"], name=op.f("fk_opt_out_zone_id")),
        sa.ForeignKeyConstraint(["member_id"], ["member.id"], name=op.f("fk_opt_out_member_id")),
        sa.ForeignKeyConstraint(["address_id"], ["address.id"], name=op.f("fk_opt_out_address_id")),
        sa.ForeignKeyConstraint(["network_id"], ["network.id"], name=op.f("fk_opt_out_network_id")),
    )
    for name, (subject, in_force) in _IN_FORCE.items():
        _index(name, "opt_out", ["zone_id", *subject, "kind", "channel", "source"], in_force, unique=True)
    _index("ix_contact_open_address_id", "contact", ["address_id"], "until_ms IS NULL", unique=False)
    _make_rows()
    op.drop_column("member", "opt_outs")


def downgrade() -> None:
    """What a list of kinds cannot say is lost: channels, networks, addresses, and when."""
    op.add_column("member", sa.Column("opt_outs", sa.Text(), nullable=False, server_default=sa.text("''")))
    _make_lists()
    op.drop_index("ix_contact_open_address_id", table_name="contact")
    op.drop_table("opt_out")


def _index(name: str, table: str, columns: list[str], where: str, *, unique: bool) -> None:
    op.create_index(name, table, columns, unique=unique, sqlite_where=sa.text(where), postgresql_where=sa.text(where))


def _make_rows() -> None:
    """Members hold few different lists, however many they are; when they said it is not known."""
    connection = op.get_bind()
    lists = connection.execute(sa.select(_member.c.opt_outs).distinct()).scalars().all()
    for text in lists:
        for kind in sorted(set(text.split())):
            rows = sa.select(_member.c.zone_id, _member.c.id, *map(sa.literal, (kind, "*", "seed", 0)))
            connection.execute(
                sa.insert(_opt_out).from_select(
                    ["zone_id", "member_id", "kind", "channel", "source", "from_ms"],
                    rows.where(_member.c.opt_outs == text),
                )
            )


def _make_lists() -> None:
    connection = op.get_bind()
    listed = sa.and_(
        _opt_out.c.until_ms.is_(None),
        _opt_out.c.member_id.is_not(None),
        _opt_out.c.network_id.is_(None),
        _opt_out.c.channel == "*",
    )
    kinds = connection.execute(sa.select(_opt_out.c.kind).where(listed, _opt_out.c.kind != "*").distinct())
    for kind in sorted(kinds.scalars()):
        theirs = sa.select(_opt_out.c.member_id).where(listed, _opt_out.c.kind == kind)
        connection.execute(
            sa.update(_member)
            .where(_member.c.id.in_(theirs))
            .values(opt_outs=sa.func.trim(_member.c.opt_outs.concat(f" {kind}")))
        )
