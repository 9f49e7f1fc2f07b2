"""The page on which the API's document is read and tried: Swagger UI, from this server alone."""

import html

from aiohttp import web

from gateway.errors import Reason, Refusal
from gateway.http.asking import Asked, NoQuery
from gateway.operations.assets import AssetFault

_STYLES = ("swagger-ui-page.css", "swagger-ui.css")
_SCRIPTS = ("swagger-ui.js", "docs_page.js")
# Swagger UI's own style sheet holds its pictures.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
_TEXTS = {
    "none": "The files for browsers are not installed.",
    "version": "The files for browsers are those of another version of the program.",
    "differs": "The file {} is not what was reviewed, or is not there.",
}
_REMEDY = (
    "On this machine run 'make assets', or 'make setup ASSETS=FILE' where there is no net; then start again. "
    "The document itself is at /api/v1/openapi.json."
)


async def show(asked: Asked[NoQuery, None]) -> web.StreamResponse:
    """Every route with its types, and a form to try it with a key. Nothing is asked of another host."""
    assets = asked.context.assets
    if not {*_STYLES, *_SCRIPTS} <= assets.files.keys():
        reasons = tuple(map(_reason, assets.faults))
        raise Refusal(404, "no-assets", "The files that this page is made of are not here.", reasons)
    styles = "".join(f'<link rel="stylesheet" href="{html.escape(assets.path(name))}">' for name in _STYLES)
    scripts = "".join(f'<script src="{html.escape(assets.path(name))}" defer></script>' for name in _SCRIPTS)
    lines = asked.context.services.help.book.help_lines("en")
    foot = "".join(f"<p>{html.escape(line)}</p>" for line in lines)
    text = (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Tocsin: the API</title>'
        '<meta name="viewport" content="width=device-width"><meta name="robots" content="noindex">'
        f'<link rel="icon" href="data:,">{styles}{scripts}</head><body><div id="document"></div>'
        '<noscript><p>This page needs JavaScript. <a href="/api/v1/openapi.json">The document itself</a> does not.</p>'
        '</noscript><p><a href="/assets/licences">Licences of the files of this page</a></p>'
        f"<footer>{foot}</footer></body></html>"
    )
    headers = {"Content-Security-Policy": _POLICY, "Content-Language": "en"}
    return web.Response(text=text, content_type="text/html", charset="utf-8", headers=headers)


def _reason(fault: AssetFault) -> Reason:
    facts = (fault.name,) if fault.name else ()
    return Reason("ASSETS", _TEXTS[fault.cause].format(*facts), remedy=_REMEDY, cause=fault.cause, facts=facts)
