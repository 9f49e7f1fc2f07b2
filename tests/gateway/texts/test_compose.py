"""From an alert, or from a composed message, to the words of every channel and language."""

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cap.model import Alert, Area, Category, Certainty, Info, MsgType, Scope, Severity, Status, Urgency
from channels.contract import Channel
from channels.sms import segments
from channels.sms.transliteration import LetterMode
from channels.voice import script
from gateway.texts import compose
from gateway.texts.compose import MAPPING, OwnWords, from_alert, from_message
from gateway.texts.content import TextsRefused, read_content, write_content
from gateway.texts.story import Style

EVERY = tuple(Channel)
STYLE = Style(sender_name="Politiezone Rhode")


def an_info(language: str = "nl-BE", **fields) -> Info:
    given = {
        "categories": (Category.SECURITY,),
        "event": "Inbraak",
        "urgency": Urgency.IMMEDIATE,
        "severity": Severity.SEVERE,
        "certainty": Certainty.OBSERVED,
        "language": language,
    }
    return Info(**(given | fields))


def an_alert(*infos: Info, **fields) -> Alert:
    given = {
        "identifier": "CIC-1",
        "sender": "cic@police.example",
        "sent": datetime(2026, 11, 23, 12, tzinfo=UTC),
        "status": Status.ACTUAL,
        "msg_type": MsgType.ALERT,
        "scope": Scope.PUBLIC,
    }
    return Alert(**(given | fields), infos=infos)


FULL = an_info(
    headline="Inbraak in de Dorpsstraat",
    description="Rond 14 uur werd ingebroken.\n\nDe daders vluchtten te voet.",
    instruction="Bel 101 als u iets ziet.",
    web="https://www.politie.be/5388",
    contact="02 123 45 67",
    sender_name="CIC Vlaams-Brabant",
    areas=(Area("Dorpsstraat"), Area("Kerkplein"), Area("Dorpsstraat")),
)


def texts(alert, *, style=STYLE, cancelled=None):
    composed = from_alert(alert, EVERY, style, cancelled=cancelled)
    return {channel: dict(found) for channel, found in composed.by_channel.items()}


def test_an_sms_is_headline_description_and_instruction_on_one_line():
    sms = texts(an_alert(FULL))[Channel.SMS]["nl"]

    assert sms.text == (
        "Inbraak in de Dorpsstraat. Rond 14 uur werd ingebroken. De daders vluchtten te voet. Bel 101 als u iets ziet."
    )
    assert not sms.cut


def test_without_a_headline_the_event_takes_its_place():
    made = texts(an_alert(an_info(headline="  ", instruction="Bel 101.")))

    assert made[Channel.SMS]["nl"].text == "Inbraak. Bel 101."
    assert made[Channel.EMAIL]["nl"].subject == "Inbraak"


def test_a_long_sms_is_cut_at_a_sentence_and_says_where_the_rest_is():
    info = an_info(headline="Inbraak", description="De daders zijn gevlucht. " * 40, web="https://politie.be/1")

    sms = texts(an_alert(info))[Channel.SMS]["nl"]

    assert sms.cut
    assert sms.text.endswith("gevlucht. Meer: https://politie.be/1")
    assert segments.prepare(sms.text, mode=sms.mode).units == STYLE.sms_segment_ceiling


def test_the_rest_is_with_the_contact_where_there_is_no_site_and_marked_where_there_is_neither():
    long = "De daders zijn gevlucht. " * 40
    made = [
        texts(an_alert(an_info(description=long, contact="02 123 45 67")))[Channel.SMS]["nl"].text,
        texts(an_alert(an_info(description=long)))[Channel.SMS]["nl"].text,
        texts(an_alert(an_info(description="w" * 999)))[Channel.SMS]["nl"].text,
    ]

    assert made[0].endswith("gevlucht. Meer: 02 123 45 67")
    assert made[1].endswith("gevlucht. (...)")
    assert made[2].startswith("Inbraak.")
    assert made[2].endswith("(...)")


def test_a_site_that_leaves_no_room_for_the_message_gives_way_to_the_contact():
    info = an_info(description="Gevaar. " * 100, web="https://politie.be/" + "x" * 400, contact="101")

    assert texts(an_alert(info))[Channel.SMS]["nl"].text.endswith("Gevaar. Meer: 101")


def test_a_mail_says_everything():
    mail = texts(an_alert(FULL))[Channel.EMAIL]["nl"]

    assert mail.subject == "Inbraak in de Dorpsstraat"
    assert mail.paragraphs == (
        "Inbraak in de Dorpsstraat",
        "Rond 14 uur werd ingebroken.",
        "De daders vluchtten te voet.",
        "Bel 101 als u iets ziet.",
        "Waar: Dorpsstraat; Kerkplein",
        "Meer: https://www.politie.be/5388",
        "Contact: 02 123 45 67",
        "CIC Vlaams-Brabant",
    )
    assert mail.cap_identifier == "CIC-1"


