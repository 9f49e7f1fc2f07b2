"""The handlers of one's own profile."""

import msgspec

from gateway.access.profile_desk import ProfileChange
from gateway.http.asking import Answer, Asked, NoQuery
from gateway.http.preconditions import etag_of, require_match
from store.access.managing import ManagedAccount
from store.errors import Conflict

_TRIES = 5
"""Of a change that another one came before, though the caller takes any."""


class OwnProfile(msgspec.Struct, frozen=True, kw_only=True):
    """The account that asks, as the person behind it. What it may do: /api/v1/whoami."""

    code: str
    name: str
    type: str
    email: str
    """An administrator's to change: by it one comes in."""
    mobile: str
    language: str
    created_ms: int | None
    """null: before that was kept."""
    revision: int


async def read(asked: Asked[NoQuery, None]) -> Answer:
    """With its ETag, by which it is changed."""
    return _answer(await asked.context.services.profile.read(asked.caller))


async def change(asked: Asked[NoQuery, ProfileChange]) -> Answer:
    """Name, mobile number and language are one's own to change."""
    desk = asked.context.services.profile
    for _ in range(_TRIES):
        seen = await desk.read(asked.caller)
        require_match(asked.request, seen.revision, seen.changed_by, seen.changed_ms)
        changed = await desk.change(asked.caller, seen, asked.body)
        if changed is not None:
            return _answer(changed)
    raise Conflict


def _answer(account: ManagedAccount) -> Answer:
    shown = OwnProfile(
        code=account.code,
        name=account.name,
        type=account.type,
        email=account.email,
        mobile=account.mobile,
        language=account.language,
        created_ms=account.created_ms or None,
        revision=account.revision,
    )
    return Answer(shown, headers={"ETag": etag_of(account.revision)})
