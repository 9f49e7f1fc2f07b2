"""What a supervisor is told of the process: ready, alive, stopping (sd_notify(3)). Without one it is silent."""

import asyncio
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Supervisor:
    """`address`: of the datagram socket to tell, an abstract one with its @; empty: nobody listens."""

    address: str = ""
    watchdog_s: float | None = None
    """A sign of life is expected as often as that."""

    def tell(self, *states: str) -> None:
        """Tells the supervisor something: `READY=1` and the like. A supervisor that does not listen is no reason to
        stop, or to wait."""
        if not self.address:
            return
        address = "\0" + self.address[1:] if self.address.startswith("@") else self.address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as channel:
                channel.sendto("\n".join(states).encode(), address)
        except OSError:
            return

    async def live(self) -> None:
        """Gives signs of life until cancelled: from the event loop, for one that stands still gives none and is
        ended."""
        if not self.address or self.watchdog_s is None:
            return
        while True:
            self.tell("WATCHDOG=1")
            await asyncio.sleep(self.watchdog_s / 3)


def supervisor_of(environ: Mapping[str, str] = os.environ) -> Supervisor:
    """The supervisor that started this process, by the variables that systemd sets."""
    microseconds = environ.get("WATCHDOG_USEC", "")
    meant = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    watchdog_s = int(microseconds) / 1e6 if meant and microseconds.isdecimal() and int(microseconds) else None
    return Supervisor(environ.get("NOTIFY_SOCKET", ""), watchdog_s)
