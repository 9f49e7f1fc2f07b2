"""Who is asking: `Authorization: Bearer tocsin_<key id>_<secret>` -> Caller, or a refusal that tells nothing.

A key whose id begins with `test-` only simulates: its caller has no right to anything live, whatever its account has.

Knows neither HTTP's objects nor SQL: a header's text, a peer's address and a look-up come in. The secret is random
and long, so its SHA-256 is enough; what is compared takes the same time whether the key id exists or not.
"""

import asyncio
import hashlib
import hmac
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from weakref import WeakValueDictionary

import msgspec

from gateway.access.attempts import Failures
from gateway.access.rights import Caller, Right
from gateway.directory.agreements import agreements, read_terms
from gateway.directory.senders import read_kind_rules
from gateway.errors import Later, Refusal
from store.access import accounts
from store.access.accounts import KeyRow
from store.access.sessions import SessionRow
from store.engine.database import Database
from store.errors import StoreUnavailable, store_is_away

Find = Callable[[str], Awaitable[KeyRow | None]]
"""The key of an id, revoked ones too."""

TEST = "test-"
"""How the id of a key begins that only simulates: its token says so to whoever holds it."""
KEY = re.compile(r"tocsin_([A-Za-z0-9-]{1,64})_([A-Za-z0-9_-]{16,256})")
_NOBODY = hashlib.sha256(b"the key that nobody has").hexdigest()
_EARLIER = 0.2
"""Of the life of what is believed: what goes on is asked about so much earlier, to end within that life."""
_REST_S = 1.0
"""After a look-up that failed."""


def hashed(secret: str) -> str:
    """The SHA-256 of a key's secret, hexadecimal: all that is kept of it."""
    return hashlib.sha256(secret.encode()).hexdigest()


class NewKey(msgspec.Struct, frozen=True):
    """A key that was made a moment ago: the one time that its token is there to be shown."""

    key_id: str
    token: str
    secret_sha256: str


def new_key(*, test: bool) -> NewKey:
    """A key of 48 random bits of id and 256 of secret. `test`: it only simulates."""
    key_id, secret = (TEST if test else "") + secrets.token_hex(6), secrets.token_urlsafe(32).replace("_", "-")
    return NewKey(key_id, f"tocsin_{key_id}_{secret}", hashed(secret))


class Stranger(Refusal):
    """Nobody that is known: 401. `challenge` goes into WWW-Authenticate (RFC 6750 section 3)."""

    def __init__(self, code: str, title: str, challenge: str) -> None:
        super().__init__(401, code, title)
        self.challenge = challenge


