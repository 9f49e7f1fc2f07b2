"""The desk of links that came by mail: accepting an invitation, asking for a reset, setting a password by one.

A link never walks around a factor: an invitation opens nothing where factors are set up, and a reset sets a password
and nothing else.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated

import msgspec

from gateway.access import second_factor
from gateway.access.addresses import normal_email
from gateway.access.factor_desk import hashed_password
from gateway.access.passwords import LONGEST, require_length
from gateway.access.session_book import new_token, token_sha256
from gateway.access.sign_in_parts import HOUR_S, LINKS_AN_HOUR, OpenedSession, SignInParts, Visit, bucket_of
from gateway.errors import Refusal
from store.access import factors, invitations, resets, session_ends, sign_in_buckets
from store.audit_line import Actor
from store.engine.transaction import Transaction

_RESETS_AT_ONCE = 20
LinkToken = Annotated[str, msgspec.Meta(min_length=16, max_length=200)]


class InvitationToken(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    token: LinkToken
    """What stands behind the # of the mail's link."""


class LostPassword(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    mail: Annotated[str, msgspec.Meta(min_length=3, max_length=254)]
    """The account's mail address."""


class PasswordByLink(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    token: LinkToken
    """What stands behind the # of the mail's link."""
    password: Annotated[str, msgspec.Meta(max_length=LONGEST)]
    """12 characters at least."""


class ResetLink(msgspec.Struct, frozen=True):
    """What whoever has lost a password is sent."""

    account_id: int
    mail: str
    language: str
    token: str
    """Stands behind the # of the link {public_url}/reset#TOKEN."""
    ends_ms: int


TellReset = Callable[[Transaction, ResetLink], Awaitable[object]]
"""Sends it, in the transaction that makes the link."""


@dataclass(frozen=True, slots=True)
class LinkDesk:
    parts: SignInParts
    tell: TellReset

    async def accept(self, wish: InvitationToken, visit: Visit) -> OpenedSession:
        """A session that can set up factors and nothing else. Raises Refusal 404, 409, Later."""
        parts = self.parts
        parts.begin_try(visit.address, asyncio.get_running_loop().time())
        sha256 = token_sha256(wish.token)

        async def work(tx: Transaction) -> OpenedSession | None:
            found = await invitations.open(tx, sha256)
            if found is None:
                return None
            person = await factors.person(tx.conn, found.account_id)
            if person is None or person.disabled:
                return None
            if second_factor.is_set_up(person):
                title = "This account has factors already: sign in with one of them."
                raise Refusal(409, "already-set-up", title)
            by = Actor(account_id=found.account_id, via="http", address=visit.address)
            if not await invitations.accept(tx, found.id, by):
                return None
            shown = (second_factor.INVITATION,)
            return await parts.open(tx, found.account_id, found.code, shown, visit, enrol_only=True)

        async with parts.database.read() as conn:
            is_known = await invitations.is_known(conn, sha256)
        opened = await parts.database.write(work) if is_known else None
        if opened is None:
            parts.fail(visit.address, "")
            raise _no_link()
        parts.succeed(visit.address)
        parts.settle(opened, visit)
        return opened

    async def ask(self, wish: LostPassword, visit: Visit) -> None:
        """Notes that somebody has lost a password, whoever that is: the same work and answer for everybody. The link is
        made, and sent, by `run`. Raises Later by the client's address alone."""
        parts = self.parts
        parts.begin_try(visit.address, asyncio.get_running_loop().time())
        mail = normal_email(wish.mail) or wish.mail

        async def work(tx: Transaction) -> None:
            if not await sign_in_buckets.take(tx, bucket_of("link", None, mail), LINKS_AN_HOUR, HOUR_S):
                await resets.wish(tx, mail, visit.address)

        await parts.database.write(work)

    async def run(self) -> bool:
        """Makes and sends the links that were wished; whether there may be more."""
        for _ in range(_RESETS_AT_ONCE):
            if not await self.parts.database.write(self._grant):
                return False
        return True

    async def _grant(self, tx: Transaction) -> bool:
        wish = await resets.take_wish(tx)
        if wish is None:
            return False
        whose = await resets.addressee_of(tx, wish.mail)
        if whose is not None:
            token = new_token()
            by = Actor(via="http", address=wish.address)
            ends_ms = await resets.make(tx, whose, token_sha256(token), by)
            await self.tell(tx, ResetLink(whose.account_id, whose.mail, whose.language, token, ends_ms))
        return True

    async def use(self, wish: PasswordByLink, visit: Visit) -> None:
        """Sets a password, and ends every session of its account: whoever has the mailbox still needs the second
        factor. Raises Refusal 404, 422, Later."""
        parts = self.parts
        parts.begin_try(visit.address, asyncio.get_running_loop().time())
        require_length(wish.password)
        async with parts.database.read() as conn:
            found = await resets.find(conn, token_sha256(wish.token), parts.database.clock.now_ms())
        if found is None:
            parts.fail(visit.address, "")
            raise _no_link()
        parts.succeed(visit.address)
        hash_ = await hashed_password(parts, found.account_id, wish.password)

        async def work(tx: Transaction) -> bool:
            person = await factors.person(tx.conn, found.account_id)
            if person is None or person.disabled or not await resets.use(tx, found):
                return False
            by = Actor(account_id=found.account_id, via="http", address=visit.address)
            await factors.set_password(tx, found.account_id, person.code, hash_, by)
            await session_ends.end_others(tx, found.account_id, None, session_ends.FACTORS, by)
            await parts.tell(tx, found.account_id, "password-changed")
            return True

        try:
            if not await parts.database.write(work):
                raise _no_link()
        finally:
            parts.book.forget(found.account_id)


def _no_link() -> Refusal:
    return Refusal(404, "link-not-good", "This link is not good, or no longer: ask for another one.")
