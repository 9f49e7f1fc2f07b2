"""What a call says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.voice.script import MAX_BODY_S, Script, SpeechRefused, estimate_s, prepare

SENTENCE = "De politie zoekt een grijze bestelwagen die daarnet uit de wijk is weggereden. "


def test_a_script_has_an_opening_a_body_and_a_menu_each_spelled_out():
    script = prepare("nl-BE", "Bel 101.", opening="Bericht van politiezone Rhode", menu="Druk 1 om te bevestigen")

    assert script.parts == (
        "Bericht van politiezone Rhode.",
        "Bel een nul een.",
        "Druk 1 om te bevestigen.",
    )
    assert script.language == "nl-BE"


def test_a_call_is_one_start_however_long_it_talks():
    assert prepare("nl", SENTENCE).units == 1
    assert prepare("nl", SENTENCE * 8).units == 1


def test_parts_that_are_not_wanted_are_not_said():
    assert prepare("en", "Stay inside.").parts == ("Stay inside.",)


def test_the_price_counts_started_minutes_of_the_whole_call():
    short = prepare("nl", SENTENCE)
    long = prepare("nl", SENTENCE * 9, opening=SENTENCE, menu=SENTENCE)

    assert short.minutes == 1
    assert long.seconds > 60
    assert long.minutes == 2


@pytest.mark.parametrize("language", ["nl", "fr", "de", "en", "es"])
def test_a_body_of_more_than_a_minute_is_refused_and_the_refusal_says_how_long_it_is(language):
    with pytest.raises(SpeechRefused, match=r"takes about \d+ seconds to say; a call has room for 60"):
        prepare(language, SENTENCE * 20)


@pytest.mark.parametrize("text", ["", "  \n", "...", "\x00\x1b", "\U0001f6a8\U0001f6a8"])
def test_a_body_without_a_word_is_refused(text):
    with pytest.raises(SpeechRefused, match="nothing that can be spoken"):
        prepare("nl", text)


def test_the_length_is_an_estimate_until_an_engine_has_measured_it():
    script = prepare("nl", SENTENCE)
    measured = script.measured(61.5)

    assert script.estimated
    assert not measured.estimated
    assert (measured.seconds, measured.minutes) == (61.5, 2)
    assert measured.parts == script.parts


@pytest.mark.parametrize(("seconds", "minutes"), [(0.0, 1), (59.9, 1), (60.0, 1), (60.1, 2), (120.0, 2)])
def test_a_started_minute_is_a_minute(seconds, minutes):
    script = Script(language="nl", opening="", body="x", menu="", seconds=seconds)

    assert script.minutes == minutes


@given(st.text(max_size=1500), st.text(max_size=200), st.sampled_from(["nl", "fr", "de", "en"]))
def test_a_script_is_refused_or_its_body_fits_the_minute(body, opening, language):
    try:
        script = prepare(language, body, opening=opening)
    except SpeechRefused:
        return
    assert estimate_s(script.body, language) <= MAX_BODY_S
    assert script.seconds >= estimate_s(script.body, language) - 0.05


@given(st.text(max_size=200), st.text(max_size=200))
def test_more_text_never_takes_less_time(text, more):
    assert estimate_s(f"{text} {more}", "nl") >= estimate_s(text, "nl")
