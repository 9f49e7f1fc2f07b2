"""What the use cases answer, in the words of the JSON API. Values only."""

from typing import Annotated

import msgspec

from channels.contract import Channel
from gateway.directory.resolve import Readers
from gateway.directory.targets import Targets
from gateway.errors import Reason
from gateway.kinds import Kind


class ReasonCount(msgspec.Struct, frozen=True):
    reason: str
    text: str
    persons: int


class TextPreview(msgspec.Struct, frozen=True, omit_defaults=True):
    """The exact words of one channel and language, and what one message in them costs."""

    channel: str
    language: str
    text: str
    """SMS as it will be displayed, the body of the mail, the words spoken."""
    deliveries: int
    units: int
    price_millieuro: int
    subject: str = ""
    encoding: str = ""
    note: str = ""
    """What was shortened or altered, and how."""


class ChannelPreview(msgspec.Struct, frozen=True):
    channel: str
    deliveries: int
    covered: int
    """The same address is reached through another member or in another zone."""
    skipped: int
    units: int
    price_millieuro: int
    eta_s: float | None
    """Until the last one has left, at most: at the contracts' rates of the carriers that are open at this moment, under
    the ceiling of call starts, behind all that waits in this channel and is at least as urgent. None where no carrier
    is open."""
    first_s: float | None = None
    """Of an alert: until its first message may leave, behind the first ones of the alerts that wait to begin; other
    alerts that are being sent already delay it by 2 s at most. None for other kinds, which wait for their turn."""


class ZonePreview(msgspec.Struct, frozen=True):
    """What one zone's campaign would be, or why there would be none. Every figure is there, also when it is 0."""

    zone: str
    refusal: str = ""
    kind: str = ""
    mode: str = ""
    resolved: int = 0
    included: int = 0
    excluded: tuple[ReasonCount, ...] = ()
    covered: tuple[ReasonCount, ...] = ()
    skipped: tuple[ReasonCount, ...] = ()
    matched_by: dict[str, int] = {}
    readers: tuple[Readers, ...] = ()
    """Persons included by the language they read, and which text they get."""
    channels: tuple[ChannelPreview, ...] = ()
    texts: tuple[TextPreview, ...] = ()
    price_millieuro: int = 0
    balance_millieuro: int | None = None
    shortfall_millieuro: int = 0
    """By so much the balance is too small: it would be refused."""
    starts_ms: int = 0
    expires_ms: int = 0
    notes: tuple[str, ...] = ()
    """What the sender should know of how the texts were made."""
    problems: tuple[Reason, ...] = ()


class SignatureFound(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of the alert's signature when it came."""

    standing: str
    """verified; unverifiable: nothing is known either way; absent; unchecked: the sender's terms ask for no look."""
    reason: str = ""
    signer: str = ""
    """The names in the certificate."""
    certificate: str = ""
    """Its SHA-256, hexadecimal."""


class Preview(msgspec.Struct, frozen=True):
    """A dry run: one resolver with the launch, so what it says is what would happen."""

    action: str
    """launch, log, cancel, park, expired ... as the launch would answer."""
    zones: tuple[ZonePreview, ...] = ()
    price_millieuro: int = 0
    problems: tuple[Reason, ...] = ()
    mapping: tuple[tuple[str, str], ...] = ()
    """The documented table from CAP elements to texts."""
    version: str = ""
    """Of CAP, as it was sent."""
    signature: SignatureFound | None = None


class GatheringAnswer(msgspec.Struct, frozen=True):
    """What a Cancel ends has ended, and whom it goes to is being gathered. By the counters of that, at this moment:"""

    may_have_it: int
    """Messages that a carrier took or that are in doubt. Of several to one address one Cancel is sent."""
    open: int
    """Messages that were not sent, or are in hand and not answered yet: whoever turns out to have one is told, too."""


class ZoneResult(msgspec.Struct, frozen=True, omit_defaults=True):
    zone: str
    campaign: str | None = None
    """Public id."""
    refusal: str = ""
    gathering: GatheringAnswer | None = None
    """Of a Cancel whose audience is not known yet."""


class AlertAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """The alert's resource. `created` is false for the same bytes again."""

    id: str
    sender: str
    identifier: str
    sent_ms: int
    status: str
    msg_type: str
    scope: str
    state: str
    received_ms: int
    note: str = ""
    expires_ms: int | None = None
    zones: tuple[ZoneResult, ...] = ()
    version: str = ""
    """Of CAP, as it was sent."""
    signature: SignatureFound | None = None
    envelope: str = ""
    """The EDXL-DE envelope that it came in."""
    warnings: tuple[Reason, ...] = ()
    """What was found and did not prevent it."""
    created: bool = False


class MessageText(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A coordinator's words in one language. What a channel lacks is made from the others as documented."""

    language: Annotated[str, msgspec.Meta(pattern=r"^[a-z]{2}\Z")]
    sms: str = ""
    subject: str = ""
    email: str = ""
    voice: str = ""


class MessageRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A composed message: the second door to the same resolver, preview and launch."""

    zone: str
    kind: Kind
    title: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    texts: Annotated[tuple[MessageText, ...], msgspec.Meta(min_length=1)]
    targets: Targets
    channels: Annotated[tuple[Channel, ...], msgspec.Meta(min_length=1)]
    simulation: bool = False
    starts_at: str = ""
    """RFC 3339; empty: now."""
    expires_at: str = ""
    """RFC 3339; empty: by the kind."""
    terms_confirmed: bool = False
    """The sender confirms the terms that exclude commercial, promotional and political content."""


class MessageAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    campaign: str
    created: bool
    preview: ZonePreview | None = None
