"""The standard's own answers: an Ack or Error message for a message that was received (CAP-v1.2 3.2.1 msgType).

Pure: who answers and when are arguments. What is answered is known by its triple, which can be read from many a
document that is refused for something else.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import NAMESPACE_URL, uuid5

from lxml import etree

from cap import build, safe_xml
from cap.limits import DEFAULT, Limits
from cap.model import Alert, MsgType, Reference, Scope, Status
from cap.text_values import FORBIDDEN_IN_NAME, MOST_NAME_CHARS
from cap.versions import modernise, version_of
from cap.write import moment


@dataclass(frozen=True, slots=True)
class Heading:
    """Just enough of a received message to answer it. `status` is None where it cannot be read."""

    reference: Reference
    status: Status | None


def heading(document: bytes, limits: Limits = DEFAULT) -> Heading | None:
    """What names a message of any version; None for one without a readable triple. Raises nothing for any bytes,
    judges no rule."""
    root = _alert(document, limits)
    if root is None:
        return None
    identifier, sender, sent, status = build.heading(root)
    if sent is None or not (_is_name(identifier) and _is_name(sender)):
        return None
    return Heading(Reference(sender, identifier, sent), status)


def ack(received: Heading, notes: Iterable[str], *, sender: str, at: datetime) -> Alert:
    """Says that a message was accepted, with remarks on it, one a line."""
    return _answer(MsgType.ACK, received, notes, sender, at)


def error(received: Heading, notes: Iterable[str], *, sender: str, at: datetime) -> Alert:
    """Says that a message was refused and why: the standard asks for the reason in the note."""
    return _answer(MsgType.ERROR, received, notes, sender, at)


def note(rule: str, text: str, path: str = "") -> str:
    """One line of an answer's note: the rule that was broken, where, and in words."""
    return f"{rule} {path}: {text}" if path else f"{rule}: {text}"


def _alert(document: bytes, limits: Limits) -> etree._Element | None:
    root = safe_xml.tree(document, limits)
    if isinstance(root, safe_xml.UnreadableDocument):
        return None
    version = version_of(root)
    if version is None:
        return None
    if version != "1.2":
        modernise(root)
    return root


def _answer(msg_type: MsgType, received: Heading, notes: Iterable[str], sender: str, at: datetime) -> Alert:
    """The same answer at the same (aware) time is the same message, with the same identifier."""
    reference = received.reference
    # An answer is not sent before what it answers, even if that sender's clock is ahead of ours.
    sent = max(at.astimezone(UTC).replace(microsecond=0), reference.sent.astimezone(UTC))
    about = f"{msg_type},{reference.sender},{reference.identifier},{moment(reference.sent)},{moment(sent)}"
    return Alert(
        identifier=str(uuid5(NAMESPACE_URL, about)),
        sender=sender,
        sent=sent,
        status=received.status or Status.SYSTEM,
        msg_type=msg_type,
        scope=Scope.PRIVATE,
        addresses=(reference.sender,),
        note="\n".join(notes),
        references=(reference,),
    )


def _is_name(text: str) -> bool:
    # A double quote is legal in a name, and then no list of addresses can hold it.
    return 0 < len(text) <= MOST_NAME_CHARS and not FORBIDDEN_IN_NAME.search(text) and '"' not in text
