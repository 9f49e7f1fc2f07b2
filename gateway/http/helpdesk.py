"""The handlers of help: whom to ask, and the documents for one's role."""

import msgspec
from aiohttp import web

from gateway.access.rights import Caller
from gateway.errors import Refusal
from gateway.help_lines import HelpContact, HelpDocument
from gateway.http.asking import Answer, Asked, NoQuery
from gateway.http.context import HttpContext

_FILES = "/api/v1/help/documents"
_PDF = "application/pdf"
_OCTETS = "application/octet-stream"
FILE_TYPES = (_PDF, _OCTETS)


class OfferedDocument(msgspec.Struct, frozen=True, omit_defaults=True):
    """A manual for the caller's role."""

    name: str
    title: str
    """In the caller's language, or in one that there is."""
    href: str
    zone: str = ""
    """Of which zone it is; absent: of the platform."""


class HelpPage(msgspec.Struct, frozen=True):
    """Whom to ask, and what to read."""

    lines: tuple[HelpContact, ...]
    """Those of the caller's zones, then those of the platform."""
    documents: tuple[OfferedDocument, ...]


async def show(asked: Asked[NoQuery, None]) -> Answer:
    """The help lines of the platform, for everybody: who cannot sign in needs them most. To who shows a good key also
    those of the zones in which the account has a right, and the documents for its role."""
    tongue, book = asked.tongue(), asked.context.services.help.book
    zones = asked.caller.zones
    tongue.used.add(tongue.language)
    page = HelpPage(
        book.contacts(tongue.language, zones),
        tuple(_documents(asked.context, asked.caller, tongue.language)) if asked.caller.account_id else (),
    )
    return Answer(page, tongue=tongue)


async def document(asked: Asked[NoQuery, None]) -> web.StreamResponse:
    """A document of the platform that is a file, to be saved; 404 where it is for other roles."""
    name, served = asked.request.match_info["name"], asked.context.services.help
    known, octets = served.book.platform.documents.get(name), served.files.get(name)
    if known is None or octets is None or not known.is_for(asked.caller.type):
        raise Refusal(404, "no-such-file", "There is no such file.")
    suffix, kind = (".pdf", _PDF) if known.file.lower().endswith(".pdf") else ("", _OCTETS)
    disposition = f'attachment; filename="{name}{suffix}"'
    return web.Response(body=octets, content_type=kind, headers={"Content-Disposition": disposition})


def _documents(context: HttpContext, caller: Caller, language: str) -> list[OfferedDocument]:
    served = context.services.help
    found = [
        _offered(name, one, language, one.url, code)
        for code, own in served.book.of_zones(caller.zones)
        for name, one in sorted(own.documents.items())
        if one.url and one.is_for(caller.type)
    ]
    for name, one in sorted(served.book.platform.documents.items()):
        href = one.url or (f"{_FILES}/{name}" if name in served.files else "")
        if href and one.is_for(caller.type):
            found.append(_offered(name, one, language, href))
    return found


def _offered(name: str, document: HelpDocument, language: str, href: str, zone: str = "") -> OfferedDocument:
    return OfferedDocument(name, document.title(language, name), href, zone)