class TooManyFailures(Later):
    """An address has failed too often of late: 429."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__("too-many-failures", "Too many failed attempts from this address.", retry_after_s)


def missing() -> Stranger:
    return Stranger("no-key", "This needs an API key, or somebody who has signed in.", 'Bearer realm="tocsin"')


def invalid() -> Stranger:
    """The refusal of a key, the same for every reason: who guesses is not told what was right."""
    return Stranger("bad-key", "This API key is not valid.", 'Bearer realm="tocsin", error="invalid_token"')


@dataclass(slots=True)
class Keyring:
    """Callers by their keys. A key that was good is believed for `life_s` without asking the store again: so long
    does a revocation take at most."""

    find: Find
    life_s: float = 5.0
    now_s: Callable[[], float] = time.monotonic
    now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000
    """UTC, by which keys end."""
    failures: Failures = field(default_factory=Failures)
    most_kept: int = 4096
    _kept: OrderedDict[str, tuple[float, str, Caller]] = field(default_factory=OrderedDict, repr=False)
    _away_until_s: float = field(default=0.0, repr=False)
    _asking: WeakValueDictionary[tuple[str, str], asyncio.Lock] = field(default_factory=WeakValueDictionary, repr=False)

    async def caller(self, authorization: str | None, peer: str) -> Caller:
        """The caller whose key a header bears. Raises Stranger, TooManyFailures, and what the look-up raises."""
        if authorization is None:
            raise missing()
        now_s = self.now_s()
        presented = _presented(authorization)
        if presented is None:
            self._refuse_hasty(peer, now_s)
            self.failures.note(peer, now_s)
            raise invalid()
        # Looked up however often others behind the same proxy have failed, also right after a start: nobody can lock
        # a dispatch centre out by guessing beside it. What is slowed down is the failing.
        caller = self._remembered(*presented, now_s) or await self._looked_up(*presented, now_s)
        if caller is None:
            self._refuse_hasty(peer, now_s)
            self.failures.note(peer, now_s)
            raise invalid()
        return caller

    async def still(self, authorization: str) -> Caller | None:
        """The caller whose key was good when a stream was opened, with the rights that it has now; None: it is good no
        more. That is nobody's failed attempt. All who ask of one key share one look-up. Raises what the look-up
        raises."""
        presented = _presented(authorization)
        if presented is None:
            return None
        fresh = self._fresh(presented)
        if fresh is not None:
            return fresh
        async with self._asking.setdefault(presented, asyncio.Lock()):
            return self._fresh(presented) or await self._looked_up_gently(presented, self.now_s())

    def _fresh(self, presented: tuple[str, str]) -> Caller | None:
        return self._remembered(*presented, self.now_s() + _EARLIER * self.life_s)

    def _remembered(self, key_id: str, digest: str, now_s: float) -> Caller | None:
        until_s, good, caller = self._kept.get(key_id, (0.0, _NOBODY, None))
        same = hmac.compare_digest(good, digest)
        return caller if same and now_s < until_s else None

    async def _looked_up_gently(self, presented: tuple[str, str], now_s: float) -> Caller | None:
        """Of a store that is away not every stream asks in turn. Raises StoreUnavailable instead of asking again."""
        if now_s < self._away_until_s:
            raise StoreUnavailable("It was away a moment ago.")
        try:
            return await self._looked_up(*presented, now_s)
        except Exception as exc:
            if store_is_away(exc):
                self._away_until_s = now_s + _REST_S
            raise

    async def _looked_up(self, key_id: str, digest: str, now_s: float) -> Caller | None:
        row = await self.find(key_id)
        usable = row is not None and row.revoked_ms is None and row.may_come_in
        ended = row is not None and row.expires_ms is not None and row.expires_ms <= self.now_ms()
        same = hmac.compare_digest(row.secret_sha256 if row else _NOBODY, digest)
        if row is None or not usable or ended or not same:
            if same:
                self._kept.pop(key_id, None)
            return None
        caller = as_caller(row)
        self._kept[key_id] = (now_s + self.life_s, digest, caller)
        self._kept.move_to_end(key_id)
        while len(self._kept) > self.most_kept:
            self._kept.popitem(last=False)
        return caller

    def _refuse_hasty(self, peer: str, now_s: float) -> None:
        wait_s = self.failures.wait_s(peer, now_s)
        if wait_s > 0:
            raise TooManyFailures(wait_s)


def _presented(authorization: str) -> tuple[str, str] | None:
    """The id of the key that a header bears and the hash of its secret; None where it bears none."""
    scheme, _, presented = authorization.partition(" ")
    found = KEY.fullmatch(presented.strip()) if scheme.lower() == "bearer" else None
    return None if found is None else (found[1], hashed(found[2]))


def as_caller(row: KeyRow | SessionRow) -> Caller:
    """The caller of an account's row. Raises ValueError (msgspec.ValidationError is one) when what is kept of the
    account cannot be read."""
    test = isinstance(row, KeyRow) and row.key_id.startswith(TEST)
    return Caller(
        account_id=row.account_id,
        code=row.code,
        name=row.name,
        type=row.type,
        senders=msgspec.json.decode(row.senders, type=tuple[str, ...]),
        kind_rules=read_kind_rules(row.kind_rules),
        rights=_rights(row, simulated=test),
        simulates_only=test,
        agreements=agreements(read_terms(row.terms)),
    )


def with_rights_of(caller: Caller, row: KeyRow) -> Caller:
    """The caller with the type and the rights of an account's row, as far as its key may use them."""
    rights = _rights(row, simulated=caller.simulates_only)
    return msgspec.structs.replace(caller, type=row.type, rights=rights)


def _rights(row: KeyRow | SessionRow, *, simulated: bool) -> tuple[Right, ...]:
    """`simulated`: what is left of them for a key that only simulates."""
    rights = tuple(Right(r.action, r.zone_id, r.network_id, r.kind, r.channel, r.mode) for r in row.rights)
    return tuple(filter(None, (right.simulated for right in rights))) if simulated else rights


def keys_of(database: Database) -> Find:
    async def find(key_id: str) -> KeyRow | None:
        async with database.read() as conn:
            return await accounts.find_key(conn, key_id)

    return find
