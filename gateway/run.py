"""Start, run and stop a server, in the order of the data: the door, the lanes, the carriers, the store."""

import asyncio
import contextlib
import hashlib
import logging
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web

from gateway.build import Gateway, build
from gateway.dispatch.write_note import DYING_S
from gateway.feed.signing_key import FeedKey
from gateway.http.serving import make_runner
from gateway.identity import Identity, identify
from gateway.operations.settings_doubts import certificate_doubts, doubts
from gateway.settings import Settings, shown
from store import audit, copies
from store.engine.database import Database, exclusive, open_database
from store.engine.schema import current, migrate, require_newest
from store.engine.soundness import require_sound
from store.engine.transaction import Transaction
from store.errors import StoreLocked

log = logging.getLogger(__name__)


_FOR_CARRIERS = 0.25
"""Of the time there is to stop: what carriers and the door have for their leave-taking, once the lanes are done."""


class CannotStart(Exception):
    """A part cannot start: one sentence that names it, its key in the settings, and what mends it."""


class PartFailed(Exception):
    """A part ended that runs as long as the server does; the log has its traceback."""


@dataclass(frozen=True, slots=True)
class Running:
    gateway: Gateway
    url: str
    """Where the door is, without a final slash."""


@contextlib.asynccontextmanager
async def open_store(settings: Settings) -> AsyncIterator[Database]:
    """The store of one server: alone on its file and migrated (SQLite), or at the right revision (PostgreSQL).

    Raises StoreLocked, StoreDamaged, SchemaMismatch, StoreUnavailable.
    """
    url = settings.store.url
    await current(url)  # a file that is no store is said so, before a writer stands on it
    async with contextlib.AsyncExitStack() as stack:
        database = await stack.enter_async_context(open_database(url))
        if database.path is not None:
            database.lock = await _alone_on(database.path, stack)
            await require_sound(database.path)
            await migrate(url)
            path = database.path
            why = await database.write(lambda tx: copies.notice(tx, path))
            if why:
                text = "this store is a copy: what it calls unfinished is held; 'tocsin restore' tells what to decide"
                log.error(text, extra={"action": "store-is-a-copy", "alarm": True, "why": why})
        else:
            await require_newest(url)
        yield database


async def _alone_on(path: Path, stack: contextlib.AsyncExitStack) -> int:
    """The lock of the file, held by `stack`. The processes that a killed server had made die a moment after it: they
    are waited for. Raises StoreLocked."""
    loop = asyncio.get_running_loop()
    until_s = loop.time() + DYING_S
    while True:
        try:
            return stack.enter_context(exclusive(path))
        except StoreLocked:
            if loop.time() > until_s:
                raise
        await asyncio.sleep(0.02)


async def serve(
    settings: Settings,
    stop: asyncio.Event,
    started: Callable[[Running], None] = lambda _: None,
    ending: Callable[[], None] = lambda: None,
) -> None:
    """Until `stop` is set, then in order; `ending` is called when the end begins. Where a part fails the others are
    ended too and PartFailed is raised: a supervisor starts the process again, and the store knows what was in hand.

    Raises CannotStart, StoreLocked, SchemaMismatch, StoreUnavailable before anything runs.
    """
    async with open_store(settings) as database:
        gateway = _built(settings, database, await identify(database, settings))
        # The ports before the parts: one that is taken must not stop carriers that are just connecting.
        async with _ports(gateway) as (runner, url):
            await database.write(lambda tx: _note_start(tx, gateway))
            try:
                async with asyncio.TaskGroup() as tasks:
                    await _run_parts(gateway, tasks, runner, url, stop, started, ending)
            except* PartFailed as group:
                raise _first(group) from None
    log.info("stopped", extra={"action": "stopped"})


async def _note_start(tx: Transaction, gateway: Gateway) -> None:
    """A line of the audit: which version ran from when on, and by which settings."""
    settings = shown(gateway.settings)
    digest = hashlib.sha256(msgspec.json.encode(settings, order="deterministic")).hexdigest()
    detail = {"version": metadata.version("tocsin"), "settings_sha256": digest}
    await audit.note(tx, "start", gateway.boot_id, detail=detail, apart={"settings": settings})


