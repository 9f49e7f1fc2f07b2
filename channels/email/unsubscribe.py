"""The token of a mail's unsubscribe link (RFC 8058): it names the message, and proves that we wrote it.

Pure. Whoever has the mail may take its addressee off the list; nobody else can, for the MAC is of the store's key.
"""

import hmac
import re

PLACEHOLDER = "{token}"
_MAC_OCTETS = 16
_FORM = re.compile(r"([a-z0-9.-]{1,64})\.([0-9a-f]{32})")


def token(reference: str, key: bytes) -> str:
    """Of the message `reference` ([a-z0-9.-]{1,64}), at most 97 characters of the same letters."""
    return f"{reference}.{_mac(reference, key)}"


def reference_of(text: str, key: bytes) -> str | None:
    """The reference that a token proves, or None."""
    match = _FORM.fullmatch(text)
    if match is None or not hmac.compare_digest(match[2], _mac(match[1], key)):
        return None
    return match[1]


def _mac(reference: str, key: bytes) -> str:
    return hmac.digest(key, b"unsubscribe\0" + reference.encode(), "sha256")[:_MAC_OCTETS].hex()
