"""The handlers of refused documents: each account reads its own, with the verdict in its own language."""

from typing import Annotated

import msgspec
from aiohttp import web

from gateway.campaigns.refused import reasons_of
from gateway.errors import Reason
from gateway.http import readings
from gateway.http.asking import Answer, Asked, NoQuery
from gateway.http.languages import Tongue
from gateway.http.pages import USUAL, Cursor, Limit, heading, link
from store.campaigns.refused_documents import RefusedDocument

_PATH = "/cap/v1/refused"


class FindRefused(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    sender: Annotated[str, msgspec.Meta(max_length=1000)] = ""
    after: Cursor = ""
    limit: Limit = USUAL


class RefusedAlert(msgspec.Struct, frozen=True, kw_only=True):
    """A document that was refused at the door; nothing of it was ever acted on."""

    id: str
    sender: str
    identifier: str
    first_ms: int
    last_ms: int
    times: int
    """How often it came."""
    status: int
    """Of the answer, the last time."""
    code: str
    title: str
    problems: tuple[Reason, ...]
    size: int
    """Of the document, in octets."""
    sha256: str
    href: str
    document: str
    """Where its octets are."""


class RefusedList(msgspec.Struct, frozen=True, omit_defaults=True):
    refused: tuple[RefusedAlert, ...]
    next: str = ""
    """Where the list goes on; absent at its end."""


async def listing(asked: Asked[FindRefused, None]) -> Answer:
    """Those that came last first."""
    query, tongue = asked.query, asked.tongue()
    await readings.keep(asked, readings.reading_of(asked, "refused-read", "refused"))
    found = await asked.context.services.refused.latest(asked.caller, query.sender, query.after, query.limit)
    next_ = ""
    if len(found) == query.limit:
        next_ = link(_PATH, sender=query.sender, after=found[-1].public_id, limit=query.limit)
    page = RefusedList(tuple(_shown(kept, tongue) for kept in found), next_)
    return Answer(page, headers=heading(next_), tongue=tongue)


async def read(asked: Asked[NoQuery, None]) -> Answer:
    """With all that was wrong with it."""
    tongue = asked.tongue()
    kept = await asked.context.services.refused.read(asked.caller, asked.id)
    await readings.keep(asked, readings.reading_of(asked, "refused-read", f"refused {kept.public_id}"))
    return Answer(_shown(kept, tongue), tongue=tongue)


async def document(asked: Asked[NoQuery, None]) -> web.StreamResponse:
    """Byte for byte as it was received, to be saved and not shown."""
    body = await asked.context.services.refused.document(asked.caller, asked.id)
    await readings.keep(asked, readings.reading_of(asked, "refused-export", f"refused {asked.id}"))
    disposition = f'attachment; filename="refused-{asked.id}.xml"'
    return web.Response(
        body=body, content_type="application/octet-stream", headers={"Content-Disposition": disposition}
    )  # fmt: skip


def _shown(kept: RefusedDocument, tongue: Tongue) -> RefusedAlert:
    href = f"{_PATH}/{kept.public_id}"
    return RefusedAlert(
        id=kept.public_id,
        sender=kept.sender,
        identifier=kept.identifier,
        first_ms=kept.first_ms,
        last_ms=kept.last_ms,
        times=kept.times,
        status=kept.status,
        code=kept.code,
        title=tongue.title(kept.code, kept.title),
        problems=reasons_of(kept),
        size=kept.size,
        sha256=kept.sha256,
        href=href,
        document=f"{href}/document",
    )
