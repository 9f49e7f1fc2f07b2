"""Whether who watches still may: a stream goes on for a quarter of an hour, and a key may be taken back meanwhile."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from aiohttp import web

from gateway.access.keys import Keyring
from gateway.access.rights import Caller
from gateway.http.progress import READ_TIMEOUT_S
from store.errors import store_is_away

log = logging.getLogger(__name__)


def authorization_of(request: web.Request) -> str | None:
    """The Authorization header of a request; None where it has none."""
    given = request.headers.getall("Authorization", [])
    return ", ".join(given) if given else None


@dataclass(slots=True)
class StreamStanding:
    """The key of one stream, and what its account must be allowed to see."""

    keyring: Keyring
    authorization: str | None
    sees: Callable[[Caller], bool]
    """Whether a caller may see all that the stream shows. Asked again when anything of the account has changed."""
    _seen_by: Caller | None = field(default=None, init=False)

    async def lasts(self) -> bool:
        """Whether the stream may go on. While the store is away it does: nothing new is shown meanwhile."""
        try:
            async with asyncio.timeout(READ_TIMEOUT_S):
                caller = await self.keyring.still(self.authorization or "")
        except Exception as exc:
            if store_is_away(exc):
                return True
            log.exception("asking for a key failed", extra={"action": "watch-failed"})
            return False
        if caller is None or (caller != self._seen_by and not self.sees(caller)):
            return False
        self._seen_by = caller
        return True