def test_only_the_urgent_is_marked_urgent():
    assert not texts(an_alert(FULL))[Channel.EMAIL]["nl"].urgent
    urgent = msgspec.structs.replace(STYLE, urgent=True)
    assert texts(an_alert(FULL), style=urgent)[Channel.EMAIL]["nl"].urgent


def test_a_call_says_who_calls_then_the_message_then_the_keys():
    speech = texts(an_alert(FULL))[Channel.VOICE]["nl"]

    assert speech.opening == "Bericht van CIC Vlaams-Brabant."
    assert speech.body.startswith("Inbraak in de Dorpsstraat. Rond 14 uur")
    assert speech.menu.startswith("Druk 1")


def test_the_zone_speaks_where_the_sender_gives_no_name():
    made = texts(an_alert(an_info()))

    assert made[Channel.VOICE]["nl"].opening == "Bericht van Politiezone Rhode."
    assert made[Channel.EMAIL]["nl"].paragraphs[-1] == "Politiezone Rhode"


def test_a_long_call_is_cut_so_that_it_costs_one_minute():
    info = an_info(description="De daders zijn te voet gevlucht. " * 60, web="https://www.politie.be/1")

    speech = texts(an_alert(info))[Channel.VOICE]["nl"]
    ready = script.prepare("nl", speech.body, opening=speech.opening, menu=speech.menu)

    assert speech.cut
    assert speech.body.endswith("gevlucht. Meer: https://www.politie.be/1.")
    assert ready.body.endswith("Meer: politie punt be.")
    assert ready.minutes == 1


def test_each_language_is_a_text_of_its_own_with_its_own_labels():
    alert = an_alert(
        an_info("nl-BE", headline="Inbraak", areas=(Area("Dorp"),)),
        an_info("fr-BE", headline="Cambriolage", areas=(Area("Village"),)),
        an_info("de-BE", headline="Einbruch"),
        msg_type=MsgType.UPDATE,
    )

    made = texts(alert)

    assert list(made[Channel.SMS]) == list(made[Channel.EMAIL]) == list(made[Channel.VOICE]) == ["nl", "fr", "de"]
    assert made[Channel.SMS]["fr"].text == "Mise à jour: Cambriolage."
    assert "Où: Village" in made[Channel.EMAIL]["fr"].paragraphs
    assert made[Channel.VOICE]["de"].opening == "Nachricht von Politiezone Rhode."


def test_a_text_without_a_language_is_english():
    assert list(texts(an_alert(an_info("", event="Burglary")))[Channel.SMS]) == ["en"]


def test_a_language_without_labels_of_its_own_is_labelled_in_english():
    made = texts(an_alert(an_info("tr", event="Hırsızlık"), msg_type=MsgType.UPDATE))

    assert made[Channel.SMS]["tr"].text == "Update: Hırsızlık."


def test_a_later_info_of_a_language_adds_to_the_first_and_says_nothing_twice():
    alert = an_alert(
        an_info(headline="Brand", description="Sluit de ramen.", areas=(Area("Noord"),)),
        an_info("fr", headline="Incendie"),
        an_info("NL-be", headline="Brand", description="Ga naar buiten.", areas=(Area("Zuid"),)),
    )

    composed = from_alert(alert, EVERY, STYLE)

    assert composed.by_channel[Channel.SMS]["nl"].text == "Brand. Sluit de ramen. Ga naar buiten."
    assert composed.by_channel[Channel.EMAIL]["nl"].paragraphs[:-1] == (
        "Brand",
        "Sluit de ramen.",
        "Waar: Noord",
        "Ga naar buiten.",
        "Waar: Zuid",
    )
    assert composed.notes == ("Several infos of one language became one text, which everybody gets.",)


def test_of_two_kinds_of_one_language_the_first_is_used_and_the_sender_is_told():
    alert = an_alert(an_info("nl-BE", headline="Brand"), an_info("nl-NL", headline="Vuur"))

    composed = from_alert(alert, (Channel.SMS,), STYLE)

    assert composed.by_channel[Channel.SMS]["nl"].text == "Brand."
    assert composed.notes == ("The text in nl-NL is not used: there is one in another nl before it.",)


