"""A real door on 127.0.0.1 over a real store, with desks that write down what reached them."""

import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any

import aiohttp
from aiohttp import web
from multidict import CIMultiDictProxy

from cap.edition import Sign
from gateway.access.account_desk import AccountDesk
from gateway.access.approval_desk import ApprovalDesk
from gateway.access.break_glass_desk import BreakGlassDesk
from gateway.access.courses import CourseDesk
from gateway.access.factor_desk import FactorDesk
from gateway.access.granting import granting
from gateway.access.invitation_desk import InvitationDesk
from gateway.access.inviting import InvitationLetter, TellInvitation
from gateway.access.key_desk import KeyDesk
from gateway.access.link_desk import LinkDesk, ResetLink
from gateway.access.profile_desk import ProfileDesk
from gateway.access.rights import Caller
from gateway.access.sign_in_desk import SignInDesk
from gateway.access.sign_in_parts import TellFactor, nobody_told, sign_in_parts
from gateway.campaigns.answers import (
    AlertAnswer,
    MessageAnswer,
    MessageRequest,
    Preview,
    ZonePreview,
    ZoneResult,
)
from gateway.campaigns.hold_desk import HoldDesk
from gateway.campaigns.refused import RefusedDocuments
from gateway.directory.help_book import HelpBook
from gateway.dispatch.unsubscribing import Unsubscribing
from gateway.errors import Refusal
from gateway.http.context import HttpContext
from gateway.http.services import HealthCheck, Measure, PlatformHelp, Services
from gateway.http.serving import make_context, runner_of
from gateway.operations.help_files import read_documents
from gateway.server_certificate import RenewedCertificate
from gateway.settings import AlertSettings, HelpSettings, LimitSettings, ServerSettings, SignInSettings
from store.campaigns import campaign_steps
from store.campaigns import reading as campaigns
from store.campaigns.refused_documents import RefusedQuota
from store.engine.database import Database
from store.engine.transaction import Transaction
from tests import declared
from tests.gateway.populated_store import House, bearer

CAP = {"Content-Type": "application/cap+xml"}
KEY = b"a key of the tests"
SIGN_IN_KEY = b"k" * 32
CARRIERS = ("first", "second")


@dataclass
class RecordingDesk:
    """Both desks: keeps what came, answers as the real ones do."""

    database: Database
    documents: list[bytes] = field(default_factory=list)
    requests: list[MessageRequest] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    previews: list[MessageRequest] = field(default_factory=list)
    fails: BaseException | None = None

    async def submit(self, caller: Caller, document: bytes) -> AlertAnswer:
        if self.fails is not None:
            raise self.fails
        created = document not in self.documents
        self.documents.append(document)
        return self._answer(created)

    def _answer(self, created: bool = False) -> AlertAnswer:
        return AlertAnswer(
            "a1", "cic@example.org", "id-1", 1_700_000_000_123, "Actual", "Alert", "Public", "active",
            1_700_000_001_000, zones=(ZoneResult("A", "c1"), ZoneResult("B", refusal="no credit")), created=created,
        )  # fmt: skip

    async def validate(self, caller: Caller, document: bytes) -> Preview:
        return Preview("launch", (ZonePreview("A", price_millieuro=1055),), 1055)

    async def read(self, caller: Caller, public_id: str) -> AlertAnswer:
        if public_id != "a1":
            raise Refusal(404, "no-such-alert", "There is no such alert.")
        return self._answer()

    async def find(self, caller: Caller, sender: str, identifier: str) -> AlertAnswer:
        return await self.read(caller, "a1" if identifier == "id-1" else "")

    async def document(self, caller: Caller, public_id: str) -> bytes:
        await self.read(caller, public_id)
        return self.documents[0]

    async def launch(self, caller: Caller, request: MessageRequest, key: str) -> MessageAnswer:
        if self.fails is not None:
            raise self.fails
        created = key not in self.keys
        self.keys.append(key)
        self.requests.append(request)
        return MessageAnswer("c9", created)

    async def preview(self, caller: Caller, request: MessageRequest) -> ZonePreview:
        self.previews.append(request)
        return ZonePreview(request.zone, kind=str(request.kind), price_millieuro=55)

    async def stop(self, caller: Caller, public_id: str) -> bool:
        async with self.database.read() as conn:
            found = await campaigns.by_public_id(conn, public_id)
        assert found is not None
        return await self.database.write(lambda tx: campaign_steps.stop(tx, found.id, caller.account_id, caller.actor))


