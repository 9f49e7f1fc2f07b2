"""A passkey in software: makes a key pair for a site and signs its challenges, as a phone's authenticator does
(WebAuthn level 3, 6.5 and 8.7: attestation `none`). Its answers are in base64url, as the gateway takes them."""

import base64
import hashlib
import json
import secrets
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from fido2.cose import ES256
from fido2.webauthn import AttestationObject, AttestedCredentialData, AuthenticatorData

_NOBODY = bytes(16)
"""The model of an authenticator that does not say what it is."""
_SHOWN = AuthenticatorData.FLAG.UP | AuthenticatorData.FLAG.UV
"""Its owner was there, and was verified."""


@dataclass(slots=True)
class Authenticator:
    """One passkey of one site. `origin` is what the browser would say of the page."""

    origin: str
    flags: AuthenticatorData.FLAG = _SHOWN
    counter: int = 0
    credential_id: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    _key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    @property
    def saved(self) -> dict[str, str]:
        """All of it, for another process."""
        form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        return {
            "origin": self.origin,
            "credential_id": self.credential_id.hex(),
            "key": self._key.private_bytes(*form).decode(),
        }

    @classmethod
    def of_saved(cls, saved: dict[str, str]) -> "Authenticator":
        key = serialization.load_pem_private_key(saved["key"].encode(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        return cls(saved["origin"], credential_id=bytes.fromhex(saved["credential_id"]), _key=key)

    def created(self, options: dict[str, Any]) -> dict[str, str]:
        """What `navigator.credentials.create` answers to these options."""
        known = AttestedCredentialData.create(_NOBODY, self.credential_id, _cose(self._key))
        flags = self.flags | AuthenticatorData.FLAG.AT
        data = AuthenticatorData.create(_sha256(options["rp"]["id"]), flags, self.counter, known)
        return {
            "client_data": encoded(self._client_data("webauthn.create", options["challenge"])),
            "attestation": encoded(AttestationObject.create("none", data, {})),
        }

    def asserted(self, options: dict[str, Any]) -> dict[str, str]:
        """What `navigator.credentials.get` answers to these options."""
        self.counter += 1
        client_data = self._client_data("webauthn.get", options["challenge"])
        data = AuthenticatorData.create(_sha256(options["rpId"]), self.flags, self.counter)
        signed = self._key.sign(data + hashlib.sha256(client_data).digest(), ec.ECDSA(hashes.SHA256()))
        return {
            "credential_id": encoded(self.credential_id),
            "client_data": encoded(client_data),
            "authenticator_data": encoded(data),
            "signature": encoded(signed),
        }

    def _client_data(self, kind: str, challenge: str) -> bytes:
        said = {"type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": False}
        return json.dumps(said).encode()


def _cose(key: ec.EllipticCurvePrivateKey) -> ES256:
    made: ES256 = ES256.from_cryptography_key(key.public_key())  # type: ignore[no-untyped-call]
    return made


def encoded(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def _sha256(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
