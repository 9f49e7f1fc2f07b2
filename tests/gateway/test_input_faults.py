"""Every fault of a settings file is told at once, with its path and its line."""

import math
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec import Meta

from gateway.fault_words import CAUSES
from gateway.input_faults import faults_of, line_of, lines_of
from gateway.value_faults import Fault


class Cat(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="cat"):
    name: str
    lives: Annotated[int, msgspec.Meta(ge=1, le=9)] = 9


class Dog(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="dog"):
    name: str
    tricks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.name in self.tricks:
            raise ValueError("a dog is no trick")


class House(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    street: str
    rooms: float = 1.0
    pets: dict[str, Cat | Dog] = {}
    guard: Dog | None = None


def told(value: object) -> set[tuple[str, str]]:
    return {(fault.path, fault.text) for fault in faults_of(value, House)}


def test_what_is_sound_has_no_fault():
    pets = {"a": {"type": "cat", "name": "Tom", "lives": 1}, "b": {"type": "dog", "name": "Rex", "tricks": ["sit"]}}
    guard = {"type": "dog", "name": "Bob"}

    assert told({"street": "Main", "rooms": 3, "pets": pets, "guard": guard}) == set()


def test_every_fault_is_told_with_its_path():
    pets = {
        "tom": {"type": "cat", "lives": 10},
        "rex": {"type": "dog", "name": 3, "tricks": ["sit", 1]},
        "polly": {"type": "parrot", "name": "Polly"},
        "nameless": {"name": "Who"},
        "bob": {"type": "dog", "name": "Bob", "tricks": ["Bob"]},
    }

    assert told({"rooms": "many", "pets": pets, "guard": {"type": "cat"}, "stret": "Main"}) == {
        ("$", "the key `street` is missing"),
        ("$.stret", "there is no key `stret` here: is `street` meant?"),
        ("$.rooms", "a number is wanted, and there is text here"),
        ("$.pets.tom", "the key `name` is missing"),
        ("$.pets.tom.lives", "this is not from 1 to 9"),
        ("$.pets.rex.name", "text is wanted, and there is a whole number here"),
        ("$.pets.rex.tricks[1]", "text is wanted, and there is a whole number here"),
        ("$.pets.polly.type", "one of cat, dog is wanted, and `parrot` is none of them"),
        ("$.pets.nameless.type", "one of cat, dog is wanted, and it is missing"),
        ("$.pets.bob", "a dog is no trick"),
        ("$.guard.type", "one of dog is wanted, and `cat` is none of them"),
    }


@pytest.mark.parametrize(
    "value",
    [3, [], "text", {"street": "Main", "pets": 3}, {"street": "Main", "guard": []},
     {"street": "Main", "guard": {"type": ["dog"]}}],
)  # fmt: skip
def test_what_is_no_table_is_one_fault(value):
    assert len(told(value)) == 1


DOCUMENT = """
# a comment
[server]
host = "x"   # [not.a.table]
list = [
  1,
  2,
]
text = '''
[fake]
port = 1
'''
port = 2

[sms.carriers.first]
type = "smpp"
"quoted key" = 1
inline = { a = 1, b.c = 2 }
dotted.inner = 3
"""


def test_the_line_of_every_path_is_found():
    lines = lines_of(DOCUMENT)

    assert {path: line for path, line in lines.items() if line} == {
        "$.server": 3,
        "$.server.host": 4,
        "$.server.list": 5,
        "$.server.text": 9,
        "$.server.port": 13,
        "$.sms": 15,
        "$.sms.carriers": 15,
        "$.sms.carriers.first": 15,
        "$.sms.carriers.first.type": 16,
        "$.sms.carriers.first.quoted key": 17,
        "$.sms.carriers.first.inline": 18,
        "$.sms.carriers.first.inline.a": 18,
        "$.sms.carriers.first.inline.b": 18,
        "$.sms.carriers.first.inline.b.c": 18,
        "$.sms.carriers.first.dotted": 19,
        "$.sms.carriers.first.dotted.inner": 19,
    }


def test_what_is_missing_has_the_line_of_the_table_it_should_stand_in():
    lines = lines_of(DOCUMENT)

    assert line_of("$.sms.carriers.first.host", lines) == 15
    assert line_of("$.server.list[1]", lines) == 5
    assert line_of("$.email", lines) == 0


@given(st.text())
def test_any_text_is_looked_through_without_a_fault_of_our_own(document):
    assert all(line >= 1 for line in lines_of(document).values())


def test_a_fault_is_a_value():
    assert Fault("$", "x") == Fault("$", "x")


# ---- every kind of type ------------------------------------------------------------------------------------------


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Size(IntEnum):
    SMALL = 1
    LARGE = 2


class Square(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="square"):
    side: Annotated[float, Meta(gt=0, lt=100)]


class Circle(msgspec.Struct, frozen=True, tag="circle"):
    radius: Annotated[float, Meta(multiple_of=0.5)]
    inner: "Circle | Square | None" = None


class Anything(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel", omit_defaults=True):
    """A field of each sort."""

    word: Annotated[str, Meta(min_length=1, max_length=3)] = "a"
    code: Annotated[str, Meta(pattern="^[a-z]+$")] = "a"
    dated: Annotated[str, Meta(pattern=r"^\d{4}$", examples=["1999"])] = "2000"
    count: Annotated[int, Meta(ge=1, le=9)] = 1
    at_least: Annotated[int, Meta(gt=0)] = 1
    at_most: Annotated[float, Meta(le=2.5)] = 1.0
    even: Annotated[int, Meta(multiple_of=2)] = 2
    some: Annotated[list[bool], Meta(min_length=1, max_length=2)] = []
    pair: tuple[int, str] = (1, "")
    many: frozenset[int] = frozenset()
    colour: Colour = Colour.RED
    size: Size | None = None
    words: Literal["b", "a", 1, None] = "a"
    number: int | float | None = None
    text_or_list: str | list[int] | msgspec.UnsetType = msgspec.UNSET
    shape: Square | Circle | None = None
    square: Square | None = None
    named: dict[Annotated[str, Meta(max_length=2)], Circle] = {}
    coloured: dict[Colour, int] = {}
    patterned: dict[Annotated[str, Meta(min_length=1, pattern="^[a-z]*$")], None] = {}
    dated_keys: dict[date, int] = {}
    numbered: Annotated[dict[int, Any], Meta(max_length=1)] = {}
    when: datetime | None = None
    aware: Annotated[datetime, Meta(tz=True)] | None = None
    day: date | None = None
    hour: time | None = None
    took: timedelta | None = None
    uuid: UUID | None = None
    price: Decimal | None = None
    raw: bytes = b""


FIELDS = [field.encode_name for field in msgspec.structs.fields(Anything)]
CASES: list[tuple[object, object, str, tuple[str, ...]]] = [
    ({"word": ""}, "/word", "too-short", ("1", "0")),
    ({"word": "word"}, "/word", "too-long", ("3", "4")),
    ({"word": None}, "/word", "type", ("nothing", "text")),
    ({"code": "A"}, "/code", "pattern", ("^[a-z]+$",)),
    ({"dated": "x"}, "/dated", "form", ("1999",)),
    ({"count": 10}, "/count", "range", ("1", "9")),
    ({"count": True}, "/count", "type", ("true or false", "whole number")),
    ({"count": 1.0}, "/count", "type", ("number", "whole number")),
    ({"atLeast": 0}, "/atLeast", "least", ("1",)),
    ({"atMost": 3}, "/atMost", "most", ("2.5",)),
    ({"even": 3}, "/even", "multiple", ("2",)),
    ({"some": []}, "/some", "too-few", ("1", "0")),
    ({"some": [True] * 3}, "/some", "too-many", ("2", "3")),
    ({"some": [True, 1]}, "/some/1", "type", ("whole number", "true or false")),
    ({"pair": [1]}, "/pair", "count", ("2", "1")),
    ({"pair": [1, 2]}, "/pair/1", "type", ("whole number", "text")),
    ({"colour": "green"}, "/colour", "choice", ("green", "red, blue")),
    ({"colour": ["red"]}, "/colour", "type", ("list", "text")),
    ({"size": 3}, "/size", "choice", ("3", "1, 2")),
    ({"size": "1"}, "/size", "choice", ("1", "1, 2")),
    ({"words": True}, "/words", "choice", ("true", "b, a, 1, null")),
    ({"number": "1"}, "/number", "type", ("text", "whole number", "number", "nothing")),
    ({"textOrList": 1}, "/textOrList", "type", ("whole number", "text", "list")),
    ({"shape": {"side": 1}}, "/shape/type", "untagged", ("type", "square, circle")),
    ({"shape": {"type": "line"}}, "/shape/type", "choice", ("line", "square, circle")),
    ({"shape": {"type": "square", "side": 0}}, "/shape/side", "above", ("0",)),
    ({"shape": {"type": "square", "side": 100}}, "/shape/side", "below", ("100",)),
    ({"shape": {"type": "square"}}, "/shape/side", "missing", ("side",)),
    ({"square": {"type": "circle", "x": 1}}, "/square/type", "choice", ("circle", "square")),
    ({"named": {"a/~b": {"radius": 1}}}, "/named/a~1~0b", "key-long", ("a/~b", "2")),
    ({"named": {"a.": {"radius": 0.3}}}, "/named/a./radius", "multiple", ("0.5",)),
    ({"coloured": {"green": 1}}, "/coloured/green", "key-choice", ("green", "red, blue")),
    ({"patterned": {"": None}}, "/patterned/", "key-short", ("", "1")),
    ({"patterned": {"A": None}}, "/patterned/A", "key-pattern", ("A", "^[a-z]*$")),
    ({"datedKeys": {"A": 1}}, "/datedKeys/A", "key-form", ("A", "2026-11-28")),
    ({"numbered": {"A": 1}}, "/numbered/A", "key", ("A",)),
    ({"numbered": {"1": 1, "2": 1}}, "/numbered", "too-many", ("1", "2")),
    ({"when": 3}, "/when", "type", ("whole number", "time", "nothing")),
    ({"when": "noon"}, "/when", "form", ("2026-11-28T06:40:00Z",)),
    ({"aware": "2026-11-28T06:40:00"}, "/aware", "form", ("2026-11-28T06:40:00Z",)),
    ({"day": "noon"}, "/day", "form", ("2026-11-28",)),
    ({"hour": "noon"}, "/hour", "form", ("06:40:00Z",)),
    ({"when": "2026-02-30T00:00:00Z"}, "/when", "no-such-time", ("2026-02-30T00:00:00Z", "2026-11-28T06:40:00Z")),
    ({"day": "2026-13-01"}, "/day", "no-such-time", ("2026-13-01", "2026-11-28")),
    ({"hour": "25:00:00Z"}, "/hour", "no-such-time", ("25:00:00Z", "06:40:00Z")),
    ({"took": "noon"}, "/took", "form", ("PT1H30M",)),
    ({"uuid": "noon"}, "/uuid", "form", ("8f7d9a52-3c1b-4b0e-9a55-0d6f1f0c7a11",)),
    ({"price": "noon"}, "/price", "form", ("12.50",)),
    ({"raw": "?"}, "/raw", "base64", ()),
    ({"at_least": 1}, "/at_least", "unknown", ("at_least", ", ".join(FIELDS))),
    ([], "", "type", ("list", "object")),
]


@pytest.mark.parametrize(("value", "pointer", "cause", "facts"), CASES)
def test_each_kind_of_fault_has_its_cause_and_its_facts(
    value: object, pointer: str, cause: str, facts: tuple[str, ...]
) -> None:
    (fault,) = faults_of(value, Anything)

    assert (fault.pointer, fault.cause, fault.facts) == (pointer, cause, facts)
    assert fault.text
    assert fault.remedy.endswith(".")
    if cause in ("choice", "key-choice", "untagged"):
        assert ", ".join(fault.choices) == facts[1]


def test_every_cause_that_has_words_is_met() -> None:
    class Empty(msgspec.Struct, forbid_unknown_fields=True):
        pass

    (fault,) = faults_of({"a": 1}, Empty)

    assert {cause for _, _, cause, _ in CASES} | {fault.cause} == set(CAUSES)


def test_kinds_are_told_in_plain_words() -> None:
    told = {fault.path: fault.text for fault in faults_of({"number": "1", "word": None, "when": []}, Anything)}

    assert told == {
        "$.number": "a whole number or a number or nothing is wanted, and there is text here",
        "$.word": "text is wanted, and there is nothing here",
        "$.when": "a date or time or nothing is wanted, and there is a list here",
    }


def test_what_is_found_is_repeated_to_some_length_only() -> None:
    long = "x" * 100_000
    value = {"named": {long: {"radius": "x"}}, "colour": long, long: 1}

    assert sum(len(msgspec.json.encode(fault)) for fault in faults_of(value, Anything)) < 5_000


def test_an_unsound_value_is_looked_through_no_further_than_it_is_asked_for() -> None:
    looked_at = faults_of({f"key {n}": n for n in range(200_000)}, Anything)

    assert next(looked_at).cause == "unknown"


def test_an_input_that_holds_very_much_is_looked_through_to_some_end_and_has_its_fault_all_the_same() -> None:
    (fault,) = faults_of({"textOrList": [*range(60_000), "x"]}, Anything)

    assert (fault.path, fault.cause) == ("$.textOrList[60000]", "")


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-3, 12)
    | st.sampled_from([2**70, 10**400, 0.5, 1.0, 2.6, 1e300, math.inf, math.nan])
    | st.sampled_from(["", "a", "b", "red", "green", "word", "1999", "12", "QQ=="])
    | st.sampled_from(
        ["2026-11-28", "2026-11-28T06:40:00Z", date(2026, 11, 28), datetime(2026, 11, 28, tzinfo=UTC), time(6)]
    )
)
NAMES = st.sampled_from(["type", "side", "radius", "inner", "a", "é/~", "red", "12", "", "2026-11-28"])
VALUES = st.recursive(
    SCALARS | st.fixed_dictionaries({"type": st.sampled_from(["circle", "square", "line", 1])}),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=8,
)


