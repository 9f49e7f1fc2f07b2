"""What a value must become before it may stand in a header, in quoted-printable or in running text.

Pure. Every function here takes hostile text and gives something that cannot end the line it is put in.
"""

import base64
import re
import textwrap
import unicodedata
from email import quoprimime

MAX_NAME_CHARACTERS = 64
"""A longer name is cut: it is a greeting, and a line of a message has 998 octets (RFC 5322 2.1.1)."""

_LINE_BREAKS = re.compile(r"\r\n|[\r\n\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
_UNFIT = re.compile(r"[\x00-\x08\x0e-\x1b\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_JOINERS = "\u200c\u200d"  # they shape letters and emoji
_PLAIN_PHRASE = re.compile(r"[A-Za-z0-9 '.,()&/+_-]+")
_PLAIN_TEXT = re.compile(r"[ -~]*")
_PLAIN_QUOTED = re.compile(rb"[A-Za-z0-9 '-]{0,64}")
_NOT_QUOTED = re.compile(rb"[^A-Za-z0-9 ,'()/_-]")
_WORD_OCTETS = 42  # 56 characters of base64 and 12 around them: within the 75 of RFC 2047 2
_LINE_CHARACTERS = 64  # "X-CAP-Identifier: " before it: within the 78 of RFC 5322 2.1.1, or a few more
_QUOTED_OCTETS = 24  # 72 characters when each octet takes three: within the 76 of RFC 2045 6.7


def plain_text(text: str) -> str:
    """`text` with "\\n" as the only line break and nothing in it that a mail cannot hold."""
    return _UNFIT.sub("\ufffd", _LINE_BREAKS.sub("\n", text))


def one_line(text: str) -> str:
    """`text` for a header or a title: line breaks and runs of blanks become one blank."""
    return " ".join(plain_text(text).split())


def shown_name(name: str) -> str:
    """A person's name as it may be shown: one line, printable, cut at `MAX_NAME_CHARACTERS`."""
    if len(name) > MAX_NAME_CHARACTERS or not name.isprintable():
        name = "".join(_shown(character) for character in name[: 4 * MAX_NAME_CHARACTERS])
    return " ".join(name.split())[:MAX_NAME_CHARACTERS].rstrip()


def _shown(character: str) -> str:
    category = unicodedata.category(character)
    if category[0] == "Z" or category == "Cc":
        return " "
    return "" if category[0] == "C" and character not in _JOINERS else character


def phrase(name: str) -> bytes:
    """The display name `name` (one line) as RFC 5322 3.2.5 or RFC 2047 has it, folded where it is long."""
    if _PLAIN_PHRASE.fullmatch(name) is not None and len(name) <= MAX_NAME_CHARACTERS:
        return b'"' + name.encode("ascii") + b'"'
    return _encoded_words(name)


def unstructured(line: str) -> bytes:
    """`line` (as `one_line` makes it) as the text of a Subject or another free header: RFC 5322 2.2.1 where it is
    ASCII, RFC 2047 else; folded where it is long."""
    plain = _PLAIN_TEXT.fullmatch(line) is not None and "=?" not in line
    if not plain or max(map(len, line.split(" "))) > _LINE_CHARACTERS:
        return _encoded_words(line)
    return b"\r\n ".join(
        part.encode("ascii")
        for part in textwrap.wrap(line, _LINE_CHARACTERS, break_long_words=False, break_on_hyphens=False)
    )


def _encoded_words(text: str) -> bytes:
    words = (base64.b64encode(chunk) for chunk in _chunks(text, _WORD_OCTETS))
    return b"\r\n ".join(b"=?utf-8?b?" + word + b"?=" for word in words)


def quoted_name(name: str) -> bytes:
    """`name` in quoted-printable, to stand between two soft line breaks (RFC 2045 6.7)."""
    octets = name.encode()
    if _PLAIN_QUOTED.fullmatch(octets) is not None:
        return octets
    lines = (_NOT_QUOTED.sub(_hexadecimal, chunk) for chunk in _chunks(name, _QUOTED_OCTETS))
    return b"=\r\n".join(lines)


def quoted_text(text: str) -> bytes:
    """Running text with "\\n" line breaks in quoted-printable with CRLF."""
    return quoprimime.body_encode(text.encode().decode("latin-1"), eol="\r\n").encode("ascii")


def _hexadecimal(match: re.Match[bytes]) -> bytes:
    return b"=%02X" % match[0][0]


def _chunks(text: str, octets: int) -> list[bytes]:
    """UTF-8 of `text` in pieces of at most `octets`, never cut inside a character (RFC 2047 5)."""
    whole = text.encode()
    if len(whole) <= octets:
        return [whole]
    pieces = [b""]
    for character in text:
        encoded = character.encode()
        if len(pieces[-1]) + len(encoded) > octets:
            pieces.append(b"")
        pieces[-1] += encoded
    return pieces
