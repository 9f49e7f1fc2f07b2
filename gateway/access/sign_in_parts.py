"""What the desks of signing in share: the site, the rules, the queue of hashes, passkeys, sessions, and who has failed
too often."""

import hashlib
import hmac
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field

import msgspec

from gateway.access import second_factor
from gateway.access.attempts import Failures
from gateway.access.failed_sign_ins import FailureTally
from gateway.access.hashing_queue import HashingQueue
from gateway.access.keys import Stranger
from gateway.access.passkeys import Passkeys
from gateway.access.session_book import SessionBook, new_token, session_book, token_sha256
from gateway.access.sign_in_site import SignInSite, sign_in_site
from gateway.errors import Later, Refusal
from gateway.settings import ServerSettings, SignInSettings
from store import audit
from store.access import session_ends, sessions, sign_in_buckets
from store.access.break_glass import BreakGlassUse
from store.access.sessions import NewSession
from store.audit_line import Actor
from store.engine.database import Database
from store.engine.transaction import Transaction
from store.errors import store_is_away

log = logging.getLogger(__name__)

HOUR_MS = 3_600_000
TRIES_PER_ADDRESS = 20
"""That failed, in an hour."""
PASSWORDS_A_DAY, CODES_A_DAY, LINKS_AN_HOUR = 20, 96, 10
"""Of an account, on all nodes together."""
DAY_S, HOUR_S = 86_400, 3_600
ENROL_LIFE_MS = HOUR_MS
_LONGEST_AGENT = 200


class Visit(msgspec.Struct, frozen=True):
    """From where somebody asks."""

    address: str
    agent: str = ""
    token: str = ""
    """Of the session that the browser has already; it is replaced by the new one."""


class OpenedSession(msgspec.Struct, frozen=True):
    """A session that was opened, or given another token."""

    token: str
    account_id: int


TellFactor = Callable[[Transaction, int, str], Awaitable[object]]
"""Tells the owner of an account what was done to its factors, in the transaction that does it."""


async def nobody_told(_tx: Transaction, _account_id: int, _event: str) -> None:
    """Where nothing can be sent."""


