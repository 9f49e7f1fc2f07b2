"""From an alert, its sender's account and its thread to a decision: what is to happen, before anybody is looked up.

Pure. Design section 2: identity, status, kind, channels, time, thread. What is not supported is refused by name.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import StrEnum

import msgspec

from cap import Alert, Info, MsgType, Reference, Scope, Status
from channels.contract import Channel, Mode
from gateway.access.caller import Caller
from gateway.directory.senders import KindRule
from gateway.directory.targets import Targets, from_cap
from gateway.errors import Reason, Refusal
from gateway.kinds import KINDS, Kind
from store.alerts import Alert as Filed

KIND_PARAMETER = "tocsin:kind"
CHANNELS_PARAMETER = "tocsin:channels"

LIVE_STATES = frozenset({"active"})
"""States of a filed alert that an Update may follow."""
ENDED_STATES = frozenset({"cancelled"})


class Act(StrEnum):
    LAUNCH = "launch"
    CANCEL = "cancel"
    LOG = "log"
    """Valid, kept, and not sent to anybody: System, Draft, Ack, Error, or older than what its thread has."""
    EXPIRED = "expired"
    """Over when it arrived: accepted, answered as such and not sent."""
    PARK = "park"
    """Names an alert that has not arrived; waits for it, for a bounded time."""


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    act: Act
    mode: Mode = Mode.SIMULATION
    kind: Kind | None = None
    """None for what is not sent, and for a Cancel that names no kind: it takes the kind of what it cancels."""
    channels: tuple[Channel, ...] | None = None
    """None: all that the zone's policy gives this kind."""
    targets: Targets = Targets()
    starts_ms: int = 0
    expires_ms: int = 0
    thread_id: int | None = None
    follows: tuple[int, ...] = ()
    """Ids of the filed alerts that this one ends: its campaigns replace theirs."""
    publish: bool = False
    note: str = ""
    problems: tuple[Reason, ...] = ()


class Thread(msgspec.Struct, frozen=True):
    """What the store knows of the alerts that this one names."""

    named: tuple[tuple[Reference, Filed | None], ...] = ()
    members: tuple[Filed, ...] = ()
    """Every alert of those threads, oldest first."""


def milliseconds(instant: datetime) -> int:
    return round(instant.timestamp() * 1000)


def decide(alert: Alert, caller: Caller, thread: Thread, now_ms: int) -> Decision:
    """Raises Refusal."""
    if alert.sender not in caller.senders:
        raise Refusal(403, "sender-not-yours", f"This account may not post as {alert.sender}.")
    starts_ms, expires_ms = _times(alert)
    if alert.msg_type in (MsgType.ACK, MsgType.ERROR) or alert.status in (Status.SYSTEM, Status.DRAFT):
        word = alert.msg_type if alert.msg_type in (MsgType.ACK, MsgType.ERROR) else alert.status
        return Decision(act=Act.LOG, expires_ms=expires_ms or 0, note=f"{word} messages are kept and sent to nobody.")
    follows: tuple[int, ...] = ()
    thread_id: int | None = None
    problems: list[Reason] = []
    if alert.msg_type in (MsgType.UPDATE, MsgType.CANCEL):
        early = _follow(alert, thread, problems)
        if early is not None:
            return early
        follows = tuple(a.id for a in thread.members if a.state in LIVE_STATES)
        thread_id = next(filed.thread_id for _, filed in thread.named if filed is not None)
    mode = Mode.LIVE if alert.status is Status.ACTUAL else Mode.SIMULATION
    kind = _kind(alert, caller.kind_rules)
    life_ms = KINDS[kind or Kind.ALERT].default_life_s * 1000
    if expires_ms is None:
        expires_ms = max(milliseconds(alert.sent), now_ms if alert.msg_type is MsgType.CANCEL else 0) + life_ms
        problems.append(_policy("I-EXPIRES", f"No expires: {life_ms // 3_600_000} hours by the kind."))
    act = Act.CANCEL if alert.msg_type is MsgType.CANCEL else Act.LAUNCH
    if act is Act.LAUNCH and kind is None:
        raise _no_kind()
    if act is Act.LAUNCH and expires_ms <= now_ms:
        act = Act.EXPIRED
    return Decision(
        act=act,
        mode=mode,
        kind=kind,
        channels=_channels(alert.infos),
        targets=from_cap((area for info in alert.infos for area in info.areas), alert.addresses),
        starts_ms=max(starts_ms, now_ms),
        expires_ms=expires_ms,
        thread_id=thread_id,
        follows=follows,
        publish=mode is Mode.LIVE and alert.scope is Scope.PUBLIC and act is not Act.EXPIRED,
        note="It had expired when it arrived: kept and sent to nobody." if act is Act.EXPIRED else "",
        problems=tuple(problems),
    )


# ---- time ----------------------------------------------------------------------------------------------------


