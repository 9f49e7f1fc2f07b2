"""The outbox's nouns as values: no behaviour, no SQL."""

import msgspec

from store.states import DeliveryEvent, DeliveryState

CAREFUL_AFTER = 2
"""Rounds in a row of which nobody who was in hand was told of."""


class DeliveryRow(msgspec.Struct, frozen=True):
    """One delivery of a claimed batch that may still be sent."""

    id: int
    address: str
    name: str
    language: str
    units: int
    attempts: int
    last_way: str = ""
    """The carrier that put off an earlier attempt or left it in doubt: another one should have this one, where there
    is one."""
    is_doubted: bool = False
    """It is sent again, and somebody may have it: what comes in meanwhile is heard before it leaves."""
    is_alone: bool = False
    """Its worker died with it in hand each time, and this is its last attempt: it is handed over with no other."""


class Batch(msgspec.Struct, frozen=True):
    """A lease on a range of deliveries of one campaign and channel."""

    id: int
    lease: int
    """Fencing token: whoever claims next has a higher one."""
    node: str
    round: int
    campaign_id: int
    channel: str
    mode: str
    priority: int
    first: int
    last: int
    epoch: int
    starts_ms: int
    expires_ms: int
    crash_policy: str
    stalls: int
    rows: tuple[DeliveryRow, ...]
    losses: int = 0
    """Rounds in a row of which nobody who was in hand was told of."""
    claimed_ms: int = 0
    """Nothing of this round was handed over before."""
    tag: float = 0.0
    """Its place in fair queueing: where it starts."""
    weight: int = 1
    is_first: bool = False
    """The first of its campaign on this channel: nobody of it has been told yet."""
    others_begin: int = 0
    """Of a first batch: how many others of its lane and priority wait to begin."""

    @property
    def is_careful(self) -> bool:
        """Its last rounds ended with nothing told of anybody: one row of it may kill whoever hands it over, so that
        each is handed over alone."""
        return self.losses >= CAREFUL_AFTER

    @property
    def claim(self) -> tuple[int, int]:
        """Id and lease: a batch may be held again by a worker whose first lease on it was lost."""
        return self.id, self.lease


class Settlement(msgspec.Struct, frozen=True):
    """What is now known of one attempt."""

    delivery_id: int
    event: DeliveryEvent
    carrier: str = ""
    refs: tuple[str, ...] = ()
    code: str = ""
    text: str = ""
    wait_ms: int = 0
    """Of what was put off: how long it waits before it is tried again."""
    round: int = 0
    """Of a receipt or a late answer: the round in which the attempt was sent that it speaks of; 0: not known."""
    attempt: int = 0
    """The number of that attempt, where our own reference came back with it; 0: not known."""


class StateChange(msgspec.Struct, frozen=True):
    delivery_id: int
    old: DeliveryState
    new: DeliveryState


class DeliveryCounts(msgspec.Struct, frozen=True):
    """A campaign's deliveries of one channel by state: their sum is the audience of that channel."""

    channel: str
    queued: int
    retry: int
    unknown: int
    accepted: int
    delivered: int
    failed: int
    expired: int
    cancelled: int
    not_needed: int
    charged_millieuro: int
    resent: int
    first_sent_ms: int | None
    last_sent_ms: int | None
    revision: int

    @property
    def total(self) -> int:
        return (
            self.queued + self.retry + self.unknown + self.accepted + self.delivered
            + self.failed + self.expired + self.cancelled + self.not_needed
        )  # fmt: skip

    @property
    def open(self) -> int:
        return self.queued + self.retry


class ThreadSeen(msgspec.Struct, frozen=True):
    """A thread as a decision about it found it."""

    id: int
    revision: int | None = None
    """None: whatever has become of it since, as long as it is open."""


class NewText(msgspec.Struct, frozen=True):
    channel: str
    language: str
    content: str
    """JSON of the channel's content struct."""
    units: int
    price_millieuro: int
    """Of one message in this text."""


class NewCampaign(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a launch writes for one zone."""

    public_id: str
    zone_id: int
    account_id: int
    purpose: str
    title: str
    kind: str
    mode: str
    state: str
    priority: int
    crash_policy: str
    weight: int
    starts_ms: int
    expires_ms: int
    horizon_ms: int
    targets: str
    counts: str
    reserved_millieuro: int
    must_cover: bool = False
    """The zone's balance must cover the reservation, looked at in the same transaction."""
    texts: tuple[NewText, ...]
    audience: bytes
    sizes: tuple[tuple[str, int], ...]
    """(channel, deliveries) in the order of the audience; sequence numbers run through."""
    replaces: tuple[int, ...] = ()
    behalf_id: int | None = None
    """The account whose decision it is, where another one launches it."""
    request_key: str | None = None
    """The account's own key for this decision."""
    request_sha256: str = ""
    """Of what was asked for under it."""
    break_glass_use_id: int | None = None
    """Of the paper code by which whoever decided it came in."""


class NewAlert(msgspec.Struct, frozen=True, kw_only=True):
    public_id: str
    sender: str
    identifier: str
    sent_ms: int
    status: str
    msg_type: str
    scope: str
    document: bytes
    sha256: str
    account_id: int
    expires_ms: int | None
    thread_id: int | None
    """None: a new one, unless its launch says otherwise."""
    state: str
    note: str
    references: tuple[tuple[str, str, int], ...]