@dataclass
class Doorway:
    url: str
    house: House
    desk: RecordingDesk
    door: HttpContext
    session: aiohttp.ClientSession
    checks: list[HealthCheck]
    told: list[ResetLink]
    """The links that were sent."""

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])

    async def ask(self, method: str, path: str, key: str | None = None, **given: Any) -> "Answer":
        headers = (bearer(key) if key else {}) | given.pop("headers", {})
        async with self.session.request(method, self.url + path, headers=headers, **given) as response:
            body = await response.read()
        declared.hold(method, response.url.path, response.status, response.headers, body)
        return Answer(response.status, response.headers, body)

    async def get(self, path: str, key: str | None = None, **given: Any) -> "Answer":
        return await self.ask("GET", path, key, **given)

    async def post(self, path: str, key: str | None = None, **given: Any) -> "Answer":
        return await self.ask("POST", path, key, **given)


@dataclass
class Answer:
    status: int
    headers: CIMultiDictProxy[str]
    body: bytes

    @property
    def json(self) -> Any:
        import msgspec

        return msgspec.json.decode(self.body)


async def nobody_invited(_tx: Transaction, _letter: InvitationLetter) -> None:
    """Where a test reads no letters."""


async def _furnished(database: Database) -> House:
    house = House(database)
    for code in ("A", "B"):
        await house.zone(code)
    every = ("submit", "launch", "read", "stop", "publish", "operate", "administer")
    await house.account("all", *((action, None) for action in every))
    await house.account("a", *((action, "A") for action in every))
    await house.account("b", *((action, "B") for action in every))
    await house.account("none")
    return house


@contextlib.asynccontextmanager
async def doorway(
    database: Database,
    *,
    server: ServerSettings | None = None,
    feed: AlertSettings | None = None,
    sign: Sign | None = None,
    certificate: RenewedCertificate | None = None,
    help_settings: HelpSettings | None = None,
    sign_in: SignInSettings | None = None,
    house: House | None = None,
    faces: frozenset[str] = frozenset({"inner", "outer"}),
    tell: TellInvitation | None = None,
    tell_owner: TellFactor = nobody_told,
    **changes: Any,
) -> AsyncIterator[Doorway]:
    """Zones A and B; accounts: `all` (everything everywhere), `a` (everything in A), `b` (everything in B), `none`.

    `house`: of another door over the same store."""
    house = house or await _furnished(database)
    desk = RecordingDesk(database)
    checks = [HealthCheck("store", True)]

    async def readiness() -> list[HealthCheck]:
        return checks

    async def measures() -> list[Measure]:
        return [Measure("tocsin_test", "A test.", "gauge", 3, {"channel": "sms"})]

    server = server or ServerSettings(host="127.0.0.1", port=0, max_document_bytes=100_000, body_timeout_s=2.0)
    book = HelpBook(database, help_settings or HelpSettings())
    unsubscribe = Unsubscribing(database, "gen", KEY)
    refused = RefusedDocuments(database, RefusedQuota(200, 20_000_000), 90)
    parts = sign_in_parts(database, server, sign_in or SignInSettings(), SIGN_IN_KEY, lambda: False)
    told: list[ResetLink] = []
    shut = parts.book.forget
    approvals = ApprovalDesk(database, granting(tell or nobody_invited, nobody_told), shut=shut)

    async def send_link(_tx: Transaction, link: ResetLink) -> None:
        told.append(link)

    services = Services(
        database,
        desk,
        refused,
        desk,
        HoldDesk(database, CARRIERS, lambda: None),
        approvals,
        readiness,
        measures,
        server,
        LimitSettings(),
        feed or AlertSettings(),
        unsubscribe,
        PlatformHelp(book, read_documents(book.platform)),
        CourseDesk(database),
        AccountDesk(database, approvals, tell, shut, tell_owner),
        InvitationDesk(database, tell),
        KeyDesk(database, approvals),
        ProfileDesk(database),
        SignInDesk(parts),
        BreakGlassDesk(parts),
        FactorDesk(parts),
        LinkDesk(parts, send_link),
        sign=sign,
        handshake_context=certificate.context if certificate else None,
    )
    door = replace(make_context(services), **changes)
    runner = runner_of(door, faces)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        timeout = aiohttp.ClientTimeout(total=20)
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
            port = runner.addresses[0][1]
            scheme = "https" if certificate else "http"
            yield Doorway(f"{scheme}://127.0.0.1:{port}", house, desk, door, session, checks, told)
    finally:
        await runner.cleanup()


async def events(response: aiohttp.ClientResponse) -> AsyncIterator[dict[str, Any]]:
    """The fields of each server-sent event; a comment is {"comment": True}."""
    fields: dict[str, Any] = {}
    async for line in response.content:
        text = line.decode().rstrip("\n")
        if text.startswith(":"):
            yield {"comment": True}
        elif text:
            name, _, value = text.partition(": ")
            fields[name] = value
        elif fields:
            if "data" in fields:
                yield fields | {"data": json.loads(fields["data"])}
            fields = {}
