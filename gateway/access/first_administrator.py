"""The first administrator: made at the terminal, before anybody can sign in, before a mail can leave."""

import re

import msgspec

from channels.email.address import MailboxRefused, normalise_mailbox
from gateway.access.addresses import normal_email
from gateway.access.rights import Action
from store.access import invitations, managing
from store.access.accounts import RightRow
from store.access.invitations import NewInvitation
from store.access.managing import ManagedAccount, NewAccount
from store.audit_line import Actor
from store.engine.transaction import Transaction
from store.register import reading as register

_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_LANGUAGES = ("nl", "fr", "de", "en")


class FirstAdministrator(msgspec.Struct, frozen=True, kw_only=True):
    """Who is to administer a zone, or (`zone` empty) every one."""

    email: str
    name: str
    zone: str
    code: str
    """Empty: what the mail address begins with."""
    language: str


class NotInvited(Exception):
    """Why somebody is not invited, as a sentence for the terminal."""


async def invite_first(tx: Transaction, wish: FirstAdministrator, by: Actor) -> tuple[NewInvitation, str]:
    """Makes the account with every right of the zone, or of all, and its invitation; of an account that is there and
    was never taken up a new invitation. Returns it, and the code of the account. Raises NotInvited."""
    zone_id = await _zone(tx, wish.zone)
    email, code = _email(wish.email), wish.code or _code_of(wish.email)
    if not _CODE.fullmatch(code):
        raise NotInvited(f"{code!r} cannot be the code of an account: give one with --code (letters, digits, . _ -)")
    if wish.language not in _LANGUAGES:
        raise NotInvited(f"{wish.language!r} is none of {', '.join(_LANGUAGES)}")
    if not wish.name.strip() or not wish.name.isprintable() or len(wish.name) > 200:
        raise NotInvited("a name has 1 to 200 characters, and none that cannot be seen")
    rights = frozenset(RightRow(str(action), zone_id, None) for action in Action)
    known = await managing.of_code(tx.conn, code)
    if known is not None:
        await _require_same(tx, known, email, rights)
        return await invitations.make(tx, known.id, by), code
    if await managing.taken(tx, email=email):
        raise NotInvited(f"another account has the mail address {email}: name it with --code")
    new = NewAccount(
        code=code,
        name=wish.name,
        type="administrator" if zone_id is not None else "operator",
        email=email,
        mobile="",
        language=wish.language,
        rights=rights,
        joins=False,
    )
    account_id = await managing.create(tx, new, by)
    return await invitations.make(tx, account_id, by), code


async def _require_same(tx: Transaction, known: ManagedAccount, email: str, rights: frozenset[RightRow]) -> None:
    """That the same person is invited again to the same: nobody's account is raised, or handed to another one, by the
    way. Raises NotInvited."""
    if known.state != "invited":
        raise NotInvited(f"the account {known.code} is there, and {known.state}: give another --code")
    if known.email != email or frozenset(await managing.rights_of(tx.conn, known.id)) != rights:
        raise NotInvited(
            f"the account {known.code} is there, with another address or other rights: give another --code"
        )


async def _zone(tx: Transaction, code: str) -> int | None:
    if not code:
        return None
    found = await register.zones(tx.conn, [code])
    if not found:
        raise NotInvited(f"there is no zone {code!r}: load it first (tocsin load)")
    return found[0].id


def _email(given: str) -> str:
    read = normalise_mailbox(given)
    if isinstance(read, MailboxRefused):
        raise NotInvited(f"{given!r} is no mail address: {read.reason}")
    return normal_email(given)


def _code_of(email: str) -> str:
    return email.strip().partition("@")[0].lower()
