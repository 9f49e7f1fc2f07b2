"""What could not be worked on, and until when it is left alone: one campaign that fails stops no other, and is not
tried again and again without a pause. In memory only: a process that starts again tries everything at once."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from store.errors import StoreUnavailable

log = logging.getLogger(__name__)
T = TypeVar("T")

FIRST_S = 1.0
MOST_S = 60.0
"""The pause doubles from the first to this one."""
_FORGOTTEN_S = 2 * MOST_S
"""After its pause: who fails later than this fails for the first time."""


@dataclass(slots=True)
class Setbacks:
    """Of one worker; its subjects are ids of one kind, of campaigns or alerts."""

    _pauses: dict[int, tuple[float, float]] = field(default_factory=dict)
    """Subject -> (when its pause ends, how long it was)."""

    def resting(self) -> list[int]:
        """Who is left alone now."""
        now_s = asyncio.get_running_loop().time()
        self._pauses = {s: p for s, p in self._pauses.items() if p[0] + _FORGOTTEN_S > now_s}
        return [subject for subject, (until_s, _) in self._pauses.items() if until_s > now_s]

    async def attempt(self, subject: int, action: str, work: Callable[[], Awaitable[T]]) -> T | None:
        """What the work returns; None when it fails, which the log says under this action.

        Raises StoreUnavailable: that is no fault of the subject's."""
        try:
            return await work()
        except StoreUnavailable:
            raise
        except Exception as exc:
            self.note(subject, action, exc)
            return None

    def note(self, subject: int, action: str, exc: Exception) -> None:
        """It has failed just now: let it rest."""
        now_s = asyncio.get_running_loop().time()
        _, last_s = self._pauses.get(subject, (0.0, 0.0))
        pause_s = min(max(FIRST_S, 2 * last_s), MOST_S)
        self._pauses[subject] = (now_s + pause_s, pause_s)
        about = {"action": action, "subject": subject, "again_s": pause_s}
        log.error("failed, and will be tried again", exc_info=exc, extra=about)
