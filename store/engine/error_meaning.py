"""What an error of an engine means: the store is away, somebody else was first, or there is a bug. Pure."""

from typing import NoReturn

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolExhausted

from store.errors import Conflict, StoreUnavailable

_UNIQUE = ("SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY", "SQLITE_CONSTRAINT_ROWID", "23505")
_SQLITE_WRONG = ("SQLITE_ERROR", "SQLITE_MISUSE", "SQLITE_RANGE", "SQLITE_TOOBIG", "SQLITE_MISMATCH")
"""The statement or its values, not the disk."""
_PG_REPEAT = ("08", "40", "57P", "53300", "25006", "25P03", "25P04", "55P03")
"""By their first letters: connections lost or refused, restarts, fail-over, deadlocks, time-outs of the server."""
_PG_AWAY = (*_PG_REPEAT, "28", "3D", "53", "55", "57", "58", "F0", "XX")
"""The server's own state; all the rest (22: data, 42: statements, ...) is a bug of ours or of one row."""
_BROKEN = ("SQLITE_CORRUPT", "XX001", "XX002")
"""A page or an index that cannot be read. Whoever reads it hears it as what it is: it is there again at the next try,
and about what stands there, not about the others. A write that meets it is no fault of the row's it was about."""


def translated(exc: Exception, *, writing: bool = False) -> Exception:
    """The engine's errors in the store's words; what is a bug stays what it is."""
    if isinstance(exc, IntegrityError):
        reason = getattr(exc.orig, "sqlite_errorname", None) or getattr(exc.orig, "sqlstate", None)
        return Conflict(str(exc.orig)) if reason in _UNIQUE else exc
    if isinstance(exc, DBAPIError):
        away = writing if _is_broken(exc) else _is_away(exc)
        return StoreUnavailable(str(exc.orig)) if away else exc
    return StoreUnavailable(str(exc)) if isinstance(exc, OSError | PoolExhausted) else exc


def raise_translated(exc: Exception, *, writing: bool = False) -> NoReturn:
    error = translated(exc, writing=writing)
    if error is exc:
        raise exc
    raise error from exc


def unreachable(exc: Exception) -> StoreUnavailable:
    """Whatever a server has against us before the first statement is its answer, and no bug of ours."""
    return StoreUnavailable(str(exc.orig if isinstance(exc, DBAPIError) else exc) or "the database does not answer")


def _is_broken(exc: DBAPIError) -> bool:
    reason = getattr(exc.orig, "sqlite_errorname", None) or getattr(exc.orig, "sqlstate", None)
    return str(reason).startswith(_BROKEN)


def _is_away(exc: DBAPIError) -> bool:
    if exc.connection_invalidated:
        return True
    name = getattr(exc.orig, "sqlite_errorname", None)
    if name is not None:
        return not name.startswith(_SQLITE_WRONG)
    state = getattr(exc.orig, "sqlstate", None)
    if state is not None:
        return str(state).startswith(_PG_AWAY)
    # What the drivers say of themselves: a connection that is closed or broken, or a value that they cannot write.
    bad_value = exc.orig is not None and isinstance(exc.orig.__cause__, ValueError)
    return not (bad_value or isinstance(exc, ProgrammingError | DataError))


def worth_repeating(exc: Exception) -> bool:
    if isinstance(exc, DBAPIError):
        state = getattr(exc.orig, "sqlstate", None)
        return exc.connection_invalidated or str(state).startswith(_PG_REPEAT)
    return not isinstance(exc, PoolExhausted)
