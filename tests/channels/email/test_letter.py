"""A correct alert mail for each person, whatever that person is called."""

import re
from email import message_from_bytes, policy
from email.header import decode_header
from email.message import EmailMessage
from html import unescape

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from channels.email.escaping import MAX_NAME_CHARACTERS, shown_name
from channels.email.letter import Letter, prepare
from channels.email.letter_form import PreparedMail
from channels.email.sender import MailSender
from channels.email.unsubscribe import token

SENDER = MailSender(
    name="PLP Dörp, zone 1",
    address="no-reply@alerts.example.be",
    message_id_domain="alerts.example.be",
    bounce_domain="bounces.example.be",
    bounce_key=b"secret-of-the-bounces",
)
LETTER = Letter(
    subject="Inbraak in de Kerkstraat — wees waakzaam",
    paragraphs=(
        "Er is ingebroken.\nBel 101 & <kijk> uit.",
        ".begint met een punt\n.",
        "{name} {reference} élève",
    ),
    language="nl",
    date_ms=1_764_000_000_000,
    greeting="Beste {name},",
    closing="Kenmerk {reference}",
    list_id="plp-dorp.alerts.example.be",
    unsubscribe="https://gateway.example.be/u/{token}",
    cap_identifier="urn:oid:2.49.0.0.56.0",
    thread=("first@alerts.example.be", "second@alerts.example.be"),
)
MAIL = prepare(LETTER, SENDER)


def filled(mail: PreparedMail = MAIL, *, name: str = "Jan Peeters", eight_bit: bool = True, **other: str) -> bytes:
    fields = {
        "address": "jan@example.be",
        "reference": "g1.c7.42",
        "message_id": "g1.c7.42@alerts.example.be",
    }
    return mail.fill(name=name, eight_bit=eight_bit, **{**fields, **other})


def received(stuffed: bytes) -> EmailMessage:
    """What the receiver reads, after SMTP has taken the stuffed dots away."""
    assert stuffed.endswith(b"\r\n")
    lines = stuffed.split(b"\r\n")
    assert b"." not in lines, "a lone dot would end the message"
    assert not any(b"\r" in line or b"\n" in line for line in lines), "a bare CR or LF invites smuggling"
    return message_from_bytes(
        b"\r\n".join(line.removeprefix(b".") for line in lines),
        _class=EmailMessage,
        policy=policy.SMTP.clone(utf8=True),
    )


def text_of(message: EmailMessage) -> str:
    part = message.get_body(("plain",))
    assert part is not None
    return str(part.get_content()).replace("\r\n", "\n")


def hypertext_of(message: EmailMessage) -> str:
    part = message.get_body(("html",))
    assert part is not None
    return str(part.get_content()).replace("\r\n", "\n")


both = pytest.mark.parametrize("eight_bit", [True, False], ids=["8bit", "quoted-printable"])


@both
def test_the_text_arrives_as_it_was_written(eight_bit: bool) -> None:
    message = received(filled(eight_bit=eight_bit))

    assert text_of(message) == (
        "Beste Jan Peeters,\n\nEr is ingebroken.\nBel 101 & <kijk> uit.\n\n.begint met een punt\n.\n\n"
        "{name} {reference} élève\n\nKenmerk g1.c7.42\n"
    )


@both
def test_the_html_part_is_the_text_escaped(eight_bit: bool) -> None:
    hypertext = hypertext_of(received(filled(name="Jan <b>& Zoon", eight_bit=eight_bit)))

    assert '<html lang="nl">' in hypertext
    assert "<p>Beste Jan &lt;b&gt;&amp; Zoon,</p>" in hypertext
    assert "<p>Er is ingebroken.<br>\nBel 101 &amp; &lt;kijk&gt; uit.</p>" in hypertext
    assert "<p>Kenmerk g1.c7.42</p>" in hypertext