@dataclass(frozen=True, slots=True)
class SignInParts:
    database: Database
    site: SignInSite
    rules: SignInSettings
    hashing: HashingQueue
    passkeys: Passkeys
    book: SessionBook
    key: bytes
    tries: Failures = field(default_factory=lambda: Failures(TRIES_PER_ADDRESS, HOUR_MS / 1_000))
    """By address, on this node."""
    failed: FailureTally = field(default_factory=FailureTally)
    tell: TellFactor = nobody_told

    @property
    def seal_key(self) -> bytes:
        return derived(self.key, b"totp")

    @property
    def life_ms(self) -> int:
        return int(self.rules.session_h * HOUR_MS)

    def require_open(self) -> None:
        """Raises Refusal 403 where nobody may sign in."""
        if not (self.rules.enabled and self.site.is_open):
            raise Refusal(
                403, "sign-in-closed", "Nobody signs in here: it takes https, and the setting sign_in.enabled."
            )

    def begin_try(self, address: str, now_s: float) -> None:
        """Counts a try as failed until `succeed`. Raises Later where this address has failed too often."""
        self.require_open()
        wait_s = self.tries.wait_s(address, now_s)
        if wait_s:
            raise too_many(wait_s)
        self.tries.note(address, now_s)

    def succeed(self, address: str) -> None:
        self.tries.forgive(address)

    def fail(self, address: str, account: str) -> Stranger:
        """The refusal of whatever was shown: the same for every reason."""
        self.failed.note(address, account, self.database.clock.now_ms())
        return Stranger("sign-in-refused", "This signs nobody in.", 'Session realm="tocsin"')

    async def open(
        self, tx: Transaction, account_id: int, code: str, factors: Sequence[str], visit: Visit, *, enrol_only: bool
    ) -> OpenedSession:
        """A new session with a new token, in the transaction of what was shown for it."""
        token = new_token()
        by = Actor(account_id=account_id, via="http", address=visit.address)
        if visit.token:
            await session_ends.end_replaced(tx, token_sha256(visit.token), by)
        new = NewSession(
            public_id=new_token()[:16],
            token_sha256=token_sha256(token),
            account_id=account_id,
            factors=words(factors),
            enrol_only=enrol_only,
            life_ms=ENROL_LIFE_MS if enrol_only else self.life_ms,
            address=visit.address,
            agent=visit.agent[:_LONGEST_AGENT],
        )
        await sessions.make(tx, new, by, code)
        return OpenedSession(token, account_id)

    async def open_by_code(self, tx: Transaction, use: BreakGlassUse, visit: Visit) -> OpenedSession:
        """A session of the account as which a paper code acts; it ends when the code's hour does, and is nobody's who
        has shown a factor."""
        token = new_token()
        by = Actor(account_id=use.account_id, via="http", address=visit.address)
        if visit.token:
            await session_ends.end_replaced(tx, token_sha256(visit.token), by)
        new = NewSession(
            public_id=new_token()[:16],
            token_sha256=token_sha256(token),
            account_id=use.account_id,
            factors=words((second_factor.BREAK_GLASS,)),
            enrol_only=False,
            life_ms=use.ends_ms - tx.now_ms,
            address=visit.address,
            agent=visit.agent[:_LONGEST_AGENT],
            break_glass_use_id=use.number,
        )
        await sessions.make(tx, new, by, use.account)
        return OpenedSession(token, use.account_id)

    def settle(self, opened: OpenedSession, visit: Visit) -> None:
        """Of what the new session has replaced nothing is believed any more on this node. After its commit."""
        self.book.forget(opened.account_id)
        self.book.drop(visit.token)

    async def write_down_failures(self, *, all_of_them: bool = False) -> None:
        """A line for each address whose minute is over."""
        taken = self.failed.take(self.database.clock.now_ms(), all_of_them=all_of_them)

        async def work(tx: Transaction) -> None:
            for one in taken:
                detail = {"failures": one.failures, "accounts": one.accounts, "since_ms": one.since_ms}
                by = Actor(via="http", address=one.address)
                await audit.note(tx, "sign-in-failed", "", by, detail=detail)

        if not taken:
            return
        try:
            await self.database.write(work)
        except Exception as exc:
            self.failed.give_back(taken)
            if not store_is_away(exc):
                raise

    async def close(self) -> None:
        """At the end of the server: what was counted is written down, and nothing is hashed any more."""
        await self.hashing.close()
        await self.write_down_failures(all_of_them=True)

    async def forget(self) -> bool:
        """What is over goes; whether there is more of it."""
        await self.write_down_failures()

        async def work(tx: Transaction) -> bool:
            await sign_in_buckets.forget(tx)
            return bool(await sessions.forget(tx))

        return await self.database.write(work)


def sign_in_parts(
    database: Database,
    server: ServerSettings,
    rules: SignInSettings,
    key: bytes,
    is_busy: Callable[[], bool],
    tell: TellFactor = nobody_told,
) -> SignInParts:
    """`key`: of this store; `is_busy`: whether messages leave just now."""
    site = sign_in_site(server)
    return SignInParts(
        database=database,
        site=site,
        rules=rules,
        hashing=HashingQueue(is_busy),
        passkeys=Passkeys(site, derived(key, b"passkeys")),
        book=session_book(database, rules.idle_min * 60_000),
        key=key,
        tell=tell,
    )


def derived(key: bytes, purpose: bytes) -> bytes:
    return hmac.digest(key, purpose, "sha256")


def too_many(wait_s: float) -> Later:
    return Later(
        "too-many-sign-ins",
        "Too many sign-ins of this address or account have failed; a passkey still signs in.",
        wait_s,
    )


def words(factors: Collection[str]) -> str:
    """Factors as they are kept."""
    return msgspec.json.encode(tuple(factors)).decode()


def bucket_of(kind: str, account_id: int | None, typed: str) -> str:
    """The name of a bucket; also of an account that there is not, so that nothing tells the two apart."""
    if account_id is not None:
        return f"{kind}:{account_id}"
    return f"{kind}:?{hashlib.sha256(typed.encode()).hexdigest()[:32]}"
