"""What a transport does not tell of its socket: what waits in it, what has not left, and an end that lets nothing out.

Knows bytes only. Works on the transports of asyncio and of uvloop, which both show the socket while it is open.
"""

import asyncio
import fcntl
import os
import socket
import struct
import termios

_SIOCOUTQNSD = 0x894B  # linux/sockios.h: octets in the send queue that have not left yet
_RESET = struct.pack("ii", 1, 0)  # struct linger: closing throws away what is queued, and resets the connection
_AT_ONCE = 1 << 18
_MOST_PIECES = 64
"""16 MiB: more than the kernel keeps of what was not read."""


def unread(transport: asyncio.BaseTransport) -> int:
    """Octets that came and have not been read; 0 when the connection is over."""
    return _count(transport, termios.FIONREAD)


def unsent(transport: asyncio.BaseTransport) -> int:
    """Octets that were handed to the kernel and have not left this machine; 0 where it cannot tell."""
    return _count(transport, _SIOCOUTQNSD)


def left_behind(transport: asyncio.BaseTransport) -> bytes:
    """What came before the connection broke and was never read. For `connection_lost`; empty under TLS, whose octets
    nobody can read any more."""
    held = transport.get_extra_info("socket")
    if held is None or held.fileno() < 0 or transport.get_extra_info("sslcontext") is not None:
        return b""
    pieces: list[bytes] = []
    try:
        with socket.socket(fileno=os.dup(held.fileno())) as copy:
            copy.setblocking(False)
            while len(pieces) < _MOST_PIECES and (piece := copy.recv(_AT_ONCE)):
                pieces.append(piece)
    except OSError:
        pass  # nothing more: the socket is empty, or says again how it ended
    return b"".join(pieces)


def cut_off(transport: asyncio.Transport) -> None:
    """Hang up so that nothing more leaves, not even what the kernel holds."""
    held = transport.get_extra_info("socket")
    if held is not None and not transport.is_closing():
        held.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport.abort()


def _count(transport: asyncio.BaseTransport, request: int) -> int:
    held = transport.get_extra_info("socket")
    if held is None or transport.is_closing():  # uvloop goes on naming a descriptor that may be another's by now
        return 0
    try:
        return int(struct.unpack("i", fcntl.ioctl(held.fileno(), request, bytes(4)))[0])
    except OSError:  # not Linux, or the connection has gone
        return 0
