"""What comes back to a return path, read as a receipt: by its structure, and by prose as a last resort.

In this order: a report of RFC 3464, in the spellings that servers give it; qmail's form (QSBMF); Exim's headers; then
prose, of a mailer alone, and only what no quotation of ours can hold. A mail of ours may say anything, "not delivered"
among it, and any reply to it may repeat that: subjects and bodies that may be ours prove nothing.

Pure. Believes nothing of which the return path does not prove that it is about a message of ours.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, message_from_string
from email.errors import MessageError
from email.header import decode_header, make_header
from email.message import Message
from email.policy import compat32
from email.utils import parsedate_to_datetime

import msgspec

from channels.contract import Receipt, ReceiptState

MAX_RAW_CHARACTERS = 1000
MAX_TEXT_CHARACTERS = 200
_MOST_OCTETS = 262_144  # looked at: a report stands before the copy of what it is about
_MOST_PROSE = 65_536  # characters of a text in which a mailer says that it has given up
"""A report stands at the beginning of its mail; behind it comes ours, as a copy."""
_MOST_PARTS = 64
_MOST_FIELD = 1_000
"""Characters of a header that anything is looked for in: the parsers of headers take the square of their length."""

_STATES = {  # RFC 3464 2.3.3; "relayed" and "expanded" left the world of reports, which is not delivery
    "failed": ReceiptState.FAILED,
    "failure": ReceiptState.FAILED,
    "fail": ReceiptState.FAILED,
    "delayed": ReceiptState.PENDING,
    "delay": ReceiptState.PENDING,
    "delivered": ReceiptState.DELIVERED,
    "relayed": ReceiptState.PENDING,
    "expanded": ReceiptState.PENDING,
}
_BY_CLASS = {"5": ReceiptState.FAILED, "4": ReceiptState.PENDING, "2": ReceiptState.DELIVERED}
_WORST_FIRST = (ReceiptState.FAILED, ReceiptState.PENDING, ReceiptState.DELIVERED)
_COMMENT = re.compile(r"\([^()]*\)")
_WORD = re.compile(r"[a-z]+")
_STATUS = re.compile(r"\b([245]\.[0-9]{1,3}\.[0-9]{1,3})\b")
# A reply of SMTP with its enhanced code, or qmail's "#5.1.1": no telephone number and no price looks so.
_FINAL_REPLY = re.compile(r"(?:\b5[0-9]{2}[ -]{1,3}\(?#?|#)(5\.[0-9]{1,3}\.[0-9]{1,3})\b")
_GIVEN_UP = re.compile(
    r"undeliver(ed|able)|non.?deliver|failure notice|delivery (has )?fail|mail delivery failed|delivery status "
    r"notification \(failure\)|returned (mail|to sender)|onbestelbaar|niet (af)?geleverd|non remis|non distribu|"
    r"[ée]chec de (la )?remise|unzustellbar|unzustellbarkeit",
    re.IGNORECASE,
)
_STILL_TRYING = re.compile(r"delay|warning|temporar|vertraag|retard|verz.ger", re.IGNORECASE)
_GOES_ON = re.compile(
    r"(attempts|retries) will (continue|be made)|will keep trying|no action is required", re.IGNORECASE
)
_AWAY = re.compile(
    r"\W*(afwezig|automatisch antwoord|out of (the )?office|away|automatic reply|auto(matic)?[- ]?(reply|response)|"
    r"abwesen|automatische antwort|absen(t|ce)|r[ée]ponse automatique|vacation|auto:)",
    re.IGNORECASE,
)
_QMAIL = "Hi. This is the"
# From here on it is a copy of ours, or may be.
_QUOTATION = re.compile(
    r"^(>|\||-+ ?(below this line|this is a copy|original message|forwarded|oorspronkelijk|message d'origine|"
    r"urspr.ngliche)|(received|subject|from|to|return-path|message-id|date): )",
    re.IGNORECASE | re.MULTILINE,
)
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
    raw = raw[:_MOST_OCTETS]
    if raw.lower().count(b"content-type:") > _MOST_PARTS:
        return _pending(raw, reference, carrier, arrived_ms)
    try:
        message = message_from_bytes(raw, policy=compat32)
        blocks = _report(message)
        if blocks:
            return _from_report(blocks, message, reference, carrier, arrived_ms)
        if _is_reply(message):
            return Ignored("an automatic or a personal reply")
        return _from_words(raw, message, reference, carrier, arrived_ms)
    except (RecursionError, ValueError, LookupError, TypeError, AttributeError, MessageError):
        # The parser of the standard library is lenient but not proven: a mail made to break it is unreadable.
        return _pending(raw, reference, carrier, arrived_ms)


# ---- reports -----------------------------------------------------------------------------------------------------


def _parts(message: Message) -> Iterator[Message]:
    """Those of the mail itself: what stands in a message within it is quoted."""
    yield message
    payload = message.get_payload()
    if message.get_content_maintype() == "multipart" and isinstance(payload, list):
        for part in payload:
            if isinstance(part, Message):
                yield from _parts(part)


def _report(message: Message) -> list[Message]:
    """The blocks of the delivery-status part: the first is of the message, the others one a recipient. Some servers
    call the part text."""
    is_report = message.get_content_type() == "multipart/report"
    for part in _parts(message):
        kind = part.get_content_type()
        if kind in ("message/delivery-status", "message/global-delivery-status"):
            return _blocks(part)
        elif is_report and kind in ("text/plain", "application/octet-stream"):
            text = _decoded(part)
            if "reporting-mta:" in text[:4_000].lower() and "final-recipient:" in text[:16_000].lower():
                return _split(text)
    return []


def _blocks(part: Message) -> list[Message]:
    payload = part.get_payload()
    blocks = [block for block in payload if isinstance(block, Message)] if isinstance(payload, list) else []
    if any(_fate(block) is not None for block in blocks):
        return blocks
    # In base64 or quoted-printable, which RFC 3464 forbids, the standard library reads nothing of it.
    plain = Message()
    plain["Content-Transfer-Encoding"] = str(part.get("Content-Transfer-Encoding", ""))
    plain.set_payload("\n\n".join(_as_it_came(block) for block in blocks) if blocks else str(payload))
    return _split(_decoded(plain))


def _split(text: str) -> list[Message]:
    return [message_from_string(block.strip("\n")) for block in re.split(r"\n\s*\n", text.replace("\r\n", "\n"))[:50]]


def _fate(block: Message) -> ReceiptState | None:
    """By its action, whatever is added to the word; by the class of its status where there is none."""
    word = _WORD.search(_COMMENT.sub("", _field(block, "Action").lower()))
    if word is not None:
        return _STATES.get(word[0])
    status = _STATUS.search(_field(block, "Status"))
    recipient = _field(block, "Final-Recipient") or _field(block, "Original-Recipient")
    return _BY_CLASS.get(status[1][0]) if status is not None and recipient else None


def _from_report(
    blocks: list[Message], message: Message, reference: str, carrier: str, arrived_ms: int
) -> Receipt | Ignored:
    """Our return paths are of one recipient; if he was an alias of several, the worst fate counts."""
    told = [(state, block) for block in blocks if (state := _fate(block)) is not None]
    if not told:
        return Ignored("a report without an action")
    state, block = min(told, key=lambda pair: _WORST_FIRST.index(pair[0]))
    status = _STATUS.search(_field(block, "Status")) or _STATUS.search(_field(block, "Diagnostic-Code"))
    diagnostic = _field(block, "Diagnostic-Code")
    return Receipt(
        carrier=carrier,
        ref=reference,
        state=state,
        at_ms=_when(_field(block, "Last-Attempt-Date") or _field(message, "Date"), arrived_ms),
        echoed=True,
        destination=_recipient(_field(block, "Original-Recipient")) or _recipient(_field(block, "Final-Recipient")),
        code=status[1] if status is not None else "",
        text=diagnostic.partition(";")[2].strip()[:MAX_TEXT_CHARACTERS] or diagnostic[:MAX_TEXT_CHARACTERS],
        raw="\n".join(map(_as_it_came, blocks))[:MAX_RAW_CHARACTERS],
    )


# ---- anything else -----------------------------------------------------------------------------------------------


def _is_reply(message: Message) -> bool:
    """Out of office and its kin, by RFC 3834 or by how they begin. Bounces of old servers come from the null sender's
    usual names."""
    if _is_from_a_mailer(message):
        return False
    submitted = _field(message, "Auto-Submitted").partition(";")[0].strip().lower()
    marks = ("X-Autoreply", "X-Autorespond", "X-Auto-Response-Suppress", "In-Reply-To")
    if submitted == "auto-replied" or any(_field(message, mark) for mark in marks):
        return True
    return _field(message, "Precedence").lower() in ("auto_reply", "vacation") or bool(_AWAY.match(_subject(message)))


def _is_from_a_mailer(message: Message) -> bool:
    author = _field(message, "From").lower()
    return any(name in author for name in ("mailer-daemon", "mail delivery", "postmaster"))


def _from_words(raw: bytes, message: Message, reference: str, carrier: str, arrived_ms: int) -> Receipt | Ignored:
    """A bounce from before RFC 3464, or by a server that ignores it: final only where it says so in its own words."""
    body = _own_words(_text(message)[:_MOST_PROSE])
    # What a mailer puts before a subject of ours is its own; that it tries on it says there.
    prefix = _subject(message).partition(":")[0]
    if not _is_from_a_mailer(message) and not body.lstrip().startswith(_QMAIL):
        if _GIVEN_UP.match(prefix.strip()) is None:
            return Ignored("neither a report nor a bounce")
        return _pending(raw, reference, carrier, arrived_ms)
    reply = _FINAL_REPLY.search(body)
    is_exims = bool(_field(message, "X-Failed-Recipients"))
    given_up = is_exims or _GIVEN_UP.search(_subject(message)) or _GIVEN_UP.search(body)
    if _STILL_TRYING.search(prefix) or _GOES_ON.search(body):
        return _pending(raw, reference, carrier, arrived_ms)
    if not given_up or (reply is None and not is_exims):
        return _pending(raw, reference, carrier, arrived_ms)
    return _failed(message, body, reply, reference, carrier, arrived_ms)


def _failed(
    message: Message, body: str, reply: re.Match[str] | None, reference: str, carrier: str, arrived_ms: int
) -> Receipt:
    return Receipt(
        carrier=carrier,
        ref=reference,
        state=ReceiptState.FAILED,
        at_ms=_when(_field(message, "Date"), arrived_ms),
        echoed=True,
        code=reply[1] if reply is not None else "",
        text=_subject(message)[:MAX_TEXT_CHARACTERS],
        raw=body[:MAX_RAW_CHARACTERS],
    )


def _own_words(text: str) -> str:
    """What stands before anything that may be a copy of ours."""
    quotation = _QUOTATION.search(text)
    return text if quotation is None else text[: quotation.start()]


def _subject(message: Message) -> str:
    field = _field(message, "Subject")
    try:
        return " ".join(str(make_header(decode_header(field))).split())
    except (ValueError, LookupError, MessageError):
        return field


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


def _as_it_came(block: Message) -> str:
    """Its fields, a line each, and what stands below them. Not `as_string`, which folds a field as mail wants it: of
    ten thousand odd characters that takes a third of a second."""
    fields = "".join(f"{name}: {str(value)[:_MOST_FIELD]}\n" for name, value in block.raw_items())
    payload = block.get_payload()
    text = f"{fields}\n{payload if isinstance(payload, str) else ''}"
    return text.encode("utf-8", "replace").decode("utf-8")


def _field(message: Message, name: str) -> str:
    value = str(message.get(name, ""))[:_MOST_FIELD]
    return " ".join(value.encode("utf-8", "replace").decode("utf-8").split())


def _text(message: Message) -> str:
    for part in _parts(message):
        if part.get_content_maintype() == "text":
            return _decoded(part)
    return ""


def _decoded(part: Message) -> str:
    payload = part.get_payload(decode=True)
    return payload.decode("utf-8", "replace") if isinstance(payload, bytes) else ""


def _recipient(field: str) -> str | None:
    """`rfc822; jan@example.be`, with its type or without (RFC 3464 2.3.1), and the xtext of ORCPT (RFC 3461 4)."""
    kind, semicolon, address = field.partition(";")
    address = (address if semicolon else kind).strip().strip("<>")
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
