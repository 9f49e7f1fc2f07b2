"""What a socket holds, and an end by which nothing more leaves it, seen from both event loops."""

import asyncio
import socket

import pytest

from channels.wire import cut_off, left_behind, unread, unsent
from tests.channels.conformance import until
from tests.channels.loops import on_both_loops


class Line(asyncio.Protocol):
    """Our end, and what it found when it was lost."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport
        self.heard = b""
        self.found: bytes | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self.heard += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.found = left_behind(self.transport)


async def a_line() -> tuple[Line, socket.socket]:
    """Connected to a peer that takes in little and reads nothing by itself."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    _, line = await asyncio.get_running_loop().create_connection(Line, *listener.getsockname())
    peer, _ = listener.accept()
    listener.close()
    peer.settimeout(5)
    return line, peer


@on_both_loops
async def test_what_the_kernel_could_not_send_is_counted() -> None:
    line, peer = await a_line()
    line.transport.write(b"x")
    await asyncio.sleep(0.01)
    assert unsent(line.transport) == 0

    line.transport.write(b"x" * 1_000_000)
    await asyncio.sleep(0.01)
    assert unsent(line.transport) > 500_000

    line.transport.abort()
    peer.close()
    await until(lambda: line.found is not None)
    assert unsent(line.transport) == unread(line.transport) == 0


@on_both_loops
async def test_what_came_and_was_not_read_is_counted() -> None:
    line, peer = await a_line()
    line.transport.pause_reading()
    await asyncio.sleep(0)
    peer.sendall(b"y" * 300)
    await until(lambda: unread(line.transport) == 300)

    line.transport.resume_reading()
    await until(lambda: len(line.heard) == 300)
    assert unread(line.transport) == 0
    line.transport.abort()
    peer.close()
    await until(lambda: line.found is not None)


@on_both_loops
async def test_a_line_cut_off_lets_nothing_more_out() -> None:
    line, peer = await a_line()
    line.transport.write(b"x" * 1_000_000)
    await asyncio.sleep(0.01)

    cut_off(line.transport)
    await until(lambda: line.found is not None)

    assert len(peer.recv(1_000_000)) < 50_000
    with pytest.raises(ConnectionResetError):
        peer.recv(1_000_000)
    peer.close()


@on_both_loops
async def test_what_came_before_a_write_failed_is_found() -> None:
    line, peer = await a_line()
    line.transport.write(b"never read, so that the end is a reset")
    await asyncio.sleep(0.01)
    peer.sendall(b"a last word")
    peer.close()
    for _ in range(3):
        line.transport.write(b"z")
    await until(lambda: line.found is not None)

    assert line.heard + (line.found or b"") == b"a last word"
