"""Every fault of a settings file is told at once, with its path and its line."""

from typing import Annotated

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.input_faults import Fault, faults_of, line_of, lines_of


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
        ("$.rooms", "Expected `float`, got `str`"),
        ("$.pets.tom", "the key `name` is missing"),
        ("$.pets.tom.lives", "Expected `int` <= 9"),
        ("$.pets.rex.name", "Expected `str`, got `int`"),
        ("$.pets.rex.tricks[1]", "Expected `str`, got `int`"),
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
