"""From an alert, its sender's account and its thread to a decision: what is to happen, before anybody is looked up.

Pure. Design section 2: identity, status, kind, channels, time, thread. What is not supported is refused by name.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum

import msgspec

from cap import Alert, Info, MsgType, Reference, Scope, Status
from cap.thread import REACH, Known, Placement, Reach, State, Step, place
from channels.contract import Channel, Mode
from gateway.access.caller import Caller
from gateway.directory.senders import KindRule
from gateway.directory.targets import Targets, from_cap
from gateway.errors import Reason, Refusal
from gateway.kinds import KINDS, Kind
from store.alerts import Alert as Filed

KIND_PARAMETER = "tocsin:kind"
CHANNELS_PARAMETER = "tocsin:channels"


FARTHEST_MS = 366 * 86_400_000
"""How far from now an instant may lie that something is sent by."""
SOON_MS = 60_000


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
    placement = _placed(alert, thread)
    if placement.step in _UNSENT:
        return _unsent(alert, placement, expires_ms or 0)
    problems = [_policy(remark.rule, remark.text, remark.level) for remark in placement.remarks]
    mode = Mode.LIVE if REACH[alert.status] is Reach.PEOPLE else Mode.SIMULATION
    kind = _kind(alert, caller.kind_rules)
    if alert.msg_type is MsgType.UPDATE and starts_ms > now_ms + SOON_MS:
        # Until then nobody would be told anything: the old text stops when the new one is accepted.
        raise Refusal(422, "update-later", "An Update takes effect at once; send it when it does.")
    life_ms = KINDS[kind or Kind.ALERT].default_life_s * 1000
    if expires_ms is None:
        expires_ms = max(milliseconds(alert.sent), now_ms if alert.msg_type is MsgType.CANCEL else 0) + life_ms
        problems.append(_policy("I-EXPIRES", f"No expires: {life_ms // 3_600_000} hours by the kind."))
    act = Act.CANCEL if placement.step is Step.END else Act.LAUNCH
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
        thread_id=placement.thread,
        follows=placement.ends,
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
    # The text may stand longer; what sends it, and the feed, do not reckon beyond a year.
    expires = [min(at_ms, milliseconds(alert.sent) + FARTHEST_MS) for at_ms in expires]
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

_UNSENT: Mapping[Step, Act] = {Step.WAIT: Act.PARK, Step.STALE: Act.LOG, Step.KEEP: Act.LOG}
_REFUSED: Mapping[str, tuple[int, str]] = {
    "C-AUTH": (403, "not-your-alert"),
    "C-STATUS": (409, "status-differs"),
    "C-SCOPE": (409, "scope-widened"),
    "C-THREADS": (409, "threads-differ"),
    "C-TERMINAL": (409, "thread-ended"),
}


def _placed(alert: Alert, thread: Thread) -> Placement:
    """By the rules C-* of `cap.thread`. Raises Refusal."""
    named = [(reference, _known(filed) if filed else None) for reference, filed in thread.named]
    placement = place(alert, named, [_known(filed) for filed in thread.members])
    if placement.refusal is not None:
        status, code = _REFUSED[placement.refusal.rule]
        raise Refusal(status, code, placement.refusal.text)
    return placement


def _known(filed: Filed) -> Known:
    sent = datetime.fromtimestamp(filed.sent_ms // 1000, UTC)  # CAP has whole seconds
    return Known(
        key=filed.id,
        reference=Reference(filed.sender, filed.identifier, sent),
        status=Status(filed.status),
        scope=Scope(filed.scope),
        state=State(filed.state),
        thread=filed.thread_id,
    )


def _unsent(alert: Alert, placement: Placement, expires_ms: int) -> Decision:
    """What is filed and answered, and launches nothing."""
    act = _UNSENT[placement.step]
    if placement.step is not Step.KEEP:
        return Decision(act=act, thread_id=placement.thread, note=placement.remarks[0].text)
    word = alert.msg_type if alert.msg_type in (MsgType.ACK, MsgType.ERROR) else alert.status
    return Decision(act=act, expires_ms=expires_ms, note=f"{word} messages are kept and sent to nobody.")


def _policy(rule: str, text: str, level: str = "information") -> Reason:
    return Reason(rule=rule, text=text, level=level)
