"""Passkeys (WebAuthn): challenges that need no row until they are used, and what an authenticator signed.

A challenge carries its end and a MAC of this store's key: any node knows it as its own. That it is used once is a row's
to say. The library is loaded with the first answer, off the event loop.
"""

import asyncio
import base64
import hashlib
import hmac
import secrets
import sys
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec

from gateway.access.sign_in_site import SignInSite

LIFE_MS = 5 * 60_000
_RANDOM, _END, _MAC = 16, 8, 32
_ALGORITHMS = (-8, -7, -257)
"""COSE: Ed25519, ES256, RS256."""

Base64Url = Annotated[str, msgspec.Meta(min_length=1, max_length=8_192, pattern=r"^[A-Za-z0-9_-]+\Z")]


class PasskeyAssertion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `navigator.credentials.get` gave: each part in base64url without padding."""

    credential_id: Base64Url
    """`rawId`."""
    client_data: Base64Url
    """`response.clientDataJSON`."""
    authenticator_data: Base64Url
    """`response.authenticatorData`."""
    signature: Base64Url
    """`response.signature`."""


class PasskeyAttestation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What `navigator.credentials.create` gave: each part in base64url without padding."""

    client_data: Base64Url
    """`response.clientDataJSON`."""
    attestation: Base64Url
    """`response.attestationObject`."""
    name: Annotated[str, msgspec.Meta(max_length=100)] = ""
    """How its owner calls it."""


class RelyingParty(msgspec.Struct, frozen=True):
    id: str
    name: str


class PasskeyUser(msgspec.Struct, frozen=True):
    id: str
    name: str
    display_name: str = msgspec.field(name="displayName")


class CredentialKind(msgspec.Struct, frozen=True):
    alg: int
    type: Literal["public-key"] = "public-key"


class KnownCredential(msgspec.Struct, frozen=True):
    id: str
    type: Literal["public-key"] = "public-key"


class AuthenticatorWish(msgspec.Struct, frozen=True):
    resident_key: str = msgspec.field(name="residentKey", default="required")
    require_resident_key: bool = msgspec.field(name="requireResidentKey", default=True)
    user_verification: str = msgspec.field(name="userVerification", default="required")


class RequestOptions(msgspec.Struct, frozen=True):
    """For `PublicKeyCredential.parseRequestOptionsFromJSON`, and its outcome for `navigator.credentials.get` as
    `publicKey`."""

    challenge: str
    rp_id: str = msgspec.field(name="rpId")
    timeout: int = LIFE_MS
    user_verification: str = msgspec.field(name="userVerification", default="required")


class CreationOptions(msgspec.Struct, frozen=True):
    """For `PublicKeyCredential.parseCreationOptionsFromJSON`, and its outcome for `navigator.credentials.create` as
    `publicKey`."""

    rp: RelyingParty
    user: PasskeyUser
    challenge: str
    kinds: tuple[CredentialKind, ...] = msgspec.field(name="pubKeyCredParams")
    known: tuple[KnownCredential, ...] = msgspec.field(name="excludeCredentials")
    wish: AuthenticatorWish = msgspec.field(name="authenticatorSelection", default=AuthenticatorWish())
    timeout: int = LIFE_MS
    attestation: str = "none"


class NotSigned(Exception):
    """An answer of an authenticator that is none to this challenge, of this site or by this passkey."""


class SignedChallenge(msgspec.Struct, frozen=True):
    """The challenge that was answered: ours and in time, to be used once."""

    sha256: str
    ends_ms: int


class NewCredential(msgspec.Struct, frozen=True):
    credential_id: str
    credential: bytes
    counter: int


