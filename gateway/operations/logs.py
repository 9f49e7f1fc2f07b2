"""Logs: one JSON object a line on stdout, with a fixed `action` word; secrets never, addresses of people shortened.

Whatever is logged passes `scrubbed`, tracebacks too: a carrier's error text may quote the number it refused.
"""

import logging
import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import msgspec

from gateway.operations.log_writer import LogWriter
from gateway.unseen_characters import visible_json

_OWN = frozenset(vars(logging.LogRecord("", 0, "", 0, "", (), None))) | {"message", "asctime", "taskName"}
"""What every record has; anything else on it came as `extra`."""

_KEY = re.compile(r"tocsin_([A-Za-z0-9-]{1,64})_[A-Za-z0-9_-]+")
_CREDENTIAL = re.compile(r"(?i)\b(bearer|basic)\s+(?!tocsin_)[A-Za-z0-9+/=_.~-]{8,}")
_SHORTEST_CREDENTIAL = len("basic 12345678")
_PASSWORD = re.compile(r"(?i)(\b[a-z][a-z0-9+.-]*://[^\s:/@]*):[^\s@]+@")
_SECRET_NAMES = re.compile(r"(?i)password|secret|authorization|token")
_MAILBOX = re.compile(r"[^\s@<>\"'(),:;\[\]{}]+@[^\s@<>\"'(),:;\[\]{}]+")
_NUMBER = re.compile(r"\+\d{7,15}\b")
_MOST_CHARS = 16_000
_CHATTY = {"mail.log": logging.WARNING, "aiosqlite": logging.INFO}
"""Loggers of libraries -> what is heard of them at least: one tells every command of a bounce, one every statement."""


def shortened(address: str) -> str:
    """A telephone number or mailbox that can be recognised by who knows it, and read by nobody else."""
    local, at, domain = address.rpartition("@")
    if at:
        return f"{local[:1]}…@{domain}"
    if len(address) > 7:
        return f"{address[:5]}…{address[-2:]}"
    return "…"


def scrubbed(text: str) -> str:
    """The text without secrets, its addresses shortened."""
    if "tocsin_" in text:
        text = _KEY.sub(r"tocsin_\1_…", text)
    if len(text) >= _SHORTEST_CREDENTIAL:
        text = _CREDENTIAL.sub(r"\1 …", text)
    if "@" in text:
        text = _PASSWORD.sub(r"\1:…@", text)
        text = _MAILBOX.sub(lambda found: shortened(found[0]), text)
    if "+" in text:
        text = _NUMBER.sub(lambda found: shortened(found[0]), text)
    return text[:_MOST_CHARS]


class JsonLines(logging.Formatter):
    """`at` (RFC 3339, UTC), `level`, `logger`, `action`, `message`, then what the caller gave as `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {
            "at": at.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "action": getattr(record, "action", "log"),
            "message": scrubbed(record.getMessage()),
        }
        for name, value in vars(record).items():
            if name not in _OWN and name not in line:
                line[name] = "…" if _is_secret(name) else _clean(value)
        if record.exc_info:
            line["exception"] = scrubbed(self.formatException(record.exc_info))
        return visible_json(msgspec.json.encode(line).decode())


@lru_cache(1024)
def _is_secret(name: str) -> bool:
    return _SECRET_NAMES.search(name) is not None


def _clean(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean(item) for item in value]
    return scrubbed(str(value))


def configure(level: str = "INFO", fd: int = 1) -> LogWriter:
    """Send every logger's lines to that file descriptor (standard output), in place of whatever was set up before.

    The lines are written by a thread of their own: whoever logs never waits for whoever reads."""
    handler = LogWriter(fd)
    handler.setFormatter(JsonLines())
    logging.raiseExceptions = False  # its tracebacks go to a stream that may stand still, too
    root = logging.getLogger()
    for before in root.handlers[:]:
        root.removeHandler(before)
        before.close()
    root.addHandler(handler)
    root.setLevel(level)
    for name, least in _CHATTY.items():
        logging.getLogger(name).setLevel(max(least, root.level))
    return handler
