"""The end of a permission to send (`contract.Permission`), told in time to those who have messages waiting."""

import asyncio
import math
from collections.abc import Callable

from channels.contract import NotSent, Permission

ENDED = NotSent("the permission to send it has ended", withdrawn=True)

_SHORTEST_S = 0.001  # uvloop's timers count milliseconds and may ring a shade early


def has_ended(permission: Permission | None, now: float) -> bool:
    return permission is not None and now >= permission.not_after


class Ends:
    """One alarm for all permissions that something waits under. Permissions are moved on several times a second, so
    it rings at the old end, has a look, and is set to the next."""

    def __init__(self, look: Callable[[float], float]) -> None:
        """`look(now)` settles what stands under a permission that has ended, and gives the earliest end of the others:
        infinity when nothing waits."""
        self._look = look
        self._at = math.inf
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, permission: Permission | None) -> None:
        """Something waits under this permission."""
        if permission is not None and permission.not_after < self._at:
            self._arm(permission.not_after)

    def close(self) -> None:
        self._at = math.inf
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, at: float) -> None:
        self.close()
        if at < math.inf:
            loop = asyncio.get_running_loop()
            self._at = at
            self._timer = loop.call_at(max(at, loop.time() + _SHORTEST_S), self._ring)

    def _ring(self) -> None:
        self._at, self._timer = math.inf, None
        at = self._look(asyncio.get_running_loop().time())
        if at < self._at:
            self._arm(at)
