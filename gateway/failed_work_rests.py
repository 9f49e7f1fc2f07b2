"""What could not be worked on, and until when it is left alone: one campaign that fails stops no other, and is not
tried again and again without a pause. In memory only: a process that starts again tries everything at once.

A store that is away fails everybody, a broken page or a statement that takes too long one of them: which it was is seen
when a round is over.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from store.errors import StoreUnavailable

log = logging.getLogger(__name__)
T = TypeVar("T")
S = TypeVar("S")

FIRST_S = 1.0
MOST_S = 60.0
"""The pause doubles from the first to this one."""
AWAY_MOST_S = 10.0
"""The same where the store had no answer about one subject: it may have been away for that moment only."""
_FORGOTTEN_S = 2 * MOST_S
"""After its pause: who fails later than this fails for the first time."""


@dataclass(slots=True)
class Setbacks:
    """What one worker could not work on; its subjects are ids of one kind, of campaigns or alerts."""

    _pauses: dict[int, tuple[float, float]] = field(default_factory=dict)
    """Subject -> (when its pause ends, how long it was)."""
    _behind: set[int] = field(default_factory=set)
    """Who failed in a round in which the store had no answer for anybody: the others go first, or a page full of broken
    ones would stand before them for ever."""

    def resting(self) -> list[int]:
        """The subjects that are left alone now."""
        now_s = asyncio.get_running_loop().time()
        self._pauses = {s: p for s, p in self._pauses.items() if p[0] + _FORGOTTEN_S > now_s}
        return [subject for subject, (until_s, _) in self._pauses.items() if until_s > now_s]

    async def due(self, find: Callable[[list[int]], Awaitable[Sequence[S]]]) -> Sequence[S]:
        """Whom a round should try: what `find` finds without those that are left alone."""
        if self._behind:
            found = await find([*self.resting(), *self._behind])
            if found:
                return found
            self._behind.clear()
        return await find(self.resting())

    async def each(self, subjects: Iterable[int], action: str, work: Callable[[int], Awaitable[T]]) -> list[T]:
        """A round of all these: what the works return that did not fail. Raises StoreUnavailable as a round does."""
        round_ = Round(self)
        results = [await round_.attempt(subject, action, partial(work, subject)) for subject in subjects]
        round_.end()
        return [result for result in results if result is not None]

    async def attempt(self, subject: int, action: str, work: Callable[[], Awaitable[T]]) -> T | None:
        """A round of one: what the work returns, or None when it fails, which the log says under this action.

        Raises StoreUnavailable: nothing shows that it is the subject's fault."""
        round_ = Round(self)
        result = await round_.attempt(subject, action, work)
        round_.end()
        return result

    def note(self, subject: int, action: str, exc: Exception) -> None:
        """Notes that a subject has failed just now, and lets it rest."""
        about = {"action": action, "subject": subject, "again_s": self.rest(subject)}
        log.error("failed, and will be tried again", exc_info=exc, extra=about)

    def rest(self, subject: int, most_s: float | None = None) -> float:
        """For twice as long as the last time; returns for how long."""
        now_s = asyncio.get_running_loop().time()
        _, last_s = self._pauses.get(subject, (0.0, 0.0))
        pause_s = min(max(FIRST_S, 2 * last_s), MOST_S if most_s is None else most_s)
        self._pauses[subject] = (now_s + pause_s, pause_s)
        return pause_s


@dataclass(slots=True)
class Round:
    """Several subjects, one after the other. While nobody has succeeded it is open whether the store is away."""

    _of: Setbacks
    _succeeded: bool = False
    _unheard: dict[int, StoreUnavailable] = field(default_factory=dict)
    """For whom the store had no answer."""

    async def attempt(self, subject: int, action: str, work: Callable[[], Awaitable[T]]) -> T | None:
        """What the work returns; None when it fails, and the next may be tried."""
        try:
            result = await work()
        except StoreUnavailable as exc:
            self._unheard[subject] = exc
        except Exception as exc:
            self._of.note(subject, action, exc)
        else:
            self._succeeded = True
            self._of._behind.clear()
            return result
        return None

    def end(self) -> None:
        """Raises StoreUnavailable when the store had no answer for one of them and nobody succeeded: then nobody rests
        for it. Otherwise it is about those, and they rest."""
        unheard, self._unheard = self._unheard, {}
        if unheard and not self._succeeded:
            self._of._behind |= unheard.keys()
            raise next(iter(unheard.values()))
        for subject, exc in unheard.items():
            about = {"action": "store-no-answer", "subject": subject, "again_s": self._of.rest(subject, AWAY_MOST_S)}
            log.warning("the store has no answer about this one: %s", exc, extra=about)
