"""The API's own document (OpenAPI 3.1), made of the table of routes and of the types in it, and nothing else. Pure."""

import ast
import inspect
import textwrap
from collections.abc import Iterable, Iterator
from enum import Enum
from functools import cache
from http import HTTPStatus
from typing import Any, get_args

import msgspec

from gateway.access.sign_in_site import PLAIN_COOKIE, SECURE_COOKIE
from gateway.errors import Reason
from gateway.help_lines import HelpContact
from gateway.http.asking import CapDocument
from gateway.http.bodies import CAP_TYPES, JSON, MERGE_PATCH
from gateway.http.on_behalf import BEHALF
from gateway.http.preconditions import KEY
from gateway.http.route import AnswerForm, Events, Media, Route
from gateway.http.wording import spoken_fields, spoken_type
from gateway.value_faults import ecma

PROBLEM = "application/problem+json"
_REF = "#/components/schemas/{name}"
_WAITS = frozenset({429, 503})
_ABOUT = (
    "Alerts come in as CAP 1.2, messages and everything else as JSON. Every list is read in pages: `next` and the "
    "Link header lead on. Instants are RFC 3339 in UTC with milliseconds; money is in thousandths of a euro, beside "
    "its amount in euro. Whatever goes wrong is `application/problem+json` (RFC 9457) with every fault that was found, "
    "in the language of Accept-Language (nl, fr, de, en). A parameter or key that is not in this document is refused."
)


class ProblemDetails(msgspec.Struct, frozen=True, omit_defaults=True):
    """What went wrong. Figures that belong to it stand beside these members (RFC 9457 3.2)."""

    type: str
    """urn:tocsin:problem: and the code."""
    title: str
    """One sentence for people, in their language."""
    status: int
    code: str
    """A stable word for programs."""
    detail: str
    problems: tuple[Reason, ...]
    """Every fault that was found."""
    request_id: str
    """What the log calls this request."""
    help: tuple[HelpContact, ...] = ()
    """Whom to ask, at most two lines; absent where none are set."""


def document(table: Iterable[Route], version: str, codes: Iterable[str]) -> dict[str, Any]:
    """`codes`: the words of all problems."""
    routes = list(table)
    structs = list(dict.fromkeys(_structs(routes)))
    spoken = [spoken_type(one) for one in structs]
    _, schemas = msgspec.json.schema_components(spoken, ref_template=_REF)
    for original in _reachable(structs):
        _annotate(schemas[original.__name__], original)
    schemas["ProblemDetails"]["properties"]["code"]["description"] += f" One of: {', '.join(sorted(codes))}."
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.template, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Tocsin",
            "version": version,
            "summary": "An open CAP 1.2 alert gateway: SMS, voice and e-mail, with an account of every person.",
            "description": _ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in dict.fromkeys(route.tag for route in routes)],
        "security": [{"key": []}, {"session": []}],
        "paths": paths,
        "components": {
            "schemas": dict(sorted((name, _typed(schema)) for name, schema in schemas.items())),
            "responses": {f"Refused{status}": _refusal(status) for status in sorted(_refusals(routes))},
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key, as `tocsin key make` prints it: tocsin_ID_SECRET.",
                },
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": SECURE_COOKIE,
                    "description": "Of a person who has signed in; never beside a key. On http://127.0.0.1 its name is "
                    f"{PLAIN_COOKIE}. What changes something is asked for by a page of the same origin.",
                },
            },
        },
    }


# ---- an operation --------------------------------------------------------------------------------------------------


def _operation(route: Route) -> dict[str, Any]:
    said: dict[str, Any] = {
        "operationId": operation_id(route),
        "summary": route.summary,
        "description": _described(route),
        "tags": [route.tag],
        "parameters": [*_path(route), *_query(route), *_headers(route)],
        "responses": _responses(route),
    }
    if route.body is not None:
        said["requestBody"] = {"required": True, "content": _body(route)}
    if route.is_public:
        said["security"] = [{}, {"key": []}, {"session": []}] if route.recognises else []
    elif not route.takes_keys:
        said["security"] = [{"session": []}]
    return {key: value for key, value in said.items() if value or key == "security"}


def operation_id(route: Route) -> str:
    """`campaigns_launch` of the handler `launch` in the module `campaigns`."""
    return f"{route.handler.__module__.rpartition('.')[2]}_{route.handler.__name__}"


def _described(route: Route) -> str:
    told = inspect.getdoc(route.handler) or ""
    if isinstance(route.right, tuple):
        told += f" Needs one of the rights {' or '.join(f'`{right}`' for right in route.right)}."
    elif route.right not in ("public", "account", "session"):
        told += f" Needs the right `{route.right}`."
    return f"{told} In a session it needs a fresh factor (403 `step-up`)." if route.step_up else told


def _path(route: Route) -> Iterator[dict[str, Any]]:
    for name, pattern in route.parts.items():
        schema: dict[str, Any] = {"type": "string", "pattern": f"^{pattern}$"}
        yield {"name": name, "in": "path", "required": True, "schema": schema}