@both
def test_the_headers_are_those_of_an_automatic_alert(eight_bit: bool) -> None:
    message = received(filled(eight_bit=eight_bit))

    assert message["Subject"] == LETTER.subject
    assert message["From"].addresses[0].display_name == "PLP Dörp, zone 1"
    assert message["From"].addresses[0].addr_spec == "no-reply@alerts.example.be"
    assert [str(address) for address in message["To"].addresses] == ["Jan Peeters <jan@example.be>"]
    assert message["Date"] == "Mon, 24 Nov 2025 16:00:00 +0000"
    assert message["Message-ID"] == "<g1.c7.42@alerts.example.be>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["X-Auto-Response-Suppress"] == "OOF, AutoReply"
    assert message["List-ID"] == "<plp-dorp.alerts.example.be>"
    assert (
        message["List-Unsubscribe"].strip() == f"<https://gateway.example.be/u/{token('g1.c7.42', SENDER.bounce_key)}>"
    )
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert message["X-CAP-Identifier"] == "urn:oid:2.49.0.0.56.0"
    assert message["In-Reply-To"] == "<second@alerts.example.be>"
    assert message["References"].split() == ["<first@alerts.example.be>", "<second@alerts.example.be>"]
    assert message.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]
    for absent in ("Precedence", "Bcc", "Importance", "Reply-To"):
        assert absent not in message


def test_only_an_urgent_letter_says_that_it_is() -> None:
    message = received(filled(prepare(msgspec.structs.replace(LETTER, urgent=True), SENDER)))

    assert message["Importance"] == "high"


def test_without_a_name_the_greeting_stays_a_sentence() -> None:
    for eight_bit in (True, False):
        message = received(filled(name=" \r\n ", eight_bit=eight_bit))

        assert text_of(message).startswith("Beste,\n\n")
        assert "<p>Beste,</p>" in hypertext_of(message)
        assert [str(address) for address in message["To"].addresses] == ["jan@example.be"]


def test_one_mail_is_one_unit() -> None:
    assert MAIL.units == 1


def test_the_quoted_printable_form_is_ascii_and_keeps_short_lines() -> None:
    stuffed = filled(name="Zoë " * 30, eight_bit=False)

    assert stuffed.isascii()
    assert max(map(len, stuffed.split(b"\r\n"))) <= 78


HOSTILE = [
    "Jan\r\nBcc: all@example.be",
    "Jan\r\n\r\n<html>",
    "Jan\r\n.\r\nMAIL FROM:<x@example.be>",
    '"Jan" <evil@example.be>, "',
    "Jan\\",
    "=?utf-8?q?Jan=0D=0ABcc=3A_all=40example.be?=",
    "=41=0D=0A",
    "..",
    ".",
    "👩‍👩‍👧‍👦 Familie",
    "Jan\ud800Peeters",
    "\x00\x1b[31m",
    "\u202egnp.exe",
    "Ж" * 10_000,
    "a" * 10_000,
    "' \" & < >" * 50,
    "\u2028\u2029\x85",
    "{name}{reference}%s",
    "á" * 64,
]
names = st.one_of(st.text(st.characters(), max_size=200), st.sampled_from(HOSTILE))


@given(names, st.booleans())
@example("\ud800", True)
def test_no_name_breaks_a_message_or_adds_to_it(name: str, eight_bit: bool) -> None:
    stuffed = filled(name=name, eight_bit=eight_bit)
    message = received(stuffed)
    shown = shown_name(name)

    assert [key for key, _ in message.items()] == [key for key, _ in received(filled()).items()]
    assert [address.addr_spec for address in message["To"].addresses] == ["jan@example.be"]
    assert text_of(message).startswith(f"Beste {shown},\n\n" if shown else "Beste,\n\n")
    assert text_of(message).endswith("Kenmerk g1.c7.42\n")
    greeting = re.search("<p>Beste (.*),</p>", hypertext_of(message))
    assert (unescape(greeting[1]) if greeting else "") == shown
    assert max(map(len, stuffed.split(b"\r\n"))) <= 998
    assert stuffed.isascii() or eight_bit


@given(names)
def test_a_shown_name_is_one_printable_line(name: str) -> None:
    shown = shown_name(name)

    assert len(shown) <= MAX_NAME_CHARACTERS
    assert shown == shown_name(shown)
    assert "\n" not in shown
    assert shown.encode().decode() == shown  # no lone surrogate


