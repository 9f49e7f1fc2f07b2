"""A thousand consoles in one process: each follows a campaign by its stream of progress and notes what it is shown.

    python -m loadtest.watching --plan FILE

The plan is a `Plan` in JSON; what was seen is written to its `out` at the end, a `SeenEvent` in JSON. Plain sockets: a
watcher costs this process as little as can be, for the cores are shared with the gateway.
"""

import argparse
import asyncio
import contextlib
import time
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

_CONNECT_S = 30.0
_SILENCE_S = 60.0
"""A stream says something every 15 s at the latest; one that is silent for so long is dead."""
_AT_ONCE = 50
"""Connections opened at a time."""


class Plan(msgspec.Struct, frozen=True):
    url: str
    token: str
    campaigns: tuple[str, ...]
    """Public ids; watchers are dealt out to them in turn."""
    watchers: int
    seconds: float
    out: str


class ShownSnapshot(msgspec.Struct):
    """A snapshot of a campaign: one revision, at however many watchers."""

    campaign: int
    """Its place in the plan."""
    revision: int
    sent: int
    """Deliveries that it tells as handed over."""
    first_s: float
    """UTC, when the first and the last watcher got it."""
    last_s: float
    watchers: int = 1


class SeenEvent(msgspec.Struct):
    shown: list[ShownSnapshot]
    snapshots: int = 0
    """At all watchers together."""
    went_back: int = 0
    """Snapshots with a revision, or a count, below one that the same watcher was shown before."""
    never: int = 0
    """Watchers that were shown nothing at all."""
    reconnected: int = 0
    refused: dict[str, int] = msgspec.field(default_factory=dict)
    """Answers other than 200, and broken connections, by what was said."""
    open_at_end: int = 0


class _Channel(msgspec.Struct):
    accepted: int
    delivered: int
    failed: int
    unknown: int

    @property
    def sent(self) -> int:
        return self.accepted + self.delivered + self.failed + self.unknown


class _Snapshot(msgspec.Struct):
    revision: int
    channels: list[_Channel]


class Watchers:
    """All watchers. Snapshots are read once, however many watchers get them."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.seen = SeenEvent([])
        self.refused: Counter[str] = Counter()
        self._by_revision: dict[tuple[int, int], ShownSnapshot] = {}
        self._decoder = msgspec.json.Decoder(_Snapshot)
        self._last: dict[int, tuple[bytes, ShownSnapshot]] = {}

    def note(self, campaign: int, data: bytes) -> ShownSnapshot:
        now_s = time.time()
        self.seen.snapshots += 1
        kept = self._last.get(campaign)
        if kept is not None and kept[0] == data:
            shown = kept[1]
        else:
            shown = self._read(campaign, data, now_s)
            self._last[campaign] = data, shown
        shown.last_s = max(shown.last_s, now_s)
        shown.watchers += 1
        return shown

    def _read(self, campaign: int, data: bytes, now_s: float) -> ShownSnapshot:
        snapshot = self._decoder.decode(data)
        key = campaign, snapshot.revision
        if key not in self._by_revision:
            sent = sum(channel.sent for channel in snapshot.channels)
            self._by_revision[key] = ShownSnapshot(campaign, snapshot.revision, sent, now_s, now_s, 0)
        return self._by_revision[key]

    async def run(self) -> SeenEvent:
        gate = asyncio.Semaphore(_AT_ONCE)
        until_s = time.monotonic() + self.plan.seconds
        watchers = [_Watcher(self, n % len(self.plan.campaigns), gate) for n in range(self.plan.watchers)]
        tasks = [asyncio.create_task(w.follow(until_s), name=f"watcher-{n}") for n, w in enumerate(watchers)]
        await asyncio.sleep(max(0.0, until_s - time.monotonic()))
        self.seen.open_at_end = sum(w.is_open for w in watchers)
        self.seen.never = sum(w.revision is None for w in watchers)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.seen.shown = sorted(self._by_revision.values(), key=lambda shown: (shown.campaign, shown.revision))
        self.seen.refused = dict(self.refused)
        return self.seen


class _Watcher:
    def __init__(self, watch: Watchers, campaign: int, gate: asyncio.Semaphore) -> None:
        self._watch, self._campaign, self._gate = watch, campaign, gate
        self.is_open = False
        self.revision: int | None = None
        self._sent = 0

    async def follow(self, until_s: float) -> None:
        """Again and again until then, with what it has seen, as a browser does."""
        again = False
        while time.monotonic() < until_s:
            self._watch.seen.reconnected += again
            again = True
            try:
                await self._stream()
            except (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError) as exc:
                self._watch.refused[f"{type(exc).__name__}: {exc}"[:120]] += 1
            finally:
                self.is_open = False
            await asyncio.sleep(1.0)

    async def _stream(self) -> None:
        plan = self._watch.plan
        address = urlsplit(plan.url)
        async with self._gate, asyncio.timeout(_CONNECT_S):
            reader, writer = await asyncio.open_connection(address.hostname, address.port)
            try:
                writer.write(self._request(address.netloc))
                head = await reader.readuntil(b"\r\n\r\n")
            except BaseException:
                writer.close()
                raise
        try:
            status = head.split(b" ", 2)[1]
            if status != b"200":
                self._watch.refused[f"answered {status.decode()}"] += 1
                return
            self.is_open = True
            await self._read(reader)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    def _request(self, host: str) -> bytes:
        plan = self._watch.plan
        seen = f"Last-Event-ID: {self.revision}\r\n" if self.revision is not None else ""
        path = f"/api/v1/campaigns/{plan.campaigns[self._campaign]}/progress"
        return f"GET {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {plan.token}\r\n{seen}\r\n".encode()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        """Lines of the body; what frames chunks stands on lines of its own and begins with no `data:`."""
        while True:
            async with asyncio.timeout(_SILENCE_S):
                line = await reader.readline()
            if not line:
                return
            if line.startswith(b"data: "):
                self._shown(self._watch.note(self._campaign, line[6:-1]))

    def _shown(self, shown: ShownSnapshot) -> None:
        if self.revision is not None and (shown.revision < self.revision or shown.sent < self._sent):
            self._watch.seen.went_back += 1
        self.revision, self._sent = shown.revision, shown.sent


def main() -> None:
    import uvloop

    parser = argparse.ArgumentParser(prog="python -m loadtest.watching", description="Many watchers of progress.")
    parser.add_argument("--plan", type=Path, required=True)
    plan = msgspec.json.decode(parser.parse_args().plan.read_bytes(), type=Plan)
    seen = uvloop.run(Watchers(plan).run())
    Path(plan.out).write_bytes(msgspec.json.encode(seen))


if __name__ == "__main__":
    main()
