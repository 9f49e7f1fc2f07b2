"""Which members of one zone the targets mean: the union, within what zone and account may reach.

Pure over a snapshot. Knows no channel and no opt-out: who is concerned comes first, who can be reached after.
"""

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from gateway.directory.columns import Int64, UInt8
from gateway.directory.geocode_systems import GROUP, PLP, POLICEZONE, POSTCODE, REFNIS, AreaCode, subject_of
from gateway.directory.point_in_area import Mask, Shape
from gateway.directory.prepared_targets import PreparedTargets
from gateway.directory.problem import TargetFault, TargetProblem, TargetSeverity
from gateway.directory.snapshot import Snapshot
from gateway.directory.targets import GeocodeTarget
from gateway.directory.zone_policy import AreaMode

NOT_MATCHED = 255


class Match(IntEnum):
    """How a member came into the union; of several ways the first of this list is told."""

    POSITION = 1
    CODE = 2
    """By the municipality or postcode that the register has of them."""
    NETWORK = 3
    GROUP = 4
    WHOLE_ZONE = 5
    UNPLACED = 6
    """Through a network that the area meets, for want of a position (or code) of their own."""
    THREAD = 7
    """Only as part of an earlier audience of this thread."""

    @property
    def word(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    rows: Int64
    """Everyone concerned, ascending."""
    how: UInt8
    """A Match for each of `rows`."""
    problems: tuple[TargetProblem, ...]
    unmatched: tuple[str, ...]
    """Areas, networks and groups by name that nobody was found for."""
    beyond_rights: int
    """Members that the targets mean and that this zone or account may not reach."""
    unplaced: int
    """Members that no area could be compared with: no position, and no network with a territory."""
    thread_gone: int
    """Members of the thread's earlier audience that the register no longer has."""

    def matched_by(self) -> dict[str, int]:
        """Persons by the way they came in; the sum is everyone concerned."""
        tally = np.bincount(self.how, minlength=max(Match) + 1)
        return {match.word: int(tally[match]) for match in Match if tally[match]}


@dataclass(frozen=True, slots=True, eq=False)
class _Reach:
    """Whom zone and account may reach, by the door they come through; None: everyone."""

    networks: Mask
    area: Mask | None
    group: Mask | None
    whole: Mask | None
    """Whole zone and thread."""


def select(
    snapshot: Snapshot,
    survey: PreparedTargets,
    *,
    area_mode: AreaMode,
    allow_whole_zone: bool,
    touching_counts: bool = True,
    also_members: npt.ArrayLike = (),
    only_networks: frozenset[int] | None = None,
) -> Selection:
    """The union of the targets and of `also_members` (ids). `only_networks` (ids) are the account's; None: all."""
    selector = _Selector(snapshot, area_mode, allow_whole_zone, touching_counts, _reach(snapshot, only_networks))
    for name, shape in survey.shapes:
        selector.shape(name, shape)
    for target, code in survey.codes:
        selector.code(target, code)
    for code_of_network in survey.targets.networks:
        selector.network(code_of_network, code_of_network)
    for code_of_group in survey.targets.groups:
        selector.group(code_of_group, code_of_group)
    if survey.targets.whole_zone:
        selector.whole_zone(snapshot.code)
    earlier = np.asarray(also_members, dtype=np.int64)
    selector.thread(earlier)
    return selector.result(survey, earlier)


def _reach(snapshot: Snapshot, only_networks: frozenset[int] | None) -> _Reach:
    networks, size = snapshot.networks, len(snapshot)
    if only_networks is not None:
        allowed = np.isin(networks.id, np.array(sorted(only_networks), dtype=np.int64))
        theirs = networks.members.mask(np.flatnonzero(allowed), size)
        return _Reach(allowed, theirs, theirs, theirs)
    every = np.ones(networks.id.size, np.bool_)
    if snapshot.convention != 2:
        return _Reach(every, None, None, None)
    # Type 2 has no duty to alert the public: its networks and groups, by every door (design section 7, 10).
    in_network = networks.members.mask(np.arange(networks.id.size), size)
    in_group = snapshot.groups.members.mask(np.arange(snapshot.groups.id.size), size)
    return _Reach(every, in_network, None, in_network | in_group)


@dataclass(slots=True, eq=False)
class _Selector:
    """Collects marks; every method is one kind of target, and their order does not matter."""

    snapshot: Snapshot
    area_mode: AreaMode
    allow_whole_zone: bool
    touching_counts: bool
    reach: _Reach
    how: UInt8 = field(init=False)
    outside: Mask = field(init=False)
    names: dict[str, bool] = field(default_factory=dict)
    problems: list[TargetProblem] = field(default_factory=list)
    bordering: dict[int, None] = field(default_factory=dict)
    """Places of networks that a shape only borders on."""
    understood: int = 0
    restricted: bool = False

    def __post_init__(self) -> None:
        self.how = np.full(len(self.snapshot), NOT_MATCHED, np.uint8)
        self.outside = np.zeros(len(self.snapshot), np.bool_)

    def shape(self, name: str, shape: Shape) -> None:
        self._understand(name)
        networks = self.snapshot.networks
        met = self._allowed(self._met(shape))
        theirs = networks.members.of(met)
        if self.area_mode is AreaMode.GROUPS:
            self._mark(name, theirs, Match.NETWORK, None)
            # Nobody drew these networks' territory: their members are asked one by one.
            loose = self._members_without(networks.has_territory)
            if loose is not None:
                self._mark(name, _only(self.snapshot.grid.inside(shape), loose), Match.POSITION, None)
        else:
            self._mark(name, self.snapshot.grid.inside(shape), Match.POSITION, self.reach.area)
            self._mark(name, _only(theirs, ~self.snapshot.has_position), Match.UNPLACED, None)

    def _met(self, shape: Shape) -> Int64:
        """Places of the networks whose territory the shape meets. What only borders on it is told by name, and counts
        where the zone says so; whom another shape or target means as well is told of for nothing, and harmlessly."""
        networks = self.snapshot.networks
        found = shape.meets(networks.territories)
        borders = shape.only_borders(networks.territories.geometries[found])
        for place in networks.placed[found[borders]]:
            if self.reach.networks[place]:
                self.bordering[int(place)] = None
        return networks.placed[found if self.touching_counts else found[~borders]]

    def _borders(self) -> None:
        codes = {place: code for code, place in self.snapshot.networks.by_code.items()}
        for place in self.bordering:
            code = codes[place]
            if self.touching_counts:
                text = f"It also reaches {code}, which only borders on it."
            else:
                text = f"{code} only borders on it and is not reached by it."
            self._problem(TargetFault.ONLY_BORDERS, code, text)

    def code(self, target: GeocodeTarget, code: AreaCode) -> None:
        if code.system == PLP:
            self.network(target.area, code.value)
        elif code.system == GROUP:
            self.group(target.area, code.value)
        elif code.system == POLICEZONE and code.value == self.snapshot.code:
            self.whole_zone(target.area)
        elif code.system in (REFNIS, POSTCODE, POLICEZONE) or code.system in self.snapshot.networks.has_system:
            self._place(target.area, code)
        else:
            text = f"No member and no network of this zone is known by {code.system}."
            self._problem(TargetFault.UNKNOWN_SYSTEM, subject_of(target), text)

    def network(self, name: str, code: str) -> None:
        place = self.snapshot.networks.by_code.get(code)
        if place is None:
            self._problem(TargetFault.UNKNOWN_NETWORK, code, f"This zone has no network “{code}”.")
        elif not self.reach.networks[place]:
            text = f"The network “{code}” is not among those that this account may reach."
            self._problem(TargetFault.BEYOND_RIGHTS, code, text, TargetSeverity.ERROR)
        else:
            self._understand(name)
            self._mark(name, self.snapshot.networks.members.of(np.array([place])), Match.NETWORK, None)

    def group(self, name: str, code: str) -> None:
        place = self.snapshot.groups.by_code.get(code)
        if place is None:
            self._problem(TargetFault.UNKNOWN_GROUP, code, f"This zone has no group “{code}”.")
        else:
            self._understand(name)
            rows = self.snapshot.groups.members.of(np.array([place]))
            self._mark(name, rows, Match.GROUP, self.reach.group)

    def whole_zone(self, name: str) -> None:
        if not self.allow_whole_zone:
            text = "The policy of this zone does not allow to reach everyone at once."
            self._problem(TargetFault.WHOLE_ZONE, name, text, TargetSeverity.ERROR)
        else:
            self._understand(name)
            self._mark(name, np.arange(len(self.snapshot)), Match.WHOLE_ZONE, self.reach.whole)

    def thread(self, member_ids: Int64) -> None:
        self._mark("", self.snapshot.rows_of(member_ids), Match.THREAD, self.reach.whole)

    def result(self, survey: PreparedTargets, earlier: Int64) -> Selection:
        unplaced = self._unplaced() if survey.shapes else 0
        if unplaced:
            text = f"{unplaced} members have no position and no network with a territory."
            self._problem(TargetFault.WITHOUT_TERRITORY, self.snapshot.code, text)
        self._borders()
        problems = [*survey.problems, *self.problems]
        if not self.understood and not earlier.size:
            problems = [_as_error(problem) for problem in problems]
        rows = np.flatnonzero(self.how != NOT_MATCHED)
        return Selection(
            rows=rows,
            how=self.how[rows],
            problems=tuple(problems),
            unmatched=tuple(name for name, found in self.names.items() if not found),
            beyond_rights=self._beyond_rights(),
            unplaced=unplaced,
            thread_gone=earlier.size - self.snapshot.rows_of(earlier).size,
        )

    def _place(self, name: str, code: AreaCode) -> None:
        """A code of a place: by the members' own, or by the codes that networks name."""
        self._understand(name)
        networks = self.snapshot.networks
        met = self._allowed(networks.by_geocode.get((code.system, code.value), np.empty(0, np.int64)))
        theirs = networks.members.of(met)
        columns = {REFNIS: self.snapshot.refnis, POSTCODE: self.snapshot.postcode}
        column = columns.get(code.system)
        if column is None:
            self._mark(name, theirs, Match.NETWORK, None)
            return
        own = np.flatnonzero(column == int(code.value))
        if self.area_mode is AreaMode.GROUPS:
            self._mark(name, theirs, Match.NETWORK, None)
            loose = self._members_without(networks.has_system.get(code.system))
            if loose is not None:
                self._mark(name, _only(own, loose), Match.CODE, None)
        else:
            self._mark(name, own, Match.CODE, self.reach.area)
            self._mark(name, _only(theirs, column == 0), Match.UNPLACED, None)

    def _mark(self, name: str, rows: npt.NDArray[Any], match: Match, reach: Mask | None) -> None:
        if reach is not None:
            self.restricted = True
            self.outside[rows] = True  # of those that end up selected nobody is counted as outside
            rows = rows[reach[rows]]
        if rows.size:
            self.how[rows] = np.minimum(self.how[rows], match)
            self.names[name] = True

    def _understand(self, name: str) -> None:
        self.understood += 1
        self.names.setdefault(name, False)

    def _problem(
        self, fault: TargetFault, subject: str, text: str, severity: TargetSeverity = TargetSeverity.WARNING
    ) -> None:
        self.problems.append(TargetProblem(fault, severity, subject, text))

    def _allowed(self, networks: Int64) -> Int64:
        return networks[self.reach.networks[networks]]

    def _members_without(self, known: Mask | None) -> Mask | None:
        """Members of the networks in reach of which something is not known; None when there is no such network."""
        lacking = self.reach.networks if known is None else self.reach.networks & ~known
        places = np.flatnonzero(lacking)
        return self.snapshot.networks.members.mask(places, len(self.snapshot)) if places.size else None

    def _beyond_rights(self) -> int:
        if not self.restricted:
            return 0
        return int(np.count_nonzero(self.outside & (self.how == NOT_MATCHED)))

    def _unplaced(self) -> int:
        size, networks = len(self.snapshot), self.snapshot.networks
        lost = ~self.snapshot.has_position & (self.how == NOT_MATCHED)
        if not lost.any():
            return 0
        located = np.flatnonzero(self.reach.networks & networks.has_territory)
        lost &= ~networks.members.mask(located, size)
        if self.area_mode is AreaMode.GROUPS:
            lost &= networks.members.mask(np.flatnonzero(self.reach.networks), size)
        elif self.reach.area is not None:
            lost &= self.reach.area
        return int(np.count_nonzero(lost))


def _only(rows: npt.NDArray[Any], mask: Mask) -> npt.NDArray[Any]:
    return np.asarray(rows[mask[rows]])


def _as_error(problem: TargetProblem) -> TargetProblem:
    """Where nothing else was asked for, what is not understood is no longer a side remark."""
    softer = (
        TargetFault.REPAIRED_SHAPE,
        TargetFault.FLAT_SHAPE,
        TargetFault.ONLY_BORDERS,
        TargetFault.MERGED_CODE,
        TargetFault.WITHOUT_TERRITORY,
    )
    if problem.fault in softer:
        return problem
    return TargetProblem(problem.fault, TargetSeverity.ERROR, problem.subject, problem.text)
