"""Who stands at the door: so many connections, so many of one address, and who gives way when there is no room.

A stranger that waits, or says nothing, gives way to a newcomer, the one that came first before the others; whoever has
shown a good key, or is being answered, does not. Bounded memory; no I/O, time is an argument.
"""

import logging
import os
import resource
from collections import Counter
from dataclasses import dataclass, field
from typing import Protocol

from gateway.access.attempts import household

log = logging.getLogger(__name__)

_SPARE_FILES = 64
"""Descriptors kept for the store, carriers and logs beside those that are open at the start."""
_LEAST = 16
_LOOKED_AT = 256
"""Connections that are asked whether they can give way; the others came later."""
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
    _inside: dict[Visitor, str] = field(default_factory=dict)
    """With their addresses, in the order of their coming."""
    _known: set[Visitor] = field(default_factory=set)
    """Who has shown a good key."""
    _of: Counter[str] = field(default_factory=Counter)
    """Strangers by address."""
    _turned_away: int = 0
    _told_s: float = float("-inf")

    def enter(self, visitor: Visitor, address: str, now_s: float) -> bool:
        """False: there is no room for it, though others were asked to leave."""
        home = household(address)
        crowded = self.most_per_address and self._of[home] >= self.most_per_address
        if (crowded and not self._make_room(home)) or (len(self._inside) >= self.most and not self._make_room(None)):
            self._tell(home, now_s)
            if not self._of[home]:
                del self._of[home]
            return False
        self._inside[visitor] = home
        self._of[home] += 1
        return True

    def vouch(self, visitor: Visitor) -> None:
        """It has shown a good key: it gives way to nobody, and counts no more among those of its address."""
        if visitor in self._inside and visitor not in self._known:
            self._known.add(visitor)
            self._uncount(self._inside[visitor])

    def leave(self, visitor: Visitor) -> None:
        """Also of one that was never let in."""
        home = self._inside.pop(visitor, None)
        if visitor in self._known:
            self._known.discard(visitor)
        elif home is not None:
            self._uncount(home)

    def _uncount(self, home: str) -> None:
        self._of[home] -= 1
        if not self._of[home]:
            del self._of[home]

    def _make_room(self, home: str | None) -> bool:
        """`home`: by one of this address; None: by anybody."""
        for looked, (visitor, address) in enumerate(self._inside.items()):
            if looked >= _LOOKED_AT and home is None:
                return False
            if home in (None, address) and visitor.waits and visitor not in self._known:
                self.leave(visitor)
                visitor.send_away()
                return True
        return False

    def _tell(self, home: str, now_s: float) -> None:
        self._turned_away += 1
        if now_s - self._told_s >= _TOLD_EVERY_S:
            about = {"action": "door-full", "inside": len(self._inside), "turned_away": self._turned_away, "peer": home}
            log.warning("no room at the door", extra=about)
            self._told_s, self._turned_away = now_s, 0


def room(wanted: int) -> int:
    """Connections that this process can hold: no more than its limit of open files leaves."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    open_now = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 32
    return min(wanted, max(_LEAST, limit - open_now - _SPARE_FILES)) if limit != resource.RLIM_INFINITY else wanted
