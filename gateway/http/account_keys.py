"""The handlers of API keys: of an account that one administers, and one's own."""

from typing import Annotated, Any

import msgspec

from gateway.access.key_desk import AwaitedKey, GivenKey, KeyRotation, KeyWish
from gateway.access.keys import TEST
from gateway.http import approvals
from gateway.http.asking import Answer, Asked, NoQuery
from gateway.http.pages import USUAL, Limit, heading, link
from store.access.key_rotation import ManagedKey

PATH = "/api/v1/keys"
OWN = "/api/v1/me/keys"


class FindKeys(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    after: Annotated[str, msgspec.Meta(max_length=64)] = ""
    """The id of the key behind which the page begins, as `next` of the page before says."""
    limit: Limit = USUAL


class ListedKey(msgspec.Struct, frozen=True, kw_only=True):
    """An API key without its secret, which is kept nowhere."""

    id: str
    """The part of the token between its two underscores."""
    href: str
    account: str
    name: str
    test: bool
    """It only simulates."""
    good: bool
    """Neither revoked nor past its end. Of an account that is disabled no key is good all the same."""
    created_ms: int
    expires_ms: int | None
    """null: it has no end."""
    revoked_ms: int | None
    in_place_of: str | None
    """The id of the key whose place it takes."""


class KeyList(msgspec.Struct, frozen=True, omit_defaults=True):
    keys: tuple[ListedKey, ...]
    next: str = ""
    """Where the list goes on; absent at its end."""


class ShownKey(ListedKey, frozen=True, kw_only=True):
    """A key that was made a moment ago, with its token."""

    token: str
    """Shown this once. It goes into the header `Authorization: Bearer`."""


class KeyToBeGranted(msgspec.Struct, frozen=True, kw_only=True):
    """A key of an account that may send, or rule others: it is good once a second person has granted it."""

    id: str
    account: str
    name: str
    expires_ms: int
    token: str
    """Shown this once."""
    approval: str
    """The id of what waits, at /api/v1/approvals."""


async def listing(asked: Asked[FindKeys, None]) -> Answer:
    """Of an account, the newest first; revoked and ended ones, too."""
    path = f"/api/v1/accounts/{asked.id}/keys"
    found = await asked.context.services.keys.listing(asked.caller, asked.id, asked.query.after, asked.query.limit)
    return _page(asked, path, *found)


async def own(asked: Asked[FindKeys, None]) -> Answer:
    """Those of the caller's account, the newest first; revoked and ended ones, too."""
    found = await asked.context.services.keys.own(asked.caller, asked.query.after, asked.query.limit)
    return _page(asked, OWN, *found)


async def read(asked: Asked[NoQuery, None]) -> Answer:
    """Of an account that the caller sees."""
    return Answer(_shown(asked, await asked.context.services.keys.read(asked.caller, asked.id)))


async def make(asked: Asked[NoQuery, KeyWish]) -> Answer:
    """The token is in this answer, and nowhere else. It takes all the rights of the account: a key is a way to use
    them. One that is live of an account that may send, or rule others, waits for a second person (202)."""
    return _given(asked, await asked.context.services.keys.make(asked.caller, asked.id, asked.body))


async def rotate(asked: Asked[NoQuery, KeyRotation]) -> Answer:
    """A new key with the name of the old one, which ends after the overlap: meanwhile both are good, and never more
    than the two. What a new key waits for, it does too (202)."""
    return _given(asked, await asked.context.services.keys.rotate(asked.caller, asked.id, asked.body))


async def revoke(asked: Asked[NoQuery, None]) -> Answer:
    """For good; every node hears of it within five seconds. One that is revoked stays so."""
    return Answer(_shown(asked, await asked.context.services.keys.revoke(asked.caller, asked.id)))


async def revoke_own(asked: Asked[NoQuery, None]) -> Answer:
    """The same of a key of the caller's account, the one that it comes with included."""
    return Answer(_shown(asked, await asked.context.services.keys.revoke_own(asked.caller, asked.id)))


# ---- words -----------------------------------------------------------------------------------------------


def _page(asked: Asked[FindKeys, None], path: str, found: list[ManagedKey], more: bool) -> Answer:
    next_ = link(path, after=found[-1].key_id, limit=asked.query.limit) if more else ""
    return Answer(KeyList(tuple(_shown(asked, key) for key in found), next_), headers=heading(next_))


def _given(asked: Asked[Any, Any], given: GivenKey | AwaitedKey) -> Answer:
    if isinstance(given, AwaitedKey):
        waits = KeyToBeGranted(
            id=given.key_id, account=given.account, name=given.name, expires_ms=given.expires_ms, token=given.token,
            approval=given.approval,
        )  # fmt: skip
        return Answer(waits, 202, {"Location": f"{approvals.PATH}/{given.approval}"})
    shown = _shown(asked, given.key)
    value = ShownKey(**msgspec.structs.asdict(shown), token=given.token)
    return Answer(value, 201, {"Location": shown.href})


def _shown(asked: Asked[Any, Any], key: ManagedKey) -> ListedKey:
    return ListedKey(
        id=key.key_id,
        href=f"{PATH}/{key.key_id}",
        account=key.account,
        name=key.name,
        test=key.key_id.startswith(TEST),
        good=key.is_good(asked.context.services.database.clock.now_ms()),
        created_ms=key.created_ms,
        expires_ms=key.expires_ms,
        revoked_ms=key.revoked_ms,
        in_place_of=key.in_place_of,
    )
