"""The key with which the gateway signs what it publishes, and the certificate by which readers know it."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from cap.signing import PrivateKey, sign
from cap.trust import LEAST_EC_BITS, LEAST_RSA_BITS

_SOON = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class FeedKey:
    certificate: x509.Certificate
    key: PrivateKey = field(repr=False)

    def sign(self, document: bytes) -> bytes:
        """The document with a signature. Raises ValueError for what is no CAP 1.2 alert, or is signed already."""
        return sign(document, self.key, self.certificate)

    def warning(self, now_ms: int) -> str:
        """What its reader will hold against the certificate, from 30 days before it ends; empty for nothing.

        It is no fault of the settings: an alert goes out with an expired certificate rather than not at all."""
        start, end = self.certificate.not_valid_before_utc, self.certificate.not_valid_after_utc
        now = datetime.fromtimestamp(now_ms / 1000, UTC)
        if now > end:
            return f"The feed_certificate expired at {end.isoformat()}: readers refuse what it signs."
        if now < start:
            return f"The feed_certificate is not valid before {start.isoformat()}: readers refuse what it signs."
        if end - now < _SOON:
            return f"The feed_certificate expires at {end.isoformat()}: make a new one, and give it to the readers."
        return ""


def read_feed_key(certificate_path: str, key_pem: str) -> FeedKey | None:
    """The key that the settings name; None where neither is given: what is published is not signed then. Raises
    ValueError saying what is wrong."""
    if not certificate_path and not key_pem:
        return None
    if not certificate_path or not key_pem:
        raise ValueError("a feed_certificate and a feed_key belong together")
    try:
        certificate = x509.load_pem_x509_certificate(Path(certificate_path).read_bytes())
    except OSError as exc:
        raise ValueError(f"{certificate_path}: {exc.strerror or exc}") from exc
    except ValueError as exc:
        raise ValueError(f"{certificate_path} holds no certificate in PEM") from exc
    key = _private_key(key_pem)
    if key.public_key() != certificate.public_key():
        raise ValueError("the feed_key is not that of the feed_certificate")
    return FeedKey(certificate, key)


def _private_key(pem: str) -> PrivateKey:
    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError) as exc:
        raise ValueError("the feed_key is no private key in PEM without a password") from exc
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size >= LEAST_RSA_BITS:
        return key
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.key_size >= LEAST_EC_BITS:
        return key
    raise ValueError(f"the feed_key is none of RSA from {LEAST_RSA_BITS} bits or ECDSA from {LEAST_EC_BITS} bits")
