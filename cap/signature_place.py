"""Where an XML signature may stand in an alert (CAP-v1.2 3.3.4.1). Verifies nothing and trusts nobody.

The schema is no help here: libxml2 lets an info stand behind the signature, which then does not look signed.
"""

from __future__ import annotations

from typing import NamedTuple

from lxml import etree

from cap.names import SIGNATURE, XMLDSIG


class SignatureFinding(NamedTuple):
    """A rule broken by, or told of, an element."""

    rule: str
    element: etree._Element
    text: str


def findings(root: etree._Element) -> list[SignatureFinding]:
    """What there is to say about the signatures of a document; nothing for one without."""
    if next(root.iter(f"{{{XMLDSIG}}}*"), None) is None:
        return []
    signatures = list(root.iter(SIGNATURE))
    return [*_misplaced(root, signatures), *_strangers(root), *_remarks(signatures)]


def _misplaced(root: etree._Element, signatures: list[etree._Element]) -> list[SignatureFinding]:
    found = [
        SignatureFinding("S-PLACE", signature, "the signature is not a child of alert")
        for signature in signatures
        if signature.getparent() is not root
    ]
    last = True
    for child in root.iterchildren(reversed=True):
        if child.tag != SIGNATURE:
            last = False
        elif not last:
            found.append(SignatureFinding("S-PLACE", child, "something stands behind the signature"))
    return found


def _strangers(root: etree._Element) -> list[SignatureFinding]:
    return [
        SignatureFinding("S-CHILD", child, f"ds:{etree.QName(child).localname} is not a signature")
        for child in root.iterchildren(f"{{{XMLDSIG}}}*")
        if child.tag != SIGNATURE
    ]


def _remarks(signatures: list[etree._Element]) -> list[SignatureFinding]:
    found = [
        SignatureFinding("S-UNVERIFIED", signature, "the signature was not verified") for signature in signatures[:1]
    ]
    if len(signatures) > 1:
        found.append(SignatureFinding("S-COUNT", signatures[1], f"the alert has {len(signatures)} signatures"))
    return found
