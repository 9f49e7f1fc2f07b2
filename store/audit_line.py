"""A line of the audit as its statements: the one place that writes one, and what the chain holds of it."""

import hashlib
import secrets
from collections.abc import Mapping
from typing import Any, Literal, Protocol

import msgspec

from store.engine.steps import Steps

FORM = 2
"""Of lines that are written now. Form 1 had no zone, no behalf and no interface, and its hash is not of them."""
_ADD = (
    "INSERT INTO audit (form, at_ms, account_id, behalf_id, zone_id, via, action, subject, detail, apart) VALUES"
    " (:form, :at_ms, :account_id, :behalf_id, :zone_id, :via, :action, :subject, :detail, :apart) RETURNING id"
)
_ADD_APART = "INSERT INTO audit_detail (audit_id, salt, detail) VALUES (:audit_id, :salt, :detail)"


class Actor(msgspec.Struct, frozen=True, kw_only=True):
    """Who does something, on whose behalf, and from where."""

    account_id: int | None = None
    """None: somebody at the terminal, or the server by itself."""
    behalf_id: int | None = None
    """The account on whose behalf it is done; None: on its own."""
    via: Literal["", "http", "cli"] = ""
    """The interface; empty: the server by itself."""
    address: str = ""
    """Of the client. It is personal: it stands apart."""
    login: str = ""
    """The user of the operating system, at the terminal. It is personal: it stands apart."""


SERVER = Actor()


class KeptLine(Protocol):
    """A line's row, as far as its hash is of it."""

    @property
    def form(self) -> int: ...
    @property
    def at_ms(self) -> int: ...
    @property
    def account_id(self) -> int | None: ...
    @property
    def behalf_id(self) -> int | None: ...
    @property
    def zone_id(self) -> int | None: ...
    @property
    def via(self) -> str: ...
    @property
    def action(self) -> str: ...
    @property
    def subject(self) -> str: ...
    @property
    def detail(self) -> str: ...
    @property
    def apart(self) -> str: ...


def noting(
    now_ms: int,
    action: str,
    subject: str,
    by: Actor = SERVER,
    *,
    zone_id: int | None = None,
    detail: Mapping[str, Any] | None = None,
    apart: Mapping[str, Any] | None = None,
) -> Steps[None]:
    """A line, in the transaction of what it tells of. `zone_id`: whose business it is, where it is one zone's;
    `detail`: ids and words of the house; `apart`: the rest."""
    beside = {name: value for name, value in (("by", by.login), ("address", by.address)) if value} | dict(apart or {})
    text = msgspec.json.encode(beside).decode() if beside else ""
    salt = secrets.token_hex(16) if text else ""
    rows = yield (
        _ADD,
        {
            "form": FORM,
            "at_ms": now_ms,
            "account_id": by.account_id,
            "behalf_id": by.behalf_id,
            "zone_id": zone_id,
            "via": by.via,
            "action": action,
            "subject": subject,
            "detail": msgspec.json.encode(detail or {}).decode(),
            "apart": salted(salt, text) if text else "",
        },
    )
    if text:
        yield _ADD_APART, {"audit_id": rows[0][0], "salt": salt, "detail": text}


_LONGEST = 2_000


def changes(before: Mapping[Any, Any] | None, after: Mapping[str, Any]) -> dict[str, Any]:
    """What stands apart of a line about a change: each field that has another value, before and after. Of what is very
    long, as the outline of a territory, its SHA-256."""
    if before is None:
        return {}
    altered = [name for name, value in after.items() if before.get(name) != value]
    if not altered:
        return {}
    return {
        word: {name: _short(values.get(name)) for name in altered}
        for word, values in (("before", before), ("after", after))
    }


def _short(value: Any) -> Any:
    if not isinstance(value, str) or len(value) <= _LONGEST:
        return value
    return f"sha256:{hashlib.sha256(value.encode()).hexdigest()}"


def salted(salt: str, detail: str) -> str:
    """What the chain holds of words that may be erased."""
    return hashlib.sha256(f"{salt}:{detail}".encode()).hexdigest()


def sha256_of(line: KeptLine) -> str:
    """Of the line as JSON, its members in the order of its form: what the chain holds to. A line of form 1 that has
    what only a later form says is no line that was ever written, and has another hash."""
    what = (line.action, line.subject, line.detail, line.apart)
    where: tuple[Any, ...] = (line.behalf_id, line.zone_id, line.via)
    if line.form == 1 and where == (None, None, ""):
        where = ()
    return hashlib.sha256(msgspec.json.encode((line.form, line.at_ms, line.account_id, *where, *what))).hexdigest()
