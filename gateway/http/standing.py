"""Whether who watches still may: a stream goes on for a quarter of an hour, and a key may be taken back meanwhile, or a
session end."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from gateway.access.rights import Caller
from gateway.http.progress import READ_TIMEOUT_S
from store.errors import store_is_away

log = logging.getLogger(__name__)


@dataclass(slots=True)
class StreamStanding:
    """The key or session of one stream, and what its account must be allowed to see."""

    still: Callable[[], Awaitable[Caller | None]]
    """The caller that it has now; None: it is good no more."""
    sees: Callable[[Caller], bool]
    """Whether a caller may see all that the stream shows. Asked again when anything of the account has changed."""
    _seen_by: Caller | None = field(default=None, init=False)

    async def lasts(self) -> bool:
        """Whether the stream may go on. While the store is away it does: nothing new is shown meanwhile."""
        try:
            async with asyncio.timeout(READ_TIMEOUT_S):
                caller = await self.still()
        except Exception as exc:
            if store_is_away(exc):
                return True
            log.exception("asking for a key or session failed", extra={"action": "watch-failed"})
            return False
        if caller is None or (caller != self._seen_by and not self.sees(caller)):
            return False
        self._seen_by = caller
        return True
