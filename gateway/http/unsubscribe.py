"""The page behind a mail's unsubscribe link (RFC 8058): a look changes nothing, a POST takes the address off.

Programs that follow links in mails only look; the button of a mail program posts, and so does the one of the page.
Whatever is no token of ours is answered alike.
"""

import html
from collections.abc import Sequence
from dataclasses import dataclass

from aiohttp import web

from cap.translations import language_of
from gateway.http.asking import Asked, NoQuery

_STYLE = "body{font:1.1em sans-serif;max-width:34em;margin:3em auto;padding:0 1em}button{font:inherit;padding:.6em}"
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'"


@dataclass(frozen=True, slots=True)
class _Words:
    title: str
    question: str
    button: str
    done: str
    goes_on: str
    unknown: str


_WORDS = {
    "nl": _Words(
        "Uitschrijven",
        "Wilt u op dit e-mailadres geen nieuws en geen informatie meer ontvangen?",
        "Ja, schrijf mij uit",
        "Dit adres ontvangt geen nieuws en geen informatie meer per e-mail.",
        "Dringende waarschuwingen worden wel nog gestuurd.",
        "Deze link is niet (meer) geldig. Vraag het aan wie u de e-mails stuurt.",
    ),
    "fr": _Words(
        "Se désinscrire",
        "Ne souhaitez-vous plus recevoir de nouvelles ni d'informations à cette adresse ?",
        "Oui, me désinscrire",
        "Cette adresse ne reçoit plus de nouvelles ni d'informations par e-mail.",
        "Les alertes urgentes sont toujours envoyées.",
        "Ce lien n'est pas ou plus valable. Adressez-vous à qui vous envoie ces e-mails.",
    ),
    "de": _Words(
        "Abmelden",
        "Möchten Sie an dieser Adresse keine Neuigkeiten und Informationen mehr erhalten?",
        "Ja, abmelden",
        "Diese Adresse erhält keine Neuigkeiten und Informationen mehr per E-Mail.",
        "Dringende Warnungen werden weiterhin gesendet.",
        "Dieser Link ist nicht (mehr) gültig. Wenden Sie sich an den Absender der E-Mails.",
    ),
    "en": _Words(
        "Unsubscribe",
        "Do you want no more news and notices at this address?",
        "Yes, unsubscribe me",
        "This address gets no more news and notices by e-mail.",
        "Urgent warnings are still sent.",
        "This link is not valid, or no longer. Ask whoever sends you the mails.",
    ),
}


async def look(asked: Asked[NoQuery, None]) -> web.StreamResponse:
    """Asks, and changes nothing."""
    words, language = _words(asked.request)
    lines = asked.context.services.help.book.help_lines(language)
    if not asked.context.services.unsubscribe.is_ours(asked.request.match_info["token"]):
        return _page(words, language, f"<p>{words.unknown}</p>", lines, 404)
    # An empty action is the page's own address: the token is written down nowhere else.
    form = f'<form method="post" action=""><button>{words.button}</button></form>'
    return _page(words, language, f"<p>{words.question}</p>{form}<p>{words.goes_on}</p>", lines)


async def leave(asked: Asked[NoQuery, None]) -> web.StreamResponse:
    """Off the list. The body says nothing that matters and is not read."""
    words, language = _words(asked.request)
    lines = asked.context.services.help.book.help_lines(language)
    if not await asked.context.services.unsubscribe(asked.request.match_info["token"]):
        return _page(words, language, f"<p>{words.unknown}</p>", lines, 404)
    return _page(words, language, f"<p>{words.done}</p><p>{words.goes_on}</p>", lines)


def _words(request: web.Request) -> tuple[_Words, str]:
    language = language_of(request.headers.get("Accept-Language", ""))
    return _WORDS.get(language, _WORDS["en"]), language if language in _WORDS else "en"


def _page(words: _Words, language: str, body: str, lines: Sequence[str], status: int = 200) -> web.Response:
    """`lines`: whom to ask, at its foot."""
    foot = f"<footer>{''.join(f'<p>{html.escape(line)}</p>' for line in lines)}</footer>" if lines else ""
    title = html.escape(words.title)
    text = (
        f'<!DOCTYPE html><html lang="{language}"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><meta name="robots" content="noindex">'
        f"<style>{_STYLE}</style></head><body><h1>{title}</h1>{body}{foot}</body></html>"
    )
    headers = {"Content-Security-Policy": _POLICY, "Content-Language": language, "Vary": "Accept-Language"}
    headers |= {"Cache-Control": "no-store"}
    return web.Response(text=text, status=status, content_type="text/html", charset="utf-8", headers=headers)