@pytest.mark.parametrize(
    ("status", "msg_type", "start"),
    [
        (Status.ACTUAL, MsgType.ALERT, "Inbraak"),
        (Status.ACTUAL, MsgType.UPDATE, "Update: Inbraak"),
        (Status.ACTUAL, MsgType.CANCEL, "Ingetrokken: Inbraak"),
        (Status.EXERCISE, MsgType.ALERT, "OEFENING: Inbraak"),
        (Status.TEST, MsgType.UPDATE, "TEST - Update: Inbraak"),
    ],
)
def test_what_is_no_plain_warning_says_so_before_anything_else(status, msg_type, start):
    made = texts(an_alert(FULL, status=status, msg_type=msg_type))

    assert made[Channel.SMS]["nl"].text.startswith(start)
    assert made[Channel.EMAIL]["nl"].subject.startswith(start)
    assert made[Channel.VOICE]["nl"].body.startswith(start)


CANCEL = {"msg_type": MsgType.CANCEL, "identifier": "CIC-2"}


def test_a_cancel_without_info_says_its_note_in_the_languages_of_what_it_cancels():
    cancelled = an_alert(FULL, an_info("fr", headline="Cambriolage"))

    made = texts(an_alert(**CANCEL, note="Vals alarm"), cancelled=cancelled)

    assert {language: sms.text for language, sms in made[Channel.SMS].items()} == {
        "nl": "Ingetrokken: Vals alarm.",
        "fr": "Annulé: Vals alarm.",
    }
    assert made[Channel.VOICE]["nl"].opening == "Bericht van CIC Vlaams-Brabant."
    assert made[Channel.EMAIL]["nl"].cap_identifier == "CIC-2"


def test_a_cancel_without_info_or_note_names_what_it_cancels():
    cancelled = an_alert(FULL, an_info("en", event="Burglary"))

    made = texts(an_alert(**CANCEL), cancelled=cancelled)

    assert made[Channel.SMS]["nl"].text == "Ingetrokken: Inbraak in de Dorpsstraat."
    assert made[Channel.SMS]["en"].text == "Cancelled: Burglary."


def test_a_cancel_of_something_unknown_says_its_note_in_the_zones_language():
    made = texts(an_alert(**CANCEL, note="Fausse alerte"), style=msgspec.structs.replace(STYLE, default_language="fr"))

    assert made[Channel.SMS]["fr"].text == "Annulé: Fausse alerte."


@pytest.mark.parametrize("fields", [CANCEL, {"msg_type": MsgType.UPDATE, "note": "x"}, {"note": "x"}])
def test_an_alert_that_says_nothing_is_refused(fields):
    with pytest.raises(TextsRefused, match=r"nothing to say|not known"):
        from_alert(an_alert(**fields), EVERY, STYLE)


def test_a_text_of_nothing_but_signs_is_refused_for_every_channel_at_once():
    with pytest.raises(TextsRefused, match="says nothing"):
        from_alert(an_alert(an_info(event="\x01\u202e!!")), EVERY, STYLE)


def test_only_the_channels_asked_for_get_texts():
    assert list(from_alert(an_alert(FULL), (Channel.VOICE,), STYLE).by_channel) == [Channel.VOICE]


def test_no_word_of_ours_stands_in_a_message_but_labels():
    made = texts(an_alert(an_info(event="EVENT", headline="")), style=Style(menu=False))

    assert made[Channel.SMS]["nl"].text == "EVENT."
    assert made[Channel.EMAIL]["nl"].paragraphs == ("EVENT",)
    assert (made[Channel.VOICE]["nl"].opening, made[Channel.VOICE]["nl"].menu) == ("", "")


HOSTILE = [
    "\x00\x01\x1b[31m\x9b",
    "\u202egnp.exe\u202c",
    "تحذير من الفيضان",
    "x" * 3000,
    "\U0001f6a8" * 300,
    "é" * 500,
    "a\u0300" * 300,
    "{sender} {name} %s {0}",
    "]]>&lt;script&gt;",
    "\u200b" * 400,
    "€[]{}~^|\\" * 80,
]


@pytest.mark.parametrize("mode", list(LetterMode))
@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_never_breaks_the_ceiling_the_minute_or_the_store(text, mode):
    alert = an_alert(an_info(event="Alarm", headline=text, description=text, instruction=text, sender_name=text))
    style = Style(sms_segment_ceiling=2, sms_mode=mode, sender_name="Zone")

    check(from_alert(alert, EVERY, style), style)


plain = st.text(st.characters(categories=["L", "N", "P", "Zs", "S", "M"], max_codepoint=0x1FFFF), max_size=600)
any_text = st.text(max_size=400)


@settings(max_examples=60)
@given(
    st.one_of(plain, any_text),
    st.one_of(plain, any_text),
    st.sampled_from(["", "https://politie.be/1", "https://x.be/" + "y" * 300]),
    st.integers(1, 5),
    st.sampled_from(list(LetterMode)),
)
def test_any_alert_keeps_the_ceiling_and_the_minute(headline, description, web, ceiling, mode):
    style = Style(sms_segment_ceiling=ceiling, sms_mode=mode, sender_name="Zone")
    info = an_info(headline=headline, event="Alarm", description=description, web=web)

    check(from_alert(an_alert(info), EVERY, style), style)


