"""Rules about resource elements (CAP-v1.2 3.2.3). Checks take one resource."""

from __future__ import annotations

import hashlib
import re

from cap.model import Resource
from cap.rules.row import NOTHING, Findings, Rule, RuleFinding, warning

_TOKEN = r"[A-Za-z0-9!#$&^_.+-]{1,127}"  # noqa: S105 - RFC 6838 4.2, a media type's words
_MIME = re.compile(rf"{_TOKEN}/{_TOKEN}(?:[ \t]*;[ \t]*{_TOKEN}=(?:{_TOKEN}|\"[^\"]*\"))*")
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s]+")
_SHA1 = re.compile(r"[0-9A-Fa-f]{40}")
_HEX = re.compile(r"[0-9a-f]+")
_SUMS = {32: "MD5", 64: "SHA-256", 96: "SHA-384", 128: "SHA-512"}
_SPACE = str.maketrans("", "", " \t\r\n")


def _mime(resource: Resource) -> Findings:
    if _MIME.fullmatch(resource.mime_type):
        return NOTHING
    return (RuleFinding("mimeType", "not a media type", resource.mime_type),)


def _uri(resource: Resource) -> Findings:
    if not resource.uri or resource.deref_uri or _ABSOLUTE.fullmatch(resource.uri):
        return NOTHING
    return (RuleFinding("uri", "a relative address without derefUri leads nowhere", resource.uri),)


def _deref(resource: Resource) -> Findings:
    if resource.deref_uri and resource.content() is None:
        return (RuleFinding("derefUri", "not base64", resource.deref_uri),)
    return NOTHING


def _digest(resource: Resource) -> Findings:
    """A hint about one file, which voids no alert: senders hash the base64 text, another file, or by another sum."""
    if not resource.digest:
        return NOTHING
    given = resource.digest.lower()
    if not _SHA1.fullmatch(given):
        known = _SUMS.get(len(given)) if _HEX.fullmatch(given) else None
        what = f"a {known}, not a SHA-1" if known else "not a SHA-1 of 40 hexadecimal digits"
        return (RuleFinding("digest", what, resource.digest),)
    content = resource.content()
    # The standard's checksum, which proves nothing against an attacker: only ever compared, never trusted.
    if content is None or _sha1(content) == given:
        return NOTHING
    if resource.deref_uri and given in (_sha1(text) for text in _as_text(resource.deref_uri)):
        return (RuleFinding("digest", "the SHA-1 of the base64 text, not of the file", resource.digest),)
    return (RuleFinding("digest", "not the SHA-1 of derefUri", resource.digest),)


def _sha1(content: bytes) -> str:
    return hashlib.sha1(content, usedforsecurity=False).hexdigest()


def _as_text(deref_uri: str) -> tuple[bytes, ...]:
    """The base64 as it stands, and without white space."""
    return deref_uri.encode(), deref_uri.translate(_SPACE).encode()


RESOURCE: tuple[Rule, ...] = (
    warning(
        "R-MIME", "3.2.3 mimeType", "A mimeType is a type and a subtype.", "Write image/jpeg or application/pdf.", _mime
    ),
    warning(
        "R-URI", "3.2.3 uri", "A uri is absolute, or names the content of derefUri.", "Write the address in full.", _uri
    ),
    warning("R-DEREF", "3.2.3 derefUri", "derefUri is base64.", "Encode the file's bytes in base64.", _deref),
    warning(
        "R-DIGEST",
        "3.2.3 digest",
        "A digest is the SHA-1 of the file.",
        "Write 40 hexadecimal digits, or leave it out.",
        _digest,
    ),
)
