"""From an alert, its sender's account and its thread to a decision: what is to happen, before anybody is looked up.

Pure. Design section 2: identity, status, kind, channels, time, thread. What is not supported is refused by name.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum

import msgspec

from cap import Alert, Info, MsgType, Reference, Scope, Status
from cap.thread import REACH, KnownMessage, MessageState, Placement, Reach, ThreadRemark, ThreadStep, place
from channels.contract import Channel, Mode
from gateway.access.rights import Caller, require_mode
from gateway.directory.senders import KindRule
from gateway.directory.targets import Targets, from_cap
from gateway.errors import Reason, Refusal
from gateway.kinds import KINDS, Kind
from store.campaigns.alerts import FiledAlert as Filed
from store.outbox.records import ThreadSeen

KIND_PARAMETER = "tocsin:kind"
CHANNELS_PARAMETER = "tocsin:channels"


FARTHEST_MS = 366 * 86_400_000
"""How far from now an instant may lie that something is sent by."""
SOON_MS = 60_000


class Act(StrEnum):
    LAUNCH = "launch"
    CANCEL = "cancel"
    LOG = "log"
    """Valid, kept, and not sent to anybody: System, Draft, Ack, Error, older than what its thread has, or without a
    text."""
    EXPIRED = "expired"
    """Over when it arrived: accepted, answered as such and not sent."""
    PARK = "park"
    """Names an alert that has not arrived; waits for it, for a bounded time."""


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    act: Act
    mode: Mode = Mode.SIMULATION
    kind: Kind | None = None
    """None for what is not sent, and for a Cancel that says no kind: it takes the kind of what it cancels."""
    channels: tuple[Channel, ...] | None = None
    """None: all that the zone's policy gives this kind."""
    targets: Targets = Targets()
    starts_ms: int = 0
    expires_ms: int = 0
    threads: tuple[ThreadSeen, ...] = ()
    """Where it stands, as that was found; several become one. None: it begins a thread."""
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
    seen: tuple[ThreadSeen, ...] = ()
    """Those threads, as they were when this was read."""
    kind: Kind | None = None
    """What was sent in them last, for an Update that says no kind of its own; None where that is not known."""


def milliseconds(instant: datetime) -> int:
    return round(instant.timestamp() * 1000)


def decide(alert: Alert, caller: Caller, thread: Thread, now_ms: int) -> Decision:
    """What is to happen with an alert. Raises Refusal for what is not supported, or not allowed."""
    if alert.sender not in caller.senders:
        raise not_yours(alert.sender)
    mode = Mode.LIVE if REACH[alert.status] is Reach.PEOPLE else Mode.SIMULATION
    require_mode(caller, mode)
    starts_ms, expires_ms = _times(alert)
    placement = _placed(alert, caller, thread, now_ms)
    if placement.step in _UNSENT:
        return _unsent(alert, placement, _threads(thread, placement), expires_ms or 0)
    problems = [_remark(remark) for remark in placement.remarks]
    kind, channels, odd = _wanted(alert, caller, thread, late=expires_ms is not None and expires_ms <= now_ms)
    problems += odd
    if alert.msg_type is MsgType.UPDATE and starts_ms > now_ms + SOON_MS:
        problems.append(_AT_ONCE)
        starts_ms = now_ms
    life_ms = KINDS[kind or Kind.ALERT].default_life_s * 1000
    if expires_ms is None:
        expires_ms = max(milliseconds(alert.sent), now_ms if alert.msg_type is MsgType.CANCEL else 0) + life_ms
        text = f"No expires: {life_ms // 3_600_000} hours by the kind."
        problems.append(Reason("I-EXPIRES", text, level="information"))
    act = Act.CANCEL if placement.step is ThreadStep.END else Act.LAUNCH
    over = _over(starts_ms, expires_ms, now_ms) if act is Act.LAUNCH else ""
    if over:
        act = Act.EXPIRED
        over += _ENDED if placement.ends else ""
        problems.append(Reason("I-EXPIRED", over, level="warning", path="/alert/info[1]/expires"))
    elif act is Act.LAUNCH and placement.ends and not alert.infos:
        act, over = Act.LOG, f"It says nothing: kept and sent to nobody.{_ENDED}"
        problems.append(Reason("I-REQ", over, level="warning", path="/alert"))
    return Decision(
        act=act,
        mode=mode,
        kind=kind,
        channels=channels,
        targets=from_cap((area for info in alert.infos for area in info.areas), alert.addresses),
        starts_ms=max(starts_ms, now_ms),
        expires_ms=expires_ms,
        threads=_threads(thread, placement),
        follows=placement.ends,
        publish=mode is Mode.LIVE and alert.scope is Scope.PUBLIC and act in (Act.LAUNCH, Act.CANCEL),
        note=over,
        problems=tuple(problems),
    )


_ENDED = " What it updates has ended."
"""Which is no longer true, whether or not the new words reach anybody."""


