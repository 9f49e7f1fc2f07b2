"""A list of tuples as ONE parameter and a FROM clause, on both engines.

One round trip for any number of rows, with exact RETURNING: what makes batch statements cheap and identical on
SQLite (`json_each`) and PostgreSQL (`jsonb_array_elements`).
"""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from store.engine.storable_text import readable


class _Each(FunctionElement[Any]):
    inherit_cache = True


class _IntCell(FunctionElement[int]):
    # One class a type: the class is part of the statement's cache key, the type is not.
    type = sa.BigInteger()
    inherit_cache = True
    pg = "BIGINT"


class _TextCell(FunctionElement[str]):
    type = sa.Text()
    inherit_cache = True
    pg = "TEXT"


class _FloatCell(FunctionElement[float]):
    type = sa.Float()
    inherit_cache = True
    pg = "DOUBLE PRECISION"


_CELLS: dict[type, type[FunctionElement[Any]]] = {int: _IntCell, str: _TextCell, float: _FloatCell}


@compiles(_Each, "sqlite")
def _each_sqlite(element: _Each, compiler: Any, **kw: Any) -> str:
    return f"json_each({compiler.process(element.clauses, **kw)})"


@compiles(_Each, "postgresql")
def _each_postgresql(element: _Each, compiler: Any, **kw: Any) -> str:
    return f"jsonb_array_elements(CAST({compiler.process(element.clauses, **kw)} AS jsonb))"


def _cell_sqlite(element: Any, compiler: Any, **kw: Any) -> str:
    value, index = (compiler.process(c, **kw) for c in element.clauses)
    return f"json_extract({value}, '$[{index}]')"


def _cell_postgresql(element: Any, compiler: Any, **kw: Any) -> str:
    value, index = (compiler.process(c, **kw) for c in element.clauses)
    return f"CAST({value} ->> {index} AS {element.pg})"


for _class in _CELLS.values():
    compiles(_class, "sqlite")(_cell_sqlite)
    compiles(_class, "postgresql")(_cell_postgresql)


def json_rows(name: str, **columns: type) -> sa.Subquery:
    """A subquery of the given columns (`int`, `str` or `float`, nulls allowed) over the parameter `name`.

    >>> rows = json_rows("changes", id=int, state=int)
    >>> conn.execute(update(t).where(t.c.id == rows.c.id).values(state=rows.c.state), {"changes": pack(values)})
    """
    each = _Each(sa.bindparam(name, type_=sa.Text())).table_valued(sa.column("value"), name=f"{name}_each")
    cells = [
        _CELLS[kind](each.c.value, sa.literal_column(str(i))).label(column)
        for i, (column, kind) in enumerate(columns.items())
    ]
    return sa.select(*cells).select_from(each).subquery(name)


def pack(rows: Iterable[Sequence[Any]]) -> str:
    """The value of a parameter of `json_rows`; texts as `readable` has them."""
    values = [tuple(row) for row in rows]
    try:
        packed = msgspec.json.encode(values)
    except UnicodeEncodeError:
        packed = _NUL
    if _NUL in packed:
        packed = msgspec.json.encode([tuple(readable(v) if isinstance(v, str) else v for v in row) for row in values])
    return packed.decode()


_NUL = rb"\u0000"