def _times(alert: Alert) -> tuple[int, int | None]:
    """(effective, expires): CAP-v1.2 3.2.2 gives each info its own; the campaign lives as long as the longest.

    An absent effective is `sent` (I-EFFECTIVE)."""
    effective = [milliseconds(i.effective or alert.sent) for i in alert.infos]
    expires = [milliseconds(i.expires) for i in alert.infos if i.expires is not None]
    return min(effective, default=milliseconds(alert.sent)), max(expires, default=None)


# ---- kind and channels ---------------------------------------------------------------------------------------


def _parameter(infos: Iterable[Info], name: str) -> set[str]:
    return {p.value.strip() for info in infos for p in info.parameters if p.name == name}


def _kind(alert: Alert, rules: Sequence[KindRule]) -> Kind | None:
    """The explicit parameter, else the first rule of the sender's own table; never a default."""
    named = _parameter(alert.infos, KIND_PARAMETER)
    if len(named) > 1:
        raise Refusal(422, "kinds-differ", f"{KIND_PARAMETER} differs between the info blocks.")
    if named:
        word = named.pop()
        if word not in set(Kind):
            raise Refusal(422, "kind-unknown", f"{KIND_PARAMETER} is one of {', '.join(Kind)}; {word!r} is not.")
        return Kind(word)
    for rule in rules:
        if any(_fits(rule, info) for info in alert.infos):
            return rule.kind
    if alert.msg_type is MsgType.CANCEL:
        return None
    raise _no_kind()


def _no_kind() -> Refusal:
    return Refusal(
        422,
        "no-kind",
        f"Nothing says what kind of message this is: neither {KIND_PARAMETER} nor the sender's own table.",
    )


def _fits(rule: KindRule, info: Info) -> bool:
    lists = ((rule.urgency, info.urgency), (rule.severity, info.severity), (rule.certainty, info.certainty))
    if any(words and word not in words for words, word in lists):
        return False
    code = rule.event_code
    return code is None or any(p.name == code.value_name and p.value == code.value for p in info.event_codes)


def _channels(infos: Iterable[Info]) -> tuple[Channel, ...] | None:
    words = {word for value in _parameter(infos, CHANNELS_PARAMETER) for word in value.replace(",", " ").split()}
    unknown = sorted(words - set(Channel))
    if unknown:
        raise Refusal(422, "channel-unknown", f"{CHANNELS_PARAMETER} knows {', '.join(Channel)}; not {unknown[0]!r}.")
    return tuple(c for c in Channel if c in words) if words else None


# ---- thread --------------------------------------------------------------------------------------------------


def _follow(alert: Alert, thread: Thread, problems: list[Reason]) -> Decision | None:
    """Rules C-* of notes/cap section 2. A decision when there is nothing to launch; else problems are added."""
    known = [filed for _, filed in thread.named if filed is not None]
    missing = [ref for ref, filed in thread.named if filed is None]
    if not known:
        names = ", ".join(ref.identifier for ref in missing)
        return Decision(act=Act.PARK, thread_id=None, note=f"Waits for the alert it names: {names}.")
    for filed in known:
        _may_follow(alert, filed)
    unknown = "{} is not known here; the others it names are."
    problems.extend(_policy("C-KNOWN", unknown.format(ref.identifier), "warning") for ref in missing)
    if len({filed.thread_id for filed in known}) > 1:
        raise Refusal(409, "threads-differ", "It names alerts of different threads.")
    live = [a for a in thread.members if a.state in LIVE_STATES]
    if not live:
        # C-TERMINAL: whoever heard "cancelled" must not hear more of the same alert by way of an update.
        state = known[-1].state
        if alert.msg_type is MsgType.CANCEL and state not in ENDED_STATES:
            return None
        raise Refusal(409, "thread-ended", f"What it names is {state}: send a new Alert.")
    newest = max(live, key=lambda a: a.sent_ms)
    if alert.msg_type is MsgType.UPDATE and milliseconds(alert.sent) < newest.sent_ms:
        return Decision(
            act=Act.LOG,
            thread_id=newest.thread_id,
            note=f"Older than {newest.identifier}, which its thread has already: kept and sent to nobody.",
        )
    if newest.identifier not in {filed.identifier for filed in known}:
        problems.append(
            _policy("C-SUPERSEDE", f"It does not name {newest.identifier}, which it replaces too.", "warning")
        )
    return None


def _may_follow(alert: Alert, filed: Filed) -> None:
    if filed.sender != alert.sender:
        raise Refusal(403, "not-your-alert", f"{filed.identifier} is an alert of {filed.sender}.")
    if filed.status != alert.status:
        raise Refusal(
            409, "status-differs", f"A message of status {alert.status} changes no alert of status {filed.status}."
        )
    wider = {Scope.PRIVATE: 0, Scope.RESTRICTED: 1, Scope.PUBLIC: 2}
    if alert.msg_type is MsgType.UPDATE and wider[alert.scope] > wider[Scope(filed.scope)]:
        raise Refusal(409, "scope-widened", f"An Update may not widen the scope from {filed.scope} to {alert.scope}.")


def _policy(rule: str, text: str, level: str = "information") -> Reason:
    return Reason(rule=rule, text=text, level=level)
