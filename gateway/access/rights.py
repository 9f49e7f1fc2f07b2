"""The account behind a request and its rights: (zone or network) x action x kind x channel x mode. Deny by default.

Pure. `Caller.reach` is the one answer to "who may do what to whom"; every other question here is asked of it.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import Literal

import msgspec

from channels.contract import Channel, Mode
from gateway.directory.agreements import USUAL, Agreement
from gateway.directory.senders import KindRule
from gateway.errors import Reason, Refusal
from store.audit_line import Actor

NetworkScope = frozenset[int] | None
"""Of one zone. None: the whole of it; empty: nothing."""
NOTHING: NetworkScope = frozenset()
FEED = "feed"
"""The public feed as a channel: only a right to every channel includes it."""


class Action(StrEnum):
    SUBMIT = "submit"
    """Post CAP alerts for a zone."""
    LAUNCH = "launch"
    """Launch a composed message."""
    READ = "read"
    """See a zone's campaigns, deliveries and reports."""
    STOP = "stop"
    PUBLISH = "publish"
    """Put a zone's public alerts into the free feed."""
    OPERATE = "operate"
    """See the figures of the machine, and hold what leaves it: the machine, not the people."""
    AUDIT = "audit"
    """Read who did what, names and addresses included."""
    ADMINISTER = "administer"
    """See to a zone's accounts: invite, grant what one holds oneself, disable, give keys."""


class Right(msgspec.Struct, frozen=True):
    action: str
    zone_id: int | None
    """None: every zone."""
    network_id: int | None
    """None: the whole zone."""
    kind: str
    channel: str
    mode: str = "*"
    """`*` is every kind, every channel, live and simulation."""

    def includes(self, other: "Right") -> bool:
        """Whether whoever has this right has all of the other."""
        return (
            self.action == other.action
            and self.zone_id in (None, other.zone_id)
            and self.network_id in (None, other.network_id)
            and self.kind in ("*", other.kind)
            and self.channel in ("*", other.channel)
            and self.mode in ("*", other.mode)
        )

    @property
    def simulated(self) -> "Right | None":
        """What of the right is left in simulation; None: nothing."""
        return None if self.mode == Mode.LIVE else msgspec.structs.replace(self, mode=str(Mode.SIMULATION))

    @property
    def is_whole(self) -> bool:
        """Whether it is narrowed to no network, kind, channel or mode."""
        return (self.network_id, self.kind, self.channel, self.mode) == (None, "*", "*", "*")

    def covers(self, action: str, zone_id: int, kind: str, channel: str, mode: str) -> bool:
        """Whether the right gives this, in all dimensions but the network."""
        return (
            self.action == action
            and self.zone_id in (None, zone_id)
            and self.kind in ("*", kind)
            and self.channel in ("*", channel)
            and self.mode in ("*", mode)
        )


class SessionFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The session by which a person asks."""

    number: int
    """The store's own."""
    id: str
    factors: tuple[str, ...]
    """That were shown when its token was given."""
    factor_ms: int
    """When."""
    ends_ms: int
    locks_ms: int
    """When it locks itself, if nobody does anything until then."""
    enrol_only: bool
    """It may do nothing but set up factors."""
    locked: bool


