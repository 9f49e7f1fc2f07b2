"""Kannel (Debian's package) as a peer: bearerbox and smsbox on ports of their own, fed over HTTP as its users do."""

import contextlib
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

from loadtest.bench.processes import answer, found, listening, start
from loadtest.stage import ChildProcess, Stage, end, free_port

MARK = "NR0000BEEF"
"""In the text of what is sent: the sink knows a message by it."""
CONNECTIONS, PENDING = 16, 1000
_SEND_S = 120.0
_QUIET = ("-v", "4")
"""Only panics to standard error: by default every step of every message is told there."""
_SETTINGS = """\
group = core
admin-port = {admin}
admin-interface = 127.0.0.1
admin-password = bench
smsbox-port = {boxes}
smsbox-interface = 127.0.0.1
box-deny-ip = "*.*.*.*"
box-allow-ip = "127.0.0.1"
admin-deny-ip = "*.*.*.*"
admin-allow-ip = "127.0.0.1"
store-type = file
store-location = {folder}/kannel.store
dlr-storage = internal

group = smsc
smsc = smpp
smsc-id = sink
host = 127.0.0.1
port = {smsc}
transceiver-mode = true
smsc-username = kannel
smsc-password = bench
system-type = ""
max-pending-submits = {pending}

group = smsbox
bearerbox-host = 127.0.0.1
sendsms-port = {http}
sendsms-interface = 127.0.0.1
global-sender = 1789

group = sendsms-user
username = bench
password = bench
"""


@dataclass(frozen=True, slots=True)
class KannelRun:
    done_s: float
    """Wall clock when the URL of the last receipt was called; 0 without receipts."""
    cpu_s: float


@dataclass(slots=True)
class Kannel:
    stage: Stage
    http: int
    boxes: tuple[ChildProcess, ChildProcess]

    async def send(self, count: int, *, receipts: bool) -> KannelRun:
        """One request a message, each to a number of its own. Raises Failed."""
        before_s = sum(box.cpu_s() for box in self.boxes)
        dump = self.stage.smsc_dumps[0]
        client = await start(
            self.stage, "sendsms", sys.executable, "-m", "loadtest.bench.sendsms", "--port", str(self.http),
            "--count", str(count), "--connections", str(CONNECTIONS), "--dump", str(dump),
            *(["--receipts"] if receipts else []), piped=True,
        )  # fmt: skip
        said = await answer(client, self.stage.folder / "sendsms.log", _SEND_S)
        return KannelRun(float(said["done_s"]) if receipts else 0.0, sum(box.cpu_s() for box in self.boxes) - before_s)

    def described(self, *, receipts: bool) -> str:
        asked = "dlr-mask 3, dlr-url called" if receipts else "no receipts asked for"
        return (
            f"HTTP sendsms on {CONNECTIONS} connections, file store (no fsync), no log, one transceiver, "
            f"max-pending-submits {PENDING}, {asked}"
        )


@contextlib.asynccontextmanager
async def running(stage: Stage, smsc: int) -> AsyncIterator[Kannel]:
    """Both boxes, bound to the SMSC at this port. Raises PeerMissing, Failed."""
    bearerbox, smsbox = found("bearerbox", "Kannel"), found("smsbox", "Kannel")
    admin, boxes, http = free_port(), free_port(), free_port()
    settings = stage.folder / f"kannel-{time.time_ns()}.conf"
    settings.write_text(
        _SETTINGS.format(admin=admin, boxes=boxes, folder=stage.folder, smsc=smsc, pending=PENDING, http=http),
        encoding="utf-8",
    )
    (stage.folder / "kannel.store").unlink(missing_ok=True)
    bearer = await start(stage, "bearerbox", bearerbox, *_QUIET, str(settings))
    try:
        await listening(bearer, boxes)
        box = await start(stage, "smsbox", smsbox, *_QUIET, str(settings))
        try:
            await listening(box, http)
            yield Kannel(stage, http, (bearer, box))
        finally:
            await end(box, 10.0)
    finally:
        await end(bearer, 10.0)
