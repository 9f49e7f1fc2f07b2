"""Who stands at the door: so many connections, so many of one address, and who gives way when there is no room.

A stranger that waits, or says nothing, gives way to a newcomer, the one that came first before the others; whoever has
shown a good key, or is being answered, does not. Bounded memory; no I/O, time is an argument.
"""

import itertools
import logging
import os
import resource
from dataclasses import dataclass, field
from typing import Any, Protocol

from gateway.access.attempts import household

log = logging.getLogger(__name__)

_SPARE_FILES = 64
"""Descriptors kept for the store, carriers and logs beside those that are open at the start."""
_LEAST = 16
_LOOKED_AT = 64
"""Connections that are asked whether they can give way."""
_TOLD_EVERY_S = 60.0


class Visitor(Protocol):
    @property
    def waits(self) -> bool:
        """For a whole request: none is being answered."""
        ...

    def send_away(self) -> None: ...


@dataclass(slots=True)
class Visitors:
    most: int
    most_per_address: int = 0
    """Of those who have shown no key; 0: as many as there may be at all."""
    _strangers: dict[Visitor, str] = field(default_factory=dict)
    """With their addresses, in the order of their coming; who was busy when somebody had to go stands last."""
    _of: dict[str, dict[Visitor, None]] = field(default_factory=dict)
    """The same by address."""
    _known: set[Visitor] = field(default_factory=set)
    """Who has shown a good key."""
    _turned_away: int = 0
    _told_s: float = float("-inf")

    @property
    def inside(self) -> int:
        return len(self._strangers) + len(self._known)

    def enter(self, visitor: Visitor, address: str, now_s: float, *, is_proxy: bool = False) -> bool:
        """False: there is no room for it, though others were asked to leave. `is_proxy`: a trusted one, whose clients
        share its address: it may have as many as there may be at all."""
        home = household(address)
        neighbours = self._of.get(home, {})
        crowded = self.most_per_address and not is_proxy and len(neighbours) >= self.most_per_address
        if (crowded and not self._make_room(neighbours)) or (
            self.inside >= self.most and not self._make_room(self._strangers)
        ):
            self._tell(home, now_s)
            return False
        self._strangers[visitor] = home
        self._of.setdefault(home, {})[visitor] = None
        return True

    def vouch(self, visitor: Visitor) -> None:
        """It has shown a good key: it gives way to nobody, and counts no more among those of its address."""
        if visitor in self._strangers:
            self.leave(visitor)
            self._known.add(visitor)

    def leave(self, visitor: Visitor) -> None:
        """Also of one that was never let in."""
        self._known.discard(visitor)
        home = self._strangers.pop(visitor, None)
        if home is not None:
            del self._of[home][visitor]
            if not self._of[home]:
                del self._of[home]

    def _make_room(self, among: dict[Visitor, Any]) -> bool:
        """A few are looked at: who is busy is not looked at again before all others."""
        for visitor in list(itertools.islice(among, _LOOKED_AT)):
            if visitor.waits:
                self.leave(visitor)
                visitor.send_away()
                return True
            among[visitor] = among.pop(visitor)
        return False

    def _tell(self, home: str, now_s: float) -> None:
        self._turned_away += 1
        if now_s - self._told_s >= _TOLD_EVERY_S:
            about = {"action": "door-full", "inside": self.inside, "turned_away": self._turned_away, "peer": home}
            log.warning("no room at the door", extra=about)
            self._told_s, self._turned_away = now_s, 0


def room(wanted: int) -> int:
    """Connections that this process can hold: no more than its limit of open files leaves."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    open_now = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 32
    return min(wanted, max(_LEAST, limit - open_now - _SPARE_FILES)) if limit != resource.RLIM_INFINITY else wanted