class Caller(msgspec.Struct, frozen=True):
    account_id: int
    code: str
    name: str
    type: str
    senders: tuple[str, ...]
    """CAP sender values it may post under."""
    kind_rules: tuple[KindRule, ...]
    rights: tuple[Right, ...]
    agreements: dict[str, Agreement] = {}
    """By sender; nothing is said of the others."""
    via: Literal["", "http"] = ""
    """The door by which it asks; empty: the server does what it asked for earlier."""
    address: str = ""
    """Of the client that asks."""
    behalf_id: int | None = None
    """The account on whose behalf this one acts, with whose rights and type; None: on its own."""
    simulates_only: bool = False
    """It came with a test key: none of its rights is for anything live."""
    session: SessionFacts | None = None
    """Of a person who has signed in; None: a program with a key, or the server."""
    break_glass_use_id: int | None = None
    """The store's number of the paper code's use by which it came in; None: by a key or by factors of its own."""

    @property
    def person(self) -> bool:
        """Whether somebody asks who has shown factors of his own, and no key or paper code."""
        return self.session is not None and self.break_glass_use_id is None

    @property
    def actor(self) -> Actor:
        """Who asks, as the audit has it."""
        return Actor(account_id=self.account_id, behalf_id=self.behalf_id, via=self.via, address=self.address)

    @property
    def decides_as(self) -> int:
        """The account whose decision it is, whoever writes it down."""
        return self.account_id if self.behalf_id is None else self.behalf_id

    def holds(self, right: Right) -> bool:
        """Whether the caller has all of a right."""
        return any(own.includes(right) for own in self.rights)

    def agreed(self, sender: str) -> Agreement:
        """What is agreed about alerts of this sender."""
        return self.agreements.get(sender, USUAL)

    def reach(self, action: Action, zone_id: int, kind: str, channel: str, mode: str) -> NetworkScope:
        """The networks of a zone to which this may be done in this kind, channel and mode."""
        held = [r.network_id for r in self.rights if r.covers(action, zone_id, kind, channel, mode)]
        return None if None in held else frozenset(n for n in held if n is not None)

    def channels(self, action: Action, zone_id: int, kind: str, mode: str) -> frozenset[Channel]:
        """The channels on which this may be done to somebody of the zone."""
        return frozenset(c for c in Channel if self.reach(action, zone_id, kind, c, mode) != NOTHING)

    def may(
        self, action: Action, zone_id: int, kind: str, channels: Iterable[str], mode: str, *, decided_by: int
    ) -> bool:
        """Whether this is allowed to what was sent, or is published, on all these channels: with rights in the whole
        zone for each of them. Who has them for some networks only may do it to what he decided himself: a campaign
        names members of every network that it reaches."""
        reached = [self.reach(action, zone_id, kind, channel, mode) for channel in channels]
        own = decided_by == self.decides_as
        return bool(reached) and all(n is None or (own and n != NOTHING) for n in reached)

    def zone_ids(self, action: Action) -> frozenset[int] | None:
        """The zones where this action is allowed to somebody in some kind, channel and mode; None means all."""
        held = [r for r in self.rights if r.action == action]
        if any(r.zone_id is None for r in held):
            return None
        return frozenset(r.zone_id for r in held if r.zone_id is not None)

    def whole_zones(self, action: Action) -> frozenset[int] | None:
        """The zones where this action is allowed to everybody in every kind, channel and mode; None means all."""
        held = [r for r in self.rights if r.action == action and r.is_whole]
        if any(r.zone_id is None for r in held):
            return None
        return frozenset(r.zone_id for r in held if r.zone_id is not None)

    @property
    def zones(self) -> frozenset[int] | None:
        """The zones where anything at all is allowed; None means all."""
        found = frozenset(r.zone_id for r in self.rights)
        return None if None in found else frozenset(zone for zone in found if zone is not None)

    @property
    def only_zone(self) -> int | None:
        """The zone of who has rights in one and no other; None: in none, or in several."""
        zones = self.zones
        return next(iter(zones)) if zones is not None and len(zones) == 1 else None

    def may_in(self, action: Action, zone_id: int) -> bool:
        """Whether the zone is any business of this caller's; what exactly is `reach`'s to say."""
        zones = self.zone_ids(action)
        return zones is None or zone_id in zones


def require_mode(caller: Caller, mode: Mode) -> None:
    """Raises Refusal 403 for something live by a key that only simulates: the reason is the key, not the account."""
    if caller.simulates_only and mode is Mode.LIVE:
        text = "This came with a key that begins with tocsin_test-: nothing live is done by it."
        reason = Reason("A-TEST-KEY", text, remedy="Send it as a simulation, or with a key that is none for tests.")
        raise Refusal(403, "test-key", "A test key only simulates.", (reason,))


def nowhere(*actions: str) -> Reason:
    """Why somebody is refused who holds none of these rights in any zone."""
    named = " or ".join(f"`{action}`" for action in actions)
    remedy = "Have the right entered for the account."
    return Reason("RIGHT", f"The right {named} is held in no zone.", remedy=remedy, cause="nowhere", facts=(named,))


def everywhere(action: str) -> Reason:
    """Why somebody is refused who does not hold a right in every zone."""
    text, remedy = f"This takes the right `{action}` in every zone.", "Have the right entered for the account."
    return Reason("RIGHT", text, remedy=remedy, cause="everywhere", facts=(f"`{action}`",))
