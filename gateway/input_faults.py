"""All that is wrong with a settings file or a JSON body, each fault with its path, what may stand there, and its line.
Knows structs, and none in particular.

msgspec stops at the first fault; whoever writes a file for a night's work wants to hear of all of them. What msgspec
refuses has a fault here, and what it takes has none. Its own words are told only of what no cause is known for: what a
struct demands of its fields together.
"""

import difflib
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Literal, get_args, get_origin

import msgspec
from msgspec import inspect

from gateway.fault_words import WRONG_TYPE
from gateway.value_faults import (
    LONGEST_SAID,
    Fault,
    Place,
    bare,
    faults_of_length,
    faults_of_scalar,
    fits,
    is_one_of,
    is_the_same,
    kind_of,
    kinds,
    none_of,
    said,
    values,
)

UNKNOWN = frozenset({"unknown", "no-keys"})
"""The causes of a key that does not belong where it stands."""
_Object = inspect.StructType | inspect.TypedDictType | inspect.DataclassType
_Dictionary = inspect.DictType | inspect.FrozenDictType
_Literals = dict[frozenset[str], tuple[Any, ...]]
"""The values of a Literal as a set -> in the order they were written down in, which msgspec.inspect does not keep."""


def faults_of(value: Any, wanted: Any) -> Iterator[Fault]:
    """What keeps `value`, decoded from JSON or TOML, from being a `wanted`: a struct, or anything else that msgspec
    knows; of a value that holds more than 50,000 others, what is wrong with the first of them, or the fault that
    msgspec meets. Raises RecursionError for what is nested deeper than Python can follow."""
    try:
        msgspec.convert(value, wanted, str_keys=True)
    except msgspec.ValidationError as exc:
        refused = exc
    else:
        return
    found = _Look(_literals_in(wanted)).faults(value, inspect.type_info(wanted), Place())
    yield next(found, _as_it_says(refused, Place()))
    yield from found


def lines_of(document: str) -> dict[str, int]:
    """path -> line of what a sound TOML document says, tables included."""
    lines = document.splitlines()
    found: dict[str, int] = {}
    table = "$"
    start = 0
    while start < len(lines):
        end, said = _statement(lines, start)
        if said and lines[start].lstrip().startswith("["):
            table = "$"
            for table in _paths(said, "$"):
                found.setdefault(table, start + 1)
        else:
            for path in _paths(said, table):
                found.setdefault(path, start + 1)
        start = end
    return found


def line_of(path: str, lines: Mapping[str, int]) -> int:
    """Of the path, or of the nearest table around it; 0 where there is none."""
    while path and path not in lines:
        path = path.rpartition("[" if path.endswith("]") else ".")[0]
    return lines.get(path, 0)


def _statement(lines: list[str], start: int) -> tuple[int, dict[str, Any]]:
    """Where the statement that begins on a line ends, and what it says by itself."""
    for end in range(start + 1, len(lines) + 1):
        try:
            return end, tomllib.loads("\n".join(lines[start:end]))
        except tomllib.TOMLDecodeError:
            continue  # a list or a text of several lines
    return start + 1, {}


def _paths(said: Mapping[str, Any], path: str) -> Iterator[str]:
    for name, inner in said.items():
        yield f"{path}.{name}"
        if isinstance(inner, dict):
            yield from _paths(inner, f"{path}.{name}")


_MOST_LOOKED_AT = 50_000
"""Values of one input: a fifth of a second."""


