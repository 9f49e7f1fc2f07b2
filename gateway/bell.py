"""Work made here rings a bell; polling finds what another node made."""

import asyncio
import contextlib


class Bell:
    """A hint that there may be work, for those who look for it anyway now and then. Rung before anybody listens, it is
    heard at once; rung often, it is heard once."""

    __slots__ = ("_rung",)

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """There may be something to do. Waits for nobody."""
        self._rung.set()

    async def heard(self, most_s: float) -> None:
        """Returns when the bell is rung, or after `most_s` seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(most_s):
                await self._rung.wait()
        self._rung.clear()
