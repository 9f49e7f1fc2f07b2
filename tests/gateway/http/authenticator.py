"""A person with a browser, an app for codes and an authenticator in software, whose keys and signatures are real."""

import base64
import hashlib
import json
import secrets
from dataclasses import dataclass, field
from typing import Any

import pyotp
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from fido2 import cbor

from gateway.access import totp
from store.access import accounts, factors, invitations
from store.audit_line import SERVER
from store.engine.transaction import Transaction
from store.tables import account
from tests.gateway.http.doorway import Answer, Doorway

PASSWORD = "kaars gitaar vijver tram"
ORIGIN = "http://localhost:1"


@dataclass
class Authenticator:
    """One passkey, as a telephone keeps it."""

    origin: str = ORIGIN
    host: str = "localhost"
    verified: bool = True
    counter: int = 0
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    credential_id: bytes = field(default_factory=lambda: secrets.token_bytes(32))

    def make(self, options: dict[str, Any], **changes: str) -> dict[str, str]:
        """What `navigator.credentials.create` gives for these options."""
        numbers = self.key.public_key().public_numbers()
        cose = {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")}
        credential = bytes(16) + len(self.credential_id).to_bytes(2, "big") + self.credential_id + cbor.encode(cose)
        attestation = {"fmt": "none", "attStmt": {}, "authData": self._data(0x40) + credential}
        said = {
            "client_data": b64(self._client_data("webauthn.create", options["challenge"])),
            "attestation": b64(cbor.encode(attestation)),
            "name": "telephone",
        }
        return said | changes

    def sign(self, challenge: str, **changes: str) -> dict[str, str]:
        """What `navigator.credentials.get` gives for this challenge."""
        self.counter += 1
        client_data, data = self._client_data("webauthn.get", challenge), self._data()
        signature = self.key.sign(data + hashlib.sha256(client_data).digest(), ec.ECDSA(hashes.SHA256()))
        said = {
            "credential_id": b64(self.credential_id),
            "client_data": b64(client_data),
            "authenticator_data": b64(data),
            "signature": b64(signature),
        }
        return said | changes

    def _client_data(self, kind: str, challenge: str) -> bytes:
        return json.dumps({"type": kind, "challenge": challenge, "origin": self.origin}).encode()

    def _data(self, flags: int = 0) -> bytes:
        flags |= 0x01 | (0x04 if self.verified else 0)
        return hashlib.sha256(self.host.encode()).digest() + bytes([flags]) + self.counter.to_bytes(4, "big")


@dataclass
class Browser:
    """One browser: its cookie, and what browsers say of where a request comes from."""

    door: Doorway
    cookie: str = ""
    headers: dict[str, str] = field(default_factory=lambda: {"Sec-Fetch-Site": "same-origin"})

    async def ask(self, method: str, path: str, body: object = None, **headers: str) -> Answer:
        cookie = {"Cookie": f"tocsin={self.cookie}"} if self.cookie else {}
        given = {} if body is None else {"json": body}
        answer = await self.door.ask(method, path, headers=self.headers | cookie | headers, **given)
        if "Set-Cookie" in answer.headers:
            self.cookie = answer.headers["Set-Cookie"].partition(";")[0].partition("=")[2]
        return answer

    async def get(self, path: str, **headers: str) -> Answer:
        return await self.ask("GET", path, **headers)

    async def post(self, path: str, body: object = None, **headers: str) -> Answer:
        return await self.ask("POST", path, body, **headers)

    async def challenge(self) -> str:
        answer = await self.post("/api/v1/sessions/passkey/challenge")
        return str(answer.json["public_key"]["challenge"])

    async def sign_in(self, name: str, password: str = PASSWORD, code: str = "") -> Answer:
        body = {"account": name, "password": password, "code": code}
        return await self.post("/api/v1/sessions/password", body)

    async def sign_in_by(self, passkey: Authenticator) -> Answer:
        return await self.post("/api/v1/sessions/passkey", passkey.sign(await self.challenge()))

    async def add_passkey(self, passkey: Authenticator) -> Answer:
        options = (await self.post("/api/v1/me/passkeys/challenge")).json["public_key"]
        return await self.post("/api/v1/me/passkeys", passkey.make(options))


@dataclass
class App:
    """An app for codes, whose clock may be wrong. It never shows the same code twice: steps are counted from now."""

    secret: str
    clock_off_s: int = 0

    def code(self, door: Doorway, steps: int = 0) -> str:
        now_s = door.house.database.clock.now_ms() // 1000 + self.clock_off_s
        return pyotp.TOTP(self.secret).generate_otp(now_s // totp.STEP_S + steps)


async def invited(door: Doorway, code: str) -> Browser:
    """A browser in which somebody has accepted an invitation to an account."""
    number = await id_of(door, code)
    made = await door.house.database.write(lambda tx: invitations.make(tx, number))
    browser = Browser(door)
    accepted = await browser.post("/api/v1/invitations/accept", {"token": made.token})
    assert accepted.status == 201, accepted.body
    return browser


async def with_app(door: Doorway, code: str) -> tuple[Browser, App]:
    """Somebody who was invited and has set up a password and an app: signed in."""
    browser = await invited(door, code)
    assert (await browser.ask("PUT", "/api/v1/me/password", {"password": PASSWORD})).status == 200
    app = App((await browser.post("/api/v1/me/totp")).json["secret"])
    # By the step before, so that the code of now is good still.
    confirmed = await browser.post("/api/v1/me/totp/confirm", {"code": app.code(door, -1)})
    assert confirmed.status == 200, confirmed.body
    return browser, app


async def with_passkey(door: Doorway, code: str) -> tuple[Browser, Authenticator]:
    """Somebody who was invited and has made a passkey: signed in."""
    browser, passkey = await invited(door, code), Authenticator()
    added = await browser.add_passkey(passkey)
    assert added.status == 201, added.body
    return browser, passkey


async def id_of(door: Doorway, code: str) -> int:
    async with door.house.database.read() as conn:
        found = await accounts.id_of(conn, code)
    assert found is not None
    return found


async def give_mail(door: Doorway, code: str, mail: str) -> None:
    async def work(tx: Transaction) -> None:
        await tx.run(account.update().where(account.c.code == code).values(email=mail))

    await door.house.database.write(work)


async def give_password(door: Doorway, code: str, hash_: str) -> None:
    number = await id_of(door, code)
    await door.house.database.write(lambda tx: factors.set_password(tx, number, code, hash_, SERVER))


def b64(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()
