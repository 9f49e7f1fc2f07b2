"""A request as its handler gets it, decoded by the handler's own types; and what the handler answers, as a value."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import msgspec
from aiohttp import web

from gateway.access.rights import Caller
from gateway.http.context import HttpContext
from gateway.http.languages import Tongue, tongue_of

Q = TypeVar("Q")
B = TypeVar("B")


class NoQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The route has no parameters; one that is given is refused."""


class CapDocument(bytes):
    """The body of a request: a CAP alert or an EDXL-DE envelope, as its octets came."""


@dataclass(frozen=True, slots=True)
class Asked(Generic[Q, B]):
    """What a handler is given. `Q` is its query, a struct of scalars; `B` its body: a struct, a `CapDocument`, or None
    where nothing is read. The door decodes both, and the API's document is made of the same two types."""

    request: web.Request
    context: HttpContext
    caller: Caller
    """On public routes `NOBODY`."""
    query: Q
    body: B

    @property
    def id(self) -> str:
        """The public id in the path."""
        return self.request.match_info["id"]

    def tongue(self) -> Tongue:
        """The language of the caller, for one answer."""
        return tongue_of(self.request)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer in JSON: `value` is an instance of what the route declares for `status`."""

    value: msgspec.Struct
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    tongue: Tongue | None = None
    """Of an answer that holds texts for people: its problems are translated, and it is labelled with the languages
    used."""
    varies_by: str = ""
    """A further request header that decides the answer of a `tongue`."""


Handle = Callable[[Asked[Any, Any]], Awaitable[Answer | web.StreamResponse]]
