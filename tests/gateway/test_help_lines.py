"""Help lines: what may stand in them, whose stands where, and in which words."""

import msgspec
import pytest

from gateway.help_lines import HelpDocument, HelpLine, ZoneHelp, lines_of, title_of

CENTRE = HelpLine(name="Centre de Crise National", phone="02 506 47 11")
DESK = HelpLine(name="Helpdesk", phone="02 610 61 07", mail="bealert@telenetgroup.be")
OWN = HelpLine(name="PZ Example", phone="+32 69 00 00 00", hours="Mo-Fr")


def test_a_line_of_the_zone_takes_the_place_of_the_platforms_of_the_same_purpose():
    platform = ZoneHelp(alerts=CENTRE, technical=DESK)

    assert lines_of(platform) == (("alerts", CENTRE), ("technical", DESK))
    assert lines_of(ZoneHelp(technical=OWN), platform) == (("alerts", CENTRE), ("technical", OWN))
    assert lines_of(ZoneHelp(), ZoneHelp(alerts=CENTRE)) == (("alerts", CENTRE),)


def test_without_a_number_and_an_address_there_is_no_line():
    assert lines_of(ZoneHelp(alerts=HelpLine(name="Somebody", hours="24/7"))) == ()
    assert HelpLine(mail="a@b.be").is_set


def test_a_line_is_told_with_all_that_it_has():
    assert DESK.told == "Helpdesk, 02 610 61 07, bealert@telenetgroup.be, 24/7"
    assert HelpLine(phone="112", hours="").told == "112"


def test_each_purpose_has_words_in_the_four_languages_and_english_for_all_others():
    for purpose in ("alerts", "technical"):
        assert len({title_of(purpose, language) for language in ("nl", "fr", "de", "en")}) == 4
        assert title_of(purpose, "pl") == title_of(purpose, "en")


def test_a_document_is_for_its_roles_and_has_its_title_in_the_readers_language_where_there_is_one():
    manual = HelpDocument({"nl": "Handleiding", "fr": "Manuel"}, ("coordinator", "co-coordinator"))

    assert [manual.is_for(role) for role in ("coordinator", "co-coordinator", "officer")] == [True, True, False]
    assert HelpDocument().is_for("officer")
    assert [manual.title(language, "x") for language in ("fr", "de")] == ["Manuel", "Handleiding"]
    assert HelpDocument().title("nl", "manual") == "manual"


@pytest.mark.parametrize(
    "hostile",
    [
        {"alerts": {"phone": "02\r\nBcc: all@example.org"}},
        {"alerts": {"phone": "02 506 47 11\n"}},
        {"alerts": {"phone": "javascript:0"}},
        {"alerts": {"name": "A\x1b[2J"}},
        {"alerts": {"name": "A\u202eB"}},
        {"alerts": {"hours": "always\u2028"}},
        {"alerts": {"name": "x" * 101}},
        {"technical": {"mail": "a@b.be\n"}},
        {"technical": {"mail": "a@b.be,c@d.be"}},
        {"technical": {"mail": '"><script>@b.be'}},
        {"documents": {"m": {"url": "javascript:alert(1)"}}},
        {"documents": {"m": {"url": 'https://a.be/"><script>'}}},
        {"documents": {"m": {"url": "file:///etc/passwd"}}},
        {"documents": {"m": {"file": "/etc/passwd"}}},
        {"documents": {"../m": {"url": "https://a.be"}}},
        {"documents": {f"m{n}": {} for n in range(33)}},
        {"documents": {"m": {"titles": {"nl": "a\nb"}}}},
        {"documents": {"m": {"roles": ["king"]}}},
    ],
)
def test_a_zone_sets_nothing_that_a_page_a_mail_or_a_terminal_would_obey_and_names_no_file_of_the_machine(hostile):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(hostile, ZoneHelp)


@pytest.mark.parametrize(
    "usual",
    [
        {"alerts": {"name": "Crisiscentrum / Centre de crise", "phone": "+32 (0)2/506.47.11", "hours": "24u/24"}},
        {"technical": {"mail": "be-alert+plp@nccn.fgov.be"}},
        {"documents": {"manual-plp": {"titles": {"nl": "Élan"}, "url": "https://a.be/m.pdf?v=1&l=nl#p=3"}}},
    ],
)
def test_what_is_usual_is_taken_as_it_is(usual):
    assert msgspec.to_builtins(msgspec.convert(usual, ZoneHelp)) == usual
