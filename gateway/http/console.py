"""The pages for people: signing in, the links that came by mail, one's own account.

Each is a frame in the visitor's language; what stands in it is written by modules in the browser, which are clients of
the API like any other. No right is decided there, and no form is sent here.
"""

import html
from typing import Annotated, Literal

import msgspec
from aiohttp import web

from cap.translations import language_of
from gateway.errors import Refusal
from gateway.http.asking import Asked, NoQuery
from gateway.http.cached import FOREVER, CacheHead, answer_cached
from gateway.http.console_files import LANGUAGES, ConsoleFiles
from gateway.http.cookies import token_in

Language = Literal["nl", "fr", "de", "en"]
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'none'; base-uri 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # Without it a browser may keep the page with what was typed into it, or with codes that are shown once.
    "Cache-Control": "no-store",
}


class PageLanguage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    lang: Language | None = None
    """The language of the page; without it the one that Accept-Language asks for."""


class SignInPage(PageLanguage, frozen=True):
    to: Annotated[str, msgspec.Meta(max_length=2_000)] = ""
    """The page of this site to go to then, as a path; anything else is passed over."""


async def sign_in(asked: Asked[SignInPage, None]) -> web.StreamResponse:
    """Where people sign in."""
    return _page(asked, "sign-in", "sign_in.js", asked.query.lang)


async def invitation(asked: Asked[PageLanguage, None]) -> web.StreamResponse:
    """Where the link of an invitation leads. Its token stands behind the #, which no server is told."""
    return _page(asked, "invitation", "invitation.js", asked.query.lang)


async def reset(asked: Asked[PageLanguage, None]) -> web.StreamResponse:
    """Where the link for a lost password leads. Its token stands behind the #, which no server is told."""
    return _page(asked, "reset", "reset.js", asked.query.lang)


async def account(asked: Asked[PageLanguage, None]) -> web.StreamResponse:
    """One's own profile, factors, sessions and keys, for who has signed in."""
    return _page(asked, "account", "account.js", asked.query.lang)


async def file(asked: Asked[NoQuery, None]) -> web.StreamResponse:
    """Under a path that changes when a file does: to be kept for ever."""
    console, match = asked.context.console, asked.request.match_info
    found = console.files.get(match["name"]) if match["version"] == console.version else None
    if found is None:
        raise Refusal(404, "no-such-file", "There is no such file.")
    only_here = {"Cross-Origin-Resource-Policy": "same-origin"}
    return await answer_cached(asked, found.content, CacheHead(found.etag, found.media_type, None, FOREVER), only_here)


# ---- the frame -----------------------------------------------------------------------------------------------------


def _page(
    asked: Asked[SignInPage, None] | Asked[PageLanguage, None], name: str, module: str, chosen: Language | None
) -> web.Response:
    """Says of a session no more than whether the browser has sent a cookie: whose it is, the page asks the API."""
    language = chosen or language_of(",".join(asked.request.headers.getall("Accept-Language", [])))
    has_cookie = token_in(asked.request, asked.context.services.sign_in.parts.site) is not None
    text = _frame(asked.context.console, name, module, language, has_cookie)
    headers = _HEADERS | {"Content-Language": language, "Vary": "Accept-Language, Cookie"}
    return web.Response(text=text, content_type="text/html", charset="utf-8", headers=headers)


_TITLES = {
    "sign-in": "sign-in.title", "invitation": "invitation.title", "reset": "reset.title", "account": "profile.title",
}  # fmt: skip


def _frame(console: ConsoleFiles, name: str, module: str, language: str, has_cookie: bool) -> str:
    icon = console.path("icon.svg")
    cookie = " data-cookie" if has_cookie else ""
    said = {key: html.escape(text) for key, text in console.texts[language].items()}
    return (
        f'<!DOCTYPE html><html lang="{language}" data-page="{name}"{cookie}>'
        f'<head><meta charset="utf-8"><title>{said[_TITLES[name]]} · Tocsin</title>'
        '<meta name="viewport" content="width=device-width"><meta name="robots" content="noindex">'
        '<meta name="color-scheme" content="light dark">'
        f'<link rel="icon" href="{icon}"><link rel="stylesheet" href="{console.path("console.css")}">'
        f"{_loads(console, module, language)}</head><body>"
        f'<a class="skip" href="#main">{said["frame.skip"]}</a>'
        f'<header><span class="brand"><img src="{icon}" alt="">Tocsin</span>'
        f'<nav aria-label="{said["frame.languages"]}"><ul>{_languages(language)}</ul></nav></header>'
        f'<main id="main" aria-busy="true"><p>{said["frame.loading"]}</p>'
        f"<noscript><p>{said['frame.script']}</p></noscript></main><footer></footer></body></html>"
    )


def _loads(console: ConsoleFiles, module: str, language: str) -> str:
    modules = "".join(f'<link rel="modulepreload" href="{console.path(one)}">' for one in console.closure(module))
    texts = "".join(
        f'<link rel="{rel}" type="application/json" href="{console.path(one + ".json")}" data-texts="{one}">'
        for one in LANGUAGES
        # As the module fetches it: with the site's own credentials.
        for rel in ('preload" as="fetch" crossorigin="anonymous' if one == language else "alternate",)
    )
    return f'{modules}{texts}<script type="module" src="{console.path(module)}"></script>'


def _languages(current: str) -> str:
    return "".join(
        f'<li><a href="?lang={one}" lang="{one}" hreflang="{one}" data-language="{one}"{here}>{called}</a></li>'
        for one, called in LANGUAGES.items()
        for here in (' aria-current="true"' if one == current else "",)
    )
