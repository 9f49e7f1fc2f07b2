"""What is wrong with one value of JSON or TOML: its kind, its bounds, its form, that it is none of some choices."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, Any, NamedTuple
from uuid import UUID

import msgspec
from msgspec import inspect

from gateway.fault_words import CAUSES, KINDS, WRONG_TYPE, facts_as_said

LONGEST_SAID = 60
"""Characters of what was found that are repeated to whoever wrote it."""
_LONGEST_POINTER = 1_000


class Fault(msgspec.Struct, frozen=True):
    path: str
    """`$.sms.carriers.first.port`; of a key that is missing, what it is missing from."""
    text: str
    cause: str = ""
    """One of `gateway.fault_words.CAUSES`, or empty for what only the text says."""
    facts: tuple[str, ...] = ()
    """What stands in the places of the cause's words."""
    remedy: str = ""
    choices: tuple[str, ...] = ()
    """What may stand there, where these are some words or numbers and no others."""
    pointer: str = ""
    """RFC 6901; of a key that is missing, where it should stand."""


class Place(NamedTuple):
    """Where in an input something stands."""

    path: str = "$"
    pointer: str = ""
    shut: bool = False
    """The names within are too long to be repeated: their faults are told of this place."""

    def key(self, name: str) -> "Place":
        step = name.replace("~", "~0").replace("/", "~1")
        return self._within(f"{self.path}.{name}", f"{self.pointer}/{step}")

    def item(self, number: int) -> "Place":
        return self._within(f"{self.path}[{number}]", f"{self.pointer}/{number}")

    def _within(self, path: str, pointer: str) -> "Place":
        if self.shut or len(pointer) > _LONGEST_POINTER:
            return self._replace(shut=True)
        return Place(path, pointer)

    def fault(self, cause: str, *facts: str, choices: tuple[str, ...] = (), also: str = "") -> Fault:
        said = facts_as_said(cause, facts, KINDS)
        text, remedy = (words.format(*said) for words in CAUSES[cause])
        return Fault(self.path, text + also, cause, facts, remedy, choices, self.pointer)


def kind_of(value: object) -> str:
    """What a value of JSON or TOML is, as of KINDS."""
    match value:
        case None:
            return "nothing"
        case bool():
            return "true or false"
        case int():
            return "whole number"
        case float():
            return "number"
        case str():
            return "text"
        case list() | tuple():
            return "list"
        case date() | time():
            return "time"
    return "object"


_KINDS: Mapping[type[inspect.Type], tuple[str, ...]] = {
    inspect.NoneType: ("nothing",),
    inspect.BoolType: ("true or false",),
    inspect.IntType: ("whole number",),
    inspect.FloatType: ("number",),
    inspect.StrType: ("text",),
    inspect.BytesType: ("text",),
    inspect.ByteArrayType: ("text",),
    inspect.MemoryViewType: ("text",),
    inspect.UUIDType: ("text",),
    inspect.TimeDeltaType: ("text",),
    inspect.DecimalType: ("text", "number"),
    inspect.DateTimeType: ("time",),
    inspect.DateType: ("time",),
    inspect.TimeType: ("time",),
    inspect.ListType: ("list",),
    inspect.SetType: ("list",),
    inspect.FrozenSetType: ("list",),
    inspect.VarTupleType: ("list",),
    inspect.TupleType: ("list",),
    inspect.DictType: ("object",),
    inspect.FrozenDictType: ("object",),
    inspect.TypedDictType: ("object",),
    inspect.DataclassType: ("object",),
}


def kinds(wanted: inspect.Type) -> tuple[str, ...]:
    """The kinds of value that may stand there; empty where msgspec alone knows."""
    match wanted:
        case inspect.Metadata():
            return kinds(wanted.type)
        case inspect.UnionType():
            found = dict.fromkeys(kind for member in wanted.types for kind in kinds(member))
            return tuple(sorted(found, key="nothing".__eq__))
        case inspect.EnumType() | inspect.LiteralType():
            return tuple(dict.fromkeys(map(kind_of, values(wanted))))
        case inspect.StructType():
            return ("list",) if wanted.array_like else ("object",)
    return _KINDS.get(type(wanted), ())


def fits(kind: str, wanted: inspect.Type) -> bool:
    """Whether a value of a kind can be a `wanted` at all."""
    allowed = kinds(wanted)
    # A whole number is a number, and JSON writes times as text.
    wider = {"whole number": "number", "text": "time"}.get(kind)
    return not allowed or kind in allowed or wider in allowed


def bare(wanted: inspect.Type) -> inspect.Type:
    """A type without what is only said about it."""
    return bare(wanted.type) if isinstance(wanted, inspect.Metadata) else wanted


def values(wanted: inspect.Type) -> tuple[Any, ...]:
    """Of an enumeration, as JSON writes them; empty for any other type."""
    if isinstance(wanted, inspect.EnumType):
        return tuple(member.value for member in wanted.cls)
    return wanted.values if isinstance(wanted, inspect.LiteralType) else ()


def is_the_same(value: object, choice: object) -> bool:
    """1 is neither true nor 1.0."""
    return type(value) is type(choice) and value == choice


def is_one_of(value: object, wanted: inspect.EnumType | inspect.LiteralType) -> bool:
    if isinstance(wanted, inspect.LiteralType):
        return any(is_the_same(value, choice) for choice in wanted.values)
    return _converts(value, wanted.cls)


def ecma(pattern: str) -> str:
    """A pattern as ECMA-262, and whoever reads it, knows it: there `$` lets no line feed follow."""
    return pattern.replace(r"\Z", "$")


