"""What a document is that is no alert of CAP 1.2: a feed, a list, an envelope, an older version. Reads no alert."""

from __future__ import annotations

from itertools import islice

from lxml import etree

from cap import edxl
from cap.names import ATOM, CAP_12
from cap.versions import VERSIONS, version_of

_FEEDS = {f"{{{ATOM}}}feed": "Atom", f"{{{ATOM}}}entry": "Atom", "rss": "RSS"}
_RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}RDF"
_MOST = 1_000  # elements looked at
_ALERTS = frozenset(f"{{{namespace}}}alert" for namespace in VERSIONS) | {"alert"}


def what_it_is(root: etree._Element) -> tuple[str, str, tuple[str, ...]]:
    """(rule, cause, facts) by `cap.rules`; the cause is "" where the rule says it all."""
    name = etree.QName(root)
    if name.namespace == CAP_12:
        return _in_cap(root, name.localname)
    if version := version_of(root):
        return "NS", "old", (version,)
    if root.tag in _FEEDS or root.tag == _RDF:
        return "NS", "feed", (_FEEDS.get(root.tag, "RDF"),)
    if edxl.is_envelope(root):
        return "NS", "envelope", (edxl.NAMESPACES[str(name.namespace)], str(_alerts_in(root)))
    if name.localname.lower() == "html":
        return "NS", "page", ()
    if name.localname == "alert":
        return "NS", "", ()
    alerts = _alerts_in(root)
    if alerts > 1 or name.localname.lower() == "alerts":
        return "NS", "list", (name.localname, str(alerts))
    if alerts:
        return "NS", "wrapped", (name.localname,)
    return "NS", "stranger", (name.localname,)


def _in_cap(root: etree._Element, name: str) -> tuple[str, str, tuple[str, ...]]:
    if name.lower() == "alert":
        return "ROOT", "case", (name,)
    if alerts := _alerts_in(root):
        return "ROOT", "list", (name, str(alerts))
    return "ROOT", "", ()


def _alerts_in(root: etree._Element) -> int:
    return sum(1 for element in islice(root.iter(), _MOST) if element is not root and element.tag in _ALERTS)
