"""The cookie of a session (RFC 6265): found among what a browser sends, and written."""

from aiohttp import web

from gateway.access.sign_in_site import SignInSite
from gateway.errors import Refusal

_MOST_COOKIES = 100


def token_in(request: web.Request, site: SignInSite) -> str | None:
    """The token that a request bears; None where it has no such cookie. Raises Refusal 400 where it has two: one of
    them was put there by somebody else."""
    found = [
        value.strip(' \t"')
        for header in request.headers.getall("Cookie", [])
        for name, _, value in (pair.partition("=") for pair in header.split(";", _MOST_COOKIES))
        if name.strip() == site.cookie
    ]
    if len(found) > 1:
        raise Refusal(400, "two-credentials", "A request comes with one key or one session, and not with two.")
    return found[0] if found else None


def cookie_of(token: str, site: SignInSite) -> dict[str, str]:
    """The header that gives a browser a session's token; until the browser is closed, the server knows how long."""
    secure = "; Secure" if site.is_secure else ""
    return {"Set-Cookie": f"{site.cookie}={token}; Path=/; HttpOnly; SameSite=Lax{secure}"}


def no_cookie(site: SignInSite) -> dict[str, str]:
    """The header that takes it away."""
    secure = "; Secure" if site.is_secure else ""
    return {"Set-Cookie": f"{site.cookie}=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0{secure}"}