def said(value: object) -> str:
    """A word, a number or a truth as it is repeated to whoever wrote it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)[:LONGEST_SAID]


def none_of(value: object, choices: Sequence[object], place: Place) -> Fault:
    """The fault of a value that is none of the choices."""
    known = tuple(map(said, choices))
    kind = kind_of(value)
    if kind in ("list", "object"):
        return place.fault(WRONG_TYPE, kind, *dict.fromkeys(map(kind_of, choices)), choices=known)
    return place.fault("choice", said(value), ", ".join(known), choices=known)


def faults_of_length(
    count: int, wanted: inspect.CollectionType | inspect.DictType | inspect.FrozenDictType, place: Place
) -> Iterator[Fault]:
    if wanted.max_length is not None and count > wanted.max_length:
        yield place.fault("too-many", str(wanted.max_length), str(count))
    elif wanted.min_length is not None and count < wanted.min_length:
        yield place.fault("too-few", str(wanted.min_length), str(count))


def faults_of_scalar(value: Any, wanted: inspect.Type, place: Place, example: str) -> Iterator[Fault]:
    """Of a value of a kind that fits; `example` says how it is written, where the type has one."""
    match wanted:
        case inspect.StrType():
            yield from _faults_of_text(value, wanted, place, example)
        case inspect.IntType() | inspect.FloatType():
            yield from _faults_of_number(value, wanted, place)
        case inspect.BytesType() | inspect.ByteArrayType() | inspect.MemoryViewType():
            if not _converts(value, bytes):
                yield place.fault("base64")
        case _:
            form, like = _form_of(wanted)
            if like and not _converts(value, form):
                yield _unlike(value, wanted, like, place)


_DAY, _HOUR = "[0-9]{4}-[0-9]{2}-[0-9]{2}", r"[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?"
_FORMS: Mapping[type[inspect.Type], str] = {
    inspect.DateTimeType: f"{_DAY}[Tt ]{_HOUR}",
    inspect.TimeType: _HOUR,
    inspect.DateType: _DAY,
}
_OFFSET = "([Zz]|[+-][0-9]{2}:?[0-9]{2})"


def _unlike(value: object, wanted: inspect.Type, like: str, place: Place) -> Fault:
    """Of what says no day or time of the kind: written otherwise, no such day, or a day of TOML without a time."""
    form = _FORMS.get(type(wanted))
    tz = getattr(wanted, "tz", False)
    offset = {True: _OFFSET, None: f"{_OFFSET}?", False: ""}[tz]
    text = value if isinstance(value, str) and len(value) <= LONGEST_SAID else ""
    if form is not None and re.fullmatch(form + offset, text):
        return place.fault("no-such-time", text, like)
    return place.fault("form", like)


def _faults_of_text(value: str, wanted: inspect.StrType, place: Place, example: str) -> Iterator[Fault]:
    if wanted.max_length is not None and len(value) > wanted.max_length:
        yield place.fault("too-long", str(wanted.max_length), str(len(value)))
    elif wanted.min_length is not None and len(value) < wanted.min_length:
        yield place.fault("too-short", str(wanted.min_length), str(len(value)))
    elif wanted.pattern is not None and not re.search(wanted.pattern, value):
        yield place.fault("form", example) if example else place.fault("pattern", ecma(wanted.pattern))


def _faults_of_number(value: int | float, wanted: inspect.IntType | inspect.FloatType, place: Place) -> Iterator[Fault]:
    least, most, above, below, step = wanted.ge, wanted.le, wanted.gt, wanted.lt, wanted.multiple_of
    if isinstance(wanted, inspect.IntType):  # more than 0 is 1 or more
        least, above = (above + 1, None) if isinstance(above, int) else (least, above)
        most, below = (below - 1, None) if isinstance(below, int) else (most, below)
    # Asked this way round, what is not a number is within no bounds.
    low, high = not (least is None or value >= least), not (most is None or value <= most)
    if (low or high) and least is not None and most is not None:
        yield place.fault("range", _figure(least), _figure(most))
    elif low and least is not None:
        yield place.fault("least", _figure(least))
    elif high and most is not None:
        yield place.fault("most", _figure(most))
    elif above is not None and not value > above:
        yield place.fault("above", _figure(above))
    elif below is not None and not value < below:
        yield place.fault("below", _figure(below))
    elif step is not None and not _is_multiple(value, step):
        yield place.fault("multiple", _figure(step))


def _is_multiple(value: int | float, step: int | float) -> bool:
    if isinstance(value, int) and isinstance(step, int):
        return value % step == 0
    try:
        return math.fmod(value, step) == 0
    except (ValueError, OverflowError):  # of infinity, and of what is too large for a float
        return False


def _figure(bound: int | float) -> str:
    return str(int(bound)) if bound == int(bound) else str(bound)


def _form_of(wanted: inspect.Type) -> tuple[Any, str]:
    """What is written as text in JSON and is something else: its type, and how it is written."""
    match wanted:
        case inspect.DateTimeType():
            zone = "" if wanted.tz is False else "Z"
            return Annotated[datetime, msgspec.Meta(tz=wanted.tz)], f"2026-11-28T06:40:00{zone}"
        case inspect.TimeType():
            zone = "" if wanted.tz is False else "Z"
            return Annotated[time, msgspec.Meta(tz=wanted.tz)], f"06:40:00{zone}"
        case inspect.DateType():
            return date, "2026-11-28"
        case inspect.TimeDeltaType():
            return timedelta, "PT1H30M"
        case inspect.UUIDType():
            return UUID, "8f7d9a52-3c1b-4b0e-9a55-0d6f1f0c7a11"
        case inspect.DecimalType():
            return Decimal, "12.50"
    return None, ""


def _converts(value: object, wanted: Any) -> bool:
    try:
        msgspec.convert(value, wanted)
    except msgspec.ValidationError:
        return False
    return True
