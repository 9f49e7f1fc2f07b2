"""Where a text that is too long is cut."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.texts.shorten import ends_a_sentence, shorten

TEXT = "Inbraak in de Dorpsstraat. De daders vluchtten te voet. Bel 101 als u iets ziet."


def at_most(length):
    return lambda text: len(text) <= length


@pytest.mark.parametrize(
    ("room", "kept"),
    [
        (200, TEXT),
        (len(TEXT), TEXT),
        (len(TEXT) - 1, "Inbraak in de Dorpsstraat. De daders vluchtten te voet."),
        (54, "Inbraak in de Dorpsstraat."),
        (26, "Inbraak in de Dorpsstraat."),
        (25, "Inbraak in de"),
        (3, "Inb"),
        (0, ""),
    ],
)
def test_a_text_is_cut_at_a_sentence_else_at_a_word_else_between_letters(room, kept):
    assert shorten(TEXT, at_most(room)) == kept


def test_a_sentence_that_would_lose_more_than_half_gives_way_to_a_word():
    text = "Let op. De brandweer vraagt iedereen binnen te blijven en alle ramen en deuren te sluiten tot nader order"

    assert shorten(text, at_most(60)) == "Let op. De brandweer vraagt iedereen binnen te blijven en"


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("De man woont in nr. 12 van de straat. Bel de politie.", "De man woont in nr. 12 van de straat."),
        ("Contacteer dhr. J. Peeters van de wijk. Dank u wel nu.", "Contacteer dhr. J. Peeters van de wijk."),
        ('De man riep luid "Ga weg hier!" De politie komt nu.', 'De man riep luid "Ga weg hier!"'),
        ("Het is 14.30 uur en er is rook. Sluit de ramen nu meteen.", "Het is 14.30 uur en er is rook."),
    ],
)
def test_an_abbreviation_or_a_number_ends_no_sentence(text, kept):
    assert shorten(text, at_most(len(text) - 3)) == kept


def test_a_word_longer_than_the_room_is_cut_between_letters():
    assert shorten("x" * 500, at_most(160)) == "x" * 160


@pytest.mark.parametrize("picture", ["e\u0301", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f44d\U0001f3fd"])
def test_no_accent_or_picture_is_cut_in_pieces(picture):
    text = picture * 40
    for room in range(1, 60):
        assert len(shorten(text, at_most(room))) % len(picture) == 0


@pytest.mark.parametrize(("text", "whole"), [("Klaar.", True), ("Klaar.)", True), ("Klaar", False), ("", False)])
def test_a_reader_sees_whether_a_text_is_whole(text, whole):
    assert ends_a_sentence(text) is whole


@given(st.text(max_size=400), st.integers(0, 300))
def test_what_remains_is_always_a_beginning_that_fits(text, room):
    kept = shorten(text, at_most(room))

    assert text.startswith(kept)
    assert len(kept) <= room


@given(st.lists(st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=20), min_size=1), st.data())
def test_words_stay_whole_where_the_first_one_fits(words, data):
    text = " ".join(words)
    room = data.draw(st.integers(len(words[0]), len(text)))

    kept = shorten(text, at_most(room))

    assert kept == text or text[len(kept)] == " "


@given(st.text(st.characters(categories=["M", "L"]), min_size=1, max_size=80), st.integers(1, 60))
def test_a_cut_never_leaves_an_accent_without_its_letter(text, room):
    kept = shorten(text, at_most(room))

    assert not kept or kept == text or unicodedata.category(text[len(kept)])[0] != "M"
