"""From what was found of the machine to alarms: what begins, what is over, and by which path whom it concerns hears it.

Pure: facts, rows and the time go in, rows come out. Something has to be bad for a while before it is an alarm, and well
for a while before it is none any more, so that nobody is called for what comes and goes.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType

import msgspec


class AlarmKind(StrEnum):
    CARRIER_REFUSES = "carrier-refuses"
    CARRIER_DOWN = "carrier-down"
    QUEUE_OLD = "queue-old"
    DISK_LOW = "disk-low"
    BACKUP_OLD = "backup-old"
    QUARANTINE = "quarantine"
    BALANCE_LOW = "balance-low"
    CERTIFICATE_ENDS = "certificate-ends"
    LOOP_LATE = "loop-late"
    PROCESS_SILENT = "process-silent"
    TEST = "test"


class AlarmState(StrEnum):
    RISING = "rising"
    """Bad, and not yet for long enough."""
    STANDING = "standing"
    FALLING = "falling"
    """Well again, and not yet for long enough."""
    OVER = "over"


class AlarmRules(msgspec.Struct, frozen=True):
    rises_ms: int
    falls_ms: int
    tells_end: bool = True


_MINUTE_MS = 60_000
RULES: Mapping[AlarmKind, AlarmRules] = MappingProxyType(
    {
        AlarmKind.CARRIER_REFUSES: AlarmRules(30_000, 5 * _MINUTE_MS),
        # A relay or an SMSC that is restarted is back by then.
        AlarmKind.CARRIER_DOWN: AlarmRules(_MINUTE_MS, 2 * _MINUTE_MS),
        AlarmKind.QUEUE_OLD: AlarmRules(0, _MINUTE_MS),
        AlarmKind.DISK_LOW: AlarmRules(0, 10 * _MINUTE_MS),
        AlarmKind.BACKUP_OLD: AlarmRules(0, 0),
        # Each is an event: nothing is well again because a day is over.
        AlarmKind.QUARANTINE: AlarmRules(0, 0, tells_end=False),
        AlarmKind.BALANCE_LOW: AlarmRules(0, 0, tells_end=False),
        AlarmKind.CERTIFICATE_ENDS: AlarmRules(0, 0),
        AlarmKind.LOOP_LATE: AlarmRules(10_000, 5 * _MINUTE_MS),
        AlarmKind.PROCESS_SILENT: AlarmRules(20_000, _MINUTE_MS),
        AlarmKind.TEST: AlarmRules(0, 0, tells_end=False),
    }
)
"""One row a kind; nothing else decides any of it."""
UNSEEN_MS = 15 * _MINUTE_MS
"""What nobody has looked at for this long is over: the server that it was about is gone, and is missed by itself."""
_REFRESHED_MS = _MINUTE_MS
"""How often the row of what stands is written, where nothing but its figures moves."""


class Observation(msgspec.Struct, frozen=True):
    """One thing that was looked at."""

    kind: AlarmKind
    about: str
    """What it is: a carrier, a zone's code, a server; no person."""
    bad: bool | None
    """None: neither well nor bad; what stands stands."""
    value: str = ""
    """What was found, for people: figures, a peer's words; no secret and no address of a person."""

    @property
    def key(self) -> str:
        return f"{self.kind}/{self.about}"


class Alarm(msgspec.Struct, frozen=True, kw_only=True):
    """As it is kept (`store.notices.alarms`)."""

    key: str
    kind: str
    about: str
    state: str
    value: str
    since_ms: int
    raised_ms: int = 0
    seen_ms: int
    path: str = ""
    tried: str = ""
    told_ms: int = 0
    campaign_id: int | None = None
    call_id: int | None = None
    confirmed_ms: int | None = None

    @property
    def stands(self) -> bool:
        return self.state in (AlarmState.STANDING, AlarmState.FALLING)

    @property
    def ways(self) -> tuple[str, ...]:
        """The paths by which it was told."""
        return tuple(self.tried.split())


class AlarmVerdict(msgspec.Struct, frozen=True):
    """What has become of the alarms."""

    changed: tuple[Alarm, ...]
    """All that is to be kept, those of the two below among them."""
    raised: tuple[Alarm, ...]
    ended: tuple[Alarm, ...]
    """That had been raised."""


