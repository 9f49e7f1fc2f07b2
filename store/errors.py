"""What the store refuses or cannot do, as exceptions for the stem to translate."""


class StoreError(Exception):
    """Anything below."""


class StoreUnavailable(StoreError):
    """The engine cannot write now (disk full, connection lost): nothing of the work was kept."""


class StoreLocked(StoreError):
    """Another server holds this file."""


class SchemaMismatch(StoreError):
    """The tables are not those of this version; the text says which command mends it."""


class Conflict(StoreError):
    """A unique key is taken: somebody else was first."""
