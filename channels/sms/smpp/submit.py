"""submit_sm bodies, made once for a text and filled in for a number in a microsecond.

Knows a text, an account's way of writing and a number; knows no session and no sequence.
"""

from channels.contract import Fit
from channels.sms.concatenation import header
from channels.sms.segments import SmsText
from channels.sms.smpp.codec import absolute_time, c_string
from channels.sms.smpp.settings import SmppSettings
from channels.sms.smpp.writing import write

_USER_DATA_HEADER = 0x40  # esm_class, bit 6 (5.2.12)


class Unwritable(ValueError):
    """The text cannot be written in this account's alphabet within the segments that were counted."""


class Template:
    """One text with one validity for one account: the same octets for everybody but number and reference."""

    __slots__ = ("_heads", "_prefix", "_segments", "total")

    def __init__(self, settings: SmppSettings, text: SmsText, expires_ms: int | None) -> None:
        """`expires_ms` (UTC) becomes the validity period. Raises Unwritable."""
        written = write(text, settings.default_alphabet)
        if written.fit is Fit.NOT:
            raise Unwritable(f"the alphabet {settings.default_alphabet} lacks characters of this text")
        coding, self._segments = written.coding, written.segments
        self.total = len(self._segments)
        long = self.total > 1
        validity = absolute_time(expires_ms) if expires_ms is not None and settings.validity_period else ""
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
