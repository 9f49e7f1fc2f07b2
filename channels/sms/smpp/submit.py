"""submit_sm bodies, made once for a text and filled in for a number in a microsecond.

Knows a text, an account's way of writing and a number; knows no session and no sequence.
"""

from channels.sms import alphabet
from channels.sms.concatenation import header
from channels.sms.smpp.codec import absolute_time, c_string
from channels.sms.smpp.settings import SmppSettings
from channels.sms.text import SmsText, split_ucs2

_USER_DATA_HEADER = 0x40  # esm_class, bit 6 (5.2.12)
_DEFAULT_ALPHABET, _UCS2 = 0, 8  # data_coding (5.2.19)
_CODECS = {"latin1": "latin-1", "ascii": "ascii"}


class Unwritable(ValueError):
    """The text cannot be written in this account's alphabet within the segments that were counted."""


class Template:
    """One text with one validity for one account: the same octets for everybody but number and reference."""

    __slots__ = ("_heads", "_prefix", "_segments", "total")

    def __init__(self, settings: SmppSettings, text: SmsText, expires_ms: int | None) -> None:
        """`expires_ms` (UTC) becomes the validity period. Raises Unwritable."""
        coding, self._segments = _octets(text, settings.default_alphabet)
        self.total = len(self._segments)
        long = self.total > 1
        validity = "" if expires_ms is None else absolute_time(expires_ms)
        self._prefix = (
            c_string(settings.service_type, 6, "service_type")
            + bytes((settings.source_ton, settings.source_npi))
            + c_string(settings.source_address, 21, "source_addr")
            + bytes((settings.destination_ton, settings.destination_npi))
        )
        middle = b"\0" + bytes((_USER_DATA_HEADER if long else 0, 0, 0)) + b"\0" + validity.encode() + b"\0"
        self._heads = [
            middle + bytes((settings.registered_delivery, 0, coding, 0, len(segment) + (6 if long else 0)))
            for segment in self._segments
        ]

    def body(self, digits: bytes, part: int, reference: int) -> bytes:
        """The body of part `part` (from 0) to a number in international digits without its plus."""
        if self.total == 1:
            return b"".join((self._prefix, digits, self._heads[0], self._segments[0]))
        head = self._heads[part] + header(reference, self.total, part + 1)
        return b"".join((self._prefix, digits, head, self._segments[part]))


def _octets(text: SmsText, default_alphabet: str) -> tuple[int, tuple[bytes, ...]]:
    """(data_coding, segments) as this SMSC reads them.

    An SMSC whose default is not GSM turns Latin-1 or ASCII into it, so the cuts stay. What its alphabet lacks goes
    as UCS-2, if that takes no more segments than were counted, priced and given slots.
    """
    if text.encoding == "ucs2":
        return _UCS2, text.segments
    if default_alphabet == "gsm":
        return _DEFAULT_ALPHABET, text.segments
    try:
        return _DEFAULT_ALPHABET, tuple(
            alphabet.decode(segment).encode(_CODECS[default_alphabet]) for segment in text.segments
        )
    except UnicodeEncodeError as exc:
        segments = split_ucs2(text.text)
        if len(segments) != text.units:
            raise Unwritable(f"the alphabet {default_alphabet} lacks characters of this text") from exc
        return _UCS2, segments
