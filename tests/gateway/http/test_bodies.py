"""What is no JSON is told in words that lead to what is wrong with it."""

import msgspec
import pytest

from gateway.errors import Reason, Refusal
from gateway.http.bodies import struct_of


class Words(msgspec.Struct):
    reason: str


def refused(body: bytes) -> Reason:
    with pytest.raises(Refusal) as caught:
        struct_of(body, Words)
    assert (caught.value.status, caught.value.code) == (400, "invalid-json")
    (reason,) = caught.value.reasons
    return reason


@pytest.mark.parametrize(
    ("text", "alone"),
    [
        (r"\ud800", r"\ud800"),
        (r"\uDBFFabcdefghijk", r"\uDBFF"),
        (r"\udc00", r"\udc00"),
        (r"\ud83d\u0041", r"\ud83d"),
        (r"\ud83d\ud83d\ude00", r"\ud83d"),
        (r"\ud83d\ude00\ude01", r"\ude01"),
        (r"\ud83d \ude00", r"\ud83d"),
        (r"\\\ud800", r"\ud800"),
    ],
)
def test_half_of_a_character_is_told_as_such(text: str, alone: str) -> None:
    reason = refused(b'{"reason":"%s"}' % text.encode())

    assert (reason.cause, reason.facts) == ("surrogate", (alone,))
    assert reason.text == f"`{alone}` is half of a character: the other half does not follow it"


@pytest.mark.parametrize(
    "body", [b"{", rb'{"reason":"\\ud800', rb'{"reason":"\ud83d\ude00', rb'{"reason":"\n\ud83d\ude00\t']
)
def test_what_ends_too_early_is_told_as_such(body: bytes) -> None:
    assert (refused(body).cause, refused(body).text) == ("", "Input data was truncated")


def test_both_halves_are_a_character() -> None:
    assert struct_of(rb'{"reason":"\ud83d\ude00 \\ud800"}', Words).reason == "\U0001f600 \\ud800"
