"""The handlers of one's own factors: passkeys, a password, an app for codes, recovery codes."""

from collections.abc import Mapping
from typing import Any

import msgspec
from aiohttp import web

from gateway.access.factor_desk import Changed, NewPassword, TotpConfirmation
from gateway.access.passkeys import CreationOptions, PasskeyAttestation
from gateway.http.asking import Answer, Asked, NoQuery
from gateway.http.sessions import CurrentSession, session_after

_PATH = "/api/v1/me/passkeys"


class OwnPasskey(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    href: str
    name: str
    """How its owner calls it."""
    made_ms: int
    used_ms: int | None


class OwnFactors(msgspec.Struct, frozen=True, kw_only=True):
    """By what the caller can sign in."""

    passkeys: tuple[OwnPasskey, ...]
    password_set_ms: int | None
    totp_set_ms: int | None
    recovery_codes_left: int
    recovery_codes_made_ms: int | None


class PasskeyCreation(msgspec.Struct, frozen=True):
    """What `navigator.credentials.create` takes."""

    public_key: CreationOptions


class FactorSetUp(msgspec.Struct, frozen=True, omit_defaults=True):
    """A factor was set up or changed; every other session of the account has ended."""

    session: CurrentSession | None = None
    """Where this session could only set up factors and has become a full one: with another cookie."""
    passkey: str = ""
    """The id of the one that was added."""


async def overview(asked: Asked[NoQuery, None]) -> Answer:
    """Nothing secret."""
    found = await asked.context.services.factors.overview(asked.caller)
    passkeys = tuple(
        OwnPasskey(id=p.public_id, href=f"{_PATH}/{p.public_id}", name=p.name, made_ms=p.made_ms, used_ms=p.used_ms)
        for p in found.passkeys
    )
    return Answer(
        OwnFactors(
            passkeys=passkeys,
            password_set_ms=found.password_set_ms,
            totp_set_ms=found.totp_set_ms,
            recovery_codes_left=found.recovery_codes_left,
            recovery_codes_made_ms=found.recovery_codes_made_ms,
        )
    )


async def passkey_challenge(asked: Asked[NoQuery, None]) -> Answer:
    """Answered once, within five minutes, in a session of the same account."""
    return Answer(PasskeyCreation(await asked.context.services.factors.passkey_challenge(asked.caller)))


async def add_passkey(asked: Asked[NoQuery, PasskeyAttestation]) -> Answer:
    """Of any authenticator that verifies its owner and keeps the passkey itself."""
    public_id, changed = await asked.context.services.factors.add_passkey(asked.caller, asked.body)
    return await _set_up(asked, changed, 201, {"Location": f"{_PATH}/{public_id}"}, public_id)


async def remove_passkey(asked: Asked[NoQuery, None]) -> web.StreamResponse:
    """Not the last factor by which somebody who may do more than read can sign in."""
    await asked.context.services.factors.remove_passkey(asked.caller, asked.id)
    return web.Response(status=204)


async def set_password(asked: Asked[NoQuery, NewPassword]) -> Answer:
    """The first one, or another: 12 characters at least, and not what somebody who knows the house would soon guess."""
    return await _set_up(asked, await asked.context.services.factors.set_password(asked.caller, asked.body))


async def offer_totp(asked: Asked[NoQuery, None]) -> Answer:
    """A secret for an app. The one in force stays until this one is confirmed."""
    return Answer(await asked.context.services.factors.offer_totp(asked.caller))


async def confirm_totp(asked: Asked[NoQuery, TotpConfirmation]) -> Answer:
    """From here codes of the secret that was offered are good, each once."""
    return await _set_up(asked, await asked.context.services.factors.confirm_totp(asked.caller, asked.body))


async def remove_totp(asked: Asked[NoQuery, None]) -> web.StreamResponse:
    """Not the last factor by which somebody who may do more than read can sign in."""
    await asked.context.services.factors.remove_totp(asked.caller)
    return web.Response(status=204)


async def make_recovery_codes(asked: Asked[NoQuery, None]) -> Answer:
    """Ten new ones, shown once; those before are worth nothing."""
    return Answer(await asked.context.services.factors.make_recovery_codes(asked.caller))


async def _set_up(
    asked: Asked[Any, Any],
    changed: Changed,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    passkey: str = "",
) -> Answer:
    if not changed.token:
        return Answer(FactorSetUp(passkey=passkey), status, headers or {})
    session, cookie = await session_after(asked, changed.token)
    return Answer(FactorSetUp(session, passkey), status, {**(headers or {}), **cookie})
