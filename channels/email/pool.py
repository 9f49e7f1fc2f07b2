"""The connections to one relay: so many held open, looked after while idle, opened again when lost.

Knows no message: it says when a connection is free and when one is gone.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable

from channels.contract import NotSent
from channels.email.connect import Connector, Unreachable
from channels.email.envelope import Offers
from channels.email.health import Health
from channels.email.settings import SmtpSettings
from channels.email.smtp import SmtpSession
from channels.standstill import RunningClock

FIRST_BACKOFF_S = 0.25
STEADY_S = 10.0
"""A connection that lived this long, or carried a mail, is not one more failure to connect."""


class Pool:
    """`idle` are the free connections, the one longest free first; `bell` rings when one comes or goes."""

    def __init__(
        self, settings: SmtpSettings, health: Health, bell: Callable[[], None], clock: RunningClock | None = None
    ) -> None:
        self.idle: deque[SmtpSession] = deque()
        self.live: set[SmtpSession] = set()
        self._settings = settings
        self._health = health
        self._bell = bell
        self._clock = clock or RunningClock()
        self._connector = Connector(settings, self._clock)
        self.is_leaving = False
        """Whether it is being stopped."""
        self.offers: Offers | None = None
        """What the relay said that it offers when it was last connected to."""
        self._alone = asyncio.Lock()

    async def hold(self) -> None:
        """Until cancelled; then let each mail in flight be answered, QUIT, and hang up on who takes too long."""
        self.is_leaving = False
        async with asyncio.TaskGroup() as group:
            for _ in range(self._settings.connections):
                group.create_task(self._hold_one())

    def is_stalled(self) -> bool:
        """No connection has come free for as long as a mail may wait for one."""
        if self.idle or not self.live:
            return not self.live
        last_s = max(session.idle_since for session in self.live)
        return self._clock.time() - last_s > self._settings.queue_timeout_s

    def session_idle(self, session: SmtpSession) -> None:
        if self.is_leaving or self._is_spent(session):
            session.quit()
            return
        self.idle.append(session)
        self._bell()

    def session_closed(self, session: SmtpSession) -> None:
        self.live.discard(session)
        if session in self.idle:
            self.idle.remove(session)
        if not self.live and not (session.is_cut or self._is_spent(session)):  # these are replaced at once
            self._health.disconnected("no connection to the relay")
        self._bell()

    def _is_spent(self, session: SmtpSession) -> bool:
        return session.taken >= self._settings.max_messages_per_connection

    async def _hold_one(self) -> None:
        """Keep one connection, with a pause that grows from failure to failure."""
        backoff_s = FIRST_BACKOFF_S
        while True:
            session = await self._open()
            if isinstance(session, SmtpSession) and await self._keep(session):
                backoff_s = FIRST_BACKOFF_S
                continue
            if isinstance(session, Unreachable):
                self._not_reached(session)
            await asyncio.sleep(backoff_s * random.uniform(0.75, 1.25))
            backoff_s = min(2 * backoff_s, self._settings.backoff_max_s)

    async def _open(self) -> SmtpSession | Unreachable:
        """While no connection stands, one at a time, and none during a rest: a wrong password that is tried
        sixteen times at once locks an account."""
        async with self._alone:
            await self._health.until_awake()
            if not self.live:
                session = await self._connector.open(self)
                if isinstance(session, SmtpSession):
                    self.live.add(session)
                return session
        return await self._connector.open(self)

    def _not_reached(self, failure: Unreachable) -> None:
        if failure.misconfigured:
            pause_s = self._settings.misconfigured_pause_s
            self._health.rest(NotSent(failure.reason), pause_s, failure.reason)
            self._bell()
        elif self.live:
            self._health.remark(f"fewer connections than asked for: {failure.reason}")
        else:
            self._health.disconnected(failure.reason)
            self._bell()

    async def _keep(self, session: SmtpSession) -> bool:
        """Until the session is closed. True when it was of use."""
        loop = asyncio.get_running_loop()
        opened_s = loop.time()
        self.offers = session.offers
        self.live.add(session)
        self._health.connected()
        try:
            self.session_idle(session)
            while not session.closed.is_set():
                await self._look_after(session)
        except asyncio.CancelledError:
            await self._take_leave(session)
            raise
        return session.taken > 0 or loop.time() - opened_s > STEADY_S

    async def _look_after(self, session: SmtpSession) -> None:
        keep_alive_s = self._settings.keep_alive_s
        try:
            async with asyncio.timeout(keep_alive_s):
                await session.closed.wait()
        except TimeoutError:
            idle_s = self._clock.time() - session.idle_since
            if session in self.idle and idle_s >= keep_alive_s / 2:
                self.idle.remove(session)
                session.noop()

    async def _take_leave(self, session: SmtpSession) -> None:
        self.is_leaving = True
        self._health.disconnected("stopping")
        self._bell()
        try:
            async with self._clock.timeout(self._settings.drain_timeout_s):
                if session in self.idle:
                    self.idle.remove(session)
                    session.quit()
                await session.closed.wait()
        except TimeoutError:
            session.abort()
