"""Bytes -> a tree that is safe to look at, or the one reason why not. Knows XML and its traps, and no CAP.

The parser is closed: no entity, no DTD, no network, no huge text; a new one for every call. A schema is never given
to the parser: libxml2 then dies of a 49-byte document with an entity in it.
"""

from __future__ import annotations

from typing import NamedTuple

from lxml import etree

from cap.limits import Limits, excess
from cap.locate import path_of, source_line

# Encodings in which the parser and everybody downstream read the same characters. libxml2 would also read
# UTF-7 and UTF-32, which hide markup from whoever looks at the bytes.
ENCODINGS = frozenset(
    {
        "utf-8", "utf8", "us-ascii", "ascii", "utf-16", "utf-16le", "utf-16be",
        "iso-8859-1", "latin1", "iso-8859-15", "windows-1252", "cp1252",
    }
)  # fmt: skip


class Refused(NamedTuple):
    """Why a document is not looked at any further."""

    rule: str
    text: str
    path: str = "/"
    line: int | None = None
    value: str = ""


def tree(document: bytes, limits: Limits) -> etree._Element | Refused:
    """The root element, without comments and processing instructions. Never raises for any bytes."""
    if len(document) > limits.max_bytes:
        return Refused("XML-LIMIT", f"{len(document)} bytes; the limit is {limits.max_bytes}")
    try:
        root = etree.fromstring(document, _parser())
    except etree.XMLSyntaxError as exc:
        return Refused(_rule_of(exc), str(exc), line=exc.lineno or None)
    except (LookupError, ValueError) as exc:  # libxml2 gave a name or a text that is no string: not XML either
        return Refused("XML-WF", str(exc))
    return _unsafe(document, root, limits) or root


def _rule_of(exc: etree.XMLSyntaxError) -> str:
    """What would mend it: libxml2 also stops at entities of entities, and at texts and depths beyond its own limits."""
    code: int = getattr(exc, "code", 0)  # which its stubs do not say
    if code == etree.ErrorTypes.ERR_ENTITY_LOOP or "entity amplification" in exc.msg:
        return "XML-DTD"
    return "XML-LIMIT" if code == etree.ErrorTypes.ERR_RESOURCE_LIMIT else "XML-WF"


def has_asides(document: bytes) -> bool:
    """Whether comments or processing instructions stand inside the document element of a document that `tree` took."""
    root = etree.fromstring(document, _parser(asides=True))
    return next(root.iter(etree.Comment, etree.ProcessingInstruction), None) is not None


def _parser(*, asides: bool = False) -> etree.XMLParser:
    return etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        attribute_defaults=False,
        huge_tree=False,
        recover=False,
        # A comment inside <identifier> would otherwise show one text to us and another to a signature.
        remove_comments=not asides,
        remove_pis=not asides,
    )


def _unsafe(document: bytes, root: etree._Element, limits: Limits) -> Refused | None:
    info = root.getroottree().docinfo
    if info.internalDTD is not None or info.externalDTD is not None:
        return Refused("XML-DTD", "the document has a DOCTYPE", line=1)
    if (info.encoding or "UTF-8").lower() not in ENCODINGS:
        return Refused("XML-ENC", f"the encoding {info.encoding} is not accepted", line=1, value=info.encoding or "")
    found = excess(document, root, limits)
    if found is None:
        return None
    element, text = found
    return Refused("XML-LIMIT", text, path_of(element), source_line(element))
