"""What is said on each channel, as kept in `campaign_text.content`: JSON of one of three structs."""

from collections.abc import Mapping

import msgspec

from channels.contract import Channel
from channels.sms.transliteration import LetterMode


class SmsContent(msgspec.Struct, frozen=True, tag="sms", omit_defaults=True):
    text: str
    mode: LetterMode = LetterMode.GSM
    """What may still be altered when it is encoded."""
    cut: bool = False
    """Not all that there was to say; then the text ends with where the rest is, if that is known."""
    ucs2: bool = False
    """Written as UCS-2 though the GSM alphabet has all of it: no carrier can write it otherwise."""


class MailContent(msgspec.Struct, frozen=True, tag="email", omit_defaults=True):
    subject: str
    paragraphs: tuple[str, ...]
    """Plain text; a line break stands where the sender put one."""
    urgent: bool = False
    cap_identifier: str = ""


class SpeechContent(msgspec.Struct, frozen=True, tag="voice", omit_defaults=True):
    body: str
    opening: str = ""
    menu: str = ""
    cut: bool = False


TextContent = SmsContent | MailContent | SpeechContent


class Texts(msgspec.Struct, frozen=True):
    """Everything that one campaign says: channel -> language -> content.

    Languages are first parts of tags ("nl"), in the order of the sender; every channel has one at least.
    """

    by_channel: Mapping[Channel, Mapping[str, TextContent]]
    notes: tuple[str, ...] = ()
    """What the sender should know of how the texts were made, in sentences."""


class TextsRefused(ValueError):
    """No text can be made of this, or not for every channel asked for; one sentence for each fault."""

    def __init__(self, *problems: str) -> None:
        super().__init__(" ".join(problems))
        self.problems = problems


def write_content(content: TextContent) -> str:
    """For `campaign_text.content`."""
    return msgspec.json.encode(content).decode()


def read_content(text: str) -> TextContent:
    """The opposite of `write_content`. Raises msgspec.ValidationError."""
    content: TextContent = msgspec.json.decode(text, type=TextContent)
    return content
