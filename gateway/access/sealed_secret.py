"""Secrets that must be read again, sealed at rest: AES-256-GCM under a key of this store's own, bound to whose they
are."""

import base64
import secrets

_NONCE = 12


class BrokenSeal(Exception):
    """It was sealed under another key, for somebody else, or was changed."""


def seal(key: bytes, owner: str, secret: bytes) -> str:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = secrets.token_bytes(_NONCE)
    return base64.urlsafe_b64encode(nonce + AESGCM(key).encrypt(nonce, secret, owner.encode())).decode()


def unseal(key: bytes, owner: str, sealed: str) -> bytes:
    """Raises BrokenSeal."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        octets = base64.urlsafe_b64decode(sealed)
        return AESGCM(key).decrypt(octets[:_NONCE], octets[_NONCE:], owner.encode())
    except (InvalidTag, ValueError) as exc:
        raise BrokenSeal(owner) from exc
