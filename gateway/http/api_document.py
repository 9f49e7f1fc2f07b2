"""The API's document as it is served: made once, when it is first asked for, off the loop."""

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True)
class ApiDocument:
    make: Callable[[], bytes]
    _made: tuple[bytes, str] | None = None
    _one: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def read(self) -> tuple[bytes, str]:
        """Its bytes and their ETag."""
        async with self._one:
            if self._made is None:
                body = await asyncio.to_thread(self.make)
                self._made = body, hashlib.sha256(body).hexdigest()[:32]
        return self._made
