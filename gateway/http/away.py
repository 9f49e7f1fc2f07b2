"""Whether a failure means that the store is away for now, and not that a statement of ours is wrong."""

from store.errors import StoreUnavailable
from store.verdict import translated


def store_is_away(exc: Exception) -> bool:
    """The store says so itself, of reads as of writes. Whoever waits for it no longer than it can bear hears a
    TimeoutError, which is an OSError."""
    return isinstance(exc, StoreUnavailable) or isinstance(translated(exc), StoreUnavailable)
