"""What a message does to the messages it names: updates, cancels, acknowledgements, duplicates, latecomers, forks.

Pure: what is known comes in as values, what follows goes out as one. Knows no store, no clock and no recipient; who
remembers, parks and sends is the receiver. The rules C-* are policies of ours, made where CAP-v1.2 3.2.1 leaves open
what a receiver does; `TABLE` is all of them at a glance.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from cap.model import Alert, MsgType, Reference, Scope, Status
from cap.problem import Level, shortened


class MessageState(StrEnum):
    """What became of a message that is known."""

    ACTIVE = "active"
    SUPERSEDED = "superseded"
    CANCELLED = "cancelled"
    """Ended by a Cancel, or a Cancel itself."""
    EXPIRED = "expired"
    KEPT = "logged"
    """Filed and never acted on."""
    FAILED = "failed"
    """Given up: what it waited for never arrived."""


class Phase(StrEnum):
    """What all that is known of a thread amounts to."""

    UNKNOWN = "unknown"  # nothing that the message names has arrived
    LIVE = "live"
    OVER = "over"  # replaced, expired or only kept: nobody was told of an end
    CANCELLED = "cancelled"


class ThreadStep(StrEnum):
    """What the receiver is to do with a message."""

    OPEN = "open"  # act on it; it begins a thread
    REPLACE = "replace"  # act on it instead of all that is active in its thread
    END = "end"  # stop all that is active in its thread, and tell whoever may have had it
    KEEP = "keep"  # file it, act on nothing
    STALE = "stale"  # file it: the thread has a later word already
    WAIT = "wait"  # until what it names arrives, for as long as the receiver waits
    SAME = "same"  # it is here already, byte for byte: the first answer again
    REFUSE = "refuse"


class Reach(StrEnum):
    """How far a message of some status may go (C-LIVE)."""

    PEOPLE = "people"
    SIMULATION = "simulation"
    NOBODY = "nobody"


REACH: Mapping[Status, Reach] = {
    Status.ACTUAL: Reach.PEOPLE,
    Status.EXERCISE: Reach.SIMULATION,
    Status.TEST: Reach.SIMULATION,
    Status.SYSTEM: Reach.NOBODY,
    Status.DRAFT: Reach.NOBODY,
}

# Each message type against what it meets. An Ack or Error is matched to what we sent and changes nothing (C-ACK);
# whoever heard "cancelled" must not hear more of the same alert by way of an update (C-TERMINAL). What is merely over
# is no end: a Cancel still tells those who had it, and an Update of nothing else goes on with it.
_ROWS: Mapping[MsgType, tuple[ThreadStep, ThreadStep, ThreadStep, ThreadStep]] = {
    #               nothing known  active        over          cancelled
    MsgType.ALERT:  (ThreadStep.OPEN,    ThreadStep.OPEN,    ThreadStep.OPEN,    ThreadStep.OPEN),
    MsgType.UPDATE: (ThreadStep.WAIT,    ThreadStep.REPLACE, ThreadStep.REPLACE, ThreadStep.REFUSE),
    MsgType.CANCEL: (ThreadStep.WAIT,    ThreadStep.END,     ThreadStep.END,     ThreadStep.REFUSE),
    MsgType.ACK:    (ThreadStep.KEEP,    ThreadStep.KEEP,    ThreadStep.KEEP,    ThreadStep.KEEP),
    MsgType.ERROR:  (ThreadStep.KEEP,    ThreadStep.KEEP,    ThreadStep.KEEP,    ThreadStep.KEEP),
}  # fmt: skip
TABLE: Mapping[tuple[MsgType, Phase], ThreadStep] = {
    (msg_type, phase): step for msg_type, steps in _ROWS.items() for phase, step in zip(Phase, steps, strict=True)
}

_WIDTH = {Scope.PRIVATE: 0, Scope.RESTRICTED: 1, Scope.PUBLIC: 2}


@dataclass(frozen=True, slots=True)
class KnownMessage:
    """A message that arrived before. `key` is the receiver's own name for it, `thread` for its thread."""

    key: int
    reference: Reference
    status: Status
    scope: Scope
    state: MessageState
    thread: int


