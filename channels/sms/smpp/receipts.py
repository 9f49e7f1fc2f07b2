"""Delivery receipts: what deliver_sm and data_sm say in the forms that SMSCs really use (SMPP v3.4, appendix B).

Pure. A doubtful receipt is pending, never delivered. Knows no message of ours: whether the id is one is for others.
"""

import re
from collections.abc import Callable
from datetime import datetime, tzinfo

import msgspec

from channels.contract import Receipt, ReceiptState
from channels.sms import alphabet
from channels.sms.smpp.ids import IdBase, normal_id, other_readings
from channels.sms.smpp.pdu import DataSm, DeliverSm, Tag

# esm_class bits 5-2 (5.2.12)
_TYPE_MASK, _RECEIPT, _INTERMEDIATE = 0x3C, 0x04, 0x20
_INTERNATIONAL = 1  # type of number (5.2.5)

# message_state (5.2.28); UNKNOWN (7) is no end: a later receipt or the validity decides.
_STATES = {
    0: ReceiptState.PENDING,
    1: ReceiptState.PENDING,
    2: ReceiptState.DELIVERED,
    3: ReceiptState.EXPIRED,
    4: ReceiptState.FAILED,
    5: ReceiptState.FAILED,
    6: ReceiptState.PENDING,
    7: ReceiptState.PENDING,
    8: ReceiptState.FAILED,
    9: ReceiptState.FAILED,
}
# The words of appendix B and their longer cousins, by their first letters.
_WORDS = (
    ("DELIV", ReceiptState.DELIVERED),
    ("EXPIR", ReceiptState.EXPIRED),
    ("DELET", ReceiptState.FAILED),
    ("UNDEL", ReceiptState.FAILED),
    ("REJEC", ReceiptState.FAILED),
    ("SKIP", ReceiptState.FAILED),
    ("FAIL", ReceiptState.FAILED),
)
# Only what stands before "text:" is the SMSC's; behind it comes the start of the message, that is, anybody's words.
_TEXT = re.compile(r"(?:^|\s)text\s*:", re.IGNORECASE)
_FIELD = re.compile(r"(?:^|\s)(id|sub|dlvrd|submit[ _]?date|done[ _]?date|stat|err)\s*:", re.IGNORECASE)
# The form of appendix B to the letter, which most send: a fifth of the time that the fields one by one take.
_STANDARD = re.compile(
    r"id:(\S+) sub:\S* dlvrd:\S* submit date:\S* done date:(\S*) stat:(\S+) err:(\S*)(?: [Tt]ext:|$)"
)
# A receipt without its flag must look like one: a person's reply is no receipt.
_CERTAIN = {"id", "stat", "donedate"}
_DIGITS = re.compile(r"\+?(?:00)?([1-9][0-9]{6,14})")

_LONGEST_ID = 255
_EARLY_MS, _LATE_MS = 14 * 86_400_000, 300_000
"""How far a receipt's own time may stand before and after its arrival to be believed."""


class Reading(msgspec.Struct, frozen=True):
    """How one peer writes its receipts."""

    base: IdBase = IdBase.AUTO
    source: str = ""
    """Our own sender address: peers that do not swap the addresses name it as the origin of the receipt."""
    zone: tzinfo | None = None
    """Of the dates in the text; None: they are not believed."""
    national: Callable[[str], str | None] | None = None
    """Reads a number without country code, where the peer writes such ones."""


