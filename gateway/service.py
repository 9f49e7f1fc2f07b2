"""The serving process from its first instant to its last: signals, the supervisor, and an end in bounded time.

Whatever state it is in, starting and stopping included, the process has ended `server.stop_timeout_s` after it was
told to, and 5 s after a part of it failed: a supervisor starts it again, and the store knows what was in hand.
"""

import asyncio
import contextlib
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from gateway.operations import interpreter
from gateway.operations.systemd import supervisor_of
from gateway.run import CannotStart, PartFailed, Running, serve
from gateway.settings import Settings
from store.errors import StoreError

log = logging.getLogger(__name__)

FAILED_S = 4.5
"""How long the parts that are well have to end in order after one has failed."""
ENDING_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@dataclass(slots=True)
class LastResort:
    """Ends the process by force where it does not end by itself: from a thread, for the loop may stand still. A
    context: leaving it is the end in order."""

    exit_now: Callable[[int], None] = os._exit
    _timer: threading.Timer | None = None

    def within(self, seconds: float) -> None:
        """From now; a nearer end that was set before stays."""
        if self._timer is None:
            self._timer = threading.Timer(seconds, self._end)
            self._timer.daemon = True
            self._timer.start()

    def __enter__(self) -> "LastResort":
        return self

    def __exit__(self, *_: object) -> None:
        """It has ended by itself."""
        if self._timer is not None:
            self._timer.cancel()

    def _end(self) -> None:
        alive = ", ".join(sorted(thread.name for thread in threading.enumerate() if not thread.daemon))
        log.error("did not end in time", extra={"action": "stop-forced", "threads": alive})
        _write_out()
        self.exit_now(1)


def _write_out() -> None:
    """The log first: what is said after it is the last line."""
    for handler in logging.getLogger().handlers:
        handler.flush()


async def run(settings: Settings, last_resort: LastResort) -> None:
    """Serve until one of `ENDING_SIGNALS`. Raises CannotStart, PartFailed or StoreError with one sentence; the log has
    the rest."""
    supervisor = supervisor_of()
    stop, is_started = asyncio.Event(), asyncio.Event()

    def started(running: Running) -> None:
        interpreter.settle()
        is_started.set()
        supervisor.tell("READY=1", f"STATUS=listening on {running.url}")

    def ending() -> None:
        """Told, or by itself because a part failed."""
        supervisor.tell("STOPPING=1")
        last_resort.within(settings.server.stop_timeout_s if stop.is_set() else FAILED_S)

    serving = asyncio.create_task(serve(settings, stop, started, ending), name="serve")

    def end() -> None:
        stop.set()
        ending()
        if not is_started.is_set():
            serving.cancel()  # nothing has been taken on that would have to be settled first

    with _signals(end):
        alive = asyncio.create_task(supervisor.live(), name="signs of life")
        try:
            await serving
        except asyncio.CancelledError:
            if not stop.is_set():
                raise
            log.info("stopped before it had started", extra={"action": "stopped"})
        except (CannotStart, PartFailed, StoreError) as exc:
            log.error("cannot go on", extra={"action": _failed(is_started, stop), "why": str(exc)})
            _write_out()
            raise
        except Exception as exc:
            log.exception("cannot go on", extra={"action": _failed(is_started, stop)})
            _write_out()
            raise PartFailed(f"the server failed: {type(exc).__name__}: {exc}; its log has more") from exc
        finally:
            ending()  # what the store and the threads still do has its bound, too
            alive.cancel()


def _failed(is_started: asyncio.Event, stop: asyncio.Event) -> str:
    """The log's word for what could not be done."""
    if not is_started.is_set():
        return "start-failed"
    return "stop-failed" if stop.is_set() else "serve-failed"


@contextlib.contextmanager
def _signals(end: Callable[[], None]) -> Iterator[None]:
    """A signal that whoever started the process had it ignore stays ignored (nohup)."""
    loop = asyncio.get_running_loop()
    heard = [number for number in ENDING_SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    for number in heard:
        loop.add_signal_handler(number, end)
    try:
        yield
    finally:
        for number in heard:
            loop.remove_signal_handler(number)
