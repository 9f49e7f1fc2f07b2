"""One row a channel."""

import random
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.contract import Channel
from channels.email.letter_form import PreparedMail
from channels.email.sender import MailSender
from channels.sms.segments import SmsText, TextRefused
from channels.sms.transliteration import LetterMode
from channels.voice.script import Script, SpeechRefused
from gateway.accounting.tariff import price
from gateway.media import MEDIA, Posting, Unposted, prepare, shown
from gateway.texts.compose import OwnWords, from_message
from gateway.texts.content import MailContent, SmsContent, SpeechContent
from gateway.texts.story import Style

NOW_MS = round(datetime.fromisoformat("2026-11-23T12:00:00+01:00").timestamp() * 1000)
SMS = SmsContent(text="Inbraak in de Dorpsstraat")
MAIL = MailContent(subject="Inbraak", paragraphs=("Een", "Twee"), urgent=True)
SPEECH = SpeechContent(body="Inbraak in de Dorpsstraat.", opening="Bericht van Zone.")
SENDER = MailSender(
    name="Zone",
    address="no-reply@alerts.example",
    message_id_domain="alerts.example",
    bounce_domain="bounces.example",
    bounce_key=b"0123456789abcdef",
)
POSTING = Posting(sender=SENDER, date_ms=NOW_MS, unsubscribe="https://alerts.example/u/1")


def test_every_channel_has_its_row():
    assert set(MEDIA) == set(Channel)


@pytest.mark.parametrize(
    ("channel", "content", "kind", "units", "priced"),
    [
        (Channel.SMS, SMS, SmsText, 1, 1),
        (Channel.SMS, SmsContent(text="a" * 161), SmsText, 2, 2),
        (Channel.EMAIL, MAIL, PreparedMail, 1, 1),
        (Channel.VOICE, SPEECH, Script, 1, 1),
        (Channel.VOICE, SpeechContent(body="a" * 700, opening="b" * 200), Script, 1, 2),
    ],
)
def test_a_text_becomes_what_the_carriers_of_its_channel_send(channel, content, kind, units, priced):
    ready = prepare(channel, "nl", content, POSTING)

    assert isinstance(ready, kind)
    assert ready.units == units
    assert MEDIA[channel].priced_units(ready) == priced


def test_mail_without_a_sender_can_be_shown_and_counted_but_not_sent():
    ready = prepare(Channel.EMAIL, "nl", MAIL)

    assert isinstance(ready, Unposted)
    assert ready.units == MEDIA[Channel.EMAIL].priced_units(ready) == 1


def test_urgent_mail_offers_no_way_out_and_other_mail_does():
    def headers(urgent: bool) -> bytes:
        content = MailContent(subject="s", paragraphs=("p",), urgent=urgent)
        ready = prepare(Channel.EMAIL, "nl", content, POSTING)
        filled = ready.fill(address="a@b.example", name="", reference="r", message_id="m@x.example", eight_bit=True)
        return filled.partition(b"\r\n\r\n")[0]

    assert b"List-Unsubscribe" not in headers(urgent=True)
    assert b"List-Unsubscribe" in headers(urgent=False)


@pytest.mark.parametrize(
    ("channel", "content", "refusal"),
    [
        (Channel.SMS, SmsContent(text="\x1b"), TextRefused),
        (Channel.VOICE, SpeechContent(body="a " * 2000), SpeechRefused),
        (Channel.SMS, MAIL, TypeError),
        (Channel.EMAIL, SPEECH, TypeError),
        (Channel.VOICE, SMS, TypeError),
    ],
)
def test_what_a_channel_cannot_carry_is_refused(channel, content, refusal):
    with pytest.raises(refusal):
        prepare(channel, "nl", content)


def test_a_preview_shows_the_exact_words_and_what_became_of_them():
    typographic = SmsContent(text="Geëvacueerd – “nu”", mode=LetterMode.TYPOGRAPHIC, cut=True)
    gsm = SmsContent(text="Geëvacueerd", mode=LetterMode.GSM)

    look = shown(typographic, prepare(Channel.SMS, "nl", typographic))
    assert (look.text, look.encoding) == ('Geëvacueerd - "nu"', "ucs2")
    assert look.note == "Shortened. A segment holds 70 characters (67 of several) because of: ë"
    look = shown(gsm, prepare(Channel.SMS, "nl", gsm))
    assert (look.text, look.encoding, look.note) == ("Geevacueerd", "gsm", "Altered: ë to e.")
    look = shown(SPEECH, prepare(Channel.VOICE, "nl", SPEECH))
    assert look.text == "Bericht van Zone. Inbraak in de Dorpsstraat."
    assert look.note.startswith("About ")
    look = shown(MAIL, prepare(Channel.EMAIL, "nl", MAIL))
    assert (look.subject, look.text) == ("Inbraak", "Een\n\nTwee")


def test_what_was_not_made_of_a_content_is_not_shown_as_if_it_were():
    with pytest.raises(TypeError):
        shown(SMS, prepare(Channel.VOICE, "nl", SPEECH))


def test_a_telephone_rings_twice_at_most_and_five_minutes_apart():
    assert (MEDIA[Channel.VOICE].retry_delays_ms, MEDIA[Channel.VOICE].most_attempts) == ((300_000,), 2)


def test_waits_grow_and_stay_within_what_the_store_can_count():
    for medium in MEDIA.values():
        assert list(medium.retry_delays_ms) == sorted(medium.retry_delays_ms)
        assert 1 <= medium.most_attempts <= 32_767
        assert 0 < medium.resend_wait_ms <= 300_000


def test_the_table_is_not_changed_at_run_time():
    with pytest.raises(TypeError):
        MEDIA[Channel.SMS] = MEDIA[Channel.VOICE]


@given(st.integers(0, 2**32), st.lists(st.text(max_size=400), min_size=1, max_size=4))
def test_the_price_of_a_preview_is_the_sum_over_its_rows(seed, bodies):
    words = [
        OwnWords(language=language, email=f"Alarm {body}")
        for language, body in zip(["nl", "fr", "de", "en"], bodies, strict=False)
    ]
    texts = from_message(words, tuple(Channel), Style(), title="Alarm").by_channel
    chance = random.Random(seed)
    for channel, contents in texts.items():
        ready = {language: prepare(channel, language, content) for language, content in contents.items()}
        rows = [ready[chance.choice(list(ready))] for _ in range(50)]
        paid = MEDIA[channel].priced_units

        by_row = sum(price(channel, paid(row), NOW_MS) for row in rows)
        by_language = sum(
            price(channel, paid(each), NOW_MS) * rows.count(each) for each in dict.fromkeys(ready.values())
        )

        assert by_row == by_language == price(channel, sum(map(paid, rows)), NOW_MS)
