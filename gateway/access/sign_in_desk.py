"""The desk of signing in: a password with a code, a passkey, a recovery code; unlocking, and factors shown afresh.

Whoever guesses learns nothing: the same work, the same words for an account that there is not, a password that is wrong
and a code that is wrong. Nobody can lock an account's owner out of a passkey.
"""

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, TypeVar

import msgspec

from gateway.access import second_factor
from gateway.access.addresses import normal_email
from gateway.access.hash_jobs import CheckPassword
from gateway.access.keys import Stranger
from gateway.access.passkeys import (
    NotSigned,
    PasskeyAssertion,
    RequestOptions,
    SignedChallenge,
    is_loaded,
    load_library,
)
from gateway.access.passwords import LONGEST
from gateway.access.rights import Caller, SessionFacts
from gateway.access.sealed_secret import BrokenSeal, unseal
from gateway.access.session_book import new_token, token_sha256
from gateway.access.sign_in_parts import (
    CODES_A_DAY,
    DAY_S,
    PASSWORDS_A_DAY,
    OpenedSession,
    SignInParts,
    Visit,
    bucket_of,
    too_many,
    words,
)
from gateway.access.totp import step_of
from gateway.errors import Later, Refusal
from store import audit
from store.access import factors, session_ends, sessions, sign_in_buckets
from store.access.factors import PasskeyRow, Person
from store.access.sessions import SessionView
from store.engine.transaction import Transaction
from store.engine.turns import Turn

log = logging.getLogger(__name__)
T = TypeVar("T")

AccountName = Annotated[str, msgspec.Meta(min_length=1, max_length=254)]
GivenPassword = Annotated[str, msgspec.Meta(max_length=LONGEST)]
TotpCode = Annotated[str, msgspec.Meta(pattern=r"^(?:[0-9]{6})?\Z", examples=["123456"])]
RecoveryCode = Annotated[str, msgspec.Meta(min_length=16, max_length=40)]


class PasswordSignIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    account: AccountName
    """Its code, or its mail address."""
    password: GivenPassword
    code: TotpCode = ""
    """Six digits of the app; empty where the account has none."""


class RecoverySignIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    account: AccountName
    """Its code, or its mail address."""
    password: GivenPassword
    recovery_code: RecoveryCode
    """One of the ten; dashes and spaces do not matter."""


