"""Text that both engines can keep: what a peer sends may hold a NUL or half a character, which PostgreSQL refuses,
SQLite cuts or refuses, and JSON cannot say. It is shown in its place, and nothing else of the text is touched."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

NUL_SHOWN = "\u2400"
"""The symbol for NUL."""


def readable(text: str) -> str:
    """NUL as its symbol, half a character as U+FFFD; two halves that belong together are one character."""
    if "\0" in text:
        text = text.replace("\0", NUL_SHOWN)
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def keep_readable(engine: "AsyncEngine") -> None:
    """Every text that is handed to the engine, wherever it comes from: looked up as it was kept."""
    import sqlalchemy as sa  # the brake needs the rest of this module, and does not wait for it

    @sa.event.listens_for(engine.sync_engine, "before_cursor_execute", retval=True)
    def _look(_conn: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool) -> tuple[str, Any]:
        return statement, readable_values(parameters)


def readable_values(values: Any) -> Any:
    """The parameters of a statement, every text among them as `readable` has it."""
    return values if _is_plain(values) else _shown(values)


def _is_plain(value: Any) -> bool:
    """Whether there is nothing to look at: nearly always, and it must cost next to nothing."""
    if type(value) is str:
        return value.isascii() and "\0" not in value
    if type(value) is tuple or type(value) is list:
        for one in value:  # noqa: SIM110 - a generator costs more than what it asks
            if not (type(one) is int or one is None or _is_plain(one)):
                return False
        return True
    return not isinstance(value, str | tuple | list | dict)


def _shown(value: Any) -> Any:
    """The parameters of a statement, or of several: tuples, lists and mappings of values."""
    if isinstance(value, str):
        return readable(value)
    if isinstance(value, tuple | list):
        return type(value)(_shown(v) for v in value)
    if isinstance(value, dict):
        return {name: _shown(v) for name, v in value.items()}
    return value
