"""Replies are read the same however the network cuts them."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.email.reply import MAX_TEXT_CHARACTERS, NotSmtp, ReplyReader

STREAM = b"250-2.1.0 one\r\n250 2.1.0 two\r\n354 go on\r\n550 5.1.1 \xc3\xa9 <x\x1b>\r\n250\r\n421 4.3.2\r\n"
REPLIES = [
    (250, "2.1.0", "one two"),
    (354, "", "go on"),
    (550, "5.1.1", "é <x?>"),
    (250, "", ""),
    (421, "4.3.2", ""),
]


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_replies_are_the_same_in_whatever_pieces_they_come(cuts: list[int]) -> None:
    reader, read = ReplyReader(), []
    edges = [0, *sorted(cuts), len(STREAM)]

    for start, end in itertools.pairwise(edges):
        read.extend(reader.feed(STREAM[start:end]))

    assert [(reply.code, reply.enhanced, reply.text) for reply in read] == REPLIES
    assert reader.is_between_replies


@pytest.mark.parametrize(
    "noise",
    [b"hello\r\n", b"25 x\r\n", b"150 x\r\n", b"999 x\r\n", b"250x\r\n", b"250-a\r\n251 b\r\n", b"\r\n", b"2" * 40_000],
)
def test_what_is_no_reply_is_not_believed(noise: bytes) -> None:
    with pytest.raises(NotSmtp):
        list(ReplyReader().feed(noise))


def test_a_reply_without_end_is_not_kept() -> None:
    reader = ReplyReader()
    lines = (reader.feed(b"250-more\r\n") for _ in range(10_000))

    with pytest.raises(NotSmtp):
        list(itertools.chain.from_iterable(lines))


@given(st.binary(max_size=300))
def test_any_bytes_give_replies_or_are_refused(data: bytes) -> None:
    try:
        replies = list(ReplyReader().feed(b"250 " + data + b"\r\n"))
    except NotSmtp:
        return
    assert all(reply.text.isprintable() and len(reply.text) <= MAX_TEXT_CHARACTERS for reply in replies)


def test_the_label_is_how_people_quote_a_code() -> None:
    assert [reply.label for reply in ReplyReader().feed(STREAM)] == [
        "250 2.1.0",
        "354",
        "550 5.1.1",
        "250",
        "421 4.3.2",
    ]
