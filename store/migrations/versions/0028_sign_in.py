"""sessions, passkeys, passwords, TOTP, recovery codes, resets: who signs in, and by what"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _id() -> "sa.Column[Any]":
    return sa.Column("id", _BIG, primary_key=True, autoincrement=True)


def _account() -> "sa.Column[Any]":
    return sa.Column("account_id", _BIG, nullable=False)


def _int(name: str, default: str | None = None, *, nullable: bool = False) -> "sa.Column[Any]":
    return sa.Column(name, _BIG, nullable=nullable, server_default=None if default is None else sa.text(default))


def _text(name: str, default: str | None = None) -> "sa.Column[Any]":
    server_default = None if default is None else sa.text(f"'{default}'")
    return sa.Column(name, sa.Text, nullable=False, server_default=server_default)


def _of_account(table: str, column: str = "account_id") -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], ["account.id"], name=f"fk_{table}_{column}")


def _once(table: str, *columns: str) -> sa.UniqueConstraint:
    return sa.UniqueConstraint(*columns, name=f"uq_{table}_{'_'.join(columns)}")


def _key(table: str, column: str = "id") -> sa.PrimaryKeyConstraint:
    return sa.PrimaryKeyConstraint(column, name=f"pk_{table}")


def upgrade() -> None:
    op.create_table(
        "session", _id(), _text("public_id"), _text("token_sha256"), _account(), _int("made_ms"), _int("seen_ms"),
        _int("ends_ms"), _text("factors"), _int("factor_ms"), _int("enrol_only", "0"), _int("locked", "0"),
        _text("address", ""), _text("agent", ""), _int("ended_ms", nullable=True), _text("ended_by", ""),
        _key("session"), _of_account("session"), _once("session", "public_id"), _once("session", "token_sha256"),
    )  # fmt: skip
    op.create_index("ix_session_account_id", "session", ["account_id"])
    op.create_table(
        "passkey", _id(), _text("public_id"), _account(), _text("credential_id"),
        sa.Column("credential", sa.LargeBinary, nullable=False), _text("user_handle"), _text("name", ""),
        _int("counter", "0"), _int("made_ms"), _int("used_ms", nullable=True), _key("passkey"), _of_account("passkey"),
        _once("passkey", "public_id"), _once("passkey", "credential_id"),
    )  # fmt: skip
    op.create_index("ix_passkey_account_id", "passkey", ["account_id"])
    op.create_table(
        "password", sa.Column("account_id", _BIG, nullable=False, autoincrement=False), _text("hash"), _int("set_ms"),
        _key("password", "account_id"), _of_account("password"),
    )  # fmt: skip
    op.create_table(
        "totp", sa.Column("account_id", _BIG, nullable=False, autoincrement=False), _text("sealed", ""),
        _int("set_ms", "0"), _int("last_step", "0"), _text("offered", ""), _int("offered_ms", "0"),
        _key("totp", "account_id"), _of_account("totp"),
    )  # fmt: skip
    op.create_table(
        "recovery_code", _id(), _account(), _text("code_sha256"), _int("made_ms"), _int("used_ms", nullable=True),
        _key("recovery_code"), _of_account("recovery_code"), _once("recovery_code", "account_id", "code_sha256"),
    )  # fmt: skip
    op.create_table("reset_wish", _id(), _text("mail"), _text("address"), _int("at_ms"), _key("reset_wish"))
    op.create_table(
        "password_reset", _id(), _account(), _text("token_sha256"), _int("made_ms"), _int("ends_ms"),
        _int("used_ms", nullable=True), _key("password_reset"), _of_account("password_reset"),
        _once("password_reset", "token_sha256"),
    )  # fmt: skip
    op.create_index("ix_password_reset_account_id", "password_reset", ["account_id"])
    op.create_table(
        "used_challenge", _text("challenge_sha256"), _int("ends_ms"), _key("used_challenge", "challenge_sha256")
    )
    op.create_table("sign_in_bucket", _text("name"), _int("full_us"), _key("sign_in_bucket", "name"))


def downgrade() -> None:
    for table in (
        "sign_in_bucket", "used_challenge", "password_reset", "reset_wish", "recovery_code", "totp", "password",
        "passkey", "session",
    ):  # fmt: skip
        op.drop_table(table)
