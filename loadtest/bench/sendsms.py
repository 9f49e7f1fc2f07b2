"""The HTTP client that feeds Kannel: requests made beforehand, one under way a connection, receipts' URL answered.

    python -m loadtest.bench.sendsms --port PORT --count N --connections 16 --dump FILE [--receipts]

prints {"done_s": wall clock}: when the sink's dump had every message and, with receipts, the URL was called as often.
"""

import argparse
import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import cast
from urllib.parse import quote

from loadtest.bench.kannel import MARK

_TEXT = f"{MARK} Wegenwerken. De werken beginnen maandag om zeven uur."
_ENOUGH_S = 100.0
_DONE = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class SendsmsConnection(asyncio.Protocol):
    """One connection: the next request when the last was answered."""

    def __init__(self, requests: Iterator[bytes]) -> None:
        self._requests = requests
        self._buffer = b""
        self.transport: asyncio.Transport
        self.ended = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._next()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, mark, body = self._buffer.partition(b"\r\n\r\n")
        if not mark or len(body) < _length(head):
            return
        self._buffer = b""
        if b" 202 " not in head.split(b"\r\n", 1)[0]:
            self._end(RuntimeError(f"Kannel said {head[:100]!r} {body[:100]!r}"))
            return
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(RuntimeError("Kannel closed a connection"))

    def _next(self) -> None:
        request = next(self._requests, None)
        if request is None:
            self._end(None)
        else:
            self.transport.write(request)

    def _end(self, why: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_exception(why) if why else self.ended.set_result(None)


class Callbacks(asyncio.Protocol):
    """A server for the URL of receipts: counts and says 200."""

    def __init__(self, counted: list[int]) -> None:
        self._counted = counted
        self._buffer = b""
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        *requests, self._buffer = (self._buffer + data).split(b"\r\n\r\n")
        self._counted[0] += len(requests)
        if requests:
            self.transport.write(_DONE * len(requests))


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


def requests(count: int, receipts_port: int) -> Iterator[bytes]:
    """One GET a message; `receipts_port` 0: none are asked for."""
    wanted = ""
    if receipts_port:
        url = f"http://127.0.0.1:{receipts_port}/receipt?state=%d"
        wanted = f"&dlr-mask=3&dlr-url={quote(url, safe='')}"
    fixed = f"username=bench&password=bench&text={quote(_TEXT)}{wanted}"
    for n in range(count):
        path = f"/cgi-bin/sendsms?{fixed}&to=%2B32470{n:06d}"
        yield f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: keep-alive\r\n\r\n".encode()


async def send(port: int, count: int, connections: int, dump: Path, receipts: bool) -> float:
    loop = asyncio.get_running_loop()
    counted = [0]
    server = await loop.create_server(lambda: Callbacks(counted), "127.0.0.1", 0)
    made = list(requests(count, server.sockets[0].getsockname()[1] if receipts else 0))
    queue = iter(made)
    senders = [
        (await loop.create_connection(lambda: SendsmsConnection(queue), "127.0.0.1", port))[1]
        for _ in range(connections)
    ]
    try:
        async with asyncio.timeout(_ENOUGH_S):
            await asyncio.gather(*(sender.ended for sender in senders))
            arrived = 0
            with dump.open("rb") as lines:
                while arrived < count or (receipts and counted[0] < count):
                    arrived += lines.read().count(b"\n")
                    await asyncio.sleep(0.01)
        return time.time()
    finally:
        for sender in senders:
            sender.transport.abort()
        server.close()


def main() -> None:
    import uvloop

    parser = argparse.ArgumentParser(prog="python -m loadtest.bench.sendsms", description="Feeds Kannel over HTTP.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--dump", type=Path, required=True, help="of the sink")
    parser.add_argument("--receipts", action="store_true")
    options = parser.parse_args()
    done_s = uvloop.run(send(options.port, options.count, options.connections, options.dump, options.receipts))
    print(json.dumps({"done_s": done_s}))


if __name__ == "__main__":
    main()