def resolved(value: Any, pointer: str) -> Any:
    """What an RFC 6901 pointer names. Raises LookupError."""
    for step in pointer.split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        value = value[int(name)] if isinstance(value, list) else value[name]
    return value


@settings(max_examples=400)
@given(st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=4) | VALUES)
@example({"when": date(2026, 11, 28)})  # a day of TOML without a time
def test_a_fault_is_found_exactly_where_msgspec_refuses_and_its_pointer_leads_there(value: Any) -> None:
    try:
        msgspec.convert(value, Anything, str_keys=True)
        refused = False
    except msgspec.ValidationError:
        refused = True

    found = list(faults_of(value, Anything))

    assert bool(found) is refused
    for fault in found:
        assert fault.cause in CAUSES, fault
        if fault.cause in ("missing", "untagged"):
            parent, _, name = fault.pointer.rpartition("/")
            assert name not in resolved(value, parent)
        else:
            resolved(value, fault.pointer)


@settings(max_examples=400)
@given(st.sampled_from(msgspec.structs.fields(Anything)), VALUES)
def test_a_sound_field_has_no_fault_beside_an_unsound_one(field: Any, value: Any) -> None:
    alone = list(faults_of({field.encode_name: value}, Anything))
    beside = list(faults_of({field.encode_name: value, "nobody": 1}, Anything))

    assert [fault for fault in beside if fault.path != "$.nobody"] == alone
