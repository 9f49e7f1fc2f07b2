"""Start, run and stop a server, in the order of the data: the door, the lanes, the carriers, the store."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from aiohttp import web

from gateway.build import Gateway, build, identify
from gateway.feed_key import FeedKey
from gateway.http.serving import make_runner
from gateway.settings import Settings
from store.database import Database, exclusive, open_database
from store.schema import current, migrate, require_newest

log = logging.getLogger(__name__)


class DoorClosed(Exception):
    """The address of the door cannot be had; the text says which and why."""


@dataclass(frozen=True, slots=True)
class Running:
    gateway: Gateway
    url: str
    """Where the door is, without a final slash."""


@contextlib.asynccontextmanager
async def open_store(settings: Settings) -> AsyncIterator[Database]:
    """The store of one server: alone on its file and migrated (SQLite), or at the right revision (PostgreSQL).

    Raises StoreLocked, SchemaMismatch, StoreUnavailable.
    """
    url = settings.store.url
    await current(url)  # a file that is no store is said so, before a writer stands on it
    async with contextlib.AsyncExitStack() as stack:
        database = await stack.enter_async_context(open_database(url))
        if database.path is not None:
            stack.enter_context(exclusive(database.path))
            await migrate(url)
        else:
            await require_newest(url)
        yield database


async def serve(settings: Settings, stop: asyncio.Event, started: Callable[[Running], None] = lambda _: None) -> None:
    """Until `stop` is set, then in order. An unexpected failure of any part leaves here after the others have ended:
    a supervisor starts the process again, and the store knows what was in hand."""
    async with open_store(settings) as database:
        gateway = build(settings, database, await identify(database, settings))
        async with asyncio.TaskGroup() as tasks:
            carriers = [tasks.create_task(c.run(gateway.receipts), name=f"carrier-{c.name}") for c in gateway.carriers]
            inner = [
                tasks.create_task(gateway.expander.run(), name="expander"),
                tasks.create_task(gateway.housekeeping.run(), name="housekeeping"),
            ]
            if gateway.bounces is not None:
                carriers.append(tasks.create_task(gateway.bounces.run(), name="bounces"))
            lanes = [tasks.create_task(lane.run(), name=f"lane-{lane.channel}-{lane.mode}") for lane in gateway.lanes]
            runner = make_runner(gateway)
            try:
                url = await _open_door(runner, settings)
                log.info("started", extra={"action": "start", "url": url, "boot": gateway.boot_id})
                warn_of_certificate(gateway.feed_key, database.clock.now_ms())
                started(Running(gateway, url))
                await stop.wait()
            finally:
                log.info("stopping", extra={"action": "stop"})
                await _stop(gateway, runner, lanes, inner, carriers)
    log.info("stopped", extra={"action": "stopped"})


def warn_of_certificate(feed_key: FeedKey | None, now_ms: int) -> None:
    text = feed_key.warning(now_ms) if feed_key else ""
    if text:
        log.warning("certificate of the feed", extra={"action": "feed-certificate", "why": text})


async def _open_door(runner: web.AppRunner, settings: Settings) -> str:
    await runner.setup()
    site = web.TCPSite(runner, settings.server.host, settings.server.port)
    try:
        await site.start()
    except OSError as exc:
        where = f"{settings.server.host}:{settings.server.port}"
        raise DoorClosed(f"the server cannot listen on {where}: {exc.strerror or exc}") from exc
    host, port = runner.addresses[0][:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


async def _stop(
    gateway: Gateway,
    runner: web.AppRunner,
    lanes: list[asyncio.Task[None]],
    inner: list[asyncio.Task[None]],
    carriers: list[asyncio.Task[None]],
) -> None:
    """Intake, then cursors; drain and settle to a deadline; release batches; unbind carriers (receipts come in until
    then); watchers; the store is closed by whoever opened it."""
    for site in list(runner.sites):
        await site.stop()
    for lane in gateway.lanes:
        lane.stop()
    if lanes:
        # What a silent carrier has not answered by then is found as unknown at the next start.
        _, late = await asyncio.wait(lanes, timeout=gateway.settings.server.stop_timeout_s)
        if late:
            log.warning("lanes did not drain", extra={"action": "stop-late", "lanes": len(late)})
        await _cancel(list(late))
    await _cancel(inner)
    await _cancel(carriers)
    await runner.cleanup()


async def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
