"""A line of the audit as its statements: the one place that writes one."""

import hashlib
import secrets
from collections.abc import Mapping
from typing import Any

import msgspec

from store.engine.steps import Steps

_ADD = (
    "INSERT INTO audit (at_ms, account_id, action, subject, detail, apart)"
    " VALUES (:at_ms, :account_id, :action, :subject, :detail, :apart) RETURNING id"
)
_ADD_APART = "INSERT INTO audit_detail (audit_id, salt, detail) VALUES (:audit_id, :salt, :detail)"


def noting(
    now_ms: int,
    action: str,
    subject: str,
    *,
    account_id: int | None = None,
    detail: Mapping[str, Any] | None = None,
    apart: Mapping[str, Any] | None = None,
) -> Steps[None]:
    """A line, in the transaction of what it tells of. `detail`: ids and words of the house; `apart`: the rest."""
    text = "" if apart is None else msgspec.json.encode(apart).decode()
    salt = secrets.token_hex(16) if text else ""
    rows = yield (
        _ADD,
        {
            "at_ms": now_ms,
            "account_id": account_id,
            "action": action,
            "subject": subject,
            "detail": msgspec.json.encode(detail or {}).decode(),
            "apart": salted(salt, text) if text else "",
        },
    )
    if text:
        yield _ADD_APART, {"audit_id": rows[0][0], "salt": salt, "detail": text}


def salted(salt: str, detail: str) -> str:
    """What the chain holds of words that may be erased."""
    return hashlib.sha256(f"{salt}:{detail}".encode()).hexdigest()
