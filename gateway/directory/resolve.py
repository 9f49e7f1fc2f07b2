"""Who is concerned, who is reached once at which address, who is not and why: ONE resolver for preview and launch.

Pure and CPU-bound: call it in a thread. One zone at a time; `taken` carries the addresses that the alert's
campaigns in other zones reach already.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import msgspec
import numpy as np
import numpy.typing as npt

from channels.contract import Channel
from gateway.directory.audience import CHANNELS, Audience, AudienceCounts, Covered, Deliveries, Excluded, SkippedChannel
from gateway.directory.columns import Int64, UInt8, find
from gateway.directory.contacts import ChannelContacts, way
from gateway.directory.members_meant import Selection, select
from gateway.directory.opt_outs import counting
from gateway.directory.point_in_area import Mask
from gateway.directory.prepared_targets import PreparedTargets, survey
from gateway.directory.problem import TargetFault, TargetProblem, TargetSeverity
from gateway.directory.reasons import ExclusionReason
from gateway.directory.snapshot import Snapshot
from gateway.directory.targets import Targets
from gateway.directory.zone_policy import AreaMode
from gateway.kinds import Kind

TakenContacts = Mapping[Channel, npt.NDArray[np.int64] | frozenset[int]]


class ResolveRequest(msgspec.Struct, frozen=True):
    """What is asked of one zone."""

    kind: Kind
    targets: Targets
    channels: tuple[Channel, ...]
    """Asked for; those of them in `unavailable` are counted and reach nobody."""
    languages: tuple[str, ...]
    """In which the text is there (BCP 47, at least one); a region ("fr-BE") does not matter."""
    area_mode: AreaMode = AreaMode.GROUPS
    language_fallback: tuple[str, ...] = ("nl", "fr", "de", "en")
    default_language: str = ""
    """Of members whose language the register does not know."""
    also_members: npt.NDArray[np.int64] | tuple[int, ...] = ()
    """An Update: ids of everyone included in the thread so far (`Audience.members`)."""
    only_networks: frozenset[int] | None = None
    """Ids of the networks that the account may reach; None: the whole zone."""
    unavailable: frozenset[Channel] = frozenset()
    """Channels that policy, rights or convention do not give."""
    allow_whole_zone: bool = True
    touching_counts: bool = True
    """Whether an area that only borders on a network's territory means its members."""


class ResolveRefusal(msgspec.Struct, frozen=True):
    """Nothing can be sent; `areas` are the names of what was asked for."""

    text: str
    areas: tuple[str, ...]


class Readers(msgspec.Struct, frozen=True):
    """Persons included who read one language, and the text that they get."""

    language: str
    """Of the register; empty: it does not know."""
    text: str
    """One of the languages in which the text is there."""
    persons: int


class ResolutionCounts(msgspec.Struct, frozen=True):
    """A resolution in numbers, as `campaign.counts` and the preview have it."""

    persons: AudienceCounts
    matched_by: dict[str, int]
    languages: dict[str, int]
    """Deliveries by language."""
    beyond_rights: int
    unplaced: int
    thread_gone: int
    readers: tuple[Readers, ...] = ()
    """Most persons first; the sum is everyone included."""


@dataclass(frozen=True, eq=False)
class Resolution:
    """The answer for one zone at one revision of its register."""

    zone_id: int
    revision: int
    audience: Audience
    counts: ResolutionCounts
    problems: tuple[TargetProblem, ...]
    unmatched: tuple[str, ...]
    """Areas, networks and groups that nobody was found for, by name."""
    ignored: tuple[str, ...]
    refusal: ResolveRefusal | None


def resolve(
    snapshot: Snapshot,
    request: ResolveRequest,
    taken: TakenContacts | None = None,
    ground: PreparedTargets | None = None,
) -> Resolution:
    """Everyone of the zone whom the request means, once each. `ground` is `survey(request.targets)`, made before.

    Raises ValueError when no language is given; whatever is wrong with the targets is a problem or a refusal.
    """
    if not request.languages:
        raise ValueError("a text is there in at least one language")
    ground = ground or survey(request.targets)
    selection = _select(snapshot, request, ground)
    left = _left(snapshot, request, ground, selection.rows)
    audience, included = _audience(snapshot, request, selection.rows, left, taken or {})
    counts = ResolutionCounts(
        persons=audience.counts(),
        matched_by=selection.matched_by(),
        languages=_languages(audience),
        beyond_rights=selection.beyond_rights,
        unplaced=selection.unplaced,
        thread_gone=selection.thread_gone,
        readers=_readers(snapshot, request, included),
    )
    refusal = _refusal(request.targets, selection, audience)
    problems = selection.problems
    if refusal is None and not audience.members.size:
        text = "Everyone concerned is excluded: nobody can be reached."
        problems += (TargetProblem(TargetFault.UNREACHABLE, TargetSeverity.WARNING, snapshot.code, text),)
    return Resolution(
        zone_id=snapshot.zone_id,
        revision=snapshot.revision,
        audience=audience,
        counts=counts,
        problems=problems,
        unmatched=selection.unmatched,
        ignored=request.targets.ignored,
        refusal=refusal,
    )