class FreshFactor(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A factor of the session's own account: a passkey, or a password with a code."""

    passkey: PasskeyAssertion | None = None
    password: GivenPassword = ""
    code: TotpCode = ""


Finish = Callable[[Transaction, Person, tuple[str, ...]], Awaitable[T | None]]
"""What a factor that was right is good for; None: nothing any more."""
ShownInside = Callable[[Transaction, Person], Awaitable[tuple[str, ...] | None]]
"""What stands beside a password: the factors that were shown, or None where that is not enough."""


@dataclass(frozen=True, slots=True)
class SignInDesk:
    parts: SignInParts

    # ---- signing in ------------------------------------------------------------------------------------------------

    async def by_password(self, wish: PasswordSignIn, visit: Visit) -> OpenedSession:
        """Raises Stranger, the same for every reason, and Later."""
        return await self._open_by_password(wish, visit, self._code(wish.code))

    async def by_recovery_code(self, wish: RecoverySignIn, visit: Visit) -> OpenedSession:
        """Raises Stranger, the same for every reason, and Later."""
        sha256 = recovery_sha256(wish.recovery_code)

        async def beside(tx: Transaction, person: Person) -> tuple[str, ...] | None:
            if not await factors.use_recovery_code(tx, person.account_id, sha256):
                return None
            await self.parts.tell(tx, person.account_id, "recovery-code-used")
            return second_factor.PASSWORD, second_factor.RECOVERY

        return await self._open_by_password(wish, visit, beside)

    async def _open_by_password(
        self, wish: PasswordSignIn | RecoverySignIn, visit: Visit, beside: ShownInside
    ) -> OpenedSession:
        opened = await self._by_password(wish.account, wish.password, visit, beside, self._opening(visit))
        self.parts.settle(opened, visit)
        return opened

    def challenge(self) -> RequestOptions:
        """What any passkey of this site may answer within five minutes. Keeps nothing. Raises Refusal 403."""
        self.parts.require_open()
        if not is_loaded():
            # It is wanted in a moment, and takes longer to load than an answer may take.
            asyncio.get_running_loop().run_in_executor(None, load_library)
        return self.parts.passkeys.request(self.parts.database.clock.now_ms())

    async def by_passkey(self, answer: PasskeyAssertion, visit: Visit) -> OpenedSession:
        """Raises Stranger, the same for every reason, and Later; that never of an answer that is right."""
        opened = await self._by_passkey(answer, visit, None, self._opening(visit))
        self.parts.settle(opened, visit)
        return opened

    def _opening(self, visit: Visit) -> Finish[OpenedSession]:
        async def finish(tx: Transaction, person: Person, shown: tuple[str, ...]) -> OpenedSession:
            enrol_only = not second_factor.is_enough(shown, person.actions)
            return await self.parts.open(tx, person.account_id, person.code, shown, visit, enrol_only=enrol_only)

        return finish

    # ---- in a session ----------------------------------------------------------------------------------------------

    async def show_afresh(self, caller: Caller, wish: FreshFactor, visit: Visit) -> OpenedSession:
        """Unlocks a session, and makes its factor fresh: its token is another one from here. Raises Stranger, the same
        for every reason, and Later."""
        own = session_of(caller)

        async def finish(tx: Transaction, person: Person, shown: tuple[str, ...]) -> OpenedSession | None:
            token = new_token()
            enrol_only = not second_factor.is_enough(shown, person.actions)
            renewed = await sessions.renew(
                tx,
                own.number,
                token_sha256(token),
                words(shown),
                seen_factor_ms=own.factor_ms,
                enrol_only=enrol_only,
            )
            if not renewed:
                return None
            await audit.note(tx, "step-up", person.code, caller.actor, detail={"session": own.id, "factors": shown})
            return OpenedSession(token, person.account_id)

        try:
            if wish.passkey is not None:
                return await self._by_passkey(wish.passkey, visit, caller.account_id, finish)
            within = f"session {own.id}"
            beside = self._code(wish.code)
            return await self._by_password(caller.code, wish.password, visit, beside, finish, within=within)
        finally:
            self.parts.book.forget(caller.account_id)

    async def sign_out(self, caller: Caller) -> None:
        await self._end(caller, session_of(caller).id, session_ends.SIGN_OUT)

    async def revoke(self, caller: Caller, public_id: str) -> None:
        """Ends a session of the caller's own. Raises Refusal 404."""
        if not await self._end(caller, public_id, session_ends.REVOKED):
            raise Refusal(404, "no-such-session", "There is no such session.")

    async def _end(self, caller: Caller, public_id: str, why: str) -> bool:
        def work(tx: Transaction) -> Awaitable[bool]:
            return session_ends.end(tx, caller.account_id, public_id, why, caller.actor)

        try:
            return await self.parts.database.write(work, turn=Turn.FIRST)
        finally:
            self.parts.book.forget(caller.account_id)

    async def lasting(self, caller: Caller) -> list[SessionView]:
        """The caller's own."""
        async with self.parts.database.read() as conn:
            return await sessions.lasting(conn, caller.account_id, self.parts.database.clock.now_ms())

    # ---- what was shown --------------------------------------------------------------------------------------------

    def _code(self, code: str) -> ShownInside:
        """A code of the app where there is one; a password alone where nothing better was ever set up."""

        async def beside(tx: Transaction, person: Person) -> tuple[str, ...] | None:
            if not person.totp_sealed:
                return None if person.passkeys else (second_factor.PASSWORD,)
            step = self._step(person, code, tx.now_ms)
            if step is None or not await factors.use_step(tx, person.account_id, person.totp_sealed, step):
                return None
            return (second_factor.PASSWORD, second_factor.TOTP)

        return beside

    def _step(self, person: Person, code: str, now_ms: int) -> int | None:
        try:
            secret = unseal(self.parts.seal_key, f"totp {person.account_id}", person.totp_sealed)
        except BrokenSeal:
            about = {"action": "totp-unreadable", "account": person.code}
            log.error("a TOTP secret was sealed under another key (sign_in.seal_key)", extra=about)
            return None
        return step_of(secret, code, now_ms)

    async def _by_password(
        self, typed: str, password: str, visit: Visit, beside: ShownInside, finish: Finish[T], *, within: str = ""
    ) -> T:
        """Of an account that there is not, the same is done, up to what cannot be. `within`: the session in which it is
        shown."""
        parts, source = self.parts, within or visit.address
        parts.require_open()
        parts.hashing.require_room()  # a flood is told so before the store hears of it
        parts.begin_try(source, asyncio.get_running_loop().time())
        name = _as_kept(typed)
        async with parts.database.read() as conn:
            person = await factors.person_of(conn, name)
        tries = _Tries.of(person, name, within=bool(within))
        wait_s = await parts.database.write(tries.take)
        if wait_s:
            raise too_many(wait_s)
        hash_ = "" if person is None else person.password_hash
        right = await self._is_right(hash_, password, source, tries)

        async def decide(tx: Transaction) -> T | None:
            if await tries.take_code(tx):
                return None
            now = None if person is None else await factors.person(tx.conn, person.account_id)
            if not right or now is None or now.disabled or now.password_hash != hash_:
                return None
            shown = await beside(tx, now)
            done = None if shown is None else await finish(tx, now, shown)
            if done is not None:
                await tries.forgive(tx)
            return done

        found = await parts.database.write(decide)
        if found is None:
            raise parts.fail(visit.address, "" if person is None else person.code)
        parts.succeed(source)
        return found

    async def _is_right(self, hash_: str, password: str, source: str, tries: "_Tries") -> bool:
        """Raises Later; it was not looked at then, and is not counted."""
        try:
            return (await self.parts.hashing.run(CheckPassword(hash_, password))).right
        except Later:
            self.parts.succeed(source)
            await self.parts.database.write(tries.give_back)
            raise

    async def _by_passkey(self, answer: PasskeyAssertion, visit: Visit, account_id: int | None, finish: Finish[T]) -> T:
        """`account_id`: whose passkey it must be; None: anybody's."""
        parts = self.parts
        parts.require_open()
        async with parts.database.read() as conn:
            known = await factors.passkey_of(conn, answer.credential_id)
        found = None
        if known is not None and account_id in (None, known.account_id):
            found = await self._signed(answer, known, finish)
        if found is None:
            raise await self._refused(visit, known)
        return found

    async def _signed(self, answer: PasskeyAssertion, known: PasskeyRow, finish: Finish[T]) -> T | None:
        parts = self.parts
        try:
            challenge, counter = await parts.passkeys.signed(answer, known.credential, parts.database.clock.now_ms())
        except NotSigned as exc:
            about = {"action": "passkey-refused", "passkey": known.public_id, "error": str(exc)}
            log.info("an answer of a passkey was refused", extra=about)
            return None
        if counter <= known.counter and (counter or known.counter):
            about = {"action": "passkey-counter", "passkey": known.public_id}
            log.warning("the counter of a passkey went back: it may have been copied", extra=about)
        return await parts.database.write(lambda tx: _used(tx, known, challenge, counter, finish), turn=Turn.FIRST)

    async def _refused(self, visit: Visit, known: PasskeyRow | None) -> Exception:
        """Only what failed is slowed down: nobody beside an owner can keep a good passkey out."""
        person = None
        if known is not None:
            async with self.parts.database.read() as conn:
                person = await factors.person(conn, known.account_id)
        refusal: Stranger = self.parts.fail(visit.address, "" if person is None else person.code)
        try:
            self.parts.begin_try(visit.address, asyncio.get_running_loop().time())
        except Refusal as later:
            return later
        return refusal


@dataclass(frozen=True, slots=True)
class _Tries:
    """Where the passwords and codes of an account are counted, also of one that there is not. In a session they are
    counted apart: who guesses from outside cannot keep its owner out."""

    passwords: str
    codes: str

    @classmethod
    def of(cls, person: Person | None, typed: str, *, within: bool) -> "_Tries":
        own_id = None if person is None else person.account_id
        kinds = ("unlock", "unlock-code") if within else ("password", "code")
        passwords, codes = (bucket_of(kind, own_id, typed) for kind in kinds)
        return cls(passwords, codes)

    async def take(self, tx: Transaction) -> float:
        return await sign_in_buckets.take(tx, self.passwords, PASSWORDS_A_DAY, DAY_S)

    async def take_code(self, tx: Transaction) -> float:
        return await sign_in_buckets.take(tx, self.codes, CODES_A_DAY, DAY_S)

    async def give_back(self, tx: Transaction) -> None:
        await sign_in_buckets.give_back(tx, self.passwords, PASSWORDS_A_DAY, DAY_S)

    async def forgive(self, tx: Transaction) -> None:
        await self.give_back(tx)
        await sign_in_buckets.give_back(tx, self.codes, CODES_A_DAY, DAY_S)


async def _used(
    tx: Transaction, known: PasskeyRow, challenge: SignedChallenge, counter: int, finish: Finish[T]
) -> T | None:
    """A challenge is used up by whoever answers it rightly, once."""
    if not await sign_in_buckets.use_challenge(tx, challenge.sha256, challenge.ends_ms):
        return None
    person = await factors.person(tx.conn, known.account_id)
    if person is None or person.disabled or not await factors.note_use(tx, known.number, counter):
        return None
    return await finish(tx, person, (second_factor.PASSKEY,))


def session_of(caller: Caller) -> SessionFacts:
    """Of a route that a person alone may use."""
    assert caller.session is not None
    return caller.session


def recovery_sha256(code: str) -> str:
    """However it was typed."""
    plain = "".join(letter for letter in code.upper() if letter.isalnum())
    return hashlib.sha256(plain.encode()).hexdigest()


def _as_kept(typed: str) -> str:
    if "@" not in typed:
        return typed
    return normal_email(typed) or typed
