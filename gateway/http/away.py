"""Whether a failure means that the store is away for now, and not that a statement of ours is wrong."""

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from store.errors import StoreUnavailable


def store_is_away(exc: Exception) -> bool:
    """For reads, which the store does not translate: connections refused or lost, timeouts, a locked or full file."""
    if isinstance(exc, StoreUnavailable | OSError):  # TimeoutError is an OSError
        return True
    if isinstance(exc, OperationalError | InterfaceError):
        # SQLite calls a wrong statement operational too: that one is a bug.
        return getattr(exc.orig, "sqlite_errorname", None) != "SQLITE_ERROR"
    return isinstance(exc, DBAPIError) and exc.connection_invalidated
