"""Whether a SQLite file is whole, as far as a look of bounded length tells."""

import asyncio
import logging
import sqlite3
import threading
from pathlib import Path

from store.errors import StoreDamaged, StoreUnavailable

log = logging.getLogger(__name__)

MOST_S = 2.0
"""A gigabyte takes some seconds: a server that was killed must be back before they have passed."""


async def require_sound(path: Path, most_s: float = MOST_S) -> None:
    """Look through the file's pages for `most_s` seconds; what is not reached by then is told in the log and goes
    unlooked at. A file that does not exist, or is empty, is whole. Raises StoreDamaged, StoreUnavailable."""
    if not await asyncio.to_thread(path.exists):
        return
    wrong = await asyncio.to_thread(_look, path, most_s)
    if wrong is None:
        log.info("the store is large: not all of it was looked through", extra={"action": "store-looked-through"})
    elif wrong:
        raise StoreDamaged(path, wrong)


def is_damage(exc: BaseException | None) -> bool:
    """Whether SQLite says by this error that the file itself is wrong."""
    name = getattr(exc, "sqlite_errorname", "")
    return name == "SQLITE_NOTADB" or name.startswith("SQLITE_CORRUPT")


def _look(path: Path, most_s: float) -> str | None:
    """What is wrong, in the first words of SQLite; empty for nothing, None where time ran out."""
    connection = sqlite3.connect(path, timeout=1.0, check_same_thread=False)
    timer = threading.Timer(most_s, connection.interrupt)
    timer.daemon = True
    timer.start()
    try:
        found = [str(row[0]) for row in connection.execute("PRAGMA quick_check(1)")]
    except sqlite3.DatabaseError as exc:
        if getattr(exc, "sqlite_errorname", "") == "SQLITE_INTERRUPT":
            return None
        if is_damage(exc):
            return str(exc)
        raise StoreUnavailable(f"the store cannot be used: {exc}") from exc
    finally:
        timer.cancel()
        timer.join()
        connection.close()
    return "" if found == ["ok"] else " ".join(found)[:200].replace("\n", " ")
