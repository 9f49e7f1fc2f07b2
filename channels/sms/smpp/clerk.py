"""Takes receipts in, has them committed in batches, and only then acknowledges them to the SMSC.

Knows no message of ours. What it cannot commit it asks the SMSC to repeat.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable

from channels.contract import Receipt, ReceiptSink, ReceiptsRefused
from channels.sms.smpp.pdu import DataSm, DeliverSm, Status
from channels.sms.smpp.pump import SmppSession
from channels.sms.smpp.receipts import Reading, read_receipt

logger = logging.getLogger(__name__)

_BATCH = 500  # receipts a commit

Arrival = tuple[SmppSession, DeliverSm | DataSm, Receipt]


class Clerk:
    """One for an account, whatever the number of its binds."""

    def __init__(
        self, carrier: str, reading: Reading, *, limit: int, timeout_s: float, wall_ms: Callable[[], int]
    ) -> None:
        """At most `limit` receipts wait; a commit may take `timeout_s`."""
        self._carrier, self._reading = carrier, reading
        self._limit, self._timeout_s = limit, timeout_s
        self._wall_ms = wall_ms
        self._desk: deque[Arrival] = deque()
        self._bell = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def arrived(self, session: SmppSession, pdu: DeliverSm | DataSm) -> None:
        """Put a receipt on the desk. A message from a handset is acknowledged and let go: nobody here reads it."""
        receipt = read_receipt(pdu, carrier=self._carrier, arrived_ms=self._wall_ms(), reading=self._reading)
        if receipt is None:
            session.acknowledge(pdu, Status.OK)
        elif len(self._desk) >= self._limit:
            session.acknowledge(pdu, Status.TEMPORARY_RECEIVER_ERROR)
        else:
            self._desk.append((session, pdu, receipt))
            self._idle.clear()
            self._bell.set()

    async def work(self, sink: ReceiptSink) -> None:
        """Commit and acknowledge until cancelled."""
        while True:
            await self._bell.wait()
            self._bell.clear()
            while self._desk:
                arrivals = [self._desk.popleft() for _ in range(min(_BATCH, len(self._desk)))]
                status = await self._commit(sink, [receipt for _, _, receipt in arrivals])
                _acknowledge(arrivals, status)
            self._idle.set()

    async def settled(self) -> None:
        """Return once every receipt that came has been acknowledged."""
        await self._idle.wait()

    async def _commit(self, sink: ReceiptSink, receipts: list[Receipt]) -> Status:
        try:
            async with asyncio.timeout(self._timeout_s):
                await sink(receipts)
        except (ReceiptsRefused, TimeoutError) as exc:
            self._log(len(receipts), "refused" if isinstance(exc, ReceiptsRefused) else "timed out")
            return Status.TEMPORARY_RECEIVER_ERROR
        except Exception:
            # A fault of the sink's must not end the bind: the SMSC keeps the receipts and repeats them.
            logger.exception(
                "receipts not committed", extra={"action": "smpp.receipts_failed", "carrier": self._carrier}
            )
            return Status.TEMPORARY_RECEIVER_ERROR
        return Status.OK

    def _log(self, count: int, why: str) -> None:
        logger.warning(
            "%d receipts not committed (%s): the peer is asked to repeat them",
            count,
            why,
            extra={"action": "smpp.receipts_refused", "carrier": self._carrier},
        )


def _acknowledge(arrivals: list[Arrival], status: Status) -> None:
    for session, pdu, _ in arrivals:
        session.acknowledge(pdu, status)
    for session in dict.fromkeys(session for session, _, _ in arrivals):
        session.flush()