def judge(
    observed: Iterable[Observation], known: Mapping[str, Alarm], complete: Collection[AlarmKind], now_ms: int
) -> AlarmVerdict:
    """`known`: by key, without those that are over. `complete`: of these kinds everything was looked at, so that what
    was not found is well."""
    changed: list[Alarm] = []
    seen = {one.key: one for one in observed}
    for key, one in seen.items():
        new = _moved(known.get(key), one, now_ms)
        changed += [] if new is None else [new]
    for key, old in known.items():
        if key in seen:
            continue
        if old.kind in complete:
            gone = _moved(old, Observation(AlarmKind(old.kind), old.about, bad=False, value=old.value), now_ms)
            changed += [] if gone is None else [gone]
        elif now_ms - old.seen_ms > UNSEEN_MS:
            changed.append(_in(old, AlarmState.OVER, now_ms))
    raised = tuple(a for a in changed if a.state == AlarmState.STANDING and not _stood(known.get(a.key)))
    ended = tuple(a for a in changed if a.state == AlarmState.OVER and _stood(known.get(a.key)))
    return AlarmVerdict(tuple(changed), raised, ended)


def _stood(alarm: Alarm | None) -> bool:
    return alarm is not None and alarm.stands


def _moved(old: Alarm | None, found: Observation, now_ms: int) -> Alarm | None:
    """None: there is nothing to keep."""
    rules = RULES[found.kind]
    if old is None:
        return _begun(found, rules, now_ms) if found.bad else None
    lasts_ms = now_ms - old.since_ms
    match AlarmState(old.state), found.bad:
        case AlarmState.RISING, True if lasts_ms >= rules.rises_ms:
            return _raised(old, found, now_ms)
        case AlarmState.RISING, False:
            return _in(old, AlarmState.OVER, now_ms)
        case AlarmState.STANDING, False:
            return _in(old, AlarmState.FALLING if rules.falls_ms else AlarmState.OVER, now_ms)
        case AlarmState.FALLING, False if lasts_ms >= rules.falls_ms:
            return _in(old, AlarmState.OVER, now_ms)
        case AlarmState.FALLING, True:
            return _in(old, AlarmState.STANDING, now_ms, found.value)
    return _in(old, None, now_ms, found.value) if now_ms - old.seen_ms >= _REFRESHED_MS else None


def _begun(found: Observation, rules: AlarmRules, now_ms: int) -> Alarm:
    new = Alarm(
        key=found.key, kind=found.kind, about=found.about, state=AlarmState.RISING, value=found.value, since_ms=now_ms,
        seen_ms=now_ms,
    )  # fmt: skip
    return new if rules.rises_ms else _raised(new, found, now_ms)


def _raised(old: Alarm, found: Observation, now_ms: int) -> Alarm:
    return msgspec.structs.replace(
        old, state=AlarmState.STANDING, value=found.value, since_ms=now_ms, seen_ms=now_ms, raised_ms=now_ms
    )


def _in(old: Alarm, state: AlarmState | None, now_ms: int, value: str | None = None) -> Alarm:
    return msgspec.structs.replace(
        old,
        state=old.state if state is None else state,
        since_ms=old.since_ms if state is None else now_ms,
        seen_ms=now_ms,
        value=old.value if value is None else value,
    )


# ---- by which path -------------------------------------------------------------------------------------------------


def next_path(
    alarm: Alarm, paths: Sequence[str], failing: Collection[str], escalate_ms: int, now_ms: int
) -> str | None:
    """The path by which it is to be told now; None: by none. One that is known to fail comes behind those that are
    not, and is tried all the same: what is known may be wrong."""
    if not alarm.stands or alarm.confirmed_ms is not None:
        return None
    left = [path for path in paths if path not in alarm.ways]
    if not left or (alarm.ways and now_ms - alarm.told_ms < escalate_ms):
        return None
    return min(left, key=lambda path: (path in failing, paths.index(path)))


def reaches_nobody(alarm: Alarm, paths: Sequence[str], escalate_ms: int, now_ms: int) -> bool:
    """Whether every path was tried and none has taken it: only somebody outside can still notice."""
    waited = now_ms - alarm.told_ms >= escalate_ms
    return alarm.stands and alarm.confirmed_ms is None and set(paths) <= set(alarm.ways) and bool(paths) and waited


def told(alarm: Alarm, path: str, now_ms: int, *, campaign_id: int | None, call_id: int | None) -> Alarm:
    """With the path by which it is told now. What an earlier one was told by stays, where this one brings no other."""
    return msgspec.structs.replace(
        alarm,
        path=path,
        tried=" ".join([*alarm.ways, path]),
        told_ms=now_ms,
        campaign_id=alarm.campaign_id if campaign_id is None else campaign_id,
        call_id=alarm.call_id if call_id is None else call_id,
    )
