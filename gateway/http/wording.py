"""Values -> the words of the JSON API. One rule each for instants and money, wherever they stand. Pure.

`sent_ms: 1700000000000` becomes `sent: "2023-11-14T22:13:20.000Z"`; `price_millieuro: 55` gets `price_eur: "0.055"`.
"""

from typing import Any

import msgspec
from aiohttp import web

from gateway.instants import rfc3339
from gateway.reports.amounts import eur

_MS = "_ms"
_MILLIEURO = "_millieuro"


def spoken(value: Any) -> Any:
    """Plain dicts, lists and scalars of a struct (or of anything msgspec knows), in the API's words."""
    return _spoken(msgspec.to_builtins(value))


def _spoken(value: Any) -> Any:
    if isinstance(value, dict):
        said: dict[str, Any] = {}
        for name, inner in value.items():
            _say(said, name, inner)
        return said
    if isinstance(value, list | tuple):
        return [_spoken(item) for item in value]
    return value


def _say(said: dict[str, Any], name: str, value: Any) -> None:
    whole = isinstance(value, int) and not isinstance(value, bool)
    if name.endswith(_MS) and (whole or value is None):
        said[name.removesuffix(_MS)] = None if value is None else rfc3339(value)
    elif name.endswith(_MILLIEURO) and (whole or value is None):
        said[name] = value
        said[f"{name.removesuffix(_MILLIEURO)}_eur"] = None if value is None else eur(value)
    else:
        said[name] = _spoken(value)


def encoded(value: Any) -> bytes:
    return msgspec.json.encode(spoken(value))


def answer(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(body=encoded(value), status=status, headers=headers, content_type="application/json")
