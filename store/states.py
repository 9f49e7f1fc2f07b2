"""The life of a delivery, of a batch and of a campaign: what may follow what (ONE table), and what is charged.

Pure. What is not in `TRANSITIONS` cannot happen (design section 4).
"""

from enum import IntEnum, StrEnum


class DeliveryState(IntEnum):
    QUEUED = 0
    RETRY = 1
    """Known not sent; its batch comes back when due."""
    UNKNOWN = 2
    """In doubt: bytes may have left and nobody said what became of them."""
    ACCEPTED = 3
    DELIVERED = 4
    FAILED = 5
    EXPIRED = 6
    CANCELLED = 7
    NOT_NEEDED = 8

    @property
    def word(self) -> str:
        """The word of the JSON API, the metrics and the screens."""
        return self.name.lower()


OPEN = frozenset({DeliveryState.QUEUED, DeliveryState.RETRY})
OPEN_CODES = tuple(sorted(int(state) for state in OPEN))
"""As the store writes them."""
"""Not handed to anybody: the only states from which a delivery may be sent, cancelled or called not needed."""

FINAL = frozenset(
    {
        DeliveryState.DELIVERED,
        DeliveryState.FAILED,
        DeliveryState.EXPIRED,
        DeliveryState.CANCELLED,
        DeliveryState.NOT_NEEDED,
    }
)

MAY_HAVE_IT = frozenset({DeliveryState.UNKNOWN, DeliveryState.ACCEPTED, DeliveryState.DELIVERED})
"""Whoever is owed a Cancel (with those in hand at the fence, and whoever an earlier attempt may have reached)."""


class DeliveryEvent(StrEnum):
    """What can happen to a delivery."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    DEFERRED = "deferred"
    EXHAUSTED = "exhausted"
    NOT_SENT = "not_sent"
    IN_DOUBT = "in_doubt"
    LOST = "lost"
    """Its worker died with it in hand."""
    RESEND = "resend"
    """The kind's policy sends an unknown one again, after the wait for receipts."""
    GIVEN_UP = "given_up"
    """Its campaign ended before one that is in doubt was sent again: it stays in doubt."""
    QUARANTINED = "quarantined"
    ATTEMPT_LOST = "attempt_lost"
    """One of several attempts is known to have reached nobody; what became of the others decides."""
    RECEIPT_DELIVERED = "receipt_delivered"
    RECEIPT_FAILED = "receipt_failed"
    RECEIPT_EXPIRED = "receipt_expired"
    EXPIRE = "expire"
    CANCEL = "cancel"
    NOT_NEEDED = "not_needed"


def _transitions() -> dict[tuple[DeliveryState, DeliveryEvent], DeliveryState]:
    s, e = DeliveryState, DeliveryEvent
    table: dict[tuple[DeliveryState, DeliveryEvent], DeliveryState] = {}
    for state in (s.QUEUED, s.RETRY):
        table |= {
            (state, e.ACCEPTED): s.ACCEPTED,
            (state, e.REFUSED): s.FAILED,
            (state, e.DEFERRED): s.RETRY,
            (state, e.EXHAUSTED): s.FAILED,
            (state, e.NOT_SENT): s.RETRY,
            (state, e.IN_DOUBT): s.UNKNOWN,
            (state, e.LOST): s.UNKNOWN,
            (state, e.QUARANTINED): s.FAILED,
            (state, e.EXPIRE): s.EXPIRED,
            (state, e.CANCEL): s.CANCELLED,
            (state, e.NOT_NEEDED): s.NOT_NEEDED,
        }
    table |= {
        (s.UNKNOWN, e.ACCEPTED): s.ACCEPTED,
        (s.UNKNOWN, e.REFUSED): s.FAILED,
        # The worker that was thought dead knows better: it had not written a byte.
        (s.UNKNOWN, e.NOT_SENT): s.RETRY,
        (s.UNKNOWN, e.DEFERRED): s.RETRY,
        (s.UNKNOWN, e.EXHAUSTED): s.FAILED,
        (s.UNKNOWN, e.RESEND): s.RETRY,
        (s.RETRY, e.GIVEN_UP): s.UNKNOWN,
        # A fact that comes late outranks our own decision that nothing would be sent.
        (s.CANCELLED, e.ACCEPTED): s.ACCEPTED,
        (s.NOT_NEEDED, e.ACCEPTED): s.ACCEPTED,
        (s.CANCELLED, e.IN_DOUBT): s.UNKNOWN,
        (s.NOT_NEEDED, e.IN_DOUBT): s.UNKNOWN,
    }
    # A receipt may overtake the record of its own sending (QUEUED, RETRY) and is a fact in every state but its own.
    for state in (s.QUEUED, s.RETRY, s.UNKNOWN, s.ACCEPTED, s.CANCELLED, s.NOT_NEEDED):
        table |= {
            (state, e.RECEIPT_DELIVERED): s.DELIVERED,
            (state, e.RECEIPT_FAILED): s.FAILED,
            (state, e.RECEIPT_EXPIRED): s.EXPIRED,
        }
    # DELIVERED outranks everything; nothing leads out of it.
    table |= {
        (s.FAILED, e.RECEIPT_DELIVERED): s.DELIVERED,
        (s.EXPIRED, e.RECEIPT_DELIVERED): s.DELIVERED,
    }
    return table


