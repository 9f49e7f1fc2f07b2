"""What somebody may do to what was sent, or is to be sent: one question an act, each asked of `Caller.reach`. Pure.

A campaign is one thing: who may do something to it may do it in its zone, kind, mode and on every channel it uses.
"""

from collections.abc import Collection, Iterable
from datetime import date
from typing import Protocol

from channels.contract import Channel
from gateway.access.rights import NOTHING, Action, Caller
from gateway.errors import Reason
from gateway.kinds import Kind

NO_RIGHT = "A-RIGHT"
"""The rule that an account breaks which asks for more than its rights give."""
NO_COURSE = "COURSE"
"""The rule that an account breaks which alerts without having learnt how, where its zone wants that."""


class SentCampaign(Protocol):
    """What of a campaign decides who may do what to it (`store.campaigns.Campaign` has it)."""

    @property
    def zone_id(self) -> int: ...
    @property
    def kind(self) -> str: ...
    @property
    def mode(self) -> str: ...
    @property
    def purpose(self) -> str: ...
    @property
    def decided_by(self) -> int: ...
    @property
    def uses(self) -> Collection[str]: ...


def sees(caller: Caller, campaign: SentCampaign) -> bool:
    """Whether a caller may see a campaign: counts, texts, people and report, which sum over its channels, so that a
    part of them would be wrong."""
    return _may(caller, Action.READ, campaign)


def sees_all_of(caller: Caller, zone_id: int, mode: str) -> bool:
    """Whether a caller may see what was refused in a zone, and never came to be of any kind or channel there."""
    return all(caller.may(Action.READ, zone_id, kind, Channel, mode, decided_by=0) for kind in Kind)


def stops(caller: Caller, campaign: SentCampaign) -> bool:
    return _may(caller, Action.STOP, campaign)


def ends(caller: Caller, campaign: SentCampaign) -> bool:
    """Whether a caller may end a campaign by a Cancel or an Update: who may stop it, or might have sent it, may."""
    sending = Action.LAUNCH if campaign.purpose == "message" else Action.SUBMIT
    return stops(caller, campaign) or _may(caller, sending, campaign)


def told_by(
    caller: Caller,
    action: Action,
    zone_id: int,
    kind: str,
    mode: str,
    channels: Iterable[str],
    originals: Iterable[SentCampaign],
) -> frozenset[str]:
    """The channels, of these, on which a Cancel of this kind may tell everyone who has one of the originals. `action`:
    what its author must be allowed to do."""
    own = all(original.decided_by == caller.decides_as for original in originals)
    reached = {c: caller.reach(action, zone_id, kind, c, mode) for c in channels}
    return frozenset(c for c, networks in reached.items() if networks is None or (own and networks != NOTHING))


def missing(kind: str, zone: str, channels: Collection[str] = ()) -> Reason:
    """The reason that names what the account may not do."""
    by = f" by {', '.join(sorted(channels))}" if channels else ""
    text = f"{zone}: this account may not send messages of kind {kind}{by} there."
    return Reason(NO_RIGHT, text, value=zone, remedy="Have the right entered for the account, or let another one send.")


def missing_course(within_days: int, last: date | None, zone: str, whom: str) -> Reason:
    """The reason that names the course which the account lacks, and whom to ask: a help line, or nobody."""
    ask = f" ({whom})" if whom else ""
    facts = (str(within_days), ask, "" if last is None else last.isoformat())
    had = "none" if last is None else f"the last of {last.isoformat()}"
    text = f"{zone}: a live alert there takes a course of the last {within_days} days, and this account has {had}."
    remedy = f"Have a course noted by who keeps the accounts{ask}, or let another one send. Simulations are open."
    cause = "no-course" if last is None else "old-course"
    return Reason(NO_COURSE, text, value=zone, remedy=remedy, cause=cause, facts=facts)


def _may(caller: Caller, action: Action, campaign: SentCampaign) -> bool:
    uses = campaign.uses or tuple(Channel)
    return caller.may(
        action, campaign.zone_id, campaign.kind, uses, campaign.mode, decided_by=campaign.decided_by
    )  # fmt: skip
