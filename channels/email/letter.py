"""One e-mail per campaign and language, built once, and filled in for each person in a few microseconds.

Pure. Knows the form of a correct alert mail (RFC 5322, 2045, 2047, 3834, 8058), not who gets it nor how it
leaves. Only `greeting`, `closing` and `unsubscribe` are searched for placeholders, never what an alert says.
"""

import hashlib
import html
import re
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import format_datetime

import msgspec

from channels.email import unsubscribe
from channels.email.address import Mailbox, normalise_mailbox
from channels.email.escaping import one_line, phrase, plain_text, quoted_text, unstructured
from channels.email.letter_form import LetterForm, PreparedMail, Slot
from channels.email.sender import MailSender

NAME = "{name}"
REFERENCE = "{reference}"

_LINE_OCTETS = 560  # 998 (RFC 5322 2.1.1) less the longest name that html.escape can make of 64 characters
_MESSAGE_ID = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9.-]+")
_HOST = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)*")
_URL = re.compile(r"https?://[!-;=?-~]+")
_LANGUAGE = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*")


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """What is said to everybody. Text is plain; the HTML part is made of it."""

    subject: str
    paragraphs: tuple[str, ...]
    """Each may hold line breaks, kept as they are."""
    language: str
    """BCP 47."""
    date_ms: int
    """UTC; the Date of every copy."""
    greeting: str = ""
    """May hold `{name}` once; for somebody without a name it falls out with the blank before it."""
    closing: str = ""
    """May hold `{reference}` once."""
    urgent: bool = False
    list_id: str = ""
    """RFC 2919, for example `plp-dorp.alerts.example.be`."""
    unsubscribe: str = ""
    """A URL that unsubscribes at one POST (RFC 8058); may hold `{token}` once, for the token of each copy."""
    cap_identifier: str = ""
    thread: tuple[str, ...] = ()
    """Message-IDs without angle brackets, oldest first: what this mail follows up."""


def prepare(letter: Letter, sender: MailSender) -> PreparedMail:
    """Build `letter` once, in 8bit and in quoted-printable. Raises ValueError for a sender, language,
    list, URL or Message-ID that no mail may carry, and when a placeholder did not survive the building."""
    _check(letter, sender)
    seed = hashlib.sha256(repr(letter).encode("utf-8", "backslashreplace")).hexdigest()[:20]
    text, hypertext = _text(letter, seed), _hypertext(letter, seed)
    return PreparedMail(
        sender=sender,
        eight_bit=_form(letter, sender, seed, "8bit", _folded(text), _folded(hypertext)),
        quoted=_form(letter, sender, seed, "quoted-printable", text, hypertext),
        has_token=unsubscribe.PLACEHOLDER in letter.unsubscribe,
    )


def _check(letter: Letter, sender: MailSender) -> None:
    for address in filter(None, (sender.address, sender.reply_to)):
        if not isinstance(normalise_mailbox(address), Mailbox) or not address.isascii():
            raise ValueError(f"not a mailbox to send from: {address!r}")
    for host in (sender.message_id_domain, sender.bounce_domain, letter.list_id or "none"):
        if _HOST.fullmatch(host) is None:
            raise ValueError(f"not a domain: {host!r}")
    if _LANGUAGE.fullmatch(letter.language) is None:
        raise ValueError(f"not a language: {letter.language!r}")
    if letter.unsubscribe and _URL.fullmatch(letter.unsubscribe) is None:
        raise ValueError(f"not a URL: {letter.unsubscribe!r}")
    if any(_MESSAGE_ID.fullmatch(message_id) is None for message_id in letter.thread):
        raise ValueError("a thread holds Message-IDs without angle brackets")


def _token(seed: str, slot: Slot) -> str:
    """A placeholder of letters and digits only: nothing on the way folds, encodes or escapes it."""
    return f"z{slot.name.replace('_', '').lower()}{seed}z"


def _at_tokens(text: str, seed: str) -> list[str]:
    """`text` cut at its placeholders, which are every second piece."""
    # The seed has its group so that the pattern is the same for all letters: compiling one took longer than the cut.
    pieces = []
    end = 0
    for found in _TOKEN.finditer(text):
        if found[1] == seed:
            pieces += [text[end : found.start()], f"{found[0]}z"]
            end = found.end() + 1
    return [*pieces, text[end:]]


