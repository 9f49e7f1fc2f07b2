"""Who gets which text: told before anything leaves, with a warning where it is not the language they read."""

from gateway.campaigns.texts import language_warnings
from gateway.directory.resolve import Readers


def told(languages: list[str], *readers: Readers) -> list[tuple[str, str]]:
    found = language_warnings(languages, readers)
    assert all(reason.level == "warning" for reason in found)
    return [(reason.rule, reason.text) for reason in found]


def test_texts_in_the_languages_that_people_read_are_no_warning():
    assert told(["nl", "fr"], Readers("nl", "nl", 9), Readers("fr", "fr", 1), Readers("", "nl", 4)) == []


def test_people_without_a_text_of_their_own_are_counted_with_the_text_that_they_get():
    assert told(["nl"], Readers("nl", "nl", 9), Readers("fr", "nl", 3), Readers("de", "nl", 1)) == [
        ("L-MISSING", "3 persons read fr and will get the text in nl."),
        ("L-MISSING", "1 person reads de and will get the text in nl."),
    ]


def test_a_text_that_nobody_reads_is_named_and_how_many_get_it_all_the_same():
    assert told(["de"], Readers("nl", "de", 9), Readers("", "de", 2))[-1] == (
        "L-UNREAD",
        "Nobody who is reached is known to read de: 11 persons get it all the same.",
    )
    assert told(["nl", "de"], Readers("nl", "nl", 9)) == [
        ("L-UNREAD", "Nobody who is reached is known to read de: nobody gets it."),
    ]