def check(made, style):
    for channel in EVERY:
        for content in made.by_channel[channel].values():
            assert read_content(write_content(content)) == content
    for sms in made.by_channel[Channel.SMS].values():
        assert segments.prepare(sms.text, mode=sms.mode).units <= style.sms_segment_ceiling
    for language, speech in made.by_channel[Channel.VOICE].items():
        ready = script.prepare(language, speech.body, opening=speech.opening, menu=speech.menu)
        assert ready.minutes == 1


words = st.lists(st.text(st.characters(categories=["Ll"], max_codepoint=0x17F), min_size=1, max_size=12), min_size=80)


@given(words, st.integers(1, 3))
def test_a_cut_sms_is_a_beginning_of_the_whole_that_ends_with_a_word(words, ceiling):
    description = " ".join(words)
    full = f"Alarm. {description}."

    [sms] = (
        from_alert(
            an_alert(an_info(event="Alarm", description=description)),
            (Channel.SMS,),
            Style(sms_segment_ceiling=ceiling),
        )
        .by_channel[Channel.SMS]
        .values()
    )

    beginning = sms.text.removesuffix(" (...)").removesuffix("...") if sms.cut else sms.text
    assert full.startswith(beginning)
    assert len(beginning) == len(full) or full[len(beginning)] == " "


# ---- composed messages


def test_what_a_coordinator_typed_is_sent_as_it_was_typed():
    words = OwnWords(
        language="nl", sms="Kijk uit!\nZie mail.", subject="Opgelet", email="Een\n\ntwee", voice="Kijk uit"
    )

    made = from_message([words], EVERY, STYLE, title="titel").by_channel

    assert made[Channel.SMS]["nl"].text == "Kijk uit!\nZie mail."
    assert made[Channel.EMAIL]["nl"].subject == "Opgelet"
    assert made[Channel.EMAIL]["nl"].paragraphs == ("Een", "twee", "Politiezone Rhode")
    assert made[Channel.VOICE]["nl"].body == "Kijk uit"
    assert made[Channel.VOICE]["nl"].opening == "Bericht van Politiezone Rhode."


def test_what_a_channel_lacks_is_made_of_the_others():
    made = from_message([OwnWords(language="fr", sms="Attention aux vols")], EVERY, STYLE, title="Vols").by_channel

    assert made[Channel.EMAIL]["fr"].subject == "Vols"
    assert made[Channel.EMAIL]["fr"].paragraphs[0] == "Attention aux vols"
    assert made[Channel.VOICE]["fr"].body == "Attention aux vols."

    from_mail = from_message(
        [OwnWords(language="fr", email="Attention. " * 200)], EVERY, STYLE, title="Vols"
    ).by_channel
    assert from_mail[Channel.SMS]["fr"].cut
    assert from_mail[Channel.VOICE]["fr"].cut
    assert len(from_mail[Channel.EMAIL]["fr"].paragraphs[0]) == len("Attention. " * 200) - 1


def test_what_was_typed_too_long_is_refused_with_every_fault_and_never_cut():
    words = [
        OwnWords(language="nl", sms="Kijk uit. " * 60, voice="Kijk uit. " * 200),
        OwnWords(language="fr"),
        OwnWords(language="nl-BE", sms="nog eens"),
    ]

    with pytest.raises(TextsRefused) as caught:
        from_message(words, EVERY, STYLE, title="t")

    assert [problem.partition(";")[0].partition(":")[0] for problem in caught.value.problems] == [
        "The SMS in nl takes 4 segments",
        "Speech in nl",
        "There is no text in fr.",
        "There are two texts in nl.",
    ]


def test_a_message_without_any_text_is_refused():
    with pytest.raises(TextsRefused, match="no text in any language"):
        from_message([], EVERY, STYLE, title="t")


def test_every_language_of_a_message_has_every_channel():
    words = [
        OwnWords(language="nl", sms="Een"),
        OwnWords(language="fr", email="Deux"),
        OwnWords(language="de", voice="Drei"),
    ]

    made = from_message(words, EVERY, STYLE, title="t").by_channel

    assert [list(found) for found in made.values()] == [["nl", "fr", "de"]] * 3


def test_the_table_that_senders_are_shown_names_every_element_it_uses_or_leaves():
    shown = " ".join(f"{what} {how}" for what, how in MAPPING)

    for element in ("headline", "event", "description", "instruction", "areaDesc", "web", "contact", "senderName"):
        assert element in shown
    for element in ("status", "msgType", "note", "resource", "parameter", "onset", "expires", "responseType"):
        assert element in shown
    assert "MAPPING" in compose.__doc__
