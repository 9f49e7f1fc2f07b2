"""The account behind a request and its rights: (zone or network) x action x kind x channel. Deny by default. Pure."""

from enum import StrEnum

import msgspec

from gateway.directory.agreements import USUAL, Agreement
from gateway.directory.senders import KindRule


class Action(StrEnum):
    SUBMIT = "submit"
    """Post CAP alerts for a zone."""
    LAUNCH = "launch"
    """Launch a composed message."""
    READ = "read"
    """See a zone's campaigns, deliveries and reports."""
    STOP = "stop"
    OPERATE = "operate"
    """Metrics, holds, the state of carriers: the machine, not the people."""


class Right(msgspec.Struct, frozen=True):
    action: str
    zone_id: int | None
    """None: every zone."""
    network_id: int | None
    """None: the whole zone."""
    kind: str
    channel: str
    """`*` is every kind, every channel."""


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

    def agreed(self, sender: str) -> Agreement:
        """What holds for alerts of this sender."""
        return self.agreements.get(sender, USUAL)

    def zone_ids(self, action: Action) -> frozenset[int] | None:
        """Zones where this action is allowed in any kind and channel; None means all."""
        held = [r for r in self.rights if r.action == action]
        if any(r.zone_id is None for r in held):
            return None
        return frozenset(r.zone_id for r in held if r.zone_id is not None)

    def may_in(self, action: Action, zone_id: int) -> bool:
        zones = self.zone_ids(action)
        return zones is None or zone_id in zones

    def holds_all_of(self, action: Action, zone_id: int) -> bool:
        """Whether some right of this action covers the whole zone, not only some of its networks."""
        return any(r.action == action and r.zone_id in (None, zone_id) and r.network_id is None for r in self.rights)

    def may_see(self, action: Action, zone_id: int, kind: str, decided_by: int) -> bool:
        """Whether this action is allowed on a campaign: a right in the whole zone for this kind; who has one for some
        networks only sees what he decided himself, for a campaign names members of every network that it reaches."""
        held = self._held(action, zone_id, kind)
        return any(r.network_id is None for r in held) or (bool(held) and decided_by == self.account_id)

    def channels(self, action: Action, zone_id: int, kind: str) -> frozenset[str]:
        """Channels allowed for this kind in this zone; `*` stands for all."""
        return frozenset(r.channel for r in self._held(action, zone_id, kind))

    def networks(self, action: Action, zone_id: int, kind: str, channel: str) -> frozenset[int] | None:
        """Networks of the zone that may be reached so; None: the whole zone. Empty: none at all."""
        held = [r for r in self._held(action, zone_id, kind) if r.channel in ("*", channel)]
        if any(r.network_id is None for r in held):
            return None
        return frozenset(r.network_id for r in held if r.network_id is not None)

    def _held(self, action: Action, zone_id: int, kind: str) -> list[Right]:
        return [r for r in self.rights if r.action == action and r.zone_id in (None, zone_id) and r.kind in ("*", kind)]
