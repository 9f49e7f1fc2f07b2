"""Whether a carrier may be used now, and what to tell a person or a message when not."""

import asyncio
import logging
from collections.abc import Callable

import msgspec

from channels.contract import CarrierState, NotSent, Outcome, Throttled

log = logging.getLogger(__name__)


class Health:
    """Connected or not, resting or not. Belongs to one event loop once it has rested."""

    def __init__(self, name: str, now_ms: Callable[[], int]) -> None:
        self.detail = "not started"
        self.since_ms = now_ms()
        """UTC; when the state last changed."""
        self._name = name
        self._now_ms = now_ms
        self._state = CarrierState.DOWN
        self._is_connected = False
        self._rest: tuple[Outcome, asyncio.TimerHandle] | None = None
        self._awake = asyncio.Event()
        self._awake.set()

    @property
    def state(self) -> CarrierState:
        return self._state

    @property
    def is_up(self) -> bool:
        return self._state is CarrierState.UP

    def connected(self) -> None:
        if not self._is_connected:
            self._is_connected = True
            self._changed("connected")

    def disconnected(self, detail: str) -> None:
        self._is_connected = False
        self._changed(detail)

    def remark(self, detail: str) -> None:
        """Something an operator should read, though the carrier goes on."""
        if self.is_up:
            self.detail = detail

    def rest(self, outcome: Outcome, pause_s: float, detail: str) -> None:
        """Leave the relay alone for `pause_s`; meanwhile messages get `outcome`. A rest is never cut short."""
        loop = asyncio.get_running_loop()
        if self._rest is not None:
            if self._rest[1].when() >= loop.time() + pause_s:
                return
            self._rest[1].cancel()
        self._rest = (outcome, loop.call_later(pause_s, self.wake))
        self._awake.clear()
        self._changed(detail)

    def wake(self) -> None:
        """End the rest, if there is one."""
        if self._rest is not None:
            self._rest[1].cancel()
            self._rest = None
            self._awake.set()
            self._changed(self.detail)

    async def until_awake(self) -> None:
        """Bounded by the longest rest, an hour by settings."""
        await self._awake.wait()

    def refusal(self) -> Outcome:
        """What a message is told that cannot be tried now."""
        if self._rest is None:
            return NotSent("no connection to the relay")
        outcome, timer = self._rest
        if isinstance(outcome, Throttled):
            left_s = max(0.0, timer.when() - asyncio.get_running_loop().time())
            return msgspec.structs.replace(outcome, pause_s=left_s)
        return outcome

    def _changed(self, detail: str) -> None:
        self.detail = detail
        if self._rest is not None:
            state = CarrierState.PAUSED
        else:
            state = CarrierState.UP if self._is_connected else CarrierState.DOWN
        if state is not self._state:
            self._state, self.since_ms = state, self._now_ms()
            log.info("carrier %s is %s: %s", self._name, state.value, detail, extra={"action": "carrier"})
