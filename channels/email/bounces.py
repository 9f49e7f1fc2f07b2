"""What comes back to a return path, read as a receipt: RFC 3464 reports first, older bounces as far as they go.

Pure. Believes nothing of which the return path does not prove that it is about a message of ours.
"""

import re
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.header import decode_header, make_header
from email.message import Message
from email.policy import compat32
from email.utils import parsedate_to_datetime

import msgspec

from channels.contract import Receipt, ReceiptState

MAX_RAW_CHARACTERS = 1000
MAX_TEXT_CHARACTERS = 200

_STATES = {  # RFC 3464 2.3.3; "relayed" and "expanded" left the world of reports, which is not delivery
    "failed": ReceiptState.FAILED,
    "delayed": ReceiptState.PENDING,
    "delivered": ReceiptState.DELIVERED,
    "relayed": ReceiptState.PENDING,
    "expanded": ReceiptState.PENDING,
}
_WORST_FIRST = (ReceiptState.FAILED, ReceiptState.PENDING, ReceiptState.DELIVERED)
_STATUS = re.compile(r"\b([245]\.[0-9]{1,3}\.[0-9]{1,3})\b")
_PERMANENT = re.compile(r"\b5(\.[0-9]{1,3}\.[0-9]{1,3}|[0-9]{2})\b")
_GIVEN_UP = re.compile(
    r"undeliver|non.?deliver|failure notice|delivery (has )?fail|returned (mail|to sender)|not delivered|"
    r"onbestelbaar|niet afgeleverd|non remis|non distribu|unzustellbar",
    re.IGNORECASE,
)
_STILL_TRYING = re.compile(r"delay|warning|temporar|vertraag|retard|verz.ger", re.IGNORECASE)
_OLDEST = timedelta(days=8)  # longer than any queue keeps a mail (RFC 5321 4.5.4.1: 4 to 5 days)
_FUTURE = timedelta(minutes=5)


class Ignored(msgspec.Struct, frozen=True):
    """Not about a message's fate; `reason` names no person."""

    reason: str


def read_bounce(raw: bytes, *, reference: str, carrier: str, arrived_ms: int) -> Receipt | Ignored:
    """The receipt that the mail `raw` gives for `reference`, which its return path has proven. Never raises.

    `arrived_ms` is UTC. An automatic reply is ignored; a bounce that cannot be read is PENDING, with its text
    for a person to read, since it proves neither fate.
    """
    try:
        message = message_from_bytes(raw, policy=compat32)
        report = _report(message)
        if report is not None:
            return _from_report(report, message, reference, carrier, arrived_ms)
        if _is_reply(message):
            return Ignored("an automatic or a personal reply")
        return _from_prose(raw, message, reference, carrier, arrived_ms)
    except (RecursionError, ValueError, LookupError, TypeError, AttributeError):
        # The parser of the standard library is lenient but not proven: a mail made to break it is unreadable.
        return _pending(raw, reference, carrier, arrived_ms)


def _report(message: Message) -> list[Message] | None:
    """The blocks of the delivery-status part: the first is of the message, the others one a recipient."""
    if message.get_content_type() != "multipart/report":
        return None
    for part in message.walk():
        if part.get_content_type() in ("message/delivery-status", "message/global-delivery-status"):
            blocks = part.get_payload()
            return [block for block in blocks if isinstance(block, Message)] if isinstance(blocks, list) else None
    return None


def _from_report(
    blocks: list[Message], message: Message, reference: str, carrier: str, arrived_ms: int
) -> Receipt | Ignored:
    """Our return paths are of one recipient; if he was an alias of several, the worst fate counts."""
    told = [(state, block) for block in blocks if (state := _STATES.get(_field(block, "Action").lower())) is not None]
    if not told:
        return Ignored("a report without an action")
    state, block = min(told, key=lambda pair: _WORST_FIRST.index(pair[0]))
    status = _STATUS.search(_field(block, "Status"))
    diagnostic = _field(block, "Diagnostic-Code")
    return Receipt(
        carrier=carrier,
        ref=reference,
        state=state,
        at_ms=_when(_field(block, "Last-Attempt-Date") or _field(message, "Date"), arrived_ms),
        echoed=True,
        destination=_recipient(_field(block, "Original-Recipient") or _field(block, "Final-Recipient")),
        code=status[1] if status is not None else "",
        text=diagnostic.partition(";")[2].strip()[:MAX_TEXT_CHARACTERS] or diagnostic[:MAX_TEXT_CHARACTERS],
        raw="\n".join(str(each) for each in blocks)[:MAX_RAW_CHARACTERS],
    )


