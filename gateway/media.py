"""One row a channel: how its words are made ready, what is counted and paid, and when it is tried again.

The one table where the channels differ; whatever else they do is the same code.
"""

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType

import msgspec

from channels.contract import Channel, Content
from channels.email import letter
from channels.email.letter import Letter
from channels.email.sender import MailSender
from channels.sms import segments
from channels.sms.segments import SmsText
from channels.voice import script
from channels.voice.script import Script
from gateway.texts.content import MailContent, SmsContent, SpeechContent, TextContent


class Posting(msgspec.Struct, frozen=True, kw_only=True):
    """What mail needs to be posted besides its words; the other channels need nothing."""

    sender: MailSender
    date_ms: int
    """UTC; the Date of mail: when the campaign starts, so that every node makes the same bytes."""
    list_id: str = ""
    unsubscribe: str = ""
    """Left out of urgent mail: nobody opts out of a warning by accident."""
    thread: tuple[str, ...] = ()


class Unposted(msgspec.Struct, frozen=True):
    """A mail that could be built but has no sender yet: for previews. No carrier takes it."""

    units: int = 1
    octets: int = 0
    """As `PreparedMail.octets`."""


class ShownText(msgspec.Struct, frozen=True):
    """One text as a preview shows it."""

    text: str
    subject: str = ""
    encoding: str = ""
    note: str = ""


PrepareText = Callable[[str, TextContent, Posting | None], Content]


@dataclass(frozen=True, slots=True)
class Medium:
    unit: str
    """What a slot is for, and a carrier's rate counts."""
    paid: str
    """What a price is for."""
    prepare: PrepareText
    """See `gateway.media.prepare`."""
    priced_units: Callable[[Content], int]
    """How many of what is paid one message is."""
    batch_size: int
    """Deliveries claimed together."""
    retry_delays_ms: tuple[int, ...]
    """Before the second, third ... attempt of what a carrier put off; the last one repeats."""
    most_attempts: int
    resend_wait_ms: int
    """Receipts are waited for this long before a message in doubt is sent again, where its kind says so."""


def prepare(channel: Channel, language: str, content: TextContent, posting: Posting | None = None) -> Content:
    """The words of one channel and language (BCP 47) ready for any number of people.

    Without `posting` mail becomes `Unposted`, which can be counted and priced but not sent. Raises ValueError
    (TextRefused, SpeechRefused), its text the reason, for what the channel cannot carry; TypeError for the
    content of another channel.
    """
    return MEDIA[channel].prepare(language, content, posting)


def shown(content: TextContent, ready: Content) -> ShownText:
    """The exact words of what `prepare` made of this content, and what was shortened or altered."""
    match content, ready:
        case SmsContent(cut=cut), SmsText():
            return ShownText(
                ready.text, encoding=ready.encoding, note=_joined("Shortened." if cut else "", _altered(ready))
            )
        case SpeechContent(cut=cut), Script():
            length = f"{'About' if ready.estimated else 'Exactly'} {ready.seconds:.0f} seconds."
            return ShownText(" ".join(ready.parts), note=_joined("Shortened." if cut else "", length))
        case MailContent(), _:
            return ShownText("\n\n".join(content.paragraphs), subject=content.subject)
    raise TypeError("this was not made of that content")


def _sms(language: str, content: TextContent, posting: Posting | None) -> SmsText:
    if not isinstance(content, SmsContent):
        raise TypeError("not the content of an SMS")
    return segments.prepare(content.text, mode=content.mode, ucs2=content.ucs2)


def _mail(language: str, content: TextContent, posting: Posting | None) -> Content:
    if not isinstance(content, MailContent):
        raise TypeError("not the content of a mail")
    post = posting or _NOBODY
    ready = letter.prepare(
        Letter(
            subject=content.subject,
            paragraphs=content.paragraphs,
            language=language,
            date_ms=post.date_ms,
            urgent=content.urgent,
            list_id=post.list_id,
            unsubscribe="" if content.urgent else post.unsubscribe,
            cap_identifier=content.cap_identifier,
            thread=post.thread,
        ),
        post.sender,
    )
    return Unposted(octets=ready.octets) if posting is None else ready


def _speech(language: str, content: TextContent, posting: Posting | None) -> Script:
    if not isinstance(content, SpeechContent):
        raise TypeError("not the content of a call")
    return script.prepare(language, content.body, opening=content.opening, menu=content.menu)


def _started_minutes(content: Content) -> int:
    if not isinstance(content, Script):
        raise TypeError("not the content of a call")
    return content.minutes


def _units(content: Content) -> int:
    return content.units


def _altered(ready: SmsText) -> str:
    if ready.forcing:
        return f"A segment holds 70 characters (67 of several) because of: {' '.join(ready.forcing[:10])}"
    if ready.changed:
        return "Altered: " + ", ".join(f"{old} to {new}" for old, new in ready.changed[:10]) + "."
    return ""


def _joined(*notes: str) -> str:
    return " ".join(filter(None, notes))


_NOBODY = Posting(
    sender=MailSender(
        name="",
        address="nobody@preview.invalid",
        message_id_domain="preview.invalid",
        bounce_domain="preview.invalid",
        bounce_key=b"",
    ),
    date_ms=0,
)

MEDIA = MappingProxyType(
    {
        Channel.SMS: Medium(
            unit="segment",
            paid="segment",
            prepare=_sms,
            priced_units=_units,
            batch_size=500,
            # "Queue full" of one handset passes in minutes; an hour, or until the message expires.
            retry_delays_ms=(2_000, 10_000, 30_000, 60_000, 120_000, 300_000),
            most_attempts=16,
            # After a lost bind most receipts come within seconds of the next one.
            resend_wait_ms=5_000,
        ),
        Channel.EMAIL: Medium(
            unit="mail",
            paid="mail",
            prepare=_mail,
            priced_units=_units,
            batch_size=500,
            # Greylisting lets in after a minute or five; then a relay's bad day, until the message expires.
            retry_delays_ms=(30_000, 120_000, 600_000, 1_800_000),
            most_attempts=100,
            resend_wait_ms=30_000,
        ),
        Channel.VOICE: Medium(
            unit="call start",
            paid="started minute",
            prepare=_speech,
            priced_units=_started_minutes,
            batch_size=10,
            # The telephone of the Belgian networks tries once more after five minutes, and only once.
            retry_delays_ms=(300_000,),
            most_attempts=2,
            resend_wait_ms=300_000,
        ),
    }
)
"""Channel -> Medium."""
