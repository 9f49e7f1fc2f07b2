"""The handlers of signing in: sessions opened, listed, unlocked, shown a fresh factor and ended."""

from typing import Any, Literal

import msgspec
from aiohttp import web

from gateway.access.keys import Stranger
from gateway.access.link_desk import InvitationToken, LostPassword, PasswordByLink
from gateway.access.passkeys import PasskeyAssertion, RequestOptions
from gateway.access.rights import Caller, SessionFacts
from gateway.access.sign_in_desk import FreshFactor, PasswordSignIn, RecoverySignIn, session_of
from gateway.access.sign_in_parts import OpenedSession, Visit
from gateway.http.access_log import CALLER, CLIENT
from gateway.http.admission import CHALLENGE
from gateway.http.asking import Answer, Asked, NoQuery
from gateway.http.context import HttpContext
from gateway.http.cookies import cookie_of, no_cookie, token_in
from gateway.http.cross_site import require_own_page
from store.access.sessions import SessionView

_PATH = "/api/v1/sessions"
Factor = Literal["passkey", "password", "totp", "recovery", "invitation", "break-glass"]


class CurrentSession(msgspec.Struct, frozen=True, kw_only=True):
    """The session by which one asks, and whose it is."""

    id: str
    href: str
    account: str
    """Its code."""
    name: str
    factors: tuple[Factor, ...]
    """That were shown when it was opened, unlocked or shown a fresh one."""
    shown_ms: int
    """When."""
    fresh_until_ms: int
    """What asks for a fresh factor is done without another one until then."""
    locks_ms: int
    """When it locks itself, if nothing is done until then."""
    ends_ms: int
    """When it ends, whatever is done."""
    locked: bool
    """It does nothing until a factor is shown; nothing is lost."""
    enrol_only: bool
    """It does nothing but set up factors: a passkey, or a password and an app for codes."""


class ListedSession(msgspec.Struct, frozen=True, kw_only=True):
    """A session of the caller's own that lasts."""

    id: str
    href: str
    current: bool
    """The one by which this was asked."""
    opened_ms: int
    seen_ms: int
    """When something was last done in it, to the minute."""
    ends_ms: int
    factors: tuple[Factor, ...]
    locked: bool
    enrol_only: bool
    address: str
    """Of the client that opened it."""
    agent: str
    """What its browser calls itself."""


class SessionList(msgspec.Struct, frozen=True):
    sessions: tuple[ListedSession, ...]


class PasskeyRequest(msgspec.Struct, frozen=True):
    """What `navigator.credentials.get` takes."""

    public_key: RequestOptions


class ResetAccepted(msgspec.Struct, frozen=True):
    """Said whoever asks, and whether there is such an account or none."""

    text: str


# ---- opening -------------------------------------------------------------------------------------------------------


async def by_password(asked: Asked[NoQuery, PasswordSignIn]) -> Answer:
    """A password, and a code of the app where the account has one. With a password alone an account that may do more
    than read gets a session that can only set up factors. The refusal is the same for every reason."""
    return await _opened(asked, await asked.context.services.sign_in.by_password(asked.body, visit_of(asked)), 201)


async def passkey_challenge(asked: Asked[NoQuery, None]) -> Answer:
    """For signing in, for unlocking and for a fresh factor; answered once, within five minutes."""
    visit_of(asked)
    return Answer(PasskeyRequest(asked.context.services.sign_in.challenge()))


async def by_passkey(asked: Asked[NoQuery, PasskeyAssertion]) -> Answer:
    """A passkey is both factors at once. The refusal is the same for every reason."""
    return await _opened(asked, await asked.context.services.sign_in.by_passkey(asked.body, visit_of(asked)), 201)


async def by_recovery_code(asked: Asked[NoQuery, RecoverySignIn]) -> Answer:
    """For who has lost passkey and app: the password, and one of the ten codes, which is used up. The refusal is the
    same for every reason."""
    desk = asked.context.services.sign_in
    return await _opened(asked, await desk.by_recovery_code(asked.body, visit_of(asked)), 201)


async def accept_invitation(asked: Asked[NoQuery, InvitationToken]) -> Answer:
    """A session that can set up factors and nothing else; it becomes a full one, with another cookie, with a passkey,
    or a password and an app for codes. The link is used up."""
    return await _opened(asked, await asked.context.services.links.accept(asked.body, visit_of(asked)), 201)


async def ask_reset(asked: Asked[NoQuery, LostPassword]) -> Answer:
    """Sends a link of half an hour to the account of this mail address, if there is one that was set up: the answer
    never tells."""
    await asked.context.services.links.ask(asked.body, visit_of(asked))
    return Answer(ResetAccepted("If there is such an account, a link is on its way."))