def not_yours(sender: str) -> Refusal:
    """The refusal of an account that may not post as this sender."""
    title = f"This account may not post as {sender}."
    remedy = "Use the sender that was agreed on, or have this one entered for the account."
    reason = Reason("A-SENDER-AUTH", title, path="/alert/sender", value=sender, remedy=remedy)
    return Refusal(403, "sender-not-yours", title, (reason,))


# ---- time ----------------------------------------------------------------------------------------------------


def _times(alert: Alert) -> tuple[int, int | None]:
    """(effective, expires): CAP-v1.2 3.2.2 gives each info its own; the campaign lives as long as the longest.

    An absent effective is `sent` (I-EFFECTIVE)."""
    effective = [milliseconds(i.effective or alert.sent) for i in alert.infos]
    expires = [milliseconds(i.expires) for i in alert.infos if i.expires is not None]
    # The text may stand longer; what sends it, and the feed, do not reckon beyond a year.
    expires = [min(at_ms, milliseconds(alert.sent) + FARTHEST_MS) for at_ms in expires]
    return min(effective, default=milliseconds(alert.sent)), max(expires, default=None)


def _over(starts_ms: int, expires_ms: int, now_ms: int) -> str:
    """Why nobody can be told any more; empty while there is time."""
    if expires_ms <= now_ms:
        return "It had expired when it arrived: kept and sent to nobody."
    return "It expires before it takes effect: kept and sent to nobody." if expires_ms <= starts_ms else ""


# Until it took effect nobody would be told anything: the old text stops when the new one is accepted.
_AT_ONCE = Reason(
    "C-LATER",
    "An Update takes effect at once: it is sent now.",
    level="warning",
    path="/alert/info[1]/effective",
    remedy="Leave <effective> out, and send it when it is to take effect.",
)


# ---- kind and channels ---------------------------------------------------------------------------------------


def _parameters(alert: Alert, name: str) -> list[tuple[str, str]]:
    """(path, value) of each parameter of this name."""
    return [
        (f"/alert/info[{place}]/parameter[{number}]/value", parameter.value.strip())
        for place, info in enumerate(alert.infos, 1)
        for number, parameter in enumerate(info.parameters, 1)
        if parameter.name == name
    ]


def says_kind(alert: Alert, rules: Sequence[KindRule]) -> Kind | None:
    """The kind that the alert names, or that these rules give it; None where it says none, or none that there is."""
    return _kind(alert, rules)[0]


def _wanted(
    alert: Alert, caller: Caller, thread: Thread, *, late: bool
) -> tuple[Kind | None, tuple[Channel, ...] | None, list[Reason]]:
    """(kind, channels) that the alert asks for, and what is odd about how. Raises Refusal with all that is amiss in it.

    What a Cancel or an Update names must end, whatever it says of kinds and channels: it takes the kind of what it
    names, which one that comes too late (`late`) does not need, and the channels that there are.
    """
    kind, of_kind = _kind(alert, caller.kind_rules)
    channels, of_channels = _channels(alert)
    faults = [*of_kind, *of_channels]
    if not faults:
        return kind, channels, []
    known = thread.kind if of_kind else kind
    if alert.msg_type is MsgType.CANCEL or (alert.msg_type is MsgType.UPDATE and (late or known)):
        return known, channels, [_odd(fault, known) for fault in faults]
    raise Refusal(422, _CODES[faults[0].rule], faults[0].text, faults)


def _odd(fault: Reason, kind: Kind | None) -> Reason:
    if fault.rule == "K-CHANNEL":
        return msgspec.structs.replace(fault, text=f"{fault.text} It is left out.", level="warning")
    taken = f" It takes that of what it names: {kind}." if kind else ""
    level = "information" if fault.rule == "K-NONE" else "warning"
    return msgspec.structs.replace(fault, text=fault.text + taken, level=level)


_CODES: Mapping[str, str] = {
    "K-DIFFER": "kinds-differ",
    "K-WORD": "kind-unknown",
    "K-NONE": "no-kind",
    "K-CHANNEL": "channel-unknown",
}


def _kind(alert: Alert, rules: Sequence[KindRule]) -> tuple[Kind | None, list[Reason]]:
    """The explicit parameter, else the first rule of the sender's own table; never a default."""
    named = _parameters(alert, KIND_PARAMETER)
    words = {word for _, word in named}
    if len(words) > 1:
        text = f"{KIND_PARAMETER} differs between the info blocks."
        return None, [Reason("K-DIFFER", text, path=named[-1][0], value=named[-1][1], remedy="Say the same in each.")]
    for path, word in named[:1]:
        if word in set(Kind):
            return Kind(word), []
        text = f"{KIND_PARAMETER} is one of {', '.join(Kind)}; {word!r} is not."
        return None, [Reason("K-WORD", text, path=path, value=word[:120], remedy=f"Write one of {', '.join(Kind)}.")]
    for rule in rules:
        if any(_fits(rule, info) for info in alert.infos):
            return rule.kind, []
    if alert.msg_type is MsgType.CANCEL:
        return None, []
    text = f"Nothing says what kind of message this is: neither {KIND_PARAMETER} nor the sender's own table."
    remedy = f"Add a <parameter> {KIND_PARAMETER} with one of {', '.join(Kind)}."
    return None, [Reason("K-NONE", text, path="/alert/info[1]", remedy=remedy)]