class _Look:
    """One look through an input."""

    def __init__(self, literals: _Literals) -> None:
        self._literals = literals
        self._left = _MOST_LOOKED_AT

    def faults(self, value: Any, wanted: inspect.Type, place: Place, example: str = "") -> Iterator[Fault]:
        self._left -= 1
        kind = kind_of(value)
        match wanted:
            case inspect.Metadata():
                examples = (wanted.extra_json_schema or {}).get("examples") or [example]
                yield from self.faults(value, wanted.type, place, str(examples[0]))
            case inspect.UnionType():
                yield from self._of_union(value, wanted, place)
            case inspect.EnumType() | inspect.LiteralType():
                if not is_one_of(value, wanted):
                    yield none_of(value, self._choices(wanted), place)
            case _ if not fits(kind, wanted):
                yield place.fault(WRONG_TYPE, kind, *kinds(wanted))
            case _ if kind == "list":
                yield from self._of_list(value, wanted, place)
            case _ if kind == "object":
                yield from self._of_object(value, wanted, place)
            case _:
                yield from faults_of_scalar(value, wanted, place, example)

    def _of_union(self, value: Any, wanted: inspect.UnionType, place: Place) -> Iterator[Fault]:
        members = [bare(member) for member in wanted.types]
        fitting = [member for member in wanted.types if fits(kind_of(value), member)]
        structs = [member for member in members if isinstance(member, inspect.StructType) and not member.array_like]
        some = [member for member in members if not isinstance(member, inspect.NoneType)]
        if not fitting and all(isinstance(member, inspect.EnumType | inspect.LiteralType) for member in some):
            yield none_of(value, [choice for member in some for choice in self._choices(member)], place)
        elif not fitting:
            yield place.fault(WRONG_TYPE, kind_of(value), *kinds(wanted))
        elif len(structs) > 1 and isinstance(value, dict):
            yield from self._of_tagged(value, structs, place)
        elif not any(next(self.faults(value, member, place), None) is None for member in fitting[1:]):
            yield from self.faults(value, fitting[0], place)

    def _of_tagged(self, value: dict[str, Any], structs: Sequence[inspect.StructType], place: Place) -> Iterator[Fault]:
        """Of one of some structs, told apart by their tag."""
        name = structs[0].tag_field or ""
        tags = [struct.tag for struct in structs]
        if name not in value:
            known = tuple(map(said, tags))
            yield place.key(name).fault("untagged", name, ", ".join(known), choices=known)
            return
        for struct in structs:
            if is_the_same(value[name], struct.tag):
                yield from self._of_object(value, struct, place)
                return
        yield none_of(value[name], tags, place.key(name))

    def _of_list(self, value: list[Any], wanted: inspect.Type, place: Place) -> Iterator[Fault]:
        match wanted:
            case inspect.CollectionType():
                yield from faults_of_length(len(value), wanted, place)
                for number, one in enumerate(value):
                    if self._left < 0:
                        return
                    yield from self.faults(one, wanted.item_type, place.item(number))
            case inspect.TupleType():
                if len(value) != len(wanted.item_types):
                    yield place.fault("count", str(len(wanted.item_types)), str(len(value)))
                for number, (one, item) in enumerate(zip(value, wanted.item_types, strict=False)):
                    yield from self.faults(one, item, place.item(number))

    def _of_object(self, value: dict[str, Any], wanted: inspect.Type, place: Place) -> Iterator[Fault]:
        if isinstance(wanted, _Dictionary):
            yield from faults_of_length(len(value), wanted, place)
            for name, inner in value.items():
                if self._left < 0:
                    return
                yield from self._of_key(name, wanted.key_type, place.key(name))
                yield from self.faults(inner, wanted.value_type, place.key(name))
        elif isinstance(wanted, _Object):
            sound = True
            for fault in self._of_fields(value, wanted, place):
                sound = False
                yield fault
            if sound:  # what a struct demands of its fields together is told once each of them is sound
                yield from _unconverted(value, wanted.cls, place)

    def _of_fields(self, value: dict[str, Any], wanted: _Object, place: Place) -> Iterator[Fault]:
        tag_field, strict = None, False
        if isinstance(wanted, inspect.StructType):
            tag_field, strict = wanted.tag_field, wanted.forbid_unknown_fields
            if tag_field in value and not is_the_same(value[tag_field], wanted.tag):
                yield none_of(value[tag_field], [wanted.tag], place.key(tag_field))
                return  # its fields are those of something else
            self._literals |= _literals_of(wanted.cls)
        fields = {field.encode_name: field for field in wanted.fields}
        for name, inner in value.items():
            if name in fields:
                yield from self.faults(inner, fields[name].type, place.key(name))
            elif strict and name != tag_field:
                yield _unknown(name, list(fields), place)
        for name, field in fields.items():
            if field.required and name not in value:
                yield msgspec.structs.replace(place.fault("missing", name), pointer=place.key(name).pointer)

    def _of_key(self, name: str, wanted: inspect.Type, place: Place) -> Iterator[Fault]:
        key = int(name) if kinds(wanted) == ("whole number",) and _WHOLE.fullmatch(name) else name
        for fault in self.faults(key, wanted, place):
            cause, fact = _OF_KEYS.get(fault.cause, ("key", None))
            facts = () if fact is None else (fault.facts[fact],)
            yield place.fault(cause, name[:LONGEST_SAID], *facts, choices=fault.choices)

    def _choices(self, wanted: inspect.Type) -> Sequence[Any]:
        known: Sequence[Any] = values(wanted)
        return self._literals.get(frozenset(map(repr, known)), known)


_OF_KEYS = {
    "choice": ("key-choice", 1),
    "too-long": ("key-long", 0),
    "too-short": ("key-short", 0),
    "pattern": ("key-pattern", 0),
    "form": ("key-form", 0),
}
"""The cause of a fault of a key, and which fact of the fault of such a text it keeps."""
_WHOLE = re.compile("-?[0-9]{1,18}")


@cache
def _literals_of(struct: type[msgspec.Struct]) -> _Literals:
    fields = msgspec.structs.fields(struct)
    return {known: order for field in fields for known, order in _literals_in(field.type).items()}


def _literals_in(wanted: Any) -> _Literals:
    inner = get_args(wanted)
    if get_origin(wanted) is Literal:
        return {frozenset(map(repr, inner)): inner}
    return {known: order for one in inner for known, order in _literals_in(one).items()}


def _unknown(name: str, fields: list[str], place: Place) -> Fault:
    shown = name[:LONGEST_SAID]
    if not fields:
        return place.key(name).fault("no-keys", shown)
    near = difflib.get_close_matches(shown, fields, 1)
    return place.key(name).fault("unknown", shown, ", ".join(fields), also=f": is `{near[0]}` meant?" if near else "")


def _unconverted(value: Any, wanted: Any, place: Place) -> Iterator[Fault]:
    try:
        msgspec.convert(value, wanted, str_keys=True)
    except msgspec.ValidationError as exc:
        yield _as_it_says(exc, place)


def _as_it_says(exc: msgspec.ValidationError, place: Place) -> Fault:
    text, _, inner = str(exc).partition(" - at `$")
    return Fault(place.path + inner.rstrip("`"), text, pointer=place.pointer)