def _query(route: Route) -> Iterator[dict[str, Any]]:
    notes = notes_of(route.query)
    for field in msgspec.structs.fields(route.query):
        wanted = field.type
        if type(None) in get_args(wanted):
            [wanted] = [part for part in get_args(wanted) if part is not type(None)]
        # What stands in a parameter is written out: a document's reader sees it where it is used.
        [schema], components = msgspec.json.schema_components([wanted], ref_template=_REF)
        if "$ref" in schema:
            schema = components[schema["$ref"].rpartition("/")[2]]
        if field.default not in (msgspec.NODEFAULT, None, ""):
            schema = schema | {"default": field.default}
        said = {"name": field.encode_name, "in": "query", "required": field.required, "schema": _typed(schema)}
        note = notes.get(field.name) or schema.pop("description", "")
        yield said | ({"description": note} if note else {})


def _headers(route: Route) -> Iterator[dict[str, Any]]:
    if route.needs_key:
        about = (
            "The caller's own name for one decision: the same key again answers with what it made the first time. "
            "Wanted wherever something is done; a dry run needs none."
        )
        schema: dict[str, Any] = {
            "type": "string",
            "pattern": '^("[!#-~]{1,100}"|[!#-~]{1,100})$',
            "examples": ["5f0c1e2a-launch-1"],
        }
        yield {"name": KEY, "in": "header", "required": False, "description": about, "schema": schema}
    if route.needs_match:
        about = "The ETag of what was seen: what has changed since is not overwritten."
        schema = {"type": "string", "pattern": "^.+$", "examples": ['"r7"']}
        yield {"name": "If-Match", "in": "header", "required": True, "description": about, "schema": schema}
    if route.on_behalf:
        about = (
            "The code of the account on whose behalf this is done: with its rights, and both names in every line of "
            "it. For operators who administer every zone."
        )
        schema = {"type": "string", "maxLength": 64}
        yield {"name": BEHALF, "in": "header", "required": False, "description": about, "schema": schema}
    if any(isinstance(form, Events) for form in route.forms(200)):
        about = "The id of the last event that was seen: the stream goes on behind it."
        schema = {"type": "string"}
        yield {"name": "Last-Event-ID", "in": "header", "required": False, "description": about, "schema": schema}


def _body(route: Route) -> dict[str, Any]:
    if route.body is CapDocument:
        about = "A CAP 1.2 alert, alone or as the only one in an EDXL-DE envelope."
        schema = {"type": "string", "description": about}
        return {name: {"schema": schema, "example": route.example} for name in CAP_TYPES}
    assert route.body is not None
    content: dict[str, Any] = {"schema": _ref(route.body)}
    if route.example is not None:
        content["example"] = route.example
    return {MERGE_PATCH if route.method == "PATCH" else JSON: content}


def _responses(route: Route) -> dict[str, Any]:
    said: dict[str, Any] = {}
    for status in sorted({*route.answers, *statuses_refused(route)}):
        forms = route.forms(status)
        if not forms:
            said[str(status)] = {"$ref": f"#/components/responses/Refused{status}"}
            continue
        content: dict[str, Any] = {}
        for form in forms:
            _add(content, form)
        if status in statuses_refused(route):
            content[PROBLEM] = {"schema": _ref(ProblemDetails)}
        about = " ".join(dict.fromkeys(_about(form) for form in forms))
        said[str(status)] = {"description": about} | ({"content": content} if content else {})
        headers = dict(headers_sent(route, status))
        if headers:
            said[str(status)]["headers"] = headers
    return said


def headers_sent(route: Route, status: int) -> Iterator[tuple[str, Any]]:
    """The headers of an answer that mean something to a program, each with what the document says of it."""
    text: dict[str, Any] = {"type": "string"}
    if status in (201, 202):
        about = "The address of what was made."
        yield "Location", {"required": True, "description": about, "schema": text | {"format": "uri-reference"}}
    if (route.has_version and status < 300) or (304 in route.answers and status in (200, 304)):
        about = "The version: wanted as If-Match by what changes it, and as If-None-Match by who has it."
        yield "ETag", {"required": True, "description": about, "schema": text}
    if any(not isinstance(form, Media | Events) and "next" in form.__struct_fields__ for form in route.forms(status)):
        about = '`<...>; rel="next"`: the next page, where there is one.'
        yield "Link", {"description": about, "schema": text}


def _add(content: dict[str, Any], form: AnswerForm) -> None:
    if isinstance(form, Media):
        # What is JSON and no struct of ours has a standard of its own.
        content.update({name: {"schema": {} if name.endswith("json") else {"type": "string"}} for name in form.types})
    elif isinstance(form, Events):
        data = {name: _ref(of) for name, of in form.data.items()}
        content["text/event-stream"] = {"schema": {"type": "string"}, "x-events": data}
    else:
        ref = _ref(form)
        before = content.get(JSON, {}).get("schema")
        content[JSON] = {"schema": ref if before is None else {"anyOf": [before, ref]}}


