"""Whether a page of ours asks, or another site's page in the browser of somebody who has signed in (CSRF).

By what every browser says of itself and no page can change: `Sec-Fetch-Site`, else `Origin`. Another port, another
name and another scheme are another origin.
"""

from aiohttp import web

from gateway.access.sign_in_site import HERE, SignInSite
from gateway.errors import Refusal

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_OWN = frozenset({"same-origin", "none"})


def require_own_page(request: web.Request, site: SignInSite, *, of_browser: bool) -> None:
    """Raises Refusal 403. `of_browser`: a cookie came with it, so that a browser sent it, which says where it comes
    from; without one, what says nothing of that is a program."""
    fetch_sites = request.headers.getall("Sec-Fetch-Site", [])
    if fetch_sites:
        own = _OWN.issuperset(fetch_sites)
    else:
        origins = request.headers.getall("Origin", [])
        own = all(_is_own(origin, request, site) for origin in origins) if origins else not of_browser
    if not own:
        raise Refusal(403, "cross-site", "This was asked for by a page of another site.")


def _is_own(origin: str, request: web.Request, site: SignInSite) -> bool:
    if site.is_told:
        return site.is_own(origin)
    host = request.host
    is_here = site.host not in HERE or host.rpartition(":")[0].strip("[]") in HERE or host in HERE
    return is_here and origin.lower() == f"{site.scheme}://{host}".lower()
