"""Where a store is, read from its URL."""

import re
from pathlib import Path

_FILE = re.compile(r"sqlite(?:\+\w+)?:///(?P<path>[^?]*)")


def file_of(url: str) -> Path | None:
    """The file of a SQLite store, absolute; None for PostgreSQL."""
    found = _FILE.match(url)
    return Path(found["path"]).absolute() if found else None