def _select(snapshot: Snapshot, request: ResolveRequest, ground: PreparedTargets) -> Selection:
    return select(
        snapshot,
        ground,
        area_mode=request.area_mode,
        allow_whole_zone=request.allow_whole_zone,
        touching_counts=request.touching_counts,
        also_members=request.also_members,
        only_networks=request.only_networks,
    )


def _left(snapshot: Snapshot, request: ResolveRequest, ground: PreparedTargets, rows: Int64) -> dict[Channel, Mask]:
    """Who is concerned only through networks whose messages of this kind they do not want: whoever the targets mean
    no longer, as if they were not members of those. Channels that nobody left so are not among the keys."""
    leavers, found = snapshot.leavers, dict[bytes, Mask]()
    left: dict[Channel, Mask] = {}
    for channel in request.channels:
        theirs = np.flatnonzero(leavers.wishes & counting(request.kind, channel))
        if not find(rows, leavers.row[theirs])[1].any():
            continue
        if theirs.tobytes() not in found:
            network, known = find(snapshot.networks.id, leavers.network_id[theirs])
            members = snapshot.networks.members.without(network[known], leavers.row[theirs][known])
            without = replace(snapshot, networks=replace(snapshot.networks, members=members))
            gone = np.ones(rows.size, np.bool_)
            gone[np.searchsorted(rows, _select(without, request, ground).rows)] = False
            found[theirs.tobytes()] = gone
        left[channel] = found[theirs.tobytes()]
    return left


def _refusal(targets: Targets, selection: Selection, audience: Audience) -> ResolveRefusal | None:
    areas = targets.names()
    errors = [problem for problem in selection.problems if problem.severity is TargetSeverity.ERROR]
    if errors:
        return ResolveRefusal(" ".join(f"{e.subject}: {e.text}" for e in errors[:10]), areas)
    if not audience.resolved:
        asked = ", ".join(areas[:10]) or "nothing at all"
        return ResolveRefusal(f"Nobody of this zone is concerned: {asked}.", areas)
    return None


_TOLD_FIRST = (
    ExclusionReason.OPTED_OUT,
    ExclusionReason.NETWORK_OPTED_OUT,
    ExclusionReason.ADDRESS_OPTED_OUT,
    ExclusionReason.NO_CONTACT,
    ExclusionReason.NO_CHANNEL,
)
"""Of the reasons that a person's channels have, the one that is told of the person."""
_RANK = np.array([_TOLD_FIRST.index(r) if r in _TOLD_FIRST else 255 for r in range(max(ExclusionReason) + 1)], np.uint8)


@dataclass(slots=True, eq=False)
class _Ledger:
    """The rows of all channels while they are being told apart."""

    included: Mask
    why: UInt8
    """The rank of the reason to tell, of those who get nothing."""
    covered: list[tuple[ChannelContacts, int, Int64, UInt8]] = field(default_factory=list)
    """(way, channel, rows, reasons)."""
    skipped: list[tuple[int, Int64, UInt8]] = field(default_factory=list)

    def skip(self, channel: Channel, rows: Int64, places: Int64, reasons: UInt8) -> None:
        """`places`: of those skipped, in `rows`; `reasons`: one for each."""
        self.why[places] = np.minimum(self.why[places], _RANK[reasons])
        self.skipped.append((CHANNELS.index(channel), rows[places], reasons))


def _audience(
    snapshot: Snapshot, request: ResolveRequest, rows: Int64, left: Mapping[Channel, Mask], taken: TakenContacts
) -> tuple[Audience, Int64]:
    """The audience, and the rows of everyone in it."""
    channels = tuple(channel for channel in CHANNELS if channel in request.channels)
    wishes = snapshot.opt_outs[rows]
    language = _language_table(snapshot, request)
    ledger = _Ledger(np.zeros(len(rows), np.bool_), np.full(len(rows), _RANK[ExclusionReason.NO_CHANNEL]))
    deliveries: dict[Channel, Deliveries] = {}
    for channel in channels:
        unwilling = _unwilling((wishes & counting(request.kind, channel)) != 0, left.get(channel))
        ways = way(snapshot.best[channel], request.kind)
        if channel in request.unavailable:
            reasons = np.where(unwilling, unwilling, ExclusionReason.NO_CHANNEL).astype(np.uint8)
            ledger.skip(channel, rows, np.arange(len(rows)), reasons)
            sent = rows[:0]
        else:
            sent = _tell_apart(ways, channel, rows, unwilling, _ids(taken.get(channel)), ledger)
        deliveries[channel] = Deliveries(
            ways.contact_id(sent),
            snapshot.member_id[sent],
            ways.address_id(sent),
            language[snapshot.language[sent]],
        )
    out = ~ledger.included
    why = np.array(_TOLD_FIRST, np.uint8)[ledger.why[out]]
    audience = Audience(
        resolved=len(rows),
        languages=request.languages,
        channels=channels,
        deliveries=deliveries,
        excluded=Excluded(snapshot.member_id[rows[out]], why),
        covered=_covered(snapshot, ledger.covered),
        skipped=_skipped(snapshot, ledger.skipped),
    )
    return audience, rows[ledger.included]


