"""Texts as they are kept."""

import msgspec
import pytest

from channels.sms.transliteration import LetterMode
from gateway.texts.content import (
    MailContent,
    SmsContent,
    SpeechContent,
    TextsRefused,
    read_content,
    write_content,
)


@pytest.mark.parametrize(
    "content",
    [
        SmsContent(text="Inbraak \U0001f6a8 à l'école", mode=LetterMode.GSM, cut=True),
        SmsContent(text="Inbraak."),
        MailContent(subject="Inbraak", paragraphs=("Een\ntwee", "drie"), urgent=True, cap_identifier="a-1"),
        SpeechContent(body="Inbraak.", opening="Bericht van Zone.", menu="Druk 1."),
    ],
)
def test_a_content_is_read_as_it_was_written(content):
    assert read_content(write_content(content)) == content


@pytest.mark.parametrize("text", ["", "{}", '{"type":"fax"}', '{"type":"sms"}'])
def test_what_is_no_content_is_refused(text):
    with pytest.raises(msgspec.DecodeError):
        read_content(text)


def test_a_refusal_keeps_each_fault_apart():
    refused = TextsRefused("The one.", "The other.")

    assert refused.problems == ("The one.", "The other.")
    assert str(refused) == "The one. The other."
