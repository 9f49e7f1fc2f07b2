"""Written text made into what a speech engine can say."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.voice.speakable import primary, speakable


@pytest.mark.parametrize(
    ("language", "written", "said"),
    [
        ("nl", "Bel 101.", "Bel een nul een."),
        ("nl-BE", "Bel 112!", "Bel een een twee!"),
        ("fr", "Appelez le 101.", "Appelez le un nul un.".replace("nul", "zéro")),
        ("de", "Rufen Sie 110 an.", "Rufen Sie eins eins null an."),
        ("en", "Call 101.", "Call one zero one."),
        ("nl", "Niet dringend: 1722.", "Niet dringend: een zeven twee twee."),
    ],
)
def test_a_number_to_call_is_said_digit_by_digit(language, written, said):
    assert speakable(written, language) == said


@pytest.mark.parametrize(
    "written",
    [
        "Blijf 101 meter weg.",
        "101 %.",
        "Het kost 112,50 euro.",
        "1 112 personen.",
        "Huis 101b.",
        "E101-112-3.",
    ],
)
def test_a_quantity_is_left_to_the_engine(written):
    assert speakable(written, "nl") == written


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("0477 12 34 56", "nul vier zeven zeven, een twee, drie vier, vijf zes."),
        ("0477/12.34.56", "nul vier zeven zeven, een twee, drie vier, vijf zes."),
        ("0477123456", "nul vier, zeven zeven, een twee, drie vier, vijf zes."),
        ("+32 (0)477 12 34 56", "plus drie twee, vier zeven zeven, een twee, drie vier, vijf zes."),
        ("02 610 61 07", "nul twee, zes een nul, zes een, nul zeven."),
    ],
)
def test_a_telephone_number_is_said_in_groups(written, said):
    assert speakable(written, "nl") == said


@pytest.mark.parametrize(
    ("language", "written", "said"),
    [
        ("nl", "Nummerplaat 1-ABC-123.", "Nummerplaat een, A B C, een twee drie."),
        ("fr", "Plaque ABC-123.", "Plaque A B C, un deux trois."),
        ("en", "Plate AB-12-CD.", "Plate A B, one two, C D."),
    ],
)
def test_a_plate_is_spelled(language, written, said):
    assert speakable(written, language) == said


@pytest.mark.parametrize("written", ["De E40 is dicht.", "COVID-19.", "De N-VA.", "Zone A-B."])
def test_a_road_or_a_name_is_not_a_plate(written):
    assert speakable(written, "nl") == written


@pytest.mark.parametrize(
    ("language", "written", "said"),
    [
        ("nl", "Om 14:30.", "Om 14 uur 30."),
        ("nl", "Om 14u30.", "Om 14 uur 30."),
        ("nl", "Om 14.30 uur.", "Om 14 uur 30."),
        ("fr", "À 14h00.", "À 14 heures."),
        ("fr", "À 1h05.", "À 1 heure 5."),
        ("de", "Um 08:05 Uhr.", "Um 8 Uhr 5."),
        ("nl", "Het kost 14.30 euro.", "Het kost 14.30 euro."),
        ("nl", "Op 21/07/2026.", "Op 21 juli 2026."),
        ("de", "Am 21.07.2026.", "Am 21. Juli 2026."),
        ("fr", "Le 02/08/2026.", "Le 2 août 2026."),
        ("nl", "Op 45/17/2026.", "Op 45/17/2026."),
    ],
)
def test_times_and_dates_are_said_as_words(language, written, said):
    assert speakable(written, language) == said


@pytest.mark.parametrize(
    ("language", "written", "said"),
    [
        ("nl", "Zie https://www.politie.be/5388/nieuws?id=1.", "Zie politie punt be."),
        ("fr", "Voir www.police.be, merci.", "Voir police point be, merci."),
    ],
)
def test_of_an_address_only_the_site_is_said(language, written, said):
    assert speakable(written, language) == said


def test_lines_become_sentences():
    assert speakable("Inbraak\n\nSluit uw deuren", "nl") == "Inbraak. Sluit uw deuren."


def test_what_an_engine_would_obey_is_taken_out():
    assert speakable('[[h@l"oU]] <say-as x="1">dag</say-as>\x00\x1b\u202e\U0001f6a8', "nl") == (
        'h@l"oU say-as x="1" dag /say-as .'
    )


def test_an_unknown_language_is_cleaned_and_otherwise_left_alone():
    assert speakable("Llame al 112\x07", "es") == "Llame al 112."


def test_the_first_part_of_a_tag_chooses_the_words():
    assert primary("NL-be") == "nl"


@given(st.text(max_size=300), st.sampled_from(["nl", "fr", "de", "en", "es", ""]))
def test_any_text_becomes_one_clean_line(text, language):
    said = speakable(text, language)

    assert said == " ".join(said.split())
    assert not any(unicodedata.category(character) in {"Cc", "Cf", "Cs", "So"} for character in said)
    assert not set(said) & set("[]<>{}|\\")
