"""The parameters of a request as a struct, all that is wrong with them told at once.

A name that the route does not know is refused: `?dryrun=1` must not send. Truths are written 0, 1, false or true.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

from gateway.errors import Reason, Refusal, first_of
from gateway.fault_words import WRONG_TYPE
from gateway.input_faults import UNKNOWN, faults_of
from gateway.value_faults import LONGEST_SAID, Fault, Place, bare, none_of, values

T = TypeVar("T", bound=msgspec.Struct)

CAUSES: Mapping[str, tuple[str, str]] = {
    "unknown": ("there is no parameter `{0}` here", "Known are: {1}."),
    "no-keys": ("there is no parameter `{0}` here, nor any other", "Leave it out."),
    "missing": ("the parameter `{0}` is missing", "Add `{0}`."),
    "topics": ("at most {0} topics fit into one stream, and these are {1}", "Open another stream for the others."),
    "twice": ("the parameter `{0}` is given more than once", "Give it once."),
}
"""What is said of a parameter alone, by its cause; the rest is `gateway.fault_words.CAUSES`."""
_TRUTHS = {"0": False, "1": True, "false": False, "true": True}
_DIGITS = re.compile("-?[0-9]+")
_LARGEST = 10**18 - 1
"""Of a whole number that has no smaller bound: what every store takes."""


def query_of(pairs: Iterable[tuple[str, str]], type_: type[T]) -> T:
    """The struct that the parameters of a request say, name by name as they came. Its fields are texts, whole numbers,
    truths, and choices of words. Raises Refusal 400 with every fault."""
    given = list(pairs)
    types = _types_of(type_)
    read = {name: _read(text, types.get(name)) for name, text in given}
    if len(read) == len(given):
        try:
            return msgspec.convert(read, type_)
        except msgspec.ValidationError:
            pass  # what it says is told below, with everything else
    reasons = first_of(_reasons(given, read, type_))
    raise Refusal(400, "bad-parameter", "A parameter is not as it should be.", reasons)


@cache
def _types_of(type_: type[msgspec.Struct]) -> Mapping[str, inspect.Type]:
    """The type of each parameter; of one that may also be nothing, what it is otherwise. Raises TypeError for a struct
    that lets unknown names pass."""
    told = inspect.type_info(type_)
    if not isinstance(told, inspect.StructType) or not told.forbid_unknown_fields:
        raise TypeError(f"{type_.__name__} would take parameters that nobody knows")
    return {field.encode_name: _written(field.type) for field in told.fields}


def _written(wanted: inspect.Type) -> inspect.Type:
    wanted = bare(wanted)
    members = map(bare, wanted.types) if isinstance(wanted, inspect.UnionType) else iter((wanted,))
    return next((member for member in members if not isinstance(member, inspect.NoneType)), wanted)


def _read(text: str, wanted: inspect.Type | None) -> Any:
    """What a text says to a type; the text itself where it says nothing to it."""
    match wanted:
        case inspect.BoolType():
            return _TRUTHS.get(text, text)
        case inspect.IntType():
            return int(text) if len(text) < len(str(-_LARGEST)) and _DIGITS.fullmatch(text) else text
        case inspect.EnumType() | inspect.LiteralType():
            return next((value for value in values(wanted) if str(value) == text), text)
    return text


def _reasons(given: list[tuple[str, str]], read: Mapping[str, Any], type_: type[msgspec.Struct]) -> Iterator[Reason]:
    types = _types_of(type_)
    times = Counter(name for name, _ in given)
    told = set()
    for name, value in read.items():
        if times[name] > 1:
            yield _reason(name, Fault("", "", "twice", (name[:LONGEST_SAID],)))
        fault = _unread(value, types.get(name))
        if fault is not None:
            told.add(f"$.{name}")
            yield _reason(name, fault)
    for fault in faults_of(read, type_):
        if fault.path in told:
            continue
        of_a_name = fault.cause in UNKNOWN or fault.cause == "missing"
        yield _reason(fault.facts[0] if of_a_name else fault.path.removeprefix("$").removeprefix("."), fault)


def _unread(value: Any, wanted: inspect.Type | None) -> Fault | None:
    """What is wrong with a text that says no truth, or no whole number, where one is wanted."""
    if isinstance(wanted, inspect.BoolType) and isinstance(value, str):
        return none_of(value, tuple(_TRUTHS), Place())
    if not isinstance(wanted, inspect.IntType) or not isinstance(value, str):
        return None
    if not _DIGITS.fullmatch(value):
        return Place().fault(WRONG_TYPE, "text", "whole number")
    least = -_LARGEST if wanted.ge is None else wanted.ge
    return Place().fault("range", str(least), str(_LARGEST if wanted.le is None else wanted.le))


def _reason(name: str, fault: Fault) -> Reason:
    text, remedy = (words.format(*fault.facts) for words in CAUSES.get(fault.cause, ("", "")))
    return Reason(
        "PARAM",
        text or fault.text,
        path=name[:LONGEST_SAID],
        remedy=remedy or fault.remedy,
        cause=fault.cause,
        facts=fault.facts,
        choices=fault.choices,
    )
