"""The desk of one's own factors: passkeys, a password, TOTP, recovery codes.

Each change ends every other session of the account; what sets up enough makes a full session, with another token, of
one that could only do that.
"""

import hashlib
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated

import msgspec

from gateway.access import second_factor, totp
from gateway.access.hash_jobs import HashPassword
from gateway.access.passkeys import CreationOptions, NotSigned, PasskeyAttestation, encoded
from gateway.access.passwords import LONGEST, guessable, require_length
from gateway.access.rights import Caller
from gateway.access.sealed_secret import BrokenSeal, seal, unseal
from gateway.access.session_book import new_token, token_sha256
from gateway.access.sign_in_desk import recovery_sha256, session_of
from gateway.access.sign_in_parts import CODES_A_DAY, DAY_S, SignInParts, bucket_of, too_many, words
from gateway.errors import Reason, Refusal
from store.access import factors, session_ends, sessions, sign_in_buckets
from store.access.factors import MOST_PASSKEYS, FactorOverview, Person
from store.engine.transaction import Transaction

RECOVERY_CODES = 10
_RECOVERY_BYTES = 10
_ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
"""32 letters and digits that nobody takes for another one: 5 bits each."""
_OFFER_LIFE_MS = 30 * 60_000


class NewPassword(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    password: Annotated[str, msgspec.Meta(max_length=LONGEST)]
    """12 characters at least."""


class TotpConfirmation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    code: Annotated[str, msgspec.Meta(pattern=r"^[0-9]{6}\Z", examples=["123456"])]
    """That the app shows for the secret that was offered."""


class TotpOffer(msgspec.Struct, frozen=True):
    """A secret for an app. It is in force once a code of it was confirmed, within half an hour."""

    secret: str
    """In base 32, to be typed."""
    otpauth: str
    """The same as an address that apps read."""
    qr_path: str
    """The same as a QR code: the `d` of an SVG path, to be stroked with a line of 1."""
    qr_size: int
    """The width and height of its view box."""


class RecoveryCodes(msgspec.Struct, frozen=True):
    """Shown once, to be printed: each signs in once, with the password. Those before are worth nothing."""

    codes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Changed:
    """What became of the session by which a factor was changed."""

    token: str
    """Its new token, where it has become a full session; else empty."""


Change = Callable[[Transaction], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class FactorDesk:
    parts: SignInParts

    async def overview(self, caller: Caller) -> FactorOverview:
        async with self.parts.database.read() as conn:
            return await factors.overview(conn, caller.account_id)

    # ---- passkeys --------------------------------------------------------------------------------------------------

    async def passkey_challenge(self, caller: Caller) -> CreationOptions:
        """Names an account to its authenticator by chance, and the same for all of its passkeys."""
        async with self.parts.database.read() as conn:
            known = await factors.passkeys_of(conn, caller.account_id)
        # Until the first is there, by what any node knows: two challenges at once are about one user.
        handle = known[0].user_handle if known else encoded(self._handle(caller.account_id))
        ids = tuple(one.credential_id for one in known)
        now_ms = self.parts.database.clock.now_ms()
        return self.parts.passkeys.creation(caller.code, caller.name, handle, ids, now_ms)

    def _handle(self, account_id: int) -> bytes:
        return hashlib.sha256(self.parts.key + b" handle " + str(account_id).encode()).digest()

    async def add_passkey(self, caller: Caller, answer: PasskeyAttestation) -> tuple[str, Changed]:
        """(its id, what became of the session). Raises Refusal 422."""
        parts = self.parts
        try:
            challenge, made = await parts.passkeys.made(caller.code, answer, parts.database.clock.now_ms())
        except NotSigned as exc:
            raise _not_made() from exc
        public_id = new_token()[:16]
        async with parts.database.read() as conn:
            known = await factors.passkeys_of(conn, caller.account_id)
        handle = known[0].user_handle if known else encoded(self._handle(caller.account_id))

        async def work(tx: Transaction) -> bool:
            if not await sign_in_buckets.use_challenge(tx, challenge.sha256, challenge.ends_ms):
                raise _not_made()
            added = await factors.add_passkey(
                tx, caller.account_id, caller.code, public_id, credential_id=made.credential_id,
                credential=made.credential, user_handle=handle, name=answer.name, counter=made.counter, by=caller.actor,
            )  # fmt: skip
            if not added:
                title = f"An account has {MOST_PASSKEYS} passkeys at most."
                raise Refusal(409, "too-many-passkeys", title)
            return True

        return public_id, await self._change(caller, work, "passkey-added", (second_factor.PASSKEY,))

    async def remove_passkey(self, caller: Caller, public_id: str) -> None:
        """Raises Refusal: 404, 409 where no way in would be left."""

        async def work(tx: Transaction) -> bool:
            found, person = await _own(tx, caller)
            if public_id not in {one.public_id for one in found.passkeys}:
                raise Refusal(404, "no-such-passkey", "There is no such passkey.")
            if not second_factor.ways_without(found, person.actions, passkey=public_id):
                raise _last_factor()
            return await factors.remove_passkey(tx, caller.account_id, caller.code, public_id, caller.actor)

        await self._change(caller, work, "passkey-removed")

    # ---- password, TOTP, recovery codes ----------------------------------------------------------------------------

    async def set_password(self, caller: Caller, wish: NewPassword) -> Changed:
        """Raises Refusal 422, Later."""
        hash_ = await hashed_password(self.parts, caller.account_id, wish.password)

        async def work(tx: Transaction) -> bool:
            await factors.set_password(tx, caller.account_id, caller.code, hash_, caller.actor)
            return True

        return await self._change(caller, work, "password-changed", (second_factor.PASSWORD,))

    async def offer_totp(self, caller: Caller) -> TotpOffer:
        """Another secret; the one in force stays until this one is confirmed."""
        secret = totp.new_secret()
        sealed = seal(self.parts.seal_key, _owner(caller), secret)
        await self.parts.database.write(lambda tx: factors.offer_totp(tx, caller.account_id, sealed))
        address = totp.otpauth(secret, caller.code)
        path, size = totp.qr_path(address)
        return TotpOffer(totp.shown(secret), address, path, size)

    async def confirm_totp(self, caller: Caller, wish: TotpConfirmation) -> Changed:
        """Raises Refusal 422, Later."""
        parts = self.parts

        async def take(tx: Transaction) -> float:
            return await sign_in_buckets.take(tx, bucket_of("offer", caller.account_id, ""), CODES_A_DAY, DAY_S)

        wait_s = await parts.database.write(take)
        if wait_s:
            raise too_many(wait_s)

        async def work(tx: Transaction) -> bool:
            offered = await factors.offered_totp(tx.conn, caller.account_id)
            if offered is None or tx.now_ms > offered.offered_ms + _OFFER_LIFE_MS:
                raise _wrong_code()
            try:
                secret = unseal(parts.seal_key, _owner(caller), offered.sealed)
            except BrokenSeal as exc:
                raise _wrong_code() from exc
            step = totp.step_of(secret, wish.code, tx.now_ms)
            if step is None:
                raise _wrong_code()
            return await factors.confirm_totp(tx, caller.account_id, caller.code, offered, step, caller.actor)

        return await self._change(caller, work, "totp-added", (second_factor.TOTP,))

    async def remove_totp(self, caller: Caller) -> None:
        """Raises Refusal: 404, 409 where no way in would be left."""

        async def work(tx: Transaction) -> bool:
            found, person = await _own(tx, caller)
            if found.totp_set_ms is None:
                raise Refusal(404, "no-such-factor", "There is no such factor.")
            if not second_factor.ways_without(found, person.actions, totp=True):
                raise _last_factor()
            return await factors.remove_totp(tx, caller.account_id, caller.code, caller.actor)

        await self._change(caller, work, "totp-removed")

    async def make_recovery_codes(self, caller: Caller) -> RecoveryCodes:
        codes = tuple(_recovery_code() for _ in range(RECOVERY_CODES))

        async def work(tx: Transaction) -> bool:
            sha256s = [recovery_sha256(code) for code in codes]
            await factors.put_recovery_codes(tx, caller.account_id, caller.code, sha256s, caller.actor)
            return True

        await self._change(caller, work, "recovery-codes-made")
        return RecoveryCodes(codes)

    # ---- what follows from each ------------------------------------------------------------------------------------

    async def _change(self, caller: Caller, change: Change, event: str, shown: tuple[str, ...] = ()) -> Changed:
        """`event`: what its owner is told, who may not have done it; `shown`: the factors that the change itself has
        shown."""
        own = session_of(caller)

        async def work(tx: Transaction) -> Changed:
            await change(tx)
            await session_ends.end_others(tx, caller.account_id, own.number, session_ends.FACTORS, caller.actor)
            if not own.enrol_only:
                await self.parts.tell(tx, caller.account_id, event)
            found, person = await _own(tx, caller)
            if not (own.enrol_only and _is_enough(found, person)):
                return Changed("")
            before = (factor for factor in own.factors if factor != second_factor.INVITATION)
            token, all_shown = new_token(), tuple(dict.fromkeys((*before, *_set_up(found, shown))))
            renewed = await sessions.renew(
                tx,
                own.number,
                token_sha256(token),
                words(all_shown),
                seen_factor_ms=own.factor_ms,
                life_ms=self.parts.life_ms,
            )
            return Changed(token if renewed else "")

        try:
            return await self.parts.database.write(work)
        finally:
            self.parts.book.forget(caller.account_id)


async def _own(tx: Transaction, caller: Caller) -> tuple[FactorOverview, Person]:
    person = await factors.person(tx.conn, caller.account_id)
    assert person is not None
    return await factors.overview(tx.conn, caller.account_id), person


def _is_enough(found: FactorOverview, person: Person) -> bool:
    return second_factor.has_ways_in(
        passkeys=len(found.passkeys),
        password=found.password_set_ms is not None,
        totp=found.totp_set_ms is not None,
        actions=person.actions,
    )


def _set_up(found: FactorOverview, shown: tuple[str, ...]) -> tuple[str, ...]:
    """A password and an app's code were each shown when they were set up, here or in the sign-in before."""
    both = found.password_set_ms is not None and found.totp_set_ms is not None
    return (second_factor.PASSWORD, second_factor.TOTP) if both and second_factor.PASSKEY not in shown else shown


async def hashed_password(parts: SignInParts, account_id: int, password: str) -> str:
    """The hash of a new password. Raises Refusal 422 where it is weak, Later."""
    require_length(password)
    async with parts.database.read() as conn:
        person = await factors.person(conn, account_id)
        around = await factors.names_around(conn, account_id)
    own = [] if person is None else [person.name, person.code, person.email.partition("@")[0]]

    outcome = await parts.hashing.run(HashPassword(password, (*own, *around)))
    if not outcome.hash:
        raise guessable()
    return outcome.hash


def _recovery_code() -> str:
    number = int.from_bytes(secrets.token_bytes(_RECOVERY_BYTES), "big")
    letters = "".join(_ALPHABET[number >> 5 * place & 31] for place in range(_RECOVERY_BYTES * 8 // 5))
    return "-".join(letters[at : at + 4] for at in range(0, len(letters), 4))


def _owner(caller: Caller) -> str:
    return f"totp {caller.account_id}"


def _not_made() -> Refusal:
    remedy = "Ask for a new challenge, and make the passkey again."
    reason = Reason("PASSKEY", "It does not answer this site's challenge.", remedy=remedy, cause="made")
    return Refusal(422, "passkey-refused", "This passkey cannot be used here.", (reason,))


def _wrong_code() -> Refusal:
    remedy = "Wait for the next code. If none is right, set the telephone's clock."
    reason = Reason(
        "TOTP", "It is no code of the secret that was offered.", remedy=remedy, cause="code", pointer="/code"
    )
    return Refusal(422, "wrong-code", "This code is not right.", (reason,))


def _last_factor() -> Refusal:
    return Refusal(
        409, "last-factor", "Without this factor nobody could sign in to this account: set up another first."
    )
