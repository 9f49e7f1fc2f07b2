"""What a text becomes before it leaves as SMS: its letters, its encoding, where it is cut."""

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from channels.sms import alphabet
from channels.sms.segments import SmsText, TextRefused, prepare, read, split_gsm, split_ucs2
from channels.sms.transliteration import LetterMode, clean

GSM_CHARACTERS = "".join(alphabet.SEPTETS)
ANY_TEXT = st.text(
    st.sampled_from(GSM_CHARACTERS + "ëêçœŒ’“–…\u00a0\u200d\ufe0f👩👧🔥Ωπя\u0301\u0308ß€[]{}~")
    | st.characters(exclude_categories=("Cs",)),
    max_size=400,
)


def prepared(text: str, mode: LetterMode = LetterMode.EXACT) -> SmsText:
    try:
        return prepare(text, mode=mode)
    except TextRefused:
        assume(False)
        raise


@pytest.mark.parametrize(
    ("text", "encoding", "segments"),
    [
        ("a" * 160, "gsm", 1),
        ("a" * 161, "gsm", 2),
        ("a" * 306, "gsm", 2),
        ("a" * 307, "gsm", 3),
        ("€" * 80, "gsm", 1),
        ("a" * 159 + "€", "gsm", 2),
        ("a" * 152 + "€" + "a" * 152, "gsm", 3),  # the pair does not straddle a cut: 152 + 153 + 1
        ("[" * 77, "gsm", 1),
        ("a\r\nb", "gsm", 1),
        ("a" + "\f" * 79, "gsm", 1),
        ("a" + "\f" * 80, "gsm", 2),
        ("é à ù è ì ò ñ ü ö ä å æ ø ß § ¿ ¡ Ç É", "gsm", 1),
        ("ç", "ucs2", 1),
        ("`", "ucs2", 1),
        ("a\tb", "ucs2", 1),
        ("я" * 70, "ucs2", 1),
        ("я" * 71, "ucs2", 2),
        ("я" * 134, "ucs2", 2),
        ("я" * 135, "ucs2", 3),
        ("🔥" * 35, "ucs2", 1),
        ("🔥" * 36, "ucs2", 2),
        ("🔥" * 66, "ucs2", 2),
        ("🔥" * 67, "ucs2", 3),  # 33 a part: the 34th would straddle
        ("я" * 66 + "🔥" + "я" * 66, "ucs2", 3),
        ("🇧🇪" * 17, "ucs2", 1),
        ("🇧🇪" * 18, "ucs2", 2),
    ],
)
def test_segments_are_counted_exactly(text: str, encoding: str, segments: int) -> None:
    ready = prepare(text, mode="exact")

    assert (ready.encoding, ready.units) == (encoding, segments)


@given(ANY_TEXT)
def test_the_segments_joined_are_the_text(text: str) -> None:
    ready = prepared(text)

    assert read(ready.segments, ready.encoding) == ready.text == clean(text)


@given(ANY_TEXT, st.sampled_from(LetterMode))
def test_no_segment_is_too_long_and_none_breaks_a_character(text: str, mode: LetterMode) -> None:
    ready = prepared(text, mode)
    single, part = (160, 153) if ready.encoding == "gsm" else (140, 134)

    assert all(len(segment) <= (single if ready.units == 1 else part) for segment in ready.segments)
    assert "".join(read([segment], ready.encoding) for segment in ready.segments) == ready.text


@given(ANY_TEXT, st.sampled_from(LetterMode))
def test_a_prepared_text_prepared_again_is_itself(text: str, mode: LetterMode) -> None:
    ready = prepared(text, mode)

    again = prepare(ready.text, mode=mode)

    assert (again.text, again.segments, again.changed) == (ready.text, ready.segments, ())


@given(st.one_of(st.text(GSM_CHARACTERS, min_size=1, max_size=700), ANY_TEXT))
@example("a" * 159 + "€")
@example("a" * 152 + "€" + "a" * 200)
@example("я" * 66 + "🔥" + "я" * 66)
def test_sms_toolkit_counts_the_same_segments(text: str) -> None:
    pytest.importorskip("six", reason="sms-toolkit needs six and does not say so")
    from sms_toolkit.messages.profiling import profile_message

    assume(text)
    ours = split_gsm(text) if alphabet.in_alphabet(text) else split_ucs2(text)

    theirs = profile_message(text)["segments"]

    assert [bytes(octet for group in part["byte_groups"] for octet in group) for part in theirs] == list(ours)


@given(st.text(GSM_CHARACTERS))
def test_what_the_alphabet_encodes_it_decodes(text: str) -> None:
    assert alphabet.decode(alphabet.encode(text)) == text


@given(st.binary())
def test_any_octets_decode_to_something(octets: bytes) -> None:
    assert len(alphabet.decode(octets)) <= len(octets)


@pytest.mark.parametrize(
    ("text", "mode", "result"),
    [
        ("e\u0301", "exact", "é"),
        ("a\r\nb\rc\n", "exact", "a\nb\nc\n"),
        ("a\u200bb\ufeffc\u00add\u2060e", "exact", "abcde"),
        ("a\u200db", "exact", "ab"),
        ("👩\u200d👧 ok", "exact", "👩\u200d👧 ok"),
        ("می\u200cخواهم", "exact", "می\u200cخواهم"),
        ("l’été “ici” – là…\tfin\u00a0!", "typographic", 'l\'été "ici" - là... fin !'),
        ("geëvacueerd", "typographic", "geëvacueerd"),
        ("geëvacueerd", "gsm", "geevacueerd"),
        ("Ça et ça : fenêtre, œuvre, cœur, naïf", "gsm", "Ça et ca : fenetre, oeuvre, coeur, naif"),
        ("Fußgänger, señor, Ærø", "gsm", "Fußgänger, señor, Ærø"),
        ("25 °C, 3 m²", "gsm", "25 oC, 3 m2"),
        ("Łódź", "gsm", "Lodz"),
    ],
)
def test_a_mode_alters_what_it_promises_and_no_more(text: str, mode: str, result: str) -> None:
    assert prepare(text, mode=mode).text == result


def test_what_the_mode_altered_is_told_once_each() -> None:
    ready = prepare("ça … ça, déjà là – ê")

    assert ready.changed == (("…", "..."), ("–", "-"), ("ç", "c"), ("ê", "e"))
    assert ready.forcing == ()


def test_a_text_that_stays_ucs2_keeps_its_accents_and_says_what_forces_it() -> None:
    ready = prepare("Évacuation à la forêt 🔥")

    assert ready.text == "Évacuation à la forêt 🔥"
    assert ready.encoding == "ucs2"
    assert ready.forcing == ("ê", "🔥")


def test_greek_and_cyrillic_are_never_transliterated() -> None:
    assert prepare("Привет").text == "Привет"
    assert prepare("Καλημέρα").text == "Καλημέρα"


def test_stripping_is_the_default_because_one_accent_more_than_doubles_the_price() -> None:
    text = "Une fenêtre. " * 12

    assert prepare(text).units == 1
    assert prepare(text, mode="exact").units == 3


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        (" \n", "empty"),
        ("\u200b", "empty"),
        ("a\x1be", "escape character .* position 2"),
        ("a\x00", r"control character \(U\+0000\) at position 2"),
        ("\x7f", "control"),
        ("\x85", "control"),
        ("\ud83d", "half a character"),
        ("\ufffe", "no character"),
        ("a" * (255 * 153 + 1), "256 segments"),
    ],
)
def test_what_cannot_be_sent_is_refused_with_a_reason(text: str, reason: str) -> None:
    with pytest.raises(TextRefused, match=reason):
        prepare(text)