def _about(form: AnswerForm) -> str:
    if isinstance(form, Media | Events):
        return form.description
    return (inspect.getdoc(form) or form.__name__).partition("\n\n")[0].replace("\n", " ")


# ---- refusals ------------------------------------------------------------------------------------------------------


def statuses_refused(route: Route) -> frozenset[int]:
    """Every status of a problem with which the route may answer."""
    found = {400, 417, 500, 503, *route.refuses}
    if route.recognises:
        found.add(429)
    if not route.is_public:
        found |= {401, 403, 429}
    if route.parts:
        found.add(404)
    if route.body is not None:
        found |= {408, 413, 415}
    if route.needs_match:
        found |= {412, 428}
    if any(isinstance(form, Events) for form in route.forms(200)):
        found.add(429)
    return frozenset(found)


def _refusals(routes: Iterable[Route]) -> frozenset[int]:
    return frozenset(status for route in routes for status in statuses_refused(route))


def _refusal(status: int) -> dict[str, Any]:
    said: dict[str, Any] = {
        "description": f"{HTTPStatus(status).phrase}.",
        "content": {PROBLEM: {"schema": _ref(ProblemDetails)}},
    }
    if status in _WAITS:
        about = "Seconds after which it is worth while to try again."
        said["headers"] = {"Retry-After": {"description": about, "schema": {"type": "integer", "minimum": 0}}}
    if status == 401:
        said["headers"] = {"WWW-Authenticate": {"description": "RFC 6750 3.", "schema": {"type": "string"}}}
    return said


# ---- schemas -------------------------------------------------------------------------------------------------------


def _structs(routes: Iterable[Route]) -> Iterator[type[msgspec.Struct]]:
    yield ProblemDetails
    for route in routes:
        if route.body is not None and issubclass(route.body, msgspec.Struct):
            yield route.body
        for status in route.answers:
            for form in route.forms(status):
                if isinstance(form, Events):
                    yield from form.data.values()
                elif not isinstance(form, Media):
                    yield form


def _reachable(structs: Iterable[type[msgspec.Struct]]) -> list[type[msgspec.Struct]]:
    """These and every struct in their fields."""
    found: dict[type[msgspec.Struct], None] = {}
    waiting: list[Any] = list(structs)
    while waiting:
        one = waiting.pop()
        if isinstance(one, type) and issubclass(one, msgspec.Struct):
            if one not in found:
                found[one] = None
                waiting += [field.type for field in msgspec.structs.fields(one)]
        else:
            waiting += get_args(one)
    return list(found)


def _ref(struct: type[msgspec.Struct]) -> dict[str, str]:
    return {"$ref": _REF.format(name=struct.__name__)}


def _annotate(schema: dict[str, Any], original: type[msgspec.Struct]) -> None:
    """What the code says of a struct and its fields. Keys may be added to an answer; a body with others is refused."""
    if not original.__struct_config__.forbid_unknown_fields:
        schema.pop("additionalProperties", None)
    notes = notes_of(original)
    for key, of in spoken_fields(original):
        if of.name in notes:
            schema["properties"][key] = {**schema["properties"][key], "description": notes[of.name]}
    if "description" in schema:
        schema["description"] = schema["description"].replace("\n", " ")


def _typed(schema: Any) -> Any:
    """JSON Schema as generators of clients read it: a choice of words says that they are words, a default is one of
    JSON, a pair of equals is a list of two, a pattern ends as in ECMA-262."""
    if isinstance(schema, list):
        return [_typed(one) for one in schema]
    if not isinstance(schema, dict):
        return str(schema.value) if isinstance(schema, Enum) else schema
    said = {key: _typed(value) for key, value in schema.items()}
    parts = said.get("prefixItems")
    if parts and all(part == parts[0] for part in parts):
        del said["prefixItems"]
        said["items"] = parts[0]
    if "enum" in said and "type" not in said and all(isinstance(word, str) for word in said["enum"]):
        said["type"] = "string"
    if isinstance(said.get("pattern"), str):
        said["pattern"] = ecma(said["pattern"])
    return said


@cache
def notes_of(struct: type[msgspec.Struct]) -> dict[str, str]:
    """What stands below each field in the code, inherited fields included; nothing where the code is not there."""
    notes: dict[str, str] = {}
    for one in reversed(struct.__mro__):
        if one is not msgspec.Struct and issubclass(one, msgspec.Struct):
            notes |= _own_notes(one)
    return notes


def _own_notes(struct: type[msgspec.Struct]) -> dict[str, str]:
    try:
        [definition] = ast.parse(textwrap.dedent(inspect.getsource(struct))).body
    except (OSError, TypeError):
        return {}
    assert isinstance(definition, ast.ClassDef)
    notes: dict[str, str] = {}
    for field, note in zip(definition.body, definition.body[1:], strict=False):
        text = note.value.value if isinstance(note, ast.Expr) and isinstance(note.value, ast.Constant) else None
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(text, str):
            notes[field.target.id] = " ".join(text.split())
    return notes