@dataclass(frozen=True, slots=True)
class Passkeys:
    site: SignInSite
    key: bytes
    """Of this store: all its nodes have the same."""

    def request(self, now_ms: int) -> RequestOptions:
        """What a browser needs to sign in, unlock or show a fresh factor: any passkey of this site."""
        return RequestOptions(encoded(self._challenge("assert", now_ms)), self.site.passkey_host)

    def creation(self, owner: str, name: str, handle: str, known: tuple[str, ...], now_ms: int) -> CreationOptions:
        """What a browser needs to make a passkey; none where the authenticator has one of the `known`. `owner`: whose
        session it is."""
        return CreationOptions(
            rp=RelyingParty(self.site.passkey_host, "Tocsin"),
            user=PasskeyUser(handle, owner, name or owner),
            challenge=encoded(self._challenge(f"create {owner}", now_ms)),
            kinds=tuple(map(CredentialKind, _ALGORITHMS)),
            known=tuple(map(KnownCredential, known)),
        )

    async def signed(self, answer: PasskeyAssertion, credential: bytes, now_ms: int) -> tuple[SignedChallenge, int]:
        """The challenge that was answered by this passkey with its owner verified, and its counter. Raises
        NotSigned."""
        challenge = challenge_in(answer.client_data)
        found = self.own(challenge, "assert", now_ms)
        return found, await asyncio.to_thread(self._verified, answer, credential, challenge)

    async def made(self, owner: str, answer: PasskeyAttestation, now_ms: int) -> tuple[SignedChallenge, NewCredential]:
        """The passkey that was made for this owner's challenge. Raises NotSigned."""
        challenge = challenge_in(answer.client_data)
        found = self.own(challenge, f"create {owner}", now_ms)
        return found, await asyncio.to_thread(self._registered, answer, challenge)

    def own(self, challenge: bytes, purpose: str, now_ms: int) -> SignedChallenge:
        """Raises NotSigned where it is none of ours for this purpose, or its time is over."""
        body, mac = challenge[: _RANDOM + _END], challenge[_RANDOM + _END :]
        if not hmac.compare_digest(self._mac(purpose, body), mac):
            raise NotSigned("a challenge of somebody else")
        ends_ms = int.from_bytes(body[_RANDOM:], "big")
        if ends_ms <= now_ms:
            raise NotSigned("its time is over")
        return SignedChallenge(hashlib.sha256(challenge).hexdigest(), ends_ms)

    def _challenge(self, purpose: str, now_ms: int) -> bytes:
        body = secrets.token_bytes(_RANDOM) + (now_ms + LIFE_MS).to_bytes(_END, "big")
        return body + self._mac(purpose, body)

    def _mac(self, purpose: str, body: bytes) -> bytes:
        return hmac.digest(self.key, b"challenge " + purpose.encode() + b" " + body, "sha256")

    # ---- the library's part, in a thread ---------------------------------------------------------------------------

    def _verified(self, answer: PasskeyAssertion, credential: bytes, challenge: bytes) -> int:
        from fido2.webauthn import AttestedCredentialData, AuthenticatorData

        said = {
            "id": answer.credential_id,
            "rawId": answer.credential_id,
            "type": "public-key",
            "response": {
                "clientDataJSON": answer.client_data,
                "authenticatorData": answer.authenticator_data,
                "signature": answer.signature,
            },
        }
        try:
            known = AttestedCredentialData(credential)
            self._server().authenticate_complete(_state(challenge), [known], said)
            return AuthenticatorData(decoded(answer.authenticator_data)).counter
        except Exception as exc:  # of a hand-made answer the library's parsers raise whatever they meet
            raise NotSigned(str(exc)[:200]) from exc

    def _registered(self, answer: PasskeyAttestation, challenge: bytes) -> NewCredential:
        said = {
            "id": "",
            "rawId": "",
            "type": "public-key",
            "response": {"clientDataJSON": answer.client_data, "attestationObject": answer.attestation},
        }
        try:
            made = self._server().register_complete(_state(challenge), said)
            found = made.credential_data
            if found is None or found.public_key.get(3) not in _ALGORITHMS:
                raise NotSigned("a key of a kind that was not asked for")
            return NewCredential(encoded(found.credential_id), bytes(found), made.counter)
        except Exception as exc:  # as above
            raise NotSigned(str(exc)[:200]) from exc

    def _server(self) -> Any:
        from fido2.server import Fido2Server
        from fido2.webauthn import AttestationConveyancePreference, PublicKeyCredentialRpEntity

        party = PublicKeyCredentialRpEntity(id=self.site.passkey_host, name="Tocsin")
        return Fido2Server(party, AttestationConveyancePreference.NONE, verify_origin=self.site.is_own)


def is_loaded() -> bool:
    return "fido2.server" in sys.modules


def load_library() -> None:
    """What the first answer would wait more than a second for."""
    import fido2.server  # noqa: F401


def _state(challenge: bytes) -> dict[str, Any]:
    from fido2.webauthn import UserVerificationRequirement

    return {"challenge": encoded(challenge), "user_verification": UserVerificationRequirement.REQUIRED}


def challenge_in(client_data: str) -> bytes:
    """The challenge that a browser says was answered. Raises NotSigned."""
    try:
        said = msgspec.json.decode(decoded(client_data), type=_ClientData)
        return decoded(said.challenge)
    except (ValueError, msgspec.DecodeError) as exc:
        raise NotSigned("no client data") from exc


class _ClientData(msgspec.Struct, frozen=True):
    challenge: str


def encoded(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def decoded(text: str) -> bytes:
    """Raises ValueError."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
