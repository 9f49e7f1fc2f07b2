"""A text made ready for SMS: cleaned, written in the chosen mode, encoded and cut as it will be submitted.

The count of segments is exact by construction, for the parts are the parts that leave. Knows no carrier.
"""

import re
from collections.abc import Iterable

import msgspec

from channels.sms import alphabet
from channels.sms.transliteration import Changes, LetterMode, clean, letter, outside

# 3GPP TS 23.040, 9.2.3.24.1: 140 octets of user data; the 8-bit concatenation header takes 6 of them.
GSM_SINGLE, GSM_PART = 160, 153  # septets
UCS2_SINGLE, UCS2_PART = 140, 134  # octets
MAX_SEGMENTS = 255  # the header counts parts in one octet

# LF, CR and FF have a place in the alphabet and TAB a meaning; ESC would open the extension table.
_REFUSED = (
    (re.compile("\x1b"), "an escape character"),
    (re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f]"), "a control character"),
    (re.compile("[\ud800-\udfff]"), "half a character"),
    (re.compile("[\ufdd0-\ufdef\ufffe\uffff]"), "a code that is no character"),
)


class TextRefused(ValueError):
    """The text cannot be sent as SMS; the message says why, in a sentence for its author."""


class SmsText(msgspec.Struct, frozen=True):
    """One text as it will be submitted. Satisfies `channels.contract.Content`."""

    text: str
    """What the handset shows."""
    encoding: str
    """"gsm" (one septet an octet, unpacked) or "ucs2" (UTF-16, big end first)."""
    segments: tuple[bytes, ...]
    """The octets of each part, without the concatenation header."""
    changed: Changes = ()
    """What the mode altered: (character, replacement), each once."""
    forcing: tuple[str, ...] = ()
    """The characters that make it UCS-2, each once; empty when it is GSM, or UCS-2 because that was asked for."""
    mode: LetterMode = LetterMode.EXACT
    """What a carrier may still alter that lacks some of its letters."""

    @property
    def units(self) -> int:
        return len(self.segments)


def prepare(text: str, *, mode: LetterMode | str = LetterMode.GSM, ucs2: bool = False) -> SmsText:
    """Make a text ready. The result, prepared again, is itself. `ucs2`: also where the GSM alphabet has all of it.

    Raises TextRefused for an empty text, control characters (ESC among them), lone surrogates, noncharacters
    and more than 255 segments; ValueError for an unknown mode.
    """
    mode = LetterMode(mode)
    _check(text)
    written, changed = letter(clean(text), mode)
    if not written.strip():
        raise TextRefused("The text is empty.")
    if alphabet.in_alphabet(written) and not ucs2:
        encoding, segments = "gsm", split_gsm(written)
    else:
        encoding, segments = "ucs2", split_ucs2(written)
    if len(segments) > MAX_SEGMENTS:
        raise TextRefused(f"The text takes {len(segments)} segments; a message holds at most {MAX_SEGMENTS}.")
    return SmsText(written, encoding, segments, changed, outside(written), mode)


def split_gsm(text: str) -> tuple[bytes, ...]:
    """The segments of a text of the GSM alphabet; no escape pair is ever cut (TS 23.038, 6.2.1.1)."""
    return _split([alphabet.SEPTETS[character] for character in text], GSM_SINGLE, GSM_PART)


def split_ucs2(text: str) -> tuple[bytes, ...]:
    """The segments of any text as UTF-16BE; no surrogate pair is ever cut."""
    return _split([character.encode("utf-16-be") for character in text], UCS2_SINGLE, UCS2_PART)


def read(segments: Iterable[bytes], encoding: str) -> str:
    """The text of segments, for those who receive them: the opposite of `prepare`."""
    octets = b"".join(segments)
    return alphabet.decode(octets) if encoding == "gsm" else octets.decode("utf-16-be", "replace")


def _split(pieces: list[bytes], single: int, part: int) -> tuple[bytes, ...]:
    whole = b"".join(pieces)
    if len(whole) <= single:
        return (whole,)
    segments = []
    current = bytearray()
    for piece in pieces:
        if len(current) + len(piece) > part:
            segments.append(bytes(current))
            current.clear()
        current += piece
    segments.append(bytes(current))
    return tuple(segments)


def _check(text: str) -> None:
    for pattern, what in _REFUSED:
        if found := pattern.search(text):
            name, position = f"U+{ord(found[0]):04X}", found.start() + 1
            raise TextRefused(f"The text holds {what} ({name}) at position {position}.")