def _fits(rule: KindRule, info: Info) -> bool:
    lists = ((rule.urgency, info.urgency), (rule.severity, info.severity), (rule.certainty, info.certainty))
    if any(words and word not in words for words, word in lists):
        return False
    code = rule.event_code
    return code is None or any(p.name == code.value_name and p.value == code.value for p in info.event_codes)


def _channels(alert: Alert) -> tuple[tuple[Channel, ...] | None, list[Reason]]:
    found = [
        (path, word)
        for path, value in _parameters(alert, CHANNELS_PARAMETER)
        for word in value.replace(",", " ").split()
    ]
    words = {word for _, word in found}
    remedy = f"Name some of {', '.join(Channel)}, or leave the parameter out."
    faults = [
        Reason(
            "K-CHANNEL", f"{CHANNELS_PARAMETER} knows {', '.join(Channel)}; not {word[:120]!r}.", path=path,
            value=word[:120], remedy=remedy,
        )
        for path, word in found[:50]
        if word not in set(Channel)
    ]  # fmt: skip
    return tuple(c for c in Channel if c in words) or None, faults


# ---- thread --------------------------------------------------------------------------------------------------

_UNSENT: Mapping[ThreadStep, Act] = {ThreadStep.WAIT: Act.PARK, ThreadStep.STALE: Act.LOG, ThreadStep.KEEP: Act.LOG}
_REFUSED: Mapping[str, tuple[int, str]] = {
    "C-AUTH": (403, "not-your-alert"),
    "C-STATUS": (409, "status-differs"),
    "C-TERMINAL": (409, "thread-ended"),
}


_REMEDIES: Mapping[str, str] = {
    "C-AUTH": "Send it as the sender of that alert, or have it agreed that you act for them.",
    "C-STATUS": "Give it the status of the alert that it changes.",
    "C-SCOPE": "Keep the scope, or send a new Alert, if that was not meant.",
    "C-TERMINAL": "Send a new Alert, without references.",
    "C-KNOWN": "Check sender, identifier and sent of the alert it names.",
    "C-SUPERSEDE": "Name every alert that it replaces.",
    "C-ORDER": "Name the newest alert of the thread.",
}


def _placed(alert: Alert, caller: Caller, thread: Thread, now_ms: int) -> Placement:
    """By the rules C-* of `cap.thread`. Raises Refusal."""
    # What has run out of time is over, for an Update (C-TERMINAL); a Cancel still ends it, and is told to who had it.
    at_ms = now_ms if alert.msg_type is MsgType.UPDATE else 0
    named = [(reference, _known(filed, at_ms) if filed else None) for reference, filed in thread.named]
    members = [_known(filed, at_ms) for filed in thread.members]
    delegates = {alert.sender: caller.agreed(alert.sender).acts_for}
    placement = place(alert, named, members, delegates=delegates)
    if placement.refusal is not None:
        status, code = _REFUSED[placement.refusal.rule]
        raise Refusal(status, code, placement.refusal.text, (_remark(placement.refusal),))
    return placement


def _threads(thread: Thread, placement: Placement) -> tuple[ThreadSeen, ...]:
    if placement.thread is None:
        return ()
    seen = {each.id: each for each in thread.seen}
    return tuple(seen.get(t, ThreadSeen(t)) for t in (placement.thread, *placement.merges))


def _remark(remark: ThreadRemark) -> Reason:
    remedy = _REMEDIES.get(remark.rule, "")
    return Reason(
        remark.rule, remark.text, level=remark.level, path="/alert/references", value=remark.value, remedy=remedy
    )  # fmt: skip


def _known(filed: Filed, at_ms: int) -> KnownMessage:
    over = filed.state == MessageState.ACTIVE and filed.expires_ms is not None and filed.expires_ms <= at_ms
    sent = datetime.fromtimestamp(filed.sent_ms // 1000, UTC)  # CAP has whole seconds
    return KnownMessage(
        key=filed.id,
        reference=Reference(filed.sender, filed.identifier, sent),
        status=Status(filed.status),
        scope=Scope(filed.scope),
        state=MessageState.EXPIRED if over else MessageState(filed.state),
        thread=filed.thread_id,
    )


def _unsent(alert: Alert, placement: Placement, threads: tuple[ThreadSeen, ...], expires_ms: int) -> Decision:
    """What is filed and answered, and launches nothing."""
    act = _UNSENT[placement.step]
    if placement.step is not ThreadStep.KEEP:
        problems = tuple(_remark(remark) for remark in placement.remarks)
        return Decision(act=act, threads=threads, note=placement.remarks[0].text, problems=problems)
    answers = alert.msg_type in (MsgType.ACK, MsgType.ERROR)
    note = f"{alert.msg_type if answers else alert.status} messages are kept and sent to nobody."
    why = Reason("C-ACK" if answers else "C-LIVE", note, level="information", path=_SAYS[answers])
    return Decision(act=act, expires_ms=expires_ms, note=note, problems=(why,))


_SAYS = {True: "/alert/msgType", False: "/alert/status"}
