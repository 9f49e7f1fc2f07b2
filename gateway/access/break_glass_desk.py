"""The desk of paper codes: a zone is opened for an hour to whoever has its code, and everybody is told at once."""

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec

from gateway.access.attempts import household
from gateway.access.break_glass_code import code_sha256
from gateway.access.sign_in_parts import OpenedSession, SignInParts, Visit
from gateway.errors import Later, Refusal
from gateway.unseen_characters import SHOWN_LINE
from store.access import administrators, break_glass
from store.access.break_glass import BreakGlassUse, TooManyGuesses, WrongCode
from store.audit_line import Actor
from store.engine.transaction import Transaction

ALARMING_GUESSES = 20
"""At one zone within an hour: then its administrators are told, once."""


class BreakGlassWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What whoever has opened the envelope types."""

    zone: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    """Its code."""
    code: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    """As it stands on the paper; capitals, spaces and dashes do not matter."""
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=100, pattern=SHOWN_LINE, examples=["Jo Peeters"])]
    """Of the person. It stands in the report of whatever is launched."""
    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=500)]
    """It stands in the report as well."""
    mode: Literal["live", "simulation"] = "live"
    """simulation: a rehearsal. All of it happens, and nothing that is launched leaves the house. It costs the code."""


class BreakGlassNews(msgspec.Struct, frozen=True):
    """What is told of a zone's code, and to which accounts, by every way there is."""

    event: Literal["opened", "guessed"]
    """`guessed`: many codes that are none were tried at the zone."""
    zone_id: int
    to: tuple[int, ...]
    use: BreakGlassUse | None = None


TellBreakGlass = Callable[[Transaction, BreakGlassNews], Awaitable[None]]
"""In the transaction of what it tells of."""


class OpenedZone(msgspec.Struct, frozen=True):
    use: BreakGlassUse
    token: str
    """Of its session."""


@dataclass(frozen=True, slots=True)
class BreakGlassDesk:
    parts: SignInParts
    tellers: tuple[TellBreakGlass, ...] = ()

    async def use(self, wish: BreakGlassWish, visit: Visit) -> OpenedZone:
        """Opens a zone by its code. Raises Refusal 403, the same for every reason, and 429 after too many guesses from
        one address, whatever it brings then; 403 where nobody signs in."""
        self.parts.require_open()
        origin = hashlib.sha256(household(visit.address).encode()).hexdigest()
        async with self.parts.database.read() as conn:
            wait_ms = await break_glass.wait_ms(conn, origin, self.parts.database.clock.now_ms())
        if wait_ms:  # without a write: who goes on guessing costs little
            raise _too_often(wait_ms)
        outcome = await self.parts.database.write(lambda tx: self._use(tx, wish, visit, origin))
        match outcome:
            case OpenedZone():
                self.parts.settle(OpenedSession(outcome.token, outcome.use.account_id), visit)
                return outcome
            case TooManyGuesses(wait_ms=left_ms):
                raise _too_often(left_ms)
            case WrongCode():
                raise Refusal(403, "break-glass-refused", "This code opens nothing.")

    async def _use(
        self, tx: Transaction, wish: BreakGlassWish, visit: Visit, origin: str
    ) -> OpenedZone | WrongCode | TooManyGuesses:
        by = Actor(via="http", address=visit.address)
        used = await break_glass.use(
            tx, wish.zone, code_sha256(wish.code), origin, name=wish.name, reason=wish.reason, mode=wish.mode, by=by
        )
        match used:
            case BreakGlassUse():
                await self._tell(tx, "opened", used.zone_id, used)
                opened = await self.parts.open_by_code(tx, used, visit)
                return OpenedZone(used, opened.token)
            case WrongCode(zone_id=int(zone_id), guesses=guesses) if guesses == ALARMING_GUESSES:
                await self._tell(tx, "guessed", zone_id, None)
        return used

    async def _tell(
        self, tx: Transaction, event: Literal["opened", "guessed"], zone_id: int, use: BreakGlassUse | None
    ) -> None:
        keepers = await administrators.of_zone(tx, zone_id)
        to = tuple(one.account_id for one in keepers if one.disabled_ms is None)
        for tell in self.tellers:
            await tell(tx, BreakGlassNews(event, zone_id, to, use))


def _too_often(wait_ms: int) -> Later:
    return Later("break-glass-too-often", "Too many codes that are none came from this address.", wait_ms / 1000)