def _unwilling(own: Mask, left: Mask | None) -> UInt8:
    """Why the person does not want it, as a Reason; 0: they have nothing against it."""
    unwilling = own * np.uint8(ExclusionReason.OPTED_OUT)
    if left is not None:
        unwilling[left & ~own] = ExclusionReason.NETWORK_OPTED_OUT
    return unwilling


def _tell_apart(
    ways: ChannelContacts, channel: Channel, rows: Int64, unwilling: UInt8, taken: Int64, ledger: _Ledger
) -> Int64:
    """The rows that get a message on a channel; all others go to the ledger."""
    dense = ways.dense(rows)
    reachable = (unwilling == 0) & (dense >= 0)
    ledger.included |= reachable
    missing = np.flatnonzero(~reachable)
    no_way = np.where(ways.silenced(rows[missing]), ExclusionReason.ADDRESS_OPTED_OUT, ExclusionReason.NO_CONTACT)
    reasons = np.where(unwilling[missing], unwilling[missing], no_way)
    ledger.skip(channel, rows, missing, reasons.astype(np.uint8))
    candidates, numbers = rows[reachable], dense[reachable]
    # Written backwards, so that the last to write, and to stay, is the first by member id.
    first = np.empty(ways.best.addresses, np.int32)
    first[numbers[::-1]] = candidates[::-1]
    elsewhere = np.isin(ways.address_id(candidates), taken) if taken.size else np.zeros(len(candidates), bool)
    sent = (first[numbers] == candidates) & ~elsewhere
    other = np.flatnonzero(~sent)
    why = np.where(elsewhere[other], ExclusionReason.OTHER_ZONE, ExclusionReason.SAME_ADDRESS).astype(np.uint8)
    ledger.covered.append((ways, CHANNELS.index(channel), candidates[other], why))
    return np.asarray(candidates[sent])


def _ids(taken: npt.NDArray[np.int64] | frozenset[int] | None) -> Int64:
    if taken is None:
        return np.empty(0, np.int64)
    return np.array(sorted(taken), dtype=np.int64) if isinstance(taken, frozenset) else taken


def _covered(snapshot: Snapshot, parts: list[tuple[ChannelContacts, int, Int64, UInt8]]) -> Covered:
    return Covered(
        _joined([snapshot.member_id[rows] for _, _, rows, _ in parts]),
        _joined([np.full(len(rows), number, np.uint8) for _, number, rows, _ in parts]).astype(np.uint8),
        _joined([ways.contact_id(rows) for ways, _, rows, _ in parts]),
        _joined([ways.address_id(rows) for ways, _, rows, _ in parts]),
        _joined([reasons for _, _, _, reasons in parts]).astype(np.uint8),
    )


def _skipped(snapshot: Snapshot, parts: list[tuple[int, Int64, UInt8]]) -> SkippedChannel:
    return SkippedChannel(
        _joined([snapshot.member_id[rows] for _, rows, _ in parts]),
        _joined([np.full(len(rows), number, np.uint8) for number, rows, _ in parts]).astype(np.uint8),
        _joined([reasons for _, _, reasons in parts]).astype(np.uint8),
    )


def _joined(parts: list[Int64] | list[UInt8]) -> Int64:
    return np.concatenate([np.empty(0, np.int64), *parts])


def _language_table(snapshot: Snapshot, request: ResolveRequest) -> UInt8:
    """For each language of the register, the place in `request.languages` of the one that is sent."""
    available: dict[str, int] = {}
    for place, tag in enumerate(request.languages):
        available.setdefault(_primary(tag), place)
    chosen = [
        next(
            available[tag]
            for tag in (own, request.default_language, *request.language_fallback, *available)
            if tag in available
        )
        for own in map(_primary, snapshot.languages)
    ]
    return np.array(chosen, dtype=np.uint8)


def _readers(snapshot: Snapshot, request: ResolveRequest, included: Int64) -> tuple[Readers, ...]:
    given = _language_table(snapshot, request)
    tally = np.bincount(snapshot.language[included], minlength=len(snapshot.languages))
    # The register may write one language in two ways; its unknown ones stand under no name.
    persons: dict[tuple[str, str], int] = {}
    for place in np.flatnonzero(tally):
        key = (_primary(snapshot.languages[place]), request.languages[given[place]])
        persons[key] = persons.get(key, 0) + int(tally[place])
    ordered = sorted(persons.items(), key=lambda item: (-item[1], item[0]))
    return tuple(Readers(language, text, n) for (language, text), n in ordered)


def _primary(tag: str) -> str:
    return tag.partition("-")[0].lower()


def _languages(audience: Audience) -> dict[str, int]:
    tally = np.zeros(len(audience.languages), np.int64)
    for found in audience.deliveries.values():
        tally += np.bincount(found.language, minlength=len(tally))
    return {tag: int(count) for tag, count in zip(audience.languages, tally, strict=True) if count}
