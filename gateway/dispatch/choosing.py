"""Which carriers may have each message now: those that can take it, that have not refused it, and that are open."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from channels.contract import Content, Fit, Refused
from gateway.dispatch.carriers import Gate, Openness
from gateway.dispatch.refusals import RefusalRun, Subject
from store.outbox.records import DeliveryRow

Fits = tuple[Fit, ...]
"""How well each gate, in their order, can take a message."""

LEFT_TO_OTHERS_S = 1.2
"""A carrier that refuses us is tried again with people whom it has not refused, if any batch has them: each looks once
a second."""


@dataclass(slots=True)
class Moving:
    """A message known not sent that looks for another carrier."""

    row: DeliveryRow
    moves: int = 0
    words: dict[str, Refused] = field(default_factory=dict)
    """Carriers that have refused it, each with its last word."""
    on_trial: bool = False
    """It was handed to a carrier that had refused everybody."""


@dataclass(frozen=True, slots=True)
class Window:
    """What is asked of the fence together: messages for which the same carriers are open."""

    again: list[Moving]
    ahead: list[DeliveryRow]
    names: tuple[str, ...] = ()
    """Carriers, in their order."""
    shunned: str = ""
    """The carrier that put these off, or left them in doubt, comes last among them: a silent one that is first in
    the order must not be given them again and again."""
    subject: Subject | None = None
    """Where some carrier refuses some subject: the one of all of these."""
    passed: int = 0
    """Rows ahead of `ahead` for which no carrier is open: they must not hold up those behind them."""
    waits: bool = False
    """There is a carrier for the first of them as soon as its window has room."""


@dataclass(slots=True)
class Choosing:
    """Which carriers the messages of one batch may have."""

    campaign_id: int
    contents: Mapping[str, Content]
    gates: Sequence[Gate]
    _fits: dict[int | str, Fits] = field(default_factory=dict)
    """By delivery where some carrier chooses by address, else by language."""

    def subject(self, row: DeliveryRow) -> Subject:
        return (self.campaign_id, row.language)

    def fits(self, row: DeliveryRow) -> Fits:
        key = row.id if self._is_by_address() else row.language
        found = self._fits.get(key)
        if found is None:
            content = self.contents[row.language]
            found = self._fits[key] = tuple(gate.carrier.limits.fit(row.address, content) for gate in self.gates)
        return found

    def _is_by_address(self) -> bool:
        return any(gate.carrier.limits.chooses_by_address for gate in self.gates)

    def has_other_carrier(self, m: Moving, now_s: float) -> bool:
        """Whether a carrier that has not refused it is there for it, be it after a moment."""
        return _Look(self, now_s).at(m.row, m.words)[0] is not Openness.CLOSED

    def bars(self, rows: Iterable[DeliveryRow]) -> list[RefusalRun]:
        """The bars of carriers that concern these messages."""
        languages = {row.language for row in rows}
        found = (gate.bar((self.campaign_id, language)) for language in languages for gate in self.gates)
        return [bar for bar in found if bar is not None]

    def window(self, again: Sequence[Moving], ahead: Iterable[DeliveryRow], now_s: float, most: int) -> Window | None:
        """The next window; None while no carrier is open for anything that is left."""
        look = _Look(self, now_s)
        rows = list(islice(ahead, most))
        first: tuple[object, ...] | None = None
        chosen, others, waits = [], False, False
        for m in again:
            door, names = look.at(m.row, m.words)
            if door is Openness.CLOSED or look.spares(m.row, names, again, rows):
                continue
            if door is Openness.BUSY:
                waits = True
                continue
            key = look.key(m.row, names)
            first = first or key
            if key == first:
                chosen.append(m)
            else:
                others = True
        passed = 0
        taken: list[DeliveryRow] = []
        # Nearly always all rows are alike, and one stands for them.
        alike = not (look.refusing or self._is_by_address())
        for row in () if others else rows:
            if alike and taken and (row.language, row.last_way) == (taken[-1].language, taken[-1].last_way):
                taken.append(row)
                continue
            door, names = look.at(row, {})
            if door is Openness.CLOSED or look.spares(row, names, again, rows):
                if taken:
                    break
                passed += 1
                continue
            if door is Openness.BUSY:
                waits = True
                break
            key = look.key(row, names)
            first = first or key
            if key != first:
                break
            taken.append(row)
        if first is None:
            return Window([], [], waits=True) if waits else None
        head = chosen[0].row if chosen else taken[0]
        _, names = look.at(head, chosen[0].words if chosen else {})
        subject = self.subject(head) if look.refusing else None
        return Window(chosen, taken, names, head.last_way, subject, passed if taken else 0)


class _Look:
    """The gates at one instant."""

    def __init__(self, choosing: Choosing, now_s: float) -> None:
        self._choosing = choosing
        self._now_s = now_s
        self._doors: dict[str, list[Openness]] = {}
        self._seen: dict[tuple[object, ...], tuple[Openness, tuple[str, ...]]] = {}
        self._fresh: dict[str, bool] = {}
        self.refusing = any(gate.refusals.runs for gate in choosing.gates)

    def at(self, row: DeliveryRow, words: Mapping[str, Refused]) -> tuple[Openness, tuple[str, ...]]:
        """How the carriers stand for it, and the names of the open ones."""
        fits = self._choosing.fits(row)
        key = (row.language, fits, *words)
        seen = self._seen.get(key)
        if seen is None:
            seen = self._seen[key] = self._stand(row.language, fits, words)
        return seen

    def key(self, row: DeliveryRow, names: tuple[str, ...]) -> tuple[object, ...]:
        """Messages with the same one may share a window."""
        return (names, row.last_way, row.language if self.refusing else "")

    def spares(
        self, row: DeliveryRow, names: tuple[str, ...], again: Sequence[Moving], rows: Sequence[DeliveryRow]
    ) -> bool:
        """Whether a trial is better made with somebody else: this one was refused before. Another batch may have
        somebody, so it is left to those for a moment."""
        if not self.refusing or not names or not self._was_refused(row, names):
            return False
        fresh = self._fresh.get(row.language)
        if fresh is None:
            everybody = (*(m.row for m in again), *rows)
            fresh = any(r.language == row.language and not self._was_refused(r, names) for r in everybody)
            self._fresh[row.language] = fresh
        subject = self._choosing.subject(row)
        bars = [bar for gate in self._choosing.gates if gate.name in names and (bar := gate.bar(subject)) is not None]
        return fresh or self._now_s < min(bar.barred_until_s for bar in bars) + LEFT_TO_OTHERS_S

    def _was_refused(self, row: DeliveryRow, names: tuple[str, ...]) -> bool:
        """By each of the open carriers, while they refused everybody."""
        subject = self._choosing.subject(row)
        bars = [gate.bar(subject) for gate in self._choosing.gates if gate.name in names]
        return all(bar is not None and row.id in bar.people for bar in bars)

    def _stand(self, language: str, fits: Fits, words: Mapping[str, Refused]) -> tuple[Openness, tuple[str, ...]]:
        doors = self._doors.get(language)
        if doors is None:
            subject = (self._choosing.campaign_id, language)
            doors = self._doors[language] = [gate.door(self._now_s, subject) for gate in self._choosing.gates]
        for wanted in (Fit.WHOLE, Fit.LEGIBLE):
            able = [
                (gate.name, door)
                for gate, door, fit in zip(self._choosing.gates, doors, fits, strict=True)
                if fit is wanted and door is not Openness.CLOSED and gate.name not in words
            ]
            if able:
                names = tuple(name for name, door in able if door is Openness.OPEN)
                return (Openness.OPEN if names else Openness.BUSY), names
        return Openness.CLOSED, ()
