"""THE SEAM between the gateway and whatever carries a message: what goes out, what comes back, what a carrier owes.

A carrier knows addresses and contents. It knows no campaign, no member and no database.
"""

from collections.abc import Awaitable, Callable, Sequence
from enum import IntEnum, StrEnum
from typing import Protocol

import msgspec


class Channel(StrEnum):
    SMS = "sms"
    EMAIL = "email"
    VOICE = "voice"


class Mode(StrEnum):
    LIVE = "live"
    SIMULATION = "simulation"


class Content(Protocol):
    """What is said, made ready once per campaign and language (`SmsText`, `PreparedMail`, `Script`)."""

    @property
    def units(self) -> int:
        """How many slots it takes: SMS segments, one mail, one call start."""
        ...


class Permission:
    """Until when bytes of a message may leave: moved on while the sender's right to send is being renewed, never moved
    back. Shared by the messages of one batch; a carrier looks at it before each byte of the text, and again whenever
    it comes back to a text that it has not written to the end."""

    __slots__ = ("not_after",)

    def __init__(self, not_after: float) -> None:
        self.not_after = not_after
        """Event-loop time (seconds)."""

    def renew(self, not_after: float) -> None:
        self.not_after = max(self.not_after, not_after)


class Outgoing(msgspec.Struct, frozen=True):
    """One message to one address, with the instants at which its bytes may leave."""

    reference: str
    """Ours, unique to this attempt, [a-z0-9.-]{1,64}; peers that can echo it do (VERP, ENVID, call id)."""
    address: str
    """E.164 with its plus sign, or a mailbox; already normalised and valid."""
    name: str
    """The addressee as the register has it; hostile until the content's own escaping has seen it."""
    content: Content
    due: tuple[float, ...]
    """Event-loop time (seconds) of each unit, ascending: unit k never leaves before due[k]."""
    expires_ms: int | None = None
    """UTC; a peer that can be told a validity is told this one."""
    permission: Permission | None = None
    """When it has ended nothing more of the message is written: what has not begun is `NotSent` (withdrawn), what a
    peer can have in part only is `InDoubt` with the code `cut`. None: it never ends."""
    message: str = ""
    """Ours, [a-z0-9.-]{1,64}, the same in every attempt of this message: by it a mailbox knows a second copy. Empty:
    `reference`."""
    number: int = 0
    """Ours, for `begins`."""
    begins: Callable[[int], None] | None = None
    """Called with `number` before the first byte of this attempt leaves. For whom it was not called, no peer has it."""


class Accepted(msgspec.Struct, frozen=True, tag="accepted"):
    """The peer took it. Never shown as delivered."""

    refs: tuple[str, ...] = ()
    """The peer's ids, one a part, in the normal form that its receipts will use; empty when it echoes ours."""
    text: str = ""


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """This carrier's last word: it, or its peer, will not take this message or this address. Another carrier may; only
    the last one's word is final for the person. What a peer has against US is never this: it is `NotSent`, and the
    carrier rests."""

    code: str
    text: str
    refs: tuple[str, ...] = ()
    """Parts that had been taken before another was refused."""


class Deferred(msgspec.Struct, frozen=True, tag="deferred"):
    """Known not sent, for a reason of this recipient that may pass (SMTP 4xx on RCPT, SMPP ESME_RMSGQFUL).
    Costs an attempt; tried again later."""

    code: str
    text: str


class NotSent(msgspec.Struct, frozen=True, tag="not_sent"):
    """No byte of it counts: the peer cannot have it. Another carrier may take it at once; costs no attempt."""

    reason: str
    withdrawn: bool = False
    """The message's own end (it expired, its permission ended, we are stopping): nothing against the carrier."""
    missed: bool = False
    """Its slot passed before the carrier had it, or it was called back before its slot: another slot will do."""


class Throttled(msgspec.Struct, frozen=True, tag="throttled"):
    """Known not sent because the peer asked for a slower pace: the whole carrier rests for `pause_s`."""

    pause_s: float
    code: str = ""


class InDoubt(msgspec.Struct, frozen=True, tag="in_doubt"):
    """It may or may not have been taken: bytes left, and no answer came before a timeout or a lost connection."""

    reason: str
    refs: tuple[str, ...] = ()
    code: str = "in_doubt"
    """`cut`: some parts were taken, and the others are held back for good."""


Outcome = Accepted | Refused | Deferred | NotSent | Throttled | InDoubt

Told = Callable[[int, Outcome], None]
"""Hears (index in the group, outcome), from inside the event loop. Prompt; raises nothing."""
Withdraw = Callable[[], None]
"""Nobody waits for the group any more: nothing of it begins, and nothing more of it is told. May be called twice."""


