"""An alert as it was received -> the document in which it is published, for ever. No I/O, no clock, no key.

What is published is what was received, byte for byte, wherever that can be: a sender's own signature says more than
that of whoever passes the alert on. What must be changed is changed once, and signed anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from lxml import etree

from cap import safe_xml
from cap.edxl import unwrap
from cap.forward import FileAddress, forwarded, has_contents
from cap.limits import KEPT
from cap.model import Scope, Status
from cap.names import ALERT, SIGNATURE
from cap.read import Reading, read
from cap.terms import ReadingTerms
from cap.versions import VERSIONS
from cap.write import write

Sign = Callable[[bytes], bytes]
"""A CAP 1.2 document without a signature -> the same with one."""

_ANY_VERSION = ReadingTerms(versions=frozenset(VERSIONS.values()))


class Unfit(ValueError):
    """The document holds no alert of that name that is Actual and Public; the text says what is the matter."""


def edition(
    document: bytes, sender: str, identifier: str, sign: Sign | None = None, place: FileAddress | None = None
) -> bytes:
    """The bytes to publish: the very same ones where nothing has to be changed.

    Files enclosed in the alert are left out and linked with `place` (3.2.3 derefUri), CAP 1.0 and 1.1 are written as
    1.2, an EDXL-DE envelope is taken off. Parts that were left out on reading are left out here too, but for an alert
    that its sender signed. An alert without a signature, or whose own was lost by that, is signed with `sign`. Raises
    Unfit.
    """
    found, reading = _named(document, sender, identifier)
    alert = reading.alert
    assert alert is not None
    if alert.status is not Status.ACTUAL or alert.scope is not Scope.PUBLIC:
        raise Unfit(f"it is {alert.status} and {alert.scope}; only what is Actual and Public is published")
    if reading.version != "1.2" or has_contents(alert):
        found = write(forwarded(alert, place))
    elif is_signed(found):
        return found
    elif not reading.as_sent:
        found = write(alert)
    return sign(compact(found)) if sign else found


def is_signed(document: bytes) -> bool:
    """Whether there is a signature in it, of whatever worth."""
    return next(_root(document).iter(SIGNATURE), None) is not None


def compact(document: bytes) -> bytes:
    """The same alert without white space between its elements, in UTF-8.

    A signature over it also holds for readers that drop such white space first; the WMO's validator is one. Raises
    Unfit for what is not CAP 1.2.
    """
    root = _root(document)
    for element in root.iter():
        if len(element) and not (element.text or "").strip():
            element.text = None
        if not (element.tail or "").strip():
            element.tail = None
    return etree.tostring(root, encoding="UTF-8", xml_declaration=True) + b"\n"


def _root(document: bytes) -> etree._Element:
    root = safe_xml.tree(document, KEPT)
    if isinstance(root, safe_xml.UnreadableDocument) or root.tag != ALERT:
        raise Unfit("the document is no CAP 1.2 alert")
    return root


def _named(document: bytes, sender: str, identifier: str) -> tuple[bytes, Reading]:
    for found in _candidates(document):
        reading = read(found, KEPT, _ANY_VERSION)
        if reading.alert and (reading.alert.sender, reading.alert.identifier) == (sender, identifier):
            return found, reading
    raise Unfit(f"no alert {identifier} of {sender} can be read from it")


def _candidates(document: bytes) -> Iterator[bytes]:
    envelope = unwrap(document)
    if envelope is None:
        yield document
    else:
        yield from (enclosed.document for enclosed in envelope.alerts)