@given(names)
def test_a_display_name_is_read_back_as_it_is_shown(name: str) -> None:
    raw = filled(name=name).partition(b"\r\nTo: ")[2].partition(b"<jan@example.be>")[0].decode("ascii")
    read = "".join(
        part if isinstance(part, str) else part.decode(charset or "ascii")
        for part, charset in decode_header(raw.replace("\r\n", "").strip())
    )

    # The modern parser of the standard library puts blanks between encoded words of a phrase (RFC 2047 6.2).
    assert read.strip('"') == shown_name(name).strip('"')


texts = st.text(st.characters(), max_size=400)


@given(texts, st.lists(texts, max_size=3), texts, texts, st.booleans())
def test_no_text_of_an_alert_breaks_a_message(
    subject: str, paragraphs: list[str], greeting: str, closing: str, eight_bit: bool
) -> None:
    letter = Letter(
        subject=subject,
        paragraphs=tuple(paragraphs),
        language="fr",
        date_ms=0,
        greeting=greeting,
        closing=closing,
        cap_identifier=subject,
    )

    message = received(filled(prepare(letter, SENDER), eight_bit=eight_bit))

    assert message["To"].addresses[0].addr_spec == "jan@example.be"
    assert message.get_content_type() == "multipart/alternative"
    assert len(list(message.iter_parts())) == 2
    assert "Bcc" not in message


@both
@pytest.mark.parametrize(
    "greeting",
    ["{name}", "{name}.", ".{name}", "a {name} b {name}", "{name}" + "x" * 2000, "zto" + "0" * 20 + "{name}"],
)
@pytest.mark.parametrize("name", ["", ".", "Jan"])
def test_a_placeholder_may_stand_anywhere_in_the_greeting(greeting: str, name: str, eight_bit: bool) -> None:
    letter = Letter(subject="s", paragraphs=("p",), language="de", date_ms=0, greeting=greeting)

    message = received(filled(prepare(letter, SENDER), name=name, eight_bit=eight_bit))

    said = text_of(message).replace("\n", "")
    expected = greeting.replace("{name}", name, 1) if name else greeting.replace(" {name}", "", 1)
    assert said == (expected if name else expected.replace("{name}", "", greeting.startswith(("{", ".", "zto")))) + "p"


def test_a_word_longer_than_a_line_is_broken_only_where_8bit_leaves_no_other_way() -> None:
    letter = Letter(subject="s" * 3000, paragraphs=("é" * 3000, "w " * 3000), language="fr", date_ms=0)
    mail = prepare(letter, SENDER)

    assert max(map(len, filled(mail).split(b"\r\n"))) <= 998
    text = text_of(received(filled(mail)))
    assert text.replace("\n", "").startswith("é" * 3000)
    assert text.split() == [*text.split()[:-3000], *["w"] * 3000]
    assert text_of(received(filled(mail, eight_bit=False))) == "é" * 3000 + "\n\n" + "w " * 3000 + "\n"


def test_an_internationalised_mailbox_stands_in_the_header_as_it_is() -> None:
    lines = filled(address="jérôme@example.be", name="Jérôme").decode().split("\r\n")

    assert lines[lines.index("To: =?utf-8?b?SsOpcsO0bWU=?=") + 1] == " <jérôme@example.be>"


@pytest.mark.parametrize(
    ("change", "of"),
    [
        ({"address": "no-reply@alerts.example.be>\r\nBcc: x"}, SENDER),
        ({"reply_to": "nobody"}, SENDER),
        ({"message_id_domain": "a b"}, SENDER),
        ({"bounce_domain": ""}, SENDER),
        ({"language": 'nl"><script>'}, LETTER),
        ({"list_id": "a>b"}, LETTER),
        ({"unsubscribe": "https://x.example/>\r\nBcc: x"}, LETTER),
        ({"thread": ("<a@b>\r\n",)}, LETTER),
    ],
)
def test_what_no_mail_may_carry_is_refused_when_it_is_prepared(change: dict[str, object], of: object) -> None:
    changed = msgspec.structs.replace(of, **change)  # type: ignore[type-var]

    with pytest.raises(ValueError, match=r"not a|Message-IDs"):
        prepare(changed if of is LETTER else LETTER, changed if of is SENDER else SENDER)


def test_the_key_of_the_return_paths_is_in_no_representation() -> None:
    assert "secret-of-the-bounces" not in repr(SENDER) + repr(MAIL)