@dataclass(frozen=True, slots=True)
class ThreadRemark:
    """Something to tell the sender: the rule, how bad, in words, and which message or word it is about."""

    rule: str
    text: str
    level: Level = Level.WARNING
    value: str = ""


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a message stands in its thread, and what follows.

    `ends` are the keys of the messages that it replaces or stops; `refusal` is there when `step` is REFUSE; `merges`
    are the other threads that it names and that are one with `thread` from now on.
    """

    step: ThreadStep
    thread: int | None = None
    ends: tuple[int, ...] = ()
    remarks: tuple[ThreadRemark, ...] = ()
    refusal: ThreadRemark | None = None
    merges: tuple[int, ...] = ()


def place(
    alert: Alert,
    named: Sequence[tuple[Reference, KnownMessage | None]],
    members: Sequence[KnownMessage],
    *,
    delegates: Mapping[str, frozenset[str]] | None = None,
) -> Placement:
    """What `alert` does, given what is known of each of its references and every member of their threads.

    `delegates` has, by sender, the other senders whose messages it may update and cancel. Messages that wait
    themselves are not known yet. That this message itself is new is `repeat`'s to say.
    """
    if REACH[alert.status] is Reach.NOBODY:
        return Placement(ThreadStep.KEEP)
    if alert.msg_type not in (MsgType.UPDATE, MsgType.CANCEL):
        return Placement(TABLE[alert.msg_type, Phase.UNKNOWN])
    # Whether another sender's message has ever arrived is told to nobody: it is refused or left alone either way.
    if len(named) > 1:
        # A message that names itself among others (A-REFS-SELF) means the others.
        named = [(reference, item) for reference, item in named if reference != alert.reference]
    senders = {alert.sender, *(delegates or {}).get(alert.sender, ())}
    foreign = [_foreign(reference) for reference, _ in named if reference.sender not in senders]
    named = [(reference, item) for reference, item in named if reference.sender in senders]
    if foreign and not named:
        return Placement(ThreadStep.REFUSE, refusal=foreign[0])
    known = [item for _, item in named if item is not None]
    members = [member for member in members if member.thread in {item.thread for item in known}]
    missing = [reference for reference, item in named if item is None]
    if not known:
        names = shortened(", ".join(reference.identifier for reference in missing))
        return Placement(
            ThreadStep.WAIT, remarks=(ThreadRemark("C-KNOWN", f"Waits for the alert it names: {names}.", value=names),)
        )
    refusal = _guarded(alert, known)
    if refusal is not None:
        return Placement(ThreadStep.REFUSE, refusal=refusal)
    placement = _followed(alert, named, known, members)
    left_alone = (replace(remark, level=Level.WARNING) for remark in foreign)
    return replace(placement, remarks=(*left_alone, *placement.remarks))


def repeat(earlier: str, later: str) -> ThreadStep:
    """What the second message under one sender and identifier is, by the digests of both (C-DUP)."""
    return ThreadStep.SAME if earlier == later else ThreadStep.REFUSE


def phase(members: Sequence[KnownMessage]) -> Phase:
    """The state of a whole thread: one Cancel in it is the end, unless something is active again beside it."""
    if any(member.state is MessageState.ACTIVE for member in members):
        return Phase.LIVE
    if any(member.state is MessageState.CANCELLED for member in members):
        return Phase.CANCELLED
    return Phase.OVER if members else Phase.UNKNOWN


def _foreign(reference: Reference) -> ThreadRemark:
    name = reference.identifier
    return _error("C-AUTH", f"{name} is an alert of {reference.sender}: it is not changed.", name)


def _guarded(alert: Alert, known: Sequence[KnownMessage]) -> ThreadRemark | None:
    """The first reason why this may not be done to one of the messages it names."""
    for item in known:
        name = item.reference.identifier
        if item.status is not alert.status:
            text = f"A message of status {alert.status} changes no alert of status {item.status}."
            return _error("C-STATUS", text, name)
    return None


def _widened(alert: Alert, known: Sequence[KnownMessage]) -> list[ThreadRemark]:
    """For what is in force its sender may have meant the narrower scope; what it says is done."""
    return [
        ThreadRemark(
            "C-SCOPE", f"It widens the scope from {item.scope} to {alert.scope}.", value=item.reference.identifier
        )
        for item in known
        if alert.msg_type is MsgType.UPDATE and _WIDTH[alert.scope] > _WIDTH[item.scope]
    ]


def _over(
    alert: Alert, known: Sequence[KnownMessage], threads: Mapping[int, Sequence[KnownMessage]]
) -> list[ThreadRemark]:
    """What an Update goes on with although nothing of it is in force any more."""
    return [
        ThreadRemark(
            "C-TERMINAL",
            f"{item.reference.identifier} is {item.state} already: this is sent as it stands.",
            value=item.reference.identifier,
        )
        for item in known
        if alert.msg_type is MsgType.UPDATE and phase(threads[item.thread]) is Phase.OVER
    ]


def _followed(
    alert: Alert,
    named: Sequence[tuple[Reference, KnownMessage | None]],
    known: Sequence[KnownMessage],
    members: Sequence[KnownMessage],
) -> Placement:
    threads = _by_thread((*members, *known))
    open_ = {t: of for t, of in threads.items() if TABLE[alert.msg_type, phase(of)] is not ThreadStep.REFUSE}
    if alert.msg_type is MsgType.UPDATE:
        # What is over is not woken by an Update of something else.
        open_ = {t: of for t, of in open_.items() if phase(of) is Phase.LIVE} or open_
    if not open_:
        last = known[-1]
        text = f"What it names is {phase(threads[last.thread])}: send a new Alert."
        return Placement(ThreadStep.REFUSE, last.thread, refusal=_error("C-TERMINAL", text, last.reference.identifier))
    later = _later(alert, open_) if alert.msg_type is MsgType.UPDATE else {}
    joined = sorted(set(open_) - set(later))
    if not joined:
        newest = max(later.values(), key=lambda member: member.reference.sent)
        text = f"Older than {newest.reference.identifier}, which its thread has already: kept and sent to nobody."
        remark = ThreadRemark("C-ORDER", text, Level.INFORMATION, newest.reference.identifier)
        return Placement(ThreadStep.STALE, newest.thread, remarks=(remark,))
    mine = [member for thread in joined for member in threads[thread]]
    own = [item for item in known if item.thread in joined]
    live = _live(mine)
    remarks = (
        *_named_amiss(named),
        *_left_out(known, open_, later),
        *_merged(own),
        *_forgotten(own, live),
        *_over(alert, own, threads),
        *_widened(alert, own),
    )
    ends = tuple(member.key for member in live)
    return Placement(TABLE[alert.msg_type, phase(mine)], joined[0], ends, remarks, merges=tuple(joined[1:]))


def _by_thread(items: Sequence[KnownMessage]) -> dict[int, list[KnownMessage]]:
    threads: dict[int, list[KnownMessage]] = {}
    for item in items:
        threads.setdefault(item.thread, []).append(item)
    return threads


def _live(members: Sequence[KnownMessage]) -> list[KnownMessage]:
    """Each that is active, once."""
    return list({member.key: member for member in members if member.state is MessageState.ACTIVE}.values())


def _later(alert: Alert, threads: Mapping[int, Sequence[KnownMessage]]) -> dict[int, KnownMessage]:
    """The threads that have a later word than this one already, with that word."""
    live = {thread: found for thread, of in threads.items() if (found := _live(of))}
    newest = {thread: max(of, key=lambda member: member.reference.sent) for thread, of in live.items()}
    return {thread: word for thread, word in newest.items() if alert.sent < word.reference.sent}


def _left_out(
    known: Sequence[KnownMessage], open_: Collection[int], later: Mapping[int, KnownMessage]
) -> list[ThreadRemark]:
    """What it names beside the rest and does not change: it is over (C-TERMINAL), or has a later word (C-ORDER)."""
    remarks = []
    for item in known:
        name = item.reference.identifier
        if item.thread in later:
            word = later[item.thread].reference.identifier
            remarks.append(ThreadRemark("C-ORDER", f"{name} has a later word, {word}: it is not changed.", value=word))
        elif item.thread not in open_:
            remarks.append(ThreadRemark("C-TERMINAL", f"{name} is over before this: it is not changed.", value=name))
    return remarks


def _merged(known: Sequence[KnownMessage]) -> list[ThreadRemark]:
    if len({item.thread for item in known}) < 2:
        return []
    names = shortened(", ".join(item.reference.identifier for item in known))
    return [ThreadRemark("C-THREADS", f"{names}: from now on they are one thread.", Level.INFORMATION, names)]


def _named_amiss(named: Sequence[tuple[Reference, KnownMessage | None]]) -> list[ThreadRemark]:
    remarks = []
    for reference, item in named:
        name = reference.identifier
        if item is None:
            remarks.append(ThreadRemark("C-KNOWN", f"{name} is not known here; the others it names are.", value=name))
        elif item.reference.sent != reference.sent:
            remarks.append(ThreadRemark("C-KNOWN", f"{name} was sent at another time than is said here.", value=name))
    return remarks


def _forgotten(known: Sequence[KnownMessage], live: Sequence[KnownMessage]) -> list[ThreadRemark]:
    """What the message should have named too: all that is active ends, named or not (C-SUPERSEDE)."""
    if not live:
        return []
    remarks = [
        ThreadRemark(
            "C-TERMINAL", f"{item.reference.identifier} was cancelled before.", value=item.reference.identifier
        )
        for item in known
        if item.state is MessageState.CANCELLED
    ]
    newest = max(live, key=lambda member: member.reference.sent)
    if newest.key not in {item.key for item in known}:
        name = newest.reference.identifier
        remarks.append(ThreadRemark("C-SUPERSEDE", f"It does not name {name}, which it replaces too.", value=name))
        for name in (item.reference.identifier for item in known if item.state is MessageState.SUPERSEDED):
            text = f"{name} was replaced before: the thread forks, the later word holds."
            remarks.append(ThreadRemark("C-ORDER", text, value=name))
    return remarks


def _error(rule: str, text: str, value: str) -> ThreadRemark:
    return ThreadRemark(rule, text, Level.ERROR, value)