class Fit(IntEnum):
    """How well a carrier can take a message, by its own limits and by what its peer has said that it offers."""

    NOT = 0
    """Not at all: its alphabet, its countries, its size or an extension that its peer lacks stand against it."""
    LEGIBLE = 1
    """In other letters than were meant, which a person still reads as the same words."""
    WHOLE = 2


class CarrierLimits(Protocol):
    """What a carrier can take, as a value: what is not known yet (an extension of a peer that never answered) counts as
    there. Equal where nothing has changed."""

    @property
    def chooses_by_address(self) -> bool:
        """Whether `fit` depends on the address at all: previews ask about each one only then."""
        ...

    def fit(self, address: str, content: Content) -> Fit:
        """How well it can take this message: asked before a message is given to it, and by previews."""
        ...


class NoLimits(msgspec.Struct, frozen=True, tag="none"):
    """It takes everything."""

    @property
    def chooses_by_address(self) -> bool:
        return False

    def fit(self, address: str, content: Content) -> Fit:
        return Fit.WHOLE


class ReceiptState(StrEnum):
    DELIVERED = "delivered"
    FAILED = "failed"
    EXPIRED = "expired"
    PENDING = "pending"
    """A report of progress, not final (SMPP ENROUTE/ACCEPTD, DSN delayed)."""


class Receipt(msgspec.Struct, frozen=True):
    """What a peer reported later about one part of one message."""

    carrier: str
    ref: str
    """The peer's id in the normal form of `Accepted.refs`, or our own reference when `echoed`."""
    state: ReceiptState
    at_ms: int
    """UTC; the peer's own time where it gave a believable one, else the time of arrival."""
    echoed: bool = False
    destination: str | None = None
    """E.164 or mailbox, where the receipt names it."""
    readings: Callable[[str], Sequence[str]] | None = None
    """Gives other readings of the id (hex/decimal, zeros, case), to be believed only if the destination agrees. Asked
    only for the few that match nothing as they are written: making them costs more than reading the receipt."""
    answers: str = ""
    """Our reference of an attempt, when this is the peer's late answer to it: `ref` is the id of the one part it
    took. `state` is pending."""
    code: str = ""
    text: str = ""
    raw: str = ""
    """As received, at most 1,000 characters, for the inbox of receipts that match nothing."""


class ReceiptsRefused(Exception):
    """The receipts could not be made durable: the carrier must have its peer repeat them, never acknowledge them."""


ReceiptSink = Callable[[Sequence[Receipt]], Awaitable[None]]
"""Returns once the receipts are committed; only then does a carrier acknowledge them to its peer.
Raises ReceiptsRefused."""


class CarrierState(StrEnum):
    DOWN = "down"
    UP = "up"
    PAUSED = "paused"


class CarrierStatus(msgspec.Struct, frozen=True):
    """What an operator wants to know at three in the morning."""

    name: str
    channel: Channel
    mode: Mode
    state: CarrierState
    detail: str
    """One sentence: the last error, or what limits it; holds no secret and no address of a person."""
    in_flight: int
    window: int
    since_ms: int
    grievance: str = ""
    """What its peer has against us, whoever the recipient is, until it takes something again; empty for nothing."""


class Carrier(Protocol):
    """One configured way out: an SMPP account, an SMTP relay, a PBX trunk, a simulator."""

    @property
    def name(self) -> str: ...

    @property
    def channel(self) -> Channel: ...

    @property
    def mode(self) -> Mode: ...

    @property
    def room(self) -> int:
        """Units that `send` can take up now without waiting: 0 when down, paused or its window is full."""
        ...

    def status(self) -> CarrierStatus: ...

    @property
    def limits(self) -> CarrierLimits:
        """What it could take, were it free, as far as is known now."""
        ...

    def send(self, group: Sequence[Outgoing], told: Told) -> Withdraw:
        """Take up a group, all due at about the same time; `told` hears of each as the peer answers.

        Exactly one outcome a message, in any order, each within the carrier's own answer timeout; the first may be
        told before this returns. Several groups may be in flight at once; none waits for another. Raises nothing:
        what goes wrong is an outcome. A message whose first unit has not been written when its `expires_ms` passes,
        its `permission` ends or the session is lost, is `NotSent`; one of which any unit was written and not answered
        is `InDoubt`.
        """
        ...

    async def run(self, receipts: ReceiptSink) -> None:
        """Hold the sessions (connect, keep alive, reconnect with back-off) until cancelled; then unbind and close.

        Receipts keep flowing until the end of `run`. Never returns and never raises by itself.
        """
        ...
