"""The parameters of a request are a struct; whatever is wrong with them is told at once, each by its name."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta
from multidict import MultiDict

from gateway.errors import Reason, Refusal
from gateway.http.query import query_of


class State(StrEnum):
    SENT = "sent"
    FAILED = "failed"


class FindThings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    zone: str
    after: Annotated[str, Meta(max_length=5)] = ""
    limit: Annotated[int, Meta(ge=1, le=1_000)] = 200
    shift: int | None = None
    dry_run: bool = False
    state: State | None = None
    sort: Literal["name", "age", 7] = "name"


class NoQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class Span(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    since: int
    until: int

    def __post_init__(self) -> None:
        if self.until < self.since:
            raise ValueError("`until` is before `since`")


def refused(*pairs: tuple[str, str], type_: type[msgspec.Struct] = FindThings) -> Sequence[Reason]:
    with pytest.raises(Refusal) as caught:
        query_of(MultiDict(pairs).items(), type_)
    assert (caught.value.status, caught.value.code) == (400, "bad-parameter")
    assert {reason.rule for reason in caught.value.reasons} == {"PARAM"}
    return caught.value.reasons


def test_texts_are_read_as_the_types_say() -> None:
    said = {"zone": "5301", "after": "07", "limit": "007", "shift": "-3", "dry_run": "1", "state": "sent", "sort": "7"}

    assert query_of(said.items(), FindThings) == FindThings("5301", "07", 7, -3, True, State.SENT, 7)


@pytest.mark.parametrize(("text", "truth"), [("0", False), ("1", True), ("false", False), ("true", True)])
def test_truths_have_four_words(text: str, truth: bool) -> None:
    assert query_of([("zone", ""), ("dry_run", text)], FindThings).dry_run is truth


def test_what_is_absent_is_as_the_struct_has_it() -> None:
    assert query_of([("zone", "A")], FindThings) == FindThings("A")
    assert query_of([], NoQuery) == NoQuery()


def test_every_fault_is_told_at_once_with_its_name_the_choices_and_the_remedy() -> None:
    reasons = refused(
        ("after", "123456"), ("limit", "0"), ("shift", "x"), ("dry_run", "yes"), ("state", "lost"), ("dryrun", "1")
    )

    assert {reason.path: (reason.cause, reason.facts, reason.choices) for reason in reasons} == {
        "after": ("too-long", ("5", "6"), ()),
        "limit": ("range", ("1", "1000"), ()),
        "shift": ("type", ("text", "whole number"), ()),
        "dry_run": ("choice", ("yes", "0, 1, false, true"), ("0", "1", "false", "true")),
        "state": ("choice", ("lost", "sent, failed"), ("sent", "failed")),
        "dryrun": ("unknown", ("dryrun", "zone, after, limit, shift, dry_run, state, sort"), ()),
        "zone": ("missing", ("zone",), ()),
    }
    told = {reason.path: (reason.text, reason.remedy) for reason in reasons}
    assert told["zone"] == ("the parameter `zone` is missing", "Add `zone`.")
    assert told["limit"] == ("this is not from 1 to 1000", "Write a number from 1 to 1000.")
    assert told["dryrun"][0] == "there is no parameter `dryrun` here"


def test_a_name_that_is_given_twice_is_refused_whatever_it_says() -> None:
    (twice,) = refused(("zone", "A"), ("zone", "A"))

    assert (twice.path, twice.cause, twice.remedy) == ("zone", "twice", "Give it once.")


def test_where_no_parameter_is_known_none_is_proposed() -> None:
    (none,) = refused(("x", "1"), type_=NoQuery)

    assert (none.path, none.cause) == ("x", "no-keys")


def test_what_a_struct_demands_of_its_parameters_together_is_told_as_it_says() -> None:
    (together,) = refused(("since", "2"), ("until", "1"), type_=Span)

    assert (together.path, together.cause, together.text) == ("", "", "`until` is before `since`")


@pytest.mark.parametrize("text", ["", " 1", "+1", "1e3", "1.0", "٣", "0x1", "1_0", "\n1"])
def test_what_is_no_whole_number_is_none(text: str) -> None:
    (reason,) = refused(("zone", "A"), ("limit", text))

    assert (reason.path, reason.cause) == ("limit", "type")


@pytest.mark.parametrize("digits", [19, 5_000])
def test_a_number_that_no_store_takes_is_refused_whether_it_is_bounded_or_not(digits: int) -> None:
    limit, shift = refused(("zone", "A"), ("limit", "9" * digits), ("shift", "-" + "9" * digits))

    assert limit.facts == ("1", "1000")
    assert (shift.cause, shift.facts) == ("range", ("-999999999999999999", "999999999999999999"))


def test_a_struct_that_would_let_unknown_names_pass_is_a_mistake_of_ours() -> None:
    class Loose(msgspec.Struct):
        a: int = 0

    with pytest.raises(TypeError, match="Loose"):
        query_of([("b", "1")], Loose)


NAMES = st.sampled_from(["zone", "after", "limit", "shift", "dry_run", "state", "sort", "", "$.zone", "x" * 2_000])
TEXTS = st.sampled_from(["", "0", "1", "7", "-1", "true", "sent", "name", "9" * 30, "None"]) | st.text(max_size=8)


@given(st.lists(st.tuples(NAMES, TEXTS), max_size=6))
def test_whatever_is_asked_is_a_struct_or_a_refusal_that_names_each_fault_once(pairs: list[tuple[str, str]]) -> None:
    found: FindThings | None = None
    told: list[Reason] = []
    try:
        found = query_of(pairs, FindThings)
    except Refusal as refusal:
        told += refusal.reasons

    assert (found is None) is bool(told)
    assert len({(reason.path, reason.cause) for reason in told}) == len(told)
    assert {reason.path for reason in told} <= {name[:60] for name, _ in pairs} | {"zone"}
    assert all(reason.remedy for reason in told)


def test_a_list_of_faults_that_is_cut_says_so() -> None:
    reasons = refused(*((f"x{n}", "1") for n in range(60)))

    assert len(reasons) == 51
    assert (reasons[-1].cause, reasons[-1].text) == ("more", "more is wrong than these 50 faults")
