"""What one carrier refuses, told by its shape: is it about the people, or about us?

No code can be believed. An SMSC that has something against our sender, and a relay that has something against our
domain, refuse each person in the words that they have for a dead number. But they refuse everybody, and a dead number
stands among others that live. So a refusal waits for its neighbours: an acceptance makes it the person's; two more
like it of other people, with no acceptance between, make it the carrier's.

Pure: time is an argument (event-loop seconds). One object a carrier and lane.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum

ALIKE = 3
"""Refusals with the same code of different people in a row. Two dead numbers are neighbours in many lists; and a
carrier that is at fault is asked for no more than these before it rests."""
MIXED = 8
"""The same, whatever the codes: some peers put something of each message into them."""
SILENCE_S = 2.0
"""A refusal that nothing has followed for so long is about the person: one or two people alone show no shape."""
IN_A_ROW_S = 60.0
"""Refusals of different subjects that lie farther apart are no row."""
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0
FIRST_TRIAL = 3
MOST_ON_TRIAL = 48
"""Units. A trial grows with its pause, so that a carrier which is well gets past a long run of dead numbers."""
FORGOTTEN_AFTER_S = 600.0
_MOST_SUBJECTS = 256
_MOST_REMEMBERED = 1_000

Subject = tuple[int, str]
"""A campaign and a language: what is said. A peer may refuse one text and take another."""


class RefusalMeaning(Enum):
    """What a refusal turns out to be."""

    OPEN = "open"
    THE_PERSONS = "the person's"
    """It stands."""
    OURS = "ours"
    """It says nothing of the person."""


@dataclass(slots=True)
class RefusalRun:
    """Refusals of one subject in a row; an acceptance ends it."""

    last_s: float
    ended: bool = False
    barred_until_s: float = -math.inf
    """The subject rests until then, and is on trial afterwards. Minus infinity: it is not barred."""
    pause_s: float = 0.0
    trial: int = 0
    """Units that may still be tried."""
    tried: int = 0
    """Units of the trial that have no answer yet. It is over when there are none, and none was accepted."""
    tried_s: float = -math.inf
    """When the last of them left."""
    code: str = ""
    """Of the refusal that barred it."""
    text: str = ""
    people: dict[int, None] = field(default_factory=dict)
    """Deliveries refused since the last acceptance, longest ago first: a trial prefers others."""
    is_told: bool = False
    """The operator knows that nobody else takes them."""
    alike: dict[str, set[int]] = field(default_factory=dict)

    @property
    def is_barred(self) -> bool:
        return self.barred_until_s > -math.inf and not self.ended

    def units_to_try(self, now_s: float) -> int:
        """Of what is barred: so many may be on their way now. A trial whose answers stay away, since whoever waited
        for them is gone or the peer is silent, is followed by another one."""
        if now_s < self.barred_until_s:
            return 0
        return self.trial or (FIRST_TRIAL if now_s - self.tried_s >= LONGEST_PAUSE_S else 0)

    def try_units(self, units: int, now_s: float) -> None:
        """Notes that so many units of what is barred are on their way as a trial."""
        self.trial, self.tried, self.tried_s = max(self.trial - units, 0), self.tried + units, now_s

    def put_back(self, units: int) -> None:
        """Of the trial: these have said nothing of the carrier, so others may be tried in their place."""
        self.trial, self.tried = self.trial + units, max(self.tried - units, 0)

    def word(self, since_s: float, now_s: float) -> RefusalMeaning:
        """What a refusal that came at `since_s` turns out to mean."""
        if self.ended:
            return RefusalMeaning.THE_PERSONS
        if self.is_barred:
            return RefusalMeaning.OURS
        return RefusalMeaning.THE_PERSONS if now_s - since_s >= SILENCE_S else RefusalMeaning.OPEN

    def remember(self, person: int, code: str, now_s: float) -> None:
        self.last_s = now_s
        self.people.pop(person, None)
        self.people[person] = None
        if len(self.people) > _MOST_REMEMBERED:
            del self.people[next(iter(self.people))]
        if not self.is_barred:
            self.alike.setdefault(code, set()).add(person)

    def is_a_row(self) -> bool:
        return len(self.people) >= MIXED or any(len(people) >= ALIKE for people in self.alike.values())

    def bar(self, code: str, text: str, now_s: float) -> None:
        self.code, self.text = code, text
        self.pause_s = min(max(2 * self.pause_s, FIRST_PAUSE_S), LONGEST_PAUSE_S)
        self.barred_until_s = now_s + self.pause_s
        self.trial = min(int(FIRST_TRIAL * self.pause_s / FIRST_PAUSE_S), MOST_ON_TRIAL)
        self.tried = 0
        self.alike.clear()


@dataclass(slots=True)
class Refusals:
    """What one carrier refuses; empty as long as all is well."""

    runs: dict[Subject, RefusalRun] = field(default_factory=dict)
    _known: dict[Subject, dict[int, None]] = field(default_factory=dict)
    """Deliveries refused before the carrier last accepted one of their subject: refused again, it is about them."""
    _row: dict[str, dict[int, RefusalRun]] = field(default_factory=dict)
    """Code -> delivery -> run, of all subjects since the carrier last accepted anything."""
    _row_s: float = -math.inf

    def refused(
        self, subject: Subject, person: int, code: str, text: str, now_s: float, units: int = 1
    ) -> tuple[RefusalRun, bool]:
        """The run that the refusal belongs to, and whether the subject is barred by it, for the first time or
        again. `units`: of a trial; 0 for what left otherwise."""
        run = self.runs.get(subject)
        if person in self._known.get(subject, ()):
            if run is not None and run.is_barred:
                run.put_back(units)
            return RefusalRun(now_s, ended=True), False
        if run is None:
            self._make_room(now_s)
            run = self.runs[subject] = RefusalRun(now_s)
        was_barred = run.is_barred
        run.remember(person, code, now_s)
        if was_barred:
            run.tried = max(run.tried - units, 0)
            if now_s < run.barred_until_s or run.tried:
                return run, False
        elif not (run.is_a_row() or self._is_a_row(run, person, code, text, now_s)):
            return run, False
        run.bar(code, text, now_s)
        return run, True

    def accepted(self, subject: Subject) -> RefusalRun | None:
        """The run that this ends, where there is one. What barred other subjects for the same reason is over, too:
        they are tried again at once."""
        self._row.clear()
        run = self.runs.pop(subject, None)
        if run is None:
            return None
        if run.is_barred:
            for other in self.barred():
                if other.code == run.code:
                    other.barred_until_s = min(other.barred_until_s, 0.0)
                    other.trial = max(other.trial, FIRST_TRIAL)
        run.ended = True
        self._know(subject, run.people)
        return run

    def barred(self) -> Iterator[RefusalRun]:
        return (run for run in self.runs.values() if run.is_barred)

    def complaint(self, now_s: float) -> RefusalRun | None:
        """What the carrier has against us, if anything: the bar that lasts longest."""
        self._forget(now_s)
        return max(self.barred(), key=lambda run: run.barred_until_s, default=None)

    def _is_a_row(self, run: RefusalRun, person: int, code: str, text: str, now_s: float) -> bool:
        """Of one person each in several subjects: those are barred, too."""
        if now_s - self._row_s > IN_A_ROW_S:
            self._row.clear()
        self._row_s = now_s
        alike = self._row.setdefault(code, {})
        alike[person] = run
        if len(alike) < ALIKE:
            return False
        for other in {id(other): other for other in alike.values()}.values():
            if other is not run and not other.ended and not other.is_barred:
                other.bar(code, text, now_s)
        del self._row[code]
        return True

    def _know(self, subject: Subject, people: Iterable[int]) -> None:
        if subject not in self._known and len(self._known) >= _MOST_SUBJECTS:
            del self._known[next(iter(self._known))]
        known = self._known.setdefault(subject, {})
        known |= dict.fromkeys(people)
        for person in list(known)[: max(len(known) - _MOST_REMEMBERED, 0)]:
            del known[person]

    def _forget(self, now_s: float) -> None:
        """Subjects that nobody has tried for long: their campaigns have ended."""
        for subject in [s for s, run in self.runs.items() if now_s - run.last_s > FORGOTTEN_AFTER_S]:
            del self.runs[subject]

    def _make_room(self, now_s: float) -> None:
        self._forget(now_s)
        if len(self._row) >= _MOST_SUBJECTS:
            self._row.clear()
        if len(self.runs) >= _MOST_SUBJECTS:
            del self.runs[next((s for s, run in self.runs.items() if not run.is_barred), next(iter(self.runs)))]
