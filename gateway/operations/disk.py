"""Whether there is room to take on work."""

import time
from dataclasses import dataclass

from store.engine.database import Database


@dataclass(slots=True)
class Disk:
    """Asked before anything is launched or claimed; looked at once a second at most."""

    database: Database
    min_free_bytes: int
    _looked_s: float = -1.0
    _room: bool = True

    def __call__(self) -> bool:
        now = time.monotonic()
        if now - self._looked_s >= 1.0:
            self._looked_s = now
            free = self.database.free_bytes()
            self._room = free is None or free >= self.min_free_bytes
        return self._room
