"""Bytes -> a tree that is safe to look at, or the one reason why not. Knows XML and its traps, and no CAP.

The parser is closed: no entity, no DTD, no network, no huge text; a new one for every call. A schema is never given
to the parser: libxml2 then dies of a 49-byte document with an entity in it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from lxml import etree

from cap.limits import Limits, excess
from cap.locate import path_of, source_line
from cap.rules.causes import CAUSES

# Encodings in which the parser and everybody downstream read the same characters. libxml2 would also read
# UTF-7 and UTF-32, which hide markup from whoever looks at the bytes.
ENCODINGS = frozenset(
    {
        "utf-8", "utf8", "us-ascii", "ascii", "utf-16", "utf-16le", "utf-16be",
        "iso-8859-1", "latin1", "iso-8859-15", "windows-1252", "cp1252",
    }
)  # fmt: skip


class UnreadableDocument(NamedTuple):
    """Why a document is not looked at any further."""

    rule: str
    text: str = ""
    path: str = "/"
    line: int | None = None
    value: str = ""
    cause: str = ""
    facts: tuple[str, ...] = ()

    @property
    def why(self) -> str:
        """In words."""
        return CAUSES[f"{self.rule}/{self.cause}"].text.format(*self.facts) if self.cause else self.text


def tree(document: bytes, limits: Limits) -> etree._Element | UnreadableDocument:
    """The root element, without comments and processing instructions. Never raises for any bytes."""
    if len(document) > limits.max_bytes:
        return UnreadableDocument("XML-LIMIT", cause="bytes", facts=(str(len(document)), str(limits.max_bytes)))
    try:
        root = etree.fromstring(document, _parser())
    except etree.XMLSyntaxError as exc:
        cause, facts = _cause_of(document, exc)
        return UnreadableDocument(_rule_of(exc), str(exc), line=exc.lineno or None, cause=cause, facts=facts)
    except (LookupError, ValueError) as exc:  # libxml2 gave a name or a text that is no string: not XML either
        return UnreadableDocument("XML-WF", str(exc))
    return _unsafe(document, root, limits) or root


def _rule_of(exc: etree.XMLSyntaxError) -> str:
    """What would mend it: libxml2 also stops at entities of entities, and at texts and depths beyond its own limits."""
    code: int = getattr(exc, "code", 0)  # which its stubs do not say
    if code == etree.ErrorTypes.ERR_ENTITY_LOOP or "entity amplification" in exc.msg:
        return "XML-DTD"
    return "XML-LIMIT" if code == etree.ErrorTypes.ERR_RESOURCE_LIMIT else "XML-WF"


def _cause_of(document: bytes, exc: etree.XMLSyntaxError) -> tuple[str, tuple[str, ...]]:
    """(cause, facts) by `cap.rules.causes`; none where libxml2's own words are the best there are."""
    if _rule_of(exc) != "XML-WF":
        return ("depth", (exc.msg or "",)) if _rule_of(exc) == "XML-LIMIT" else ("", ())
    if stranger := _stranger(document):
        return stranger
    name = re.search(r"(?:'|prefix )([^' ]{1,60})['\s]", exc.msg or "")
    cause = _CODES.get(getattr(exc, "code", 0), "")
    if cause in ("entity", "prefix"):
        return (cause, (name[1],)) if name else ("", ())
    return cause, ((exc.msg or "").partition(", line")[0],) if cause == "closing" else ()


def _stranger(document: bytes) -> tuple[str, tuple[str, ...]] | None:
    """What stands where the XML should begin, of a document whose bytes show its first characters."""
    if document[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in document[:4]:
        return None
    text = document.removeprefix(b"\xef\xbb\xbf")
    if not text.strip():
        return "empty", ()
    before, angle, after = text.partition(b"<")
    shown = before[:_SHOWN].decode("latin-1").strip()
    if not angle:
        return ("json", ()) if shown[:1] in ("{", "[") else ("text", (shown,))
    if shown[:1] in ("{", "["):
        return "json", ()
    if shown or (before and after.startswith(b"?xml")):
        return "before", (shown or "white space",)
    return None


_SHOWN = 60
_ERRORS = etree.ErrorTypes
_CODES: Mapping[int, str] = {
    _ERRORS.ERR_DOCUMENT_END: "after",
    _ERRORS.ERR_NAME_REQUIRED: "ampersand",
    _ERRORS.ERR_ENTITYREF_SEMICOL_MISSING: "ampersand",
    _ERRORS.ERR_ENTITYREF_NO_NAME: "ampersand",
    _ERRORS.ERR_UNDECLARED_ENTITY: "entity",
    _ERRORS.WAR_UNDECLARED_ENTITY: "entity",
    _ERRORS.ERR_TAG_NAME_MISMATCH: "closing",
    _ERRORS.ERR_TAG_NOT_FINISHED: "closing",
    _ERRORS.ERR_GT_REQUIRED: "closing",
    _ERRORS.NS_ERR_UNDEFINED_NAMESPACE: "prefix",
    _ERRORS.ERR_INVALID_ENCODING: "bytes",
    _ERRORS.ERR_INVALID_CHAR: "character",
    _ERRORS.I18N_CONV_FAILED: "bytes",
}


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


def _unsafe(document: bytes, root: etree._Element, limits: Limits) -> UnreadableDocument | None:
    info = root.getroottree().docinfo
    if info.internalDTD is not None or info.externalDTD is not None:
        return UnreadableDocument("XML-DTD", "the document has a DOCTYPE", line=1)
    if (info.encoding or "UTF-8").lower() not in ENCODINGS:
        return UnreadableDocument(
            "XML-ENC", f"the encoding {info.encoding} is not accepted", line=1, value=info.encoding or ""
        )
    found = excess(document, root, limits)
    if found is None:
        return None
    return UnreadableDocument(
        "XML-LIMIT", path=path_of(found.element), line=source_line(found.element), cause=found.cause, facts=found.facts
    )
