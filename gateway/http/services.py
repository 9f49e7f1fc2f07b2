"""What the door needs from the house, as it sees it: the desks of the use cases, the store, and how the machine is."""

import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import msgspec

from cap.edition import Sign
from gateway.access.account_desk import AccountDesk
from gateway.access.approval_desk import ApprovalDesk
from gateway.access.break_glass_desk import BreakGlassDesk
from gateway.access.courses import CourseDesk
from gateway.access.factor_desk import FactorDesk
from gateway.access.invitation_desk import InvitationDesk
from gateway.access.key_desk import KeyDesk
from gateway.access.link_desk import LinkDesk
from gateway.access.profile_desk import ProfileDesk
from gateway.access.rights import Caller
from gateway.access.sign_in_desk import SignInDesk
from gateway.campaigns.answers import AlertAnswer, MessageAnswer, MessageRequest, Preview, ZonePreview
from gateway.campaigns.hold_desk import HoldDesk
from gateway.campaigns.refused import RefusedDocuments
from gateway.directory.help_book import HelpBook
from gateway.dispatch.unsubscribing import Unsubscribing
from gateway.settings import AlertSettings, LimitSettings, ServerSettings
from store.engine.database import Database


class AlertService(Protocol):
    """The desk of alerts, as the door sees it. Every method raises Refusal."""

    async def submit(self, caller: Caller, document: bytes) -> AlertAnswer: ...

    async def validate(self, caller: Caller, document: bytes) -> Preview: ...

    async def read(self, caller: Caller, public_id: str) -> AlertAnswer: ...

    async def find(self, caller: Caller, sender: str, identifier: str) -> AlertAnswer: ...

    async def document(self, caller: Caller, public_id: str) -> bytes:
        """The bytes as they were received."""
        ...

    async def envelope(self, caller: Caller, public_id: str) -> bytes:
        """The envelope that an alert came in."""
        ...


class MessageService(Protocol):
    """The desk of composed messages, as the door sees it. Every method raises Refusal."""

    async def launch(self, caller: Caller, request: MessageRequest, key: str) -> MessageAnswer:
        """The same `key` of the caller again answers with the first campaign."""
        ...

    async def preview(self, caller: Caller, request: MessageRequest) -> ZonePreview: ...

    async def stop(self, caller: Caller, public_id: str) -> bool:
        """Ends a campaign; False when it had ended already."""
        ...


class HealthCheck(msgspec.Struct, frozen=True):
    """One condition of being ready. What is not `vital` is shown and does not take the server out of service."""

    name: str
    well: bool
    text: str = ""
    vital: bool = True


class Measure(msgspec.Struct, frozen=True):
    """One sample for /metrics. Measures of one name have the same label names, type and help."""

    name: str
    help: str
    type: Literal["gauge", "counter"]
    value: float
    labels: dict[str, str] = {}


Readiness = Callable[[], Awaitable[Sequence[HealthCheck]]]
Measures = Callable[[], Awaitable[Sequence[Measure]]]


@dataclass(frozen=True, slots=True)
class PlatformHelp:
    """Whom people ask, and the documents that are files of this machine, by name."""

    book: HelpBook
    files: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Services:
    database: Database
    alerts: AlertService
    refused: RefusedDocuments
    messages: MessageService
    holds: HoldDesk
    approvals: ApprovalDesk
    readiness: Readiness
    measures: Measures
    server: ServerSettings
    limits: LimitSettings
    feed: AlertSettings
    unsubscribe: Unsubscribing
    help: PlatformHelp
    courses: CourseDesk
    accounts: AccountDesk
    invitations: InvitationDesk
    keys: KeyDesk
    profile: ProfileDesk
    sign_in: SignInDesk
    break_glass: BreakGlassDesk
    factors: FactorDesk
    links: LinkDesk
    sign: Sign | None = None
    """With the feed's key, where there is one."""
    handshake_context: Callable[[], ssl.SSLContext] | None = None
    """Of the TLS handshake that begins now; None: the door speaks plain HTTP."""
