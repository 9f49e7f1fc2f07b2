"""A sender's own table from what a CAP alert says to the kind of message that the gateway sends.

Only its form and its reading: `gateway/campaigns` matches it. The first rule that fits decides; a rule without
any condition fits everything; where none fits the alert is refused, never given a kind by default.
"""

import msgspec

from gateway.kinds import Kind


class EventCode(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """An `eventCode` of the alert, compared exactly."""

    value_name: str
    value: str


class KindRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, rename="camel"):
    """Every condition given must hold; a list holds when the alert's word is one of it."""

    kind: Kind
    urgency: tuple[str, ...] = ()
    severity: tuple[str, ...] = ()
    certainty: tuple[str, ...] = ()
    event_code: EventCode | None = None


def read_kind_rules(text: str) -> tuple[KindRule, ...]:
    """The rules of `account.kind_rules`, in order. Raises msgspec.ValidationError."""
    return msgspec.json.decode(text, type=tuple[KindRule, ...])


def write_kind_rules(rules: tuple[KindRule, ...]) -> str:
    return msgspec.json.encode(rules).decode()
