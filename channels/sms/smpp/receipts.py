"""Delivery receipts: what deliver_sm and data_sm say in the forms that SMSCs really use (SMPP v3.4, appendix B).

Pure. A doubtful receipt is pending, never delivered. Knows no message of ours: whether the id is one is for others.
"""

import re
from collections.abc import Callable, Iterator
from datetime import datetime, tzinfo

import msgspec

from channels.contract import Receipt, ReceiptState
from channels.sms import alphabet
from channels.sms.smpp.ids import LONGEST_ID, IdBase, normal_id, other_readings
from channels.sms.smpp.pdu import DataSm, DeliverSm, Tag

# esm_class bits 5-2 (5.2.12)
_TYPE_MASK, _RECEIPT, _INTERMEDIATE = 0x3C, 0x04, 0x20
_UDHI = 0x40  # bit 6: the text begins with a header of its own
_INTERNATIONAL, _NATIONAL = 1, 2  # type of number (5.2.5)
_LEADING = "\0\ufeff\ufffe \t\r\n"

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
# Whole words, of their letters and digits alone: those of appendix B and the spellings that vendors publish. A word is
# never read by its beginning: DELIVERY_FAILED and DeliveredToNetwork begin as DELIVERED does. Any other is pending.
_WORDS = {
    "DELIVRD": ReceiptState.DELIVERED,
    "DELIVERED": ReceiptState.DELIVERED,
    "EXPIRED": ReceiptState.EXPIRED,
    "DELIVERYTIMEOUT": ReceiptState.EXPIRED,
    "DELETED": ReceiptState.FAILED,
    "UNDELIV": ReceiptState.FAILED,
    "UNDELIVRD": ReceiptState.FAILED,
    "UNDELIVERED": ReceiptState.FAILED,
    "UNDELIVERABLE": ReceiptState.FAILED,
    "NOTDELIVERED": ReceiptState.FAILED,
    "DELIVERYFAILED": ReceiptState.FAILED,
    "DELIVERYFAILURE": ReceiptState.FAILED,
    "DELIVERYIMPOSSIBLE": ReceiptState.FAILED,
    "REJECTD": ReceiptState.FAILED,
    "REJECTED": ReceiptState.FAILED,
    "SKIPPED": ReceiptState.FAILED,
    "FAILED": ReceiptState.FAILED,
}
_NO_LETTER = re.compile(r"[^A-Z0-9]")
# A field that is not of appendix B ends the word as one of it does.
_ANY_FIELD = re.compile(r"[\s,;]+[A-Za-z][\w.-]*\s*[:=]")
# Only what stands before "text:" is the SMSC's; behind it comes the start of the message, that is, anybody's words.
_TEXT = re.compile(r"(?<![A-Za-z0-9_])text\s*:", re.IGNORECASE)
_FIELD = re.compile(r"(?<![A-Za-z0-9_])(id|sub|dlvrd|submit[ _]?date|done[ _]?date|stat|err)\s*:", re.IGNORECASE)
# The form of appendix B to the letter, which most send: a fifth of the time that the fields one by one take.
_STANDARD = re.compile(
    r"id:(\S+) sub:\S* dlvrd:\S* submit date:\S* done date:(\S*) stat:(\S+) err:(\S*)(?: [Tt]ext:|$)"
)
# A receipt without its flag must look like one: a person's reply is no receipt.
_CERTAIN = ({"id", "stat", "donedate"}, {"id", "stat", "sub"}, {"id", "stat", "dlvrd"}, {"id", "stat", "err"})
_BEGINNING = re.compile(r"\W*id\s*:", re.IGNORECASE)
_DIGITS = re.compile(r"\+?(?:00)?([1-9][0-9]{6,14})")

_EARLY_MS, _LATE_MS = 14 * 86_400_000, 300_000
"""How far a receipt's own time may stand before and after its arrival to be believed."""


class ReceiptDialect(msgspec.Struct, frozen=True):
    """How one peer writes its receipts."""

    base: IdBase = IdBase.AUTO
    source: str = ""
    """Our own sender address: peers that do not swap the addresses name it as the origin of the receipt."""
    zone: tzinfo | None = None
    """Of the dates in the text; None: they are not believed."""
    national: Callable[[str], str | None] | None = None
    """Reads a number without country code, where the peer writes such ones."""