def read_receipt(pdu: DeliverSm | DataSm, *, carrier: str, arrived_ms: int, reading: Reading) -> Receipt | None:
    """The receipt that a unit holds, or None when it is a message from a handset or names no id. Never raises."""
    kind = pdu.esm_class & _TYPE_MASK
    tlvs = dict(pdu.tlvs)
    text = _text(pdu)
    fields = _fields(text)
    flagged = kind in (_RECEIPT, _INTERMEDIATE) or Tag.RECEIPTED_MESSAGE_ID in tlvs
    if not flagged and (kind != 0 or not fields.keys() >= _CERTAIN):
        return None
    raw_id = _c_string(tlvs.get(Tag.RECEIPTED_MESSAGE_ID, b"")) or fields.get("id", "")
    if not 0 < len(raw_id) <= _LONGEST_ID:
        return None
    ref = normal_id(raw_id, reading.base)
    word = fields.get("stat", "")
    return Receipt(
        carrier=carrier,
        ref=ref,
        state=_state(word, tlvs.get(Tag.MESSAGE_STATE, b""), final=kind != _INTERMEDIATE),
        at_ms=_at_ms(fields.get("donedate", ""), reading.zone, arrived_ms),
        destination=_destination(pdu, reading),
        readings=other_readings if reading.base is IdBase.AUTO else None,
        code=fields.get("err", "") or _network_error(tlvs.get(Tag.NETWORK_ERROR_CODE, b"")),
        text=word,
        raw=text[:1000] or f"{raw_id} {tlvs.get(Tag.MESSAGE_STATE, b'').hex()}",
    )


def _text(pdu: DeliverSm | DataSm) -> str:
    octets = pdu.user_data
    if pdu.data_coding == 8:
        return octets.decode("utf-16-be", "replace")
    # Kannel and others encode the receipt in the default alphabet, where "_" and "@" lie elsewhere than in ASCII.
    return octets.decode("latin-1") if octets.isascii() and b"\x11" not in octets else alphabet.decode(octets)


def _fields(text: str) -> dict[str, str]:
    """The receipt's fields by lower-case name without blanks; the first of each counts."""
    if standard := _STANDARD.match(text):
        return dict(zip(("id", "donedate", "stat", "err"), standard.groups(), strict=True))
    if found := _TEXT.search(text):
        text = text[: found.start()]
    fields: dict[str, str] = {}
    starts = list(_FIELD.finditer(text))
    ends = [*(start.start() for start in starts[1:]), len(text)]
    for start, end in zip(starts, ends, strict=False):
        name = start[1].lower().replace(" ", "").replace("_", "")
        fields.setdefault(name, text[start.end() : end].strip(" \0\r\n\t"))
    return fields


def _state(word: str, octet: bytes, *, final: bool) -> ReceiptState:
    """The state on which word and TLV agree; where they do not, the one that promises less."""
    told = []
    if word:
        upper = word.upper()
        told.append(next((state for start, state in _WORDS if upper.startswith(start)), ReceiptState.PENDING))
    if octet:
        told.append(_STATES.get(octet[-1], ReceiptState.PENDING))
    if not told or not final or (len(set(told)) > 1 and ReceiptState.PENDING in told):
        return ReceiptState.PENDING
    return next((state for state in told if state is not ReceiptState.DELIVERED), told[0])


def _at_ms(date: str, zone: tzinfo | None, arrived_ms: int) -> int:
    """The done date (10, 12 or 14 digits) where it can be believed, else the time of arrival."""
    form = {10: "%y%m%d%H%M", 12: "%y%m%d%H%M%S", 14: "%Y%m%d%H%M%S"}.get(len(date))
    if zone is None or form is None or not (date.isascii() and date.isdigit()):
        return arrived_ms
    try:
        at_ms = int(datetime.strptime(date, form).replace(tzinfo=zone).timestamp()) * 1000
    except (ValueError, OverflowError):
        return arrived_ms
    return at_ms if arrived_ms - _EARLY_MS <= at_ms <= arrived_ms + _LATE_MS else arrived_ms


def _destination(pdu: DeliverSm | DataSm, reading: Reading) -> str | None:
    """To whom the message had gone: the origin of the receipt, unless the peer left the addresses unswapped."""
    number, ton = pdu.source, pdu.source_ton
    if reading.source and number.lstrip("+") == reading.source.lstrip("+"):
        number, ton = pdu.destination, pdu.destination_ton
    if ton != _INTERNATIONAL and reading.national and number.startswith("0") and not number.startswith("00"):
        return reading.national(number)
    match = _DIGITS.fullmatch(number)
    return "+" + match[1] if match else None


def _network_error(octets: bytes) -> str:
    """network_error_code (5.3.2.31): the kind of network, then the code."""
    return str(int.from_bytes(octets[1:3], "big")) if len(octets) == 3 else ""


def _c_string(octets: bytes) -> str:
    return octets.split(b"\0", 1)[0].decode("latin-1").strip()