# The last letter is not taken by the match: something that only looks like a placeholder may stand before a real one.
_TOKEN = re.compile("z(?:" + "|".join(slot.name.replace("_", "").lower() for slot in Slot) + ")([0-9a-f]{20})(?=z)")


def _blocks(letter: Letter, seed: str, name: Slot) -> list[str]:
    greeting = plain_text(letter.greeting).replace(NAME, _token(seed, name), 1)
    closing = plain_text(letter.closing).replace(REFERENCE, _token(seed, Slot.REFERENCE), 1)
    return [block for block in (greeting, *map(plain_text, letter.paragraphs), closing) if block]


def _text(letter: Letter, seed: str) -> str:
    return "\n\n".join(_blocks(letter, seed, Slot.NAME_PLAIN)) + "\n"


def _hypertext(letter: Letter, seed: str) -> str:
    blocks = (html.escape(block).replace("\n", "<br>\n") for block in _blocks(letter, seed, Slot.NAME_HTML))
    body = "\n".join(f"<p>{block}</p>" for block in blocks)
    title = html.escape(one_line(letter.subject))
    return (
        f'<!DOCTYPE html>\n<html lang="{letter.language}">\n<head>\n<meta charset="utf-8">\n'
        f"<title>{title}</title>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def _folded(text: str) -> str:
    """Lines broken where RFC 5322 would have no room for them: at a blank, if there is one."""
    return "\n".join(piece for line in text.split("\n") for piece in _pieces(line))


def _pieces(line: str) -> list[str]:
    pieces = []
    while len(line.encode()) > _LINE_OCTETS:
        head = line.encode()[:_LINE_OCTETS].decode("utf-8", "ignore")
        head = head.rpartition(" ")[0] or head
        pieces.append(head)
        line = line[len(head) :].removeprefix(" ")
    return [*pieces, line]


def _form(letter: Letter, sender: MailSender, seed: str, coding: str, text: str, hypertext: str) -> LetterForm:
    """The bytes of one variant, cut at their placeholders."""
    encode: Callable[[str], bytes] = _plain_body if coding == "8bit" else _quoted_body(seed)
    skeleton = _skeleton(letter, seed, coding)
    for marker, body in (("ztext", text), ("zhtml", hypertext)):
        skeleton = _once(skeleton, f"{marker}{seed}z\r\n".encode(), encode(body))
    message = _own_headers(letter, sender, seed) + skeleton
    message = message.replace(b"\r\n.", b"\r\n..")
    return _cut(message, seed, coding, expected=_expected(letter))


def _plain_body(text: str) -> bytes:
    return text.replace("\n", "\r\n").encode()


def _quoted_body(seed: str) -> Callable[[str], bytes]:
    """Quoted-printable with a soft line break on both sides of each placeholder: whatever comes in keeps
    the lines within 76 characters."""

    def encode(text: str) -> bytes:
        pieces = _at_tokens(text, seed)
        return b"".join(
            b"=\r\n" + piece.encode() + b"=\r\n" if odd % 2 else quoted_text(piece) for odd, piece in enumerate(pieces)
        )

    return encode


def _skeleton(letter: Letter, seed: str, coding: str) -> bytes:
    """The message without the headers that hold addresses and ids, its bodies still to come."""
    date = format_datetime(datetime.fromtimestamp(letter.date_ms // 1000, UTC))
    lines = [
        b"Subject: " + unstructured(one_line(letter.subject)),
        b"Date: " + date.encode(),
        b"Auto-Submitted: auto-generated",  # RFC 3834 5
        # Not "All": that one also keeps the reports of failure from us.
        b"X-Auto-Response-Suppress: OOF, AutoReply",
    ]
    if letter.urgent:
        lines += [b"Importance: high", b"X-Priority: 1"]
    if letter.cap_identifier:
        lines.append(b"X-CAP-Identifier: " + unstructured(one_line(letter.cap_identifier)))
    boundary = b"=_" + seed.encode()  # RFC 2045 6.7: "=_" is in no quoted-printable text
    lines += [
        b"MIME-Version: 1.0",
        b'Content-Type: multipart/alternative; boundary="' + boundary + b'"',
        b"",
        *_part("plain", "ztext", letter.language, seed, coding),
        *_part("html", "zhtml", letter.language, seed, coding),
        b"--" + boundary + b"--",
        b"",
    ]
    return b"\r\n".join(lines)


def _part(subtype: str, marker: str, language: str, seed: str, coding: str) -> list[bytes]:
    """Its body, which ends its own last line, and the line break that belongs to the boundary after it."""
    lines = (
        f"--=_{seed}",
        f'Content-Type: text/{subtype}; charset="utf-8"',
        f"Content-Transfer-Encoding: {coding}",
        f"Content-Language: {language}",
        "",
        f"{marker}{seed}z",
        "",
    )
    return [line.encode() for line in lines]


def _own_headers(letter: Letter, sender: MailSender, seed: str) -> bytes:
    """Headers of addresses and ids: nothing folds or encodes inside them."""
    author = phrase(one_line(sender.name)) + b"\r\n " if sender.name else b""
    lines = [
        b"From: " + author + b"<" + sender.address.encode() + b">",
        b"To: " + _token(seed, Slot.TO).encode(),
        b"Message-ID: <" + _token(seed, Slot.MESSAGE_ID).encode() + b">",
    ]
    if sender.reply_to:
        lines.append(b"Reply-To: <" + sender.reply_to.encode() + b">")
    if letter.thread:
        lines.append(f"In-Reply-To: <{letter.thread[-1]}>".encode())
        lines.append(b"References: " + b"\r\n ".join(f"<{known}>".encode() for known in letter.thread))
    if letter.list_id:
        lines.append(f"List-ID: <{letter.list_id}>".encode())
    if letter.unsubscribe:
        url = letter.unsubscribe.replace(unsubscribe.PLACEHOLDER, _token(seed, Slot.TOKEN), 1)
        lines.append(f"List-Unsubscribe:\r\n <{url}>".encode())
        lines.append(b"List-Unsubscribe-Post: List-Unsubscribe=One-Click")
    return b"".join(line + b"\r\n" for line in lines)


def _expected(letter: Letter) -> int:
    """How many placeholders a form must hold: two headers, and what text and HTML each have."""
    names = NAME in plain_text(letter.greeting)
    references = REFERENCE in plain_text(letter.closing)
    return 2 + (unsubscribe.PLACEHOLDER in letter.unsubscribe) + 2 * (names + references)


def _once(message: bytes, marker: bytes, body: bytes) -> bytes:
    if message.count(marker) != 1:
        raise ValueError("a body did not survive the building of the message")
    return message.replace(marker, body)


def _cut(message: bytes, seed: str, coding: str, expected: int) -> LetterForm:
    slots = {_token(seed, slot).encode(): slot for slot in Slot}
    parts = [part.encode("latin-1") for part in _at_tokens(message.decode("latin-1"), seed)]
    indexes = range(1, len(parts), 2)
    if len(indexes) != expected:
        raise ValueError("a placeholder did not survive the building of the message")
    found = tuple((index, _in_coding(slots[parts[index]], coding)) for index in indexes)
    spaced = []
    for index, slot in found:
        if slot >= Slot.NAME_PLAIN:
            before = parts[index - 1]
            blank = next((ending for ending in (b" ", b"=20=\r\n", b" =\r\n") if before.endswith(ending)), b"")
            if blank:
                parts[index - 1] = before.removesuffix(blank) + blank.lstrip(b" ").removeprefix(b"=20")
                spaced.append(index)
    at_line_start = tuple(index for index in indexes if parts[index - 1].endswith(b"\r\n"))
    return LetterForm(tuple(parts), found, tuple(spaced), at_line_start)


def _in_coding(slot: Slot, coding: str) -> Slot:
    if coding == "8bit" or slot < Slot.NAME_PLAIN:
        return slot
    return Slot.NAME_QUOTED if slot is Slot.NAME_PLAIN else Slot.NAME_HTML_QUOTED
