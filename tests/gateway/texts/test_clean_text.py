"""A sender's text without what nobody can carry or see."""

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from gateway.texts.clean_text import closed, one_line, paragraphs


def test_paragraphs_are_parted_by_blank_lines_and_keep_their_lines():
    assert paragraphs("  Een\r\n  twee  \n \n\t drie\u2028vier\n\n\n") == ("Een\ntwee", "drie\nvier")


def test_one_line_keeps_lines_apart_with_a_full_stop():
    assert one_line("Sluit ramen\nen deuren.\n\n  Bel 101") == "Sluit ramen. en deuren. Bel 101"


def test_controls_halves_and_direction_overrides_are_left_out():
    assert one_line("a\x00b\x1bc\x85d\ud800e\u202egpj.exe\u202c\ufffe") == "a b c. degpj.exe"


def test_arabic_hebrew_and_emoji_stay_as_they_are():
    text = "تحذير من الفيضان \U0001f30a שלום"

    assert one_line(text) == text


def test_a_text_gets_a_full_stop_only_where_nothing_else_ends_it():
    assert [closed(text) for text in ("Brand", "Brand!", "Brand:", "")] == ["Brand.", "Brand!", "Brand:", ""]


@given(st.text(max_size=300))
def test_whatever_comes_in_goes_out_printable_and_stays_so(text):
    line = one_line(text)

    assert "\n" not in line
    assert line == line.strip()
    assert one_line(line) == line
    assert not any(unicodedata.category(character) in {"Cc", "Cs", "Cn"} for character in line)
    for block in paragraphs(text):
        assert paragraphs(block) == (block,)
