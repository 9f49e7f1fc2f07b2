"""The content model of CAP 1.2 (schema/cap12.xsd): a verdict, and libxml2's short list of faults.

Knows which element may stand where and which words a closed list holds; what a text may say is said by the rules.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from itertools import islice
from typing import Any, NamedTuple

from lxml import etree

from cap.names import CAP_12, XMLDSIG

MOST_FAULTS = 100  # nobody reads more

_NAMESPACE = re.compile(rf"\{{(?:{re.escape(CAP_12)}|{re.escape(XMLDSIG)})\}}|\bcap:(?=[a-z])")
_UNEXPECTED = "This element is not expected"
_STEP = re.compile(r"/([^/\[\]]+)(?:\[([0-9]+)\])?")


class SchemaFault(NamedTuple):
    """One fault against the schema, and the element it is about. `unexpected`: the element should not stand there."""

    element: etree._Element
    text: str
    value: str = ""
    unexpected: bool = False


def source() -> bytes:
    """The schema document."""
    return (files("cap") / "schema" / "cap12.xsd").read_bytes()


@cache
def _compiled() -> etree.XMLSchema:
    return etree.XMLSchema(etree.fromstring(source()))


def is_valid(root: etree._Element) -> bool:
    """Whether the tree follows the schema. Raises nothing: what libxml2 cannot judge is not valid."""
    try:
        return _compiled().validate(root)
    except etree.XMLSchemaValidateError:
        return False


def faults(root: etree._Element) -> list[SchemaFault]:
    """libxml2's list for a tree that is not valid: of a broken content model it knows the first fault only."""
    # An own compilation (0.2 ms): the log of the shared one belongs to all threads at once.
    schema = etree.XMLSchema(etree.fromstring(source()))
    try:
        schema.validate(root)
    except etree.XMLSchemaValidateError as exc:
        return [SchemaFault(root, str(exc))]
    log: Any = schema.error_log  # a sequence, which its stubs do not say
    entries = (log[number] for number in range(min(len(log), MOST_FAULTS)))
    return [
        SchemaFault(_element(root, entry.path), plain(entry.message), unexpected=_UNEXPECTED in entry.message)
        for entry in entries
    ]


def _element(root: etree._Element, path: str | None) -> etree._Element:
    """The element of a path as libxml2 writes it: /*/*[7]/c:area[3], with the document's own prefixes.

    Walked and not evaluated: an XPath would have to know every prefix that the document declares anywhere.
    """
    found = root
    for name, number in _STEP.findall(path or "")[1:]:
        same = (child for child in found if name in ("*", _qualified(child)))
        child = next(islice(same, int(number or 1) - 1, None), None)
        if child is None:
            break
        found = child
    return found


def _qualified(element: etree._Element) -> str:
    name = etree.QName(element).localname
    return f"{element.prefix}:{name}" if element.prefix else name


def plain(text: str) -> str:
    """A message without namespaces, which every reader of it knows."""
    return " ".join(_NAMESPACE.sub("", text).split())