def _is_reply(message: Message) -> bool:
    """RFC 3834: out of office and its kin. Bounces of old servers come from the null sender's usual names."""
    submitted = _field(message, "Auto-Submitted").partition(";")[0].strip().lower()
    replied = submitted == "auto-replied" or bool(_field(message, "X-Autoreply") or _field(message, "X-Autorespond"))
    return (replied or bool(_field(message, "In-Reply-To"))) and not _is_from_a_mailer(message)


def _is_from_a_mailer(message: Message) -> bool:
    author = _field(message, "From").lower()
    return any(name in author for name in ("mailer-daemon", "mail delivery", "postmaster"))


def _from_prose(raw: bytes, message: Message, reference: str, carrier: str, arrived_ms: int) -> Receipt | Ignored:
    """A bounce from before RFC 3464, or by a server that ignores it: final only when it says so clearly."""
    subject = str(make_header(decode_header(_field(message, "Subject"))))
    body = _text(message)
    if not _is_from_a_mailer(message) and _GIVEN_UP.search(subject) is None:
        return Ignored("neither a report nor a bounce")
    given_up = _GIVEN_UP.search(subject) is not None or body.startswith("Hi. This is the")  # QSBMF, qmail
    if not given_up or _STILL_TRYING.search(subject) is not None or _PERMANENT.search(body) is None:
        return _pending(raw, reference, carrier, arrived_ms)
    status = _STATUS.search(body)
    return Receipt(
        carrier=carrier,
        ref=reference,
        state=ReceiptState.FAILED,
        at_ms=_when(_field(message, "Date"), arrived_ms),
        echoed=True,
        code=status[1] if status is not None else "",
        text=" ".join(subject.split())[:MAX_TEXT_CHARACTERS],
        raw=body[:MAX_RAW_CHARACTERS],
    )


def _pending(raw: bytes, reference: str, carrier: str, arrived_ms: int) -> Receipt:
    return Receipt(
        carrier=carrier,
        ref=reference,
        state=ReceiptState.PENDING,
        at_ms=arrived_ms,
        echoed=True,
        text="a bounce that could not be read",
        raw=raw[: 4 * MAX_RAW_CHARACTERS].decode("utf-8", "replace")[:MAX_RAW_CHARACTERS],
    )


def _field(message: Message, name: str) -> str:
    value = str(message.get(name, ""))
    return " ".join(value.encode("utf-8", "replace").decode("utf-8").split())


def _text(message: Message) -> str:
    for part in message.walk():
        if part.get_content_maintype() == "text":
            payload = part.get_payload(decode=True)
            return payload.decode("utf-8", "replace") if isinstance(payload, bytes) else ""
    return ""


def _recipient(field: str) -> str | None:
    """`rfc822; jan@example.be` without its type (RFC 3464 2.3.1) and the xtext of ORCPT (RFC 3461 4)."""
    address = field.partition(";")[2].strip()
    address = re.sub(r"\+([0-9A-F]{2})", lambda match: chr(int(match[1], 16)), address)
    return address if "@" in address else None


def _when(date: str, arrived_ms: int) -> int:
    """The peer's time if it can be true, else that of the arrival; UTC."""
    try:
        told = parsedate_to_datetime(date)
    except (TypeError, ValueError, IndexError, OverflowError):
        return arrived_ms
    if told.tzinfo is None:
        told = told.replace(tzinfo=UTC)
    arrived = datetime.fromtimestamp(arrived_ms / 1000, UTC)
    return int(told.timestamp() * 1000) if arrived - _OLDEST < told < arrived + _FUTURE else arrived_ms