async def use_reset(asked: Asked[NoQuery, PasswordByLink]) -> web.StreamResponse:
    """Sets a password and nothing else: whoever signs in with it still needs the second factor. Every session of the
    account ends, and the link is used up."""
    await asked.context.services.links.use(asked.body, visit_of(asked))
    return web.Response(status=204)


# ---- in a session --------------------------------------------------------------------------------------------------


async def current(asked: Asked[NoQuery, None]) -> Answer:
    """Also of a session that is locked, or can only set up factors."""
    return Answer(_current(asked.caller, asked.context))


async def unlock(asked: Asked[NoQuery, FreshFactor]) -> Answer:
    """Goes on where it was left, with another cookie. The refusal is the same for every reason."""
    return await _shown_afresh(asked)


async def step_up(asked: Asked[NoQuery, FreshFactor]) -> Answer:
    """Makes the session's factor fresh, with another cookie. The refusal is the same for every reason."""
    return await _shown_afresh(asked)


async def listing(asked: Asked[NoQuery, None]) -> Answer:
    """Those of one's own that last, the newest first."""
    own = session_of(asked.caller)
    found = await asked.context.services.sign_in.lasting(asked.caller)
    idle_ms = asked.context.services.sign_in.parts.book.idle_ms
    now_ms = asked.context.services.database.clock.now_ms()
    return Answer(SessionList(tuple(_listed(one, own, now_ms - idle_ms) for one in found)))


async def revoke(asked: Asked[NoQuery, None]) -> web.StreamResponse:
    """At once on this node, within five seconds on others; its streams end too."""
    await asked.context.services.sign_in.revoke(asked.caller, asked.id)
    return web.Response(status=204)


async def sign_out(asked: Asked[NoQuery, None]) -> web.StreamResponse:
    """Ends the session by which this is asked, and takes its cookie away."""
    desk = asked.context.services.sign_in
    await desk.sign_out(asked.caller)
    return web.Response(status=204, headers=no_cookie(desk.parts.site))


async def _shown_afresh(asked: Asked[NoQuery, FreshFactor]) -> Answer:
    desk = asked.context.services.sign_in
    return await _opened(asked, await desk.show_afresh(asked.caller, asked.body, visit_of(asked)), 200)


# ---- words ---------------------------------------------------------------------------------------------------------


def visit_of(asked: Asked[Any, Any]) -> Visit:
    """Raises Refusal 403 for a page of another site: nobody is signed in to somebody else's account by it."""
    request, site = asked.request, asked.context.services.sign_in.parts.site
    require_own_page(request, site, of_browser=False)
    return Visit(request[CLIENT], request.headers.get("User-Agent", ""), token_in(request, site) or "")


async def _opened(asked: Asked[Any, Any], opened: OpenedSession, status: int) -> Answer:
    """The session as it is from here, with its new cookie."""
    shown, headers = await session_after(asked, opened.token)
    return Answer(shown, status, headers | ({"Location": shown.href} if status == 201 else {}))


async def session_after(asked: Asked[Any, Any], token: str) -> tuple[CurrentSession, dict[str, str]]:
    """A session that was given this token, and the header that gives it to the browser."""
    parts = asked.context.services.sign_in.parts
    caller = await parts.book.caller(token)
    if caller is None:
        # It was ended by somebody else in the same instant.
        raise Stranger("no-session", "This session has ended: sign in again.", CHALLENGE)
    asked.request[CALLER] = caller
    return _current(caller, asked.context), cookie_of(token, parts.site)


def _current(caller: Caller, context: HttpContext) -> CurrentSession:
    own = session_of(caller)
    return CurrentSession(
        id=own.id,
        href=f"{_PATH}/{own.id}",
        account=caller.code,
        name=caller.name,
        factors=msgspec.convert(own.factors, tuple[Factor, ...]),
        shown_ms=own.factor_ms,
        fresh_until_ms=own.factor_ms + context.services.sign_in.parts.rules.fresh_min * 60_000,
        locks_ms=own.locks_ms,
        ends_ms=own.ends_ms,
        locked=own.locked,
        enrol_only=own.enrol_only,
    )


def _listed(view: SessionView, own: SessionFacts, idle_since_ms: int) -> ListedSession:
    return ListedSession(
        id=view.public_id,
        href=f"{_PATH}/{view.public_id}",
        current=view.public_id == own.id,
        opened_ms=view.made_ms,
        seen_ms=view.seen_ms,
        ends_ms=view.ends_ms,
        factors=msgspec.json.decode(view.factors, type=tuple[Factor, ...]),
        locked=view.locked or view.seen_ms <= idle_since_ms,
        enrol_only=view.enrol_only,
        address=view.address,
        agent=view.agent,
    )
