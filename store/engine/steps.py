"""Works written as their statements alone, for whoever holds a connection: the server's transaction follows them, and
so does a command that cannot wait for SQLAlchemy to load."""

from collections.abc import Generator, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

T = TypeVar("T")
Statement: TypeAlias = tuple[str, Mapping[str, Any]]
"""Plain SQL that both engines read, its values as `:name`; and the values."""
Steps: TypeAlias = Generator[Statement, Sequence[Sequence[Any]], T]
"""A work: each statement that it yields is answered with its rows, none where there are none to return."""
