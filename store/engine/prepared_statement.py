"""A statement that is compiled once for each engine and asked thousands of times a second.

SQLAlchemy looks a statement up in its cache, makes a context, a cursor and a result for it each time: a hundred
microseconds where SQLite needs two. What is prepared is text with the values in their order; SQLite is asked by its own
driver, PostgreSQL through SQLAlchemy's, which then has nothing to compile.

Constants stand in the text: only then does an engine know, without reading the statement anew, that a partial index
(`WHERE state = 0`) may be used.
"""

from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from operator import itemgetter
from typing import Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy.sql.elements import BindParameter

AnyValues = Mapping[str, Any]


class Prepared:
    """A statement for both engines. Its rows have their columns by name and in their order.

    `postgresql`: what PostgreSQL is asked where the two need different words. A value that has no name of its own in
    the statement is a constant of it; lists (`IN`) must be constants, or rows of `json_rows`.
    """

    __slots__ = ("_postgresql", "_sqlite", "_texts")

    def __init__(self, statement: sa.Executable, postgresql: sa.Executable | None = None) -> None:
        self._sqlite = statement
        self._postgresql = statement if postgresql is None else postgresql
        self._texts: dict[bool, PreparedText] = {}

    def text(self, *, sqlite: bool) -> "PreparedText":
        """As this engine is asked; compiled when it is wanted first."""
        found = self._texts.get(sqlite)
        if found is None:
            statement = self._sqlite if sqlite else self._postgresql
            found = self._texts[sqlite] = PreparedText(statement, _dialect(sqlite=sqlite))
        return found


class PreparedText:
    """A prepared statement in the words of one engine."""

    __slots__ = ("_make_row", "_pick", "_read", "_written", "sql")

    def __init__(self, statement: sa.Executable, dialect: Any) -> None:
        if isinstance(statement, sa.Insert) and statement.select is None and not statement._values:
            raise TypeError(f"name the columns that are given: {statement}")
        compiled: Any = statement.compile(dialect=dialect)  # type: ignore[attr-defined]
        if "POSTCOMPILE" in compiled.string:
            raise TypeError(f"a list is a constant, or rows of `json_rows`: {compiled.string}")
        self.sql = str(compiled.string)
        names = tuple(compiled.positiontup or ())
        self._pick = _picker(names)
        self._written = _converters([compiled.binds[name].type for name in names], "bind_processor", dialect)
        columns = getattr(statement, "exported_columns", ()) if dialect.name == "sqlite" else ()
        self._read = _converters([column.type for column in columns], "result_processor", dialect, None)
        self._make_row: Callable[[Sequence[Any]], Any] | None = None

    def ordered(self, values: AnyValues) -> tuple[Any, ...]:
        """The values as the text wants them. Raises KeyError for one that is missing."""
        ordered = self._pick(values)
        return _converted(ordered, self._written) if self._written else ordered

    def rows(self, found: Sequence[Sequence[Any]], description: Any) -> list[Any]:
        """With names, from what the driver has. `description`: the driver's own, of which the first words are names."""
        if self._make_row is None:
            names = [column[0] for column in description]
            self._make_row = _row_class(names)._make
        if self._read:
            found = [_converted(row, self._read) for row in found]
        return list(map(self._make_row, found))


def _picker(names: Sequence[str]) -> Callable[[AnyValues], tuple[Any, ...]]:
    if not names:
        return lambda _: ()
    if len(names) == 1:
        [name] = names
        return lambda values: (values[name],)
    return itemgetter(*names)


_Converters: TypeAlias = tuple[tuple[int, Callable[[Any], Any]], ...]


def _converters(types: Sequence[Any], kind: str, dialect: Any, *more: Any) -> _Converters:
    """Of the places whose type is not the driver's own: nearly none."""
    found = [(place, getattr(one.dialect_impl(dialect), kind)(dialect, *more)) for place, one in enumerate(types)]
    return tuple((place, convert) for place, convert in found if convert is not None)


def _converted(values: Sequence[Any], converters: _Converters) -> tuple[Any, ...]:
    changed = list(values)
    for place, convert in converters:
        changed[place] = convert(changed[place])
    return tuple(changed)


def _row_class(names: Sequence[str]) -> Any:
    return namedtuple("Row", names, rename=True)


@cache
def _dialect(*, sqlite: bool) -> Any:
    if sqlite:
        from sqlalchemy.dialects.sqlite import aiosqlite

        made: Any = aiosqlite.dialect(paramstyle="qmark")
    else:
        from sqlalchemy.dialects.postgresql import asyncpg

        made = asyncpg.dialect()  # type: ignore[no-untyped-call]
    made.statement_compiler = type("CompilerOfPrepared", (_Constants, made.statement_compiler), {})
    return made


class _Constants:
    """Part of a compiler: what has a value already stands in the text."""

    def visit_bindparam(self: Any, bindparam: BindParameter[Any], *args: Any, **kw: Any) -> Any:
        value = bindparam.value
        if bindparam.required or (value is None and bindparam.callable is not None):
            return super().visit_bindparam(bindparam, *args, **kw)  # type: ignore[misc]
        if isinstance(value, list | tuple | frozenset):
            return f"({', '.join(self.render_literal_value(one, bindparam.type) for one in value)})"
        return "NULL" if value is None else self.render_literal_value(value, bindparam.type)
