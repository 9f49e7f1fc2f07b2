"""Values -> the words of the JSON API, and types -> the types of those words. One rule each for instants and money,
wherever they stand. Pure.

`sent_ms: 1700000000000` becomes `sent: "2023-11-14T22:13:20.000Z"`; `price_millieuro: 55` gets `price_eur: "0.055"`.
"""

import types
from functools import cache
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec

from gateway.instants import rfc3339
from gateway.reports.amounts import eur

_MS = "_ms"
_MILLIEURO = "_millieuro"
Instant = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\Z",
        examples=["2023-11-14T22:13:20.000Z"],
        extra_json_schema={"format": "date-time"},
    ),
]
Euro = Annotated[str, msgspec.Meta(pattern=r"^-?\d+\.\d{3}\Z", examples=["0.055"])]


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


# ---- the types of the words ----------------------------------------------------------------------------------------


@cache
def spoken_type(wanted: Any) -> Any:
    """The type into which the words of a `wanted` decode, and nothing else does: a key that it does not name is
    refused. A field with a default is optional where the struct leaves defaults out."""
    if isinstance(wanted, type) and issubclass(wanted, msgspec.Struct):
        return _spoken_struct(wanted)
    origin, inner = get_origin(wanted), get_args(wanted)
    if origin is Annotated:
        return Annotated[(spoken_type(inner[0]), *inner[1:])]
    if origin in (Union, types.UnionType):
        return Union[tuple(map(spoken_type, inner))]  # noqa: UP007  # of as many as there are
    if origin in (tuple, list, dict):
        return origin[tuple(part if part is ... else spoken_type(part) for part in inner)]
    return wanted


def _spoken_struct(wanted: type[msgspec.Struct]) -> type[msgspec.Struct]:
    is_short = wanted.__struct_config__.omit_defaults
    fields: list[Any] = []
    for name, of in spoken_fields(wanted):
        optional = is_short and not of.required
        fields.append((name, spoken_field(name, of), _absent(of)) if optional else (name, spoken_field(name, of)))
    config = wanted.__struct_config__
    return msgspec.defstruct(
        wanted.__name__,
        fields,
        namespace={"__doc__": wanted.__doc__},
        tag_field=config.tag_field,
        tag=config.tag,
        kw_only=True,
        forbid_unknown_fields=True,
    )


def spoken_fields(wanted: type[msgspec.Struct]) -> list[tuple[str, Any]]:
    """The keys of a struct's words, each with the field that it speaks of; money has two."""
    found: list[tuple[str, Any]] = []
    for of in msgspec.structs.fields(wanted):
        name = of.encode_name
        if name.endswith(_MS) and _is_whole(of.type):
            found.append((name.removesuffix(_MS), of))
        elif name.endswith(_MILLIEURO) and _is_whole(of.type):
            found += [(name, of), (f"{name.removesuffix(_MILLIEURO)}_eur", of)]
        else:
            found.append((name, of))
    return found


def spoken_field(name: str, of: Any) -> Any:
    """The type of one key of the words of the field that it speaks of."""
    if name == of.encode_name:
        return of.type if _is_whole(of.type) else spoken_type(of.type)
    word = Instant if of.encode_name.endswith(_MS) else Euro
    return word | None if type(None) in get_args(of.type) else word


def _is_whole(wanted: Any) -> bool:
    """Whether it is a whole number, or one or nothing."""
    if get_origin(wanted) is Annotated:
        return _is_whole(get_args(wanted)[0])
    if get_origin(wanted) in (Union, types.UnionType):
        return all(part is type(None) or _is_whole(part) for part in get_args(wanted))
    return wanted is int


def _absent(of: Any) -> Any:
    if of.default is not msgspec.NODEFAULT:
        return of.default
    return msgspec.field(default_factory=of.default_factory)