async def _run_parts(
    gateway: Gateway,
    tasks: asyncio.TaskGroup,
    runner: web.AppRunner,
    url: str,
    stop: asyncio.Event,
    started: Callable[[Running], None],
    ending: Callable[[], None],
) -> None:
    def begin(name: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return tasks.create_task(_part(name, work), name=name)

    processes = [begin(f"process-{p.name}", p.run()) for p in gateway.processes]
    carriers = [begin(f"carrier-{c.name}", c.run(gateway.receipts)) for c in gateway.carriers]
    inner = [
        begin("expander", gateway.expander.run()),
        begin("housekeeping", gateway.housekeeping.run()),
        begin("loop-lag", gateway.loop_lag.run()),
    ]
    if gateway.bounces is not None:
        carriers.append(begin("bounces", gateway.bounces.run()))
    lanes = [begin(f"lane-{lane.channel}-{lane.mode}", lane.run()) for lane in gateway.lanes]
    try:
        log.info("started", extra={"action": "start", "url": url, "boot": gateway.boot_id})
        warn_of_certificate(gateway.feed_key, gateway.database.clock.now_ms())
        certificate = gateway.certificate.current if gateway.certificate else None
        certified = certificate_doubts(certificate, gateway.settings, gateway.database.clock.now_ms())
        for text in (*doubts(gateway.settings), *certified):
            log.warning("a doubtful setting", extra={"action": "setting-doubtful", "why": text})
        started(Running(gateway, url))
        await stop.wait()
    finally:
        ending()
        log.info("stopping", extra={"action": "stop"})
        await _stop(gateway, runner, lanes, inner, carriers)
        await _cancel(processes)


async def _part(name: str, work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except Exception as exc:
        log.exception("a part failed", extra={"action": "part-failed", "part": name})
        raise PartFailed(f"{name} failed and the server stopped: {type(exc).__name__}: {exc}") from exc


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    inner = group.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner


def _built(settings: Settings, database: Database, identity: Identity) -> Gateway:
    try:
        return build(settings, database, identity)
    except (OSError, ValueError) as exc:
        # Files of keys and certificates were there when the settings were read, and may be none all the same.
        raise CannotStart(f"the settings cannot be used: {exc}; 'tocsin check-config' tells more") from exc


def warn_of_certificate(feed_key: FeedKey | None, now_ms: int) -> None:
    text = feed_key.warning(now_ms) if feed_key else ""
    if text:
        log.warning("certificate of the feed", extra={"action": "feed-certificate", "why": text})


@contextlib.asynccontextmanager
async def _ports(gateway: Gateway) -> AsyncIterator[tuple[web.AppRunner, str]]:
    """The door's and the bounces', held until the end; the door's address without a final slash. Raises CannotStart."""
    settings, runner = gateway.settings, make_runner(gateway.services)
    try:
        if gateway.bounces is not None:
            listener = settings.email.bounces
            with _taken("the server for bounces", "email.bounces", listener.host, listener.port):
                await gateway.bounces.open()
        await runner.setup()
        with _taken("the server", "server", settings.server.host, settings.server.port):
            await web.TCPSite(runner, settings.server.host, settings.server.port).start()
        host, port = runner.addresses[0][:2]
        scheme = "http" if gateway.certificate is None else "https"
        yield runner, f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"
    finally:
        if gateway.bounces is not None:
            gateway.bounces.close()
        await runner.cleanup()


@contextlib.contextmanager
def _taken(what: str, table: str, host: str, port: int) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        why = os.strerror(exc.errno) if exc.errno and exc.errno > 0 else exc.strerror or str(exc)
        remedy = f"end what listens there, or change {table}.host or {table}.port in the settings"
        raise CannotStart(f"{what} cannot listen on {host}:{port}: {why.lower()}; {remedy}") from exc


async def _stop(
    gateway: Gateway,
    runner: web.AppRunner,
    lanes: list[asyncio.Task[None]],
    inner: list[asyncio.Task[None]],
    carriers: list[asyncio.Task[None]],
) -> None:
    """Intake, then cursors; drain and settle to a deadline; release batches; unbind carriers (receipts come in until
    then); watchers; the store is closed by whoever opened it."""
    drain_s = gateway.settings.server.stop_timeout_s * (1 - _FOR_CARRIERS)
    for site in list(runner.sites):
        await site.stop()
    for lane in gateway.lanes:
        lane.stop()
    if lanes:
        # What a silent carrier has not answered by then is found as unknown at the next start.
        _, late = await asyncio.wait(lanes, timeout=drain_s)
        if late:
            log.warning("lanes did not drain", extra={"action": "stop-late", "lanes": len(late)})
        await _cancel(list(late))
    await _cancel(inner)
    await _cancel(carriers)


async def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