def read_receipt(pdu: DeliverSm | DataSm, *, carrier: str, arrived_ms: int, reading: ReceiptDialect) -> Receipt | None:
    """The receipt that a unit holds, or None when it is a message from a handset. One that is flagged as a receipt and
    names no id that can be read has an empty `ref`: nobody can tell whose it is, and it is kept. Never raises."""
    kind = pdu.esm_class & _TYPE_MASK
    tlvs = dict(pdu.tlvs)
    text, fields = _read(pdu)
    flagged = kind in (_RECEIPT, _INTERMEDIATE) or Tag.RECEIPTED_MESSAGE_ID in tlvs
    if not flagged and (kind != 0 or not _looks_like_one(text, fields)):
        return None
    raw_id = _c_string(tlvs.get(Tag.RECEIPTED_MESSAGE_ID, b"")) or fields.get("id", "")
    if len(raw_id) > LONGEST_ID:
        raw_id = ""
    ref = normal_id(raw_id, reading.base)
    word = fields.get("stat", "")
    return Receipt(
        carrier=carrier,
        ref=ref,
        state=_state(word, tlvs.get(Tag.MESSAGE_STATE, b""), final=kind != _INTERMEDIATE),
        at_ms=_at_ms(fields.get("donedate", ""), reading.zone, arrived_ms),
        destination=_destination(pdu, reading),
        readings=other_readings if reading.base is IdBase.AUTO and ref else None,
        code=fields.get("err", "") or _network_error(tlvs.get(Tag.NETWORK_ERROR_CODE, b"")),
        text=word,
        raw=text[:1000] or f"{raw_id} {tlvs.get(Tag.MESSAGE_STATE, b'').hex()}",
    )


def _looks_like_one(text: str, fields: dict[str, str]) -> bool:
    if fields.keys() >= _CERTAIN[0]:
        return True
    return _BEGINNING.match(text) is not None and any(fields.keys() >= some for some in _CERTAIN[1:])


def _read(pdu: DeliverSm | DataSm) -> tuple[str, dict[str, str]]:
    """The text and its fields, of the forms in which it may stand the first in which they can be read: behind a user
    data header, in the payload beside a blank message, or as it is."""
    first = ("", dict[str, str]())
    for octets in _places(pdu):
        text = _decoded(octets, pdu.data_coding).strip(_LEADING)
        fields = _fields(text)
        if "id" in fields or "stat" in fields:
            return text, fields
        if not first[0]:
            first = (text, fields)
    return first


def _places(pdu: DeliverSm | DataSm) -> Iterator[bytes]:
    for octets in pdu.texts:
        if pdu.esm_class & _UDHI and len(octets) > octets[0]:
            yield octets[1 + octets[0] :]
        yield octets


def _decoded(octets: bytes, data_coding: int) -> str:
    if data_coding == 8 and len(octets) % 2 == 0:
        return octets.decode("utf-16" if octets[:2] in (b"\xfe\xff", b"\xff\xfe") else "utf-16-be", "replace")
    # Kannel and others encode the receipt in the default alphabet, where "_" and "@" lie elsewhere than in ASCII.
    plain = octets.lstrip(b"\0")
    return plain.decode("latin-1") if plain.isascii() and b"\x11" not in plain else alphabet.decode(plain)


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
        value = text[start.end() : end]
        if name == "stat" and (other := _ANY_FIELD.search(value)):
            value = value[: other.start()]
        fields.setdefault(name, value.strip(" \0\r\n\t"))
    return fields


def _state(word: str, octet: bytes, *, final: bool) -> ReceiptState:
    """The state on which word and TLV agree; where they do not, the one that promises less."""
    told = []
    if word:
        told.append(_WORDS.get(_NO_LETTER.sub("", word.upper()), ReceiptState.PENDING))
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


def _destination(pdu: DeliverSm | DataSm, reading: ReceiptDialect) -> str | None:
    """To whom the message had gone: the origin of the receipt, unless the peer left the addresses unswapped."""
    number, ton = pdu.source, pdu.source_ton
    if reading.source and number.lstrip("+") == reading.source.lstrip("+"):
        number, ton = pdu.destination, pdu.destination_ton
    begins_with_zero = number.startswith("0") and not number.startswith("00")
    if ton != _INTERNATIONAL and reading.national and (begins_with_zero or ton == _NATIONAL):
        return reading.national(number)
    match = _DIGITS.fullmatch(number)
    return "+" + match[1] if match else None


def _network_error(octets: bytes) -> str:
    """network_error_code (5.3.2.31): the kind of network, then the code."""
    return str(int.from_bytes(octets[1:3], "big")) if len(octets) == 3 else ""


def _c_string(octets: bytes) -> str:
    return octets.split(b"\0", 1)[0].decode("latin-1").strip()
