"""What a route says of itself: who may use it, what it takes, and everything that it may answer."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, get_args, get_type_hints

import msgspec

from gateway.access.rights import Action
from gateway.http.asking import Handle

Face = Literal["inner", "outer"]
RouteRight = Action | tuple[Action, ...] | Literal["public", "account", "session"]
Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
Tag = Literal["Alerts", "Campaigns", "Public feed", "Operation", "Account", "Sign-in", "Pages"]


@dataclass(frozen=True, slots=True)
class Media:
    """An answer that is no JSON: octets of one of these types, or none at all."""

    types: tuple[str, ...]
    description: str


@dataclass(frozen=True, slots=True)
class Events:
    """An answer that goes on: server-sent events, each name with the type of its data."""

    data: Mapping[str, type[msgspec.Struct]]
    description: str


AnswerForm = type[msgspec.Struct] | Media | Events


@dataclass(frozen=True)
class Route:
    """`right` is an Action (or several: any of them), "account" (any good key or session), "session" (any session: what
    is a person's own) or "public". `face` is "outer" for the free broadcast, which anybody may cache, and "inner" for
    the rest: two listeners may each show one face only."""

    method: Method
    """GET answers HEAD too."""
    path: str
    handler: Handle
    right: RouteRight
    summary: str
    tag: Tag
    answers: Mapping[int, AnswerForm | tuple[AnswerForm, ...]]
    """By status: what it answers when nothing is wrong; several forms where the Accept header decides."""
    face: Face = "inner"
    refuses: tuple[int, ...] = ()
    """Statuses of refusals beyond those that follow from the route's right, path and body."""
    needs_key: bool = False
    """Whether an Idempotency-Key must be given: what it does moves messages or money."""
    needs_match: bool = False
    """Whether If-Match must be given: it changes what somebody else may have changed meanwhile."""
    person_only: bool = False
    """Whether no key will do: only somebody who has signed in. With `right="session"` that is so in any case."""
    step_up: bool = False
    """Whether a factor must have been shown afresh (`sign_in.fresh_min`), by who has signed in; a key has none."""
    by_code: bool = False
    """Whether it is open to a session that a paper code has opened, though it is a person's own."""
    while_enrolling: bool = False
    """Whether it is open to a session that may only set up factors."""
    while_locked: bool = False
    """Whether it is open to a session that is locked."""
    has_version: bool = False
    """Whether its answer has an ETag, which is wanted as If-Match by what changes it."""
    recognises: bool = False
    """Of a public route: whether it says more to who shows a key. One that is not good opens it like none."""
    on_behalf: bool = False
    """Whether it may be asked for on behalf of another account; elsewhere the header is refused."""
    example: Mapping[str, Any] | str | None = None
    """A body that does what the summary says, in a zone 5301 with a network PLP-5301-1; of a document its text."""

    @cached_property
    def _types(self) -> tuple[Any, Any]:
        [asked, *_] = get_type_hints(self.handler).values()
        query, body = get_args(asked)
        return query, body

    @property
    def query(self) -> type[msgspec.Struct]:
        """The parameters, as the handler takes them."""
        found: type[msgspec.Struct] = self._types[0]
        return found

    @property
    def body(self) -> type[Any] | None:
        """The body as the handler takes it: a struct, octets (`CapDocument`), or None."""
        return None if self._types[1] is type(None) else self._types[1]

    @property
    def is_public(self) -> bool:
        return self.right == "public"

    @property
    def takes_keys(self) -> bool:
        return self.recognises or not (self.is_public or self.person_only or self.right == "session")

    @property
    def template(self) -> str:
        """The path with the names of its parts alone, as the API's document writes it."""
        return re.sub(r"\{(\w+)(:(?:[^{}]|\{[^{}]*\})*)?\}", r"{\1}", self.path)

    @property
    def parts(self) -> dict[str, str]:
        """The variable parts of the path, each with the pattern that it must match."""
        return {name: rule[1:] for name, rule in re.findall(r"\{(\w+)(:(?:[^{}]|\{[^{}]*\})*)?\}", self.path)}

    def forms(self, status: int) -> tuple[AnswerForm, ...]:
        found = self.answers.get(status, ())
        return found if isinstance(found, tuple) else (found,)
