"""What the store refuses or cannot do, as exceptions for the stem to translate."""

from pathlib import Path


class StoreError(Exception):
    """What every error of the store is."""


class StoreUnavailable(StoreError):
    """The engine cannot read or write now: disk full, connection lost or refused, no answer in time.

    Nothing of a work was kept, unless the answer to its commit is what was lost (PostgreSQL): it can be repeated."""


class NoAnswer(StoreUnavailable):
    """The connection was given up: nothing came back in time, or it broke below the protocol."""


class StoreLocked(StoreError):
    """Another server holds this file."""


class StoreDamaged(StoreError):
    """The file is not whole, or no store: what it says cannot be relied upon."""

    def __init__(self, path: Path, wrong: str) -> None:
        remedy = "restore a backup, and run 'tocsin new-generation' before the start"
        super().__init__(f"the store {path} is damaged ({wrong}): {remedy}")


class SchemaMismatch(StoreError):
    """The tables are not those of this version; the text says which command mends it."""


class Conflict(StoreError):
    """A unique key is taken: somebody else was first."""


class CreditExhausted(StoreError):
    """The zone's prepaid balance does not cover the reservation."""

    def __init__(self, zone_id: int, balance_millieuro: int, needed_millieuro: int) -> None:
        super().__init__(f"{needed_millieuro} needed, {balance_millieuro} left (millieuro)")
        self.zone_id = zone_id
        self.balance_millieuro = balance_millieuro
        self.needed_millieuro = needed_millieuro


class StaleThread(StoreError):
    """The thread has changed between the decision and its launch: decide again."""


class AudienceTooLarge(StoreError):
    """A campaign has more deliveries than it can number."""

    def __init__(self, deliveries: int, most: int) -> None:
        super().__init__(f"{deliveries} deliveries are more than a campaign can have ({most})")
        self.deliveries = deliveries
        self.most = most


def store_is_away(exc: Exception) -> bool:
    """Whether a failure means that the store is away for now, and not that a statement of ours is wrong.

    The store says so itself, of reads as of writes. Whoever waits for it no longer than it can bear hears a
    TimeoutError, which is an OSError."""
    return isinstance(exc, StoreUnavailable | OSError)
