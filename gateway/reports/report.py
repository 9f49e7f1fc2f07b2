"""The report as a value, in the form in which it is kept, shown and sent. Instants are RFC 3339 UTC, money millieuro.

One form for the live and the sealed one: `made` says when it was drawn up, `campaign.sealed` whether it is the last.
"""

import msgspec

from gateway.reports.words import sentence


class ReportReason(msgspec.Struct, frozen=True):
    reason: str
    text: str
    """The reason as a sentence."""
    persons: int


class LaunchByCode(msgspec.Struct, frozen=True, kw_only=True):
    """A zone's paper code, by which whoever launched this came in when nobody of the zone could sign in."""

    id: str
    """Of the use, as the audit has it."""
    opened: str
    name: str = ""
    """As typed. It stands apart from what is sealed, and may be erased."""
    reason: str = ""
    """As the name."""


class Header(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    zone: str
    account: str
    title: str
    purpose: str
    kind: str
    mode: str
    """live, or simulation: then nothing of this left the house."""
    state: str
    created: str
    starts: str
    expires: str
    ended: str | None
    """Nothing was left to send."""
    sealed: str | None
    audience_known: bool = True
    """False: whom it goes to is still being gathered, or was not when it was stopped; nobody is counted yet."""
    on_behalf_of: str | None = None
    """The account whose decision it was, where `account` launched it for that one."""
    break_glass: LaunchByCode | None = None


class AlertHeader(msgspec.Struct, frozen=True):
    id: str
    sender: str
    identifier: str
    sent: str
    status: str
    msg_type: str
    scope: str
    sha256: str
    """Of the document as it was received."""


class PersonCounts(msgspec.Struct, frozen=True):
    """reached, accepted, in_doubt, pending, not_reached, expired, cancelled or not_needed: each person is in one of
    them."""

    outcome: str
    persons: int
    reasons: tuple[ReportReason, ...]


class Persons(msgspec.Struct, frozen=True):
    resolved: int
    included: int
    excluded: tuple[ReportReason, ...]
    outcomes: tuple[PersonCounts, ...]
    """Of those included."""

    def of(self, outcome: str) -> int:
        return sum(line.persons for line in self.outcomes if line.outcome == outcome)


class Contacts(msgspec.Struct, frozen=True):
    """What came of every resolved person on every channel asked for."""

    candidates: int
    deliveries: dict[str, int]
    """By channel."""
    covered: dict[str, int]
    """By reason: another delivery reaches the same address."""
    skipped: dict[str, int]
    """By reason: there was no address for this channel."""


class DeliveryLine(msgspec.Struct, frozen=True):
    """Deliveries counted from their rows. `code` is the carrier's word for a failure."""

    channel: str
    language: str
    state: str
    code: str | None
    deliveries: int
    units: int
    charged_millieuro: int


class ChannelLine(msgspec.Struct, frozen=True):
    channel: str
    audience: int
    not_expanded: int
    """Of the audience, not yet rows: queued."""
    states: dict[str, int]
    """From rows, the not expanded among the queued."""
    sent: int
    """Handed to a carrier at least once."""
    resent: int
    """Sent again after doubt. Who received two of them paid for one: the other is the operator's."""
    first_sent: str | None
    last_sent: str | None
    rate_per_s: float | None
    """Sent over the time between the first and the last; None for fewer than two."""
    delivered_share: float | None
    """Delivered of the audience, 0 to 1."""


class Money(msgspec.Struct, frozen=True):
    reserved_millieuro: int
    charged_millieuro: int
    """What carriers took, from rows: once a delivery."""
    settled_millieuro: int | None
    """What the zone paid; None until the report is sealed."""
    returned_millieuro: int | None
    resent_deliveries: int


class Equation(msgspec.Struct, frozen=True):
    """`left` and `right` were counted apart from one another. `relation` is `=` or `<=`."""

    name: str
    text: str
    left: int
    right: int
    relation: str
    holds: bool


class Moved(msgspec.Struct, frozen=True):
    """A counter that a late receipt moved after the report was sealed."""

    channel: str
    counter: str
    sealed: int
    now: int


class ReportChange(msgspec.Struct, frozen=True):
    """One figure, as the report and its earlier addenda tell it and as it is now."""

    section: str
    """persons, deliveries or money."""
    channel: str
    """Of deliveries; else empty."""
    name: str
    """The outcome, the state or the amount."""
    before: int
    after: int


class Addendum(msgspec.Struct, frozen=True, kw_only=True):
    """What late receipts have moved since the report was sealed, or since the addendum before."""

    number: int
    """From 1."""
    made: str
    revision: int
    """Of the counters."""
    changes: tuple[ReportChange, ...]
    entry_millieuro: int
    """What the zone's ledger was charged with it, by an entry of its own."""
    settled_millieuro: int
    """What the zone has paid with it: never more than was reserved."""
    sums_close: bool
    signed: bool = False
    """There is no signing of reports yet."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    version: int = 1
    made: str
    revision: int
    """Of the counters when it was drawn up."""
    campaign: Header
    alert: AlertHeader | None
    persons: Persons
    contacts: Contacts
    channels: tuple[ChannelLine, ...]
    deliveries: tuple[DeliveryLine, ...]
    money: Money
    sums_close: bool
    equations: tuple[Equation, ...]
    signed: bool = False
    """There is no signing of reports yet."""
    addenda: tuple[Addendum, ...] = ()
    since_sealing: tuple[Moved, ...] = ()
    """All that has moved since the seal: what stands in the addenda, and what is not in one yet."""


def counted(reasons: dict[str, int]) -> tuple[ReportReason, ...]:
    """Reasons with their numbers, that of the most persons first."""
    ordered = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
    return tuple(ReportReason(reason, sentence(reason), persons) for reason, persons in ordered)
