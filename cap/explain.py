"""All schema faults of a rejected document, each at its own element, where libxml2 stops at the first of a parent.

Uses xmlschema: 30 times slower than libxml2 and never the judge (it refuses real signed alerts that are valid).
Imported only when a document was rejected; `ready` does it ahead of time.
"""

from __future__ import annotations

from functools import cache
from io import BytesIO
from itertools import islice
from typing import TYPE_CHECKING, Any

from lxml import etree

from cap.xsd import MOST_FAULTS, SchemaFault, plain, source

if TYPE_CHECKING:
    import xmlschema


@cache
def _schema() -> xmlschema.XMLSchema10:
    import xmlschema  # takes 0.1 s, and most processes never see a rejected document

    # Without its own copies of other schemas, of which the one for signatures refuses real senders' alerts.
    return xmlschema.XMLSchema10(BytesIO(source()), allow="none", use_fallback=False)


def ready() -> None:
    """Load and compile what the first rejected document would otherwise wait for."""
    _schema()


def faults(root: etree._Element) -> list[SchemaFault]:
    """Every fault that xmlschema finds, at most `MOST_FAULTS`; none if it cannot cope with the document.

    What is inside a signature is not looked at.
    """
    found = islice(_schema().iter_errors(root, use_location_hints=False), MOST_FAULTS)
    try:
        return [_fault(error, root) for error in found]
    except Exception:  # a year of thirty digits is an OverflowError; libxml2's list does for what is next
        return []


def _fault(error: Any, root: etree._Element) -> SchemaFault:
    """The fault, at the child that should not be there if it is one of order and there is such a child."""
    element = error.elem if isinstance(error.elem, etree._Element) else root
    text = plain(error.reason or error.message)
    place = getattr(error, "index", None)
    if place is None:
        return SchemaFault(element, text, element.text or "")
    return SchemaFault(element[place] if place < len(element) else element, text)