TRANSITIONS = _transitions()

NEGATIVE_RECEIPTS = frozenset({DeliveryEvent.RECEIPT_FAILED, DeliveryEvent.RECEIPT_EXPIRED})

LATER = {
    (DeliveryState.FAILED, DeliveryEvent.ACCEPTED): DeliveryState.ACCEPTED,
    (DeliveryState.EXPIRED, DeliveryEvent.ACCEPTED): DeliveryState.ACCEPTED,
}
"""What follows besides when the event speaks of a later attempt than those that no carrier had taken."""

NEVER_IN_DOUBT = frozenset(
    {DeliveryState.FAILED, DeliveryState.EXPIRED, DeliveryState.CANCELLED, DeliveryState.NOT_NEEDED}
)
"""What nobody is called of whom another attempt is in doubt: they may have it, and are `UNKNOWN`."""

OF_AN_ATTEMPT = frozenset(
    {
        DeliveryEvent.REFUSED,
        DeliveryEvent.DEFERRED,
        DeliveryEvent.EXHAUSTED,
        DeliveryEvent.NOT_SENT,
        DeliveryEvent.IN_DOUBT,
        DeliveryEvent.LOST,
    }
)
"""What closes or moves an open delivery only when it speaks of its latest attempt: of an earlier one it ends a doubt,
and the copy that is to leave, or is in hand, goes on."""

_OF_THE_LATEST = frozenset(
    {(s, e) for s in OPEN for e in OF_AN_ATTEMPT | NEGATIVE_RECEIPTS}
    | {(DeliveryState.ACCEPTED, e) for e in NEGATIVE_RECEIPTS}
)

CHARGING_EVENTS = frozenset(
    {
        DeliveryEvent.ACCEPTED,
        DeliveryEvent.RECEIPT_DELIVERED,
        DeliveryEvent.RECEIPT_FAILED,
        DeliveryEvent.RECEIPT_EXPIRED,
    }
)
"""Events that prove a carrier took the message: the first of them charges it, once for ever."""


def after(state: DeliveryState, event: DeliveryEvent) -> DeliveryState:
    """The state that follows; the same state where the event changes nothing."""
    return TRANSITIONS.get((state, event), state)


def after_all(
    state: DeliveryState,
    event: DeliveryEvent,
    *,
    is_latest: bool,
    was_taken: bool,
    other_doubts: bool,
    later_doubt: bool = False,
) -> DeliveryState:
    """The state that follows in view of the delivery's other attempts.

    `is_latest`: the event speaks of the attempt that is under way or of a later one than any that has been told of.
    `was_taken`: a carrier took an earlier attempt. `other_doubts`: of another attempt it is not known what became;
    `later_doubt`: of a later one.
    """
    if not is_latest and (state, event) in _OF_THE_LATEST:
        return state
    if later_doubt and state is DeliveryState.UNKNOWN and event in (DeliveryEvent.NOT_SENT, DeliveryEvent.DEFERRED):
        return state
    new = after(state, event)
    if is_latest and not was_taken:
        new = LATER.get((state, event), new)
    if new is not state and new in NEVER_IN_DOUBT and other_doubts:
        return DeliveryState.UNKNOWN
    return new


class BatchState(IntEnum):
    READY = 0
    LEASED = 1
    WAITING = 2
    DONE = 3


class CampaignState(StrEnum):
    PREPARING = "preparing"
    """Its audience is still being gathered (a Cancel reads the rows of what it cancels)."""
    SCHEDULED = "scheduled"
    RUNNING = "running"
    STOPPED = "stopped"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"
    EXPIRED = "expired"
    COMPLETED = "completed"
    """Nothing is left to send; receipts may still come."""

    @property
    def may_send(self) -> bool:
        return self is CampaignState.RUNNING


ENDED_BY = {
    CampaignState.STOPPED: DeliveryEvent.CANCEL,
    CampaignState.CANCELLED: DeliveryEvent.CANCEL,
    CampaignState.SUPERSEDED: DeliveryEvent.CANCEL,
    CampaignState.EXPIRED: DeliveryEvent.EXPIRE,
}
"""What becomes of the deliveries still open when a campaign ends before its last message."""


def ended_by(state: str, retired_ms: int | None) -> DeliveryEvent | None:
    """What becomes of the open deliveries of a campaign in this state; None while it may send them. Of one that came
    with a copy of the store and was given up nobody knows whether they were sent since."""
    return DeliveryEvent.LOST if retired_ms is not None else ENDED_BY.get(CampaignState(state))
