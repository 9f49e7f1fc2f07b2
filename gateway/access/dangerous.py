"""What takes a second person: rights by which people are told something, or by which rights are given. Pure.

One right is compared with one: who holds what he is given in pieces is given it anew, and a second person looks.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from channels.contract import Mode
from gateway.access.rights import Action, Right

SUBJECT = "rights"
"""What approvals of these changes are about."""
MOST_CHANGES = 500
"""Of one act: it is done in one transaction, and others wait for that."""
_MOST_NAMED = 20
_SENDING = frozenset({Action.SUBMIT, Action.LAUNCH, Action.PUBLISH})
_RULING = frozenset({Action.ADMINISTER, Action.OPERATE})
Rights = frozenset[Right]


# ---- what can be asked for -----------------------------------------------------------------------------------------


class OpenAccount(msgspec.Struct, frozen=True, tag_field="what", tag="open-account", forbid_unknown_fields=True):
    """An account that there was not."""

    account: str
    """Its code."""
    name: str
    type: str
    rights: tuple[Right, ...] = ()


class EnableAccount(msgspec.Struct, frozen=True, tag_field="what", tag="enable-account", forbid_unknown_fields=True):
    """An account that was disabled comes in again, with the rights that it has."""

    account: str


class SetAddress(msgspec.Struct, frozen=True, tag_field="what", tag="set-address", forbid_unknown_fields=True):
    """Invitations and resets of an account go to another mailbox: whoever has that one comes in."""

    account: str
    email: str
    """In normal form; empty: it has none any more."""


class SetRights(msgspec.Struct, frozen=True, tag_field="what", tag="set-rights", forbid_unknown_fields=True):
    """An account's rights become these and no others."""

    account: str
    rights: tuple[Right, ...]


class MakeKey(msgspec.Struct, frozen=True, tag_field="what", tag="make-key", forbid_unknown_fields=True):
    """A key for an account, whose secret only its asker has seen."""

    account: str
    key_id: str
    secret_sha256: str
    """Hexadecimal."""
    expires_ms: int | None = None
    note: str = ""
    simulates_only: bool = False
    """It is for simulation, whatever its account may do."""
    in_place_of: str = ""
    """The id of the key whose place it takes; empty: of none."""
    overlap_ms: int = 0
    """After which that one ends, from when this one is good."""


class ResetFactors(msgspec.Struct, frozen=True, tag_field="what", tag="reset-factors", forbid_unknown_fields=True):
    """A person's means of signing in are taken away, and others are enrolled."""

    account: str


ChangeToAccount = OpenAccount | EnableAccount | SetAddress | SetRights | MakeKey | ResetFactors


class ApprovalAct(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is done to accounts, all of it together, and the rights that they had when it was asked for."""

    changes: tuple[ChangeToAccount, ...]
    rights_before: dict[str, tuple[Right, ...]]
    """By code, of the accounts that there were."""

    @property
    def targets(self) -> frozenset[str]:
        """The codes of the accounts that it is about."""
        return frozenset(change.account for change in self.changes)


class ActSummary(msgspec.Struct, frozen=True):
    """What lists show of an act."""

    accounts: tuple[str, ...]
    """Codes of those that it is about, 20 at most."""
    changes: int


def act_of(changes: Sequence[ChangeToAccount], before: Mapping[str, Rights]) -> ApprovalAct:
    return ApprovalAct(tuple(changes), {code: in_order(rights) for code, rights in before.items()})


def in_order(rights: Iterable[Right]) -> tuple[Right, ...]:
    """The same rights in the one order that all nodes write them in."""
    return tuple(sorted(set(rights), key=repr))


def summary_of(act: ApprovalAct) -> str:
    return msgspec.json.encode(ActSummary(tuple(sorted(act.targets))[:_MOST_NAMED], len(act.changes))).decode()


def named(summary: str) -> str:
    """The accounts of an act in a line of a notice, from what lists show of it."""
    shown = msgspec.json.decode(summary, type=ActSummary)
    return ", ".join(shown.accounts) + (", ..." if len(shown.accounts) == _MOST_NAMED else "")


def written(act: ApprovalAct) -> str:
    """The act in its one form, of which its digest is."""
    return msgspec.json.encode(act, order="sorted").decode()


def read_act(text: str) -> ApprovalAct:
    """Raises msgspec.ValidationError for what is no act."""
    return msgspec.json.decode(text, type=ApprovalAct)


def digest_of(text: str) -> str:
    """The SHA-256 of an act as it is written, hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


# ---- what is dangerous ---------------------------------------------------------------------------------------------


class Danger(msgspec.Struct, frozen=True):
    """Where an act gives somebody what only two together may give."""

    zones: frozenset[int] | None = frozenset()
    """None: in every zone."""
    takes_two: bool = False
    """Nobody does it alone, not even the only administrator of a zone."""

    @property
    def is_any(self) -> bool:
        return self.zones is None or bool(self.zones)

    @property
    def zone_id(self) -> int | None:
        """The one zone that it is about; None: several, or every one."""
        return next(iter(self.zones)) if self.zones is not None and len(self.zones) == 1 else None

    def __or__(self, other: "Danger") -> "Danger":
        zones = None if self.zones is None or other.zones is None else self.zones | other.zones
        return Danger(zones, self.takes_two or other.takes_two)


def is_dangerous(right: Right) -> bool:
    """What sends nothing but simulations tells nobody anything; who rules does, in whatever mode it is entered."""
    return right.action in _RULING or (right.action in _SENDING and right.mode != Mode.SIMULATION)


def added(before: Rights, after: Rights) -> Rights:
    """The dangerous rights that are new."""
    return frozenset(right for right in after if is_dangerous(right) and not any(had.includes(right) for had in before))


def judge(changes: Iterable[ChangeToAccount], before: Mapping[str, Rights]) -> Danger:
    """Of changes made one after another. `before`: the rights of the accounts that there are, by code."""
    held, danger = dict(before), Danger()
    for change in changes:
        had = held.get(change.account, frozenset())
        match change:
            case OpenAccount(rights=rights) | SetRights(rights=rights):
                given = Danger(_zones(added(had, frozenset(rights))))
                held[change.account] = frozenset(rights)
            case EnableAccount() | SetAddress():
                given = Danger(_zones(added(frozenset(), had)))
            case MakeKey(simulates_only=simulates_only):
                given = Danger() if simulates_only else Danger(_zones(added(frozenset(), had)))
            case ResetFactors():
                # Whoever has no rights yet may have some when the reset is done.
                given = Danger(_zones(had) or None, takes_two=True)
        danger |= given
    return danger


def _zones(rights: Rights) -> frozenset[int] | None:
    zones = {right.zone_id for right in rights}
    return None if None in zones else frozenset(zone_id for zone_id in zones if zone_id is not None)
