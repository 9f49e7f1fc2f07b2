"""The return path that says which message bounced: `bounce+REFERENCE.MAC@domain`.

Pure. The MAC keeps a stranger from writing bounces for messages that he never received.
"""

import hmac

PREFIX = "bounce+"
_LONGEST = 320  # characters of a mailbox (RFC 5321 4.5.3.1)
MAC_OCTETS = 8  # 64 bits, 16 characters: guesses can be tried on us only, one bounce each


def return_path(reference: str, domain: str, key: bytes) -> str:
    """The envelope sender of the message `reference` ([a-z0-9.-]{1,64}).

    The local part keeps to the 64 octets of RFC 5321 4.5.3.1.1 while the reference has at most 40 characters.
    """
    return f"{PREFIX}{reference}.{_mac(reference, key)}@{domain}"


def reference_of(address: str, domain: str, key: bytes) -> str | None:
    """The reference that `address` proves, or None: not a return path of ours, or its MAC is wrong.

    Case is ignored, as relays on the way may have changed it; references are lower case by contract.
    """
    if not address.isascii() or len(address) > _LONGEST:
        return None
    local, _, host = address.lower().rpartition("@")
    if host != domain.lower() or not local.startswith(PREFIX):
        return None
    reference, dot, mac = local[len(PREFIX) :].rpartition(".")
    if not dot or not reference:
        return None
    return reference if hmac.compare_digest(mac.encode(), _mac(reference, key).encode()) else None


def _mac(reference: str, key: bytes) -> str:
    return hmac.digest(key, b"verp\0" + reference.encode(), "sha256")[:MAC_OCTETS].hex()
