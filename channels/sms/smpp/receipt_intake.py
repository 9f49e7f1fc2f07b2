"""Takes receipts in, has them committed in batches, and only then acknowledges them to the SMSC.

Knows no message of ours. What it cannot commit it asks the SMSC to repeat.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable

from channels.contract import Receipt, ReceiptSink, ReceiptsRefused, ReceiptState
from channels.sms.smpp.pdu import CommandStatus, DataSm, DeliverSm
from channels.sms.smpp.receipts import ReceiptDialect, read_receipt
from channels.sms.smpp.submitter import SmppSession

logger = logging.getLogger(__name__)

_BATCH = 500  # receipts a commit

_GATHER_S = 0.05  # a commit for each receipt would be the store's whole day

_TRY_S = 1.0  # between two looks whether a peer goes on without our word

_AGAIN_S = 1.0  # between two tries with what no peer will repeat

ReceivedReceipt = tuple[tuple[SmppSession, DeliverSm | DataSm] | None, Receipt]
"""A receipt and what it came in, or None for news that no peer will repeat."""


class ReceiptIntake:
    """One for an account, whatever the number of its binds."""

    def __init__(
        self, carrier: str, reading: ReceiptDialect, *, limit: int, timeout_s: float, wall_ms: Callable[[], int]
    ) -> None:
        """At most `limit` receipts wait; a commit may take `timeout_s`."""
        self._carrier, self._reading = carrier, reading
        self._limit, self._timeout_s = limit, timeout_s
        self._wall_ms = wall_ms
        self._desk: deque[ReceivedReceipt] = deque()
        self._bell = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._put_aside = 0
        self._unasked = 1
        """How many receipts the peers are known to send before the first of them is acknowledged."""
        self._try_s = 0.0
        """When, by the loop's clock, it is tried whether they would send more than that."""
        self._enough = asyncio.Event()

    def arrived(self, session: SmppSession, pdu: DeliverSm | DataSm) -> None:
        """Put a receipt on the desk. A message from a handset is acknowledged and let go: nobody here reads it."""
        receipt = read_receipt(pdu, carrier=self._carrier, arrived_ms=self._wall_ms(), reading=self._reading)
        if receipt is None:
            session.acknowledge(pdu, CommandStatus.OK)
        elif len(self._desk) >= self._limit:
            session.acknowledge(pdu, CommandStatus.TEMPORARY_RECEIVER_ERROR)
        else:
            self._put((session, pdu), receipt)

    def late_answer(self, ref: str, *, answers: str, destination: str) -> None:
        """An SMSC took a part under this id after the message had been told as in doubt. It says so once only: such
        news is kept until it is committed, unless there are more of it than receipts may wait."""
        if self._put_aside + len(self._desk) >= 2 * self._limit:
            logger.error("a late answer was dropped", extra={"action": "smpp.late_dropped", "carrier": self._carrier})
            return
        receipt = Receipt(
            carrier=self._carrier,
            ref=ref,
            state=ReceiptState.PENDING,
            at_ms=self._wall_ms(),
            destination=destination,
            answers=answers,
            text="answered late",
        )
        self._put(None, receipt)

    async def work(self, sink: ReceiptSink) -> None:
        """Commit and acknowledge until cancelled."""
        while True:
            await self._bell.wait()
            self._bell.clear()
            while self._desk:
                await self._gather()
                arrivals = [self._desk.popleft() for _ in range(min(_BATCH, len(self._desk)))]
                status = await self._commit(sink, [receipt for _, receipt in arrivals])
                self._unasked = max(self._unasked, len(arrivals) + len(self._desk))
                _acknowledge(arrivals, status)
                if status is not CommandStatus.OK:
                    self._put_off([receipt for origin, receipt in arrivals if origin is None])
            if not self._put_aside:
                self._idle.set()

    async def _gather(self) -> None:
        """A peer that waits for our word after so many gets it at once; one that goes on regardless is answered for
        several together. Which of the two it is shows when it is made to wait now and then, for 50 ms."""
        tries = asyncio.get_running_loop().time() >= self._try_s
        if not tries and self._has_enough():
            return
        before = self._unasked
        self._unasked = _BATCH if tries else before
        self._enough.clear()
        if not self._has_enough():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_GATHER_S):
                    await self._enough.wait()
        self._unasked = len(self._desk)
        if self._unasked <= before:
            self._try_s = asyncio.get_running_loop().time() + _TRY_S

    def _has_enough(self) -> bool:
        return len(self._desk) >= min(self._unasked, _BATCH)

    async def settled(self) -> None:
        """Return once every receipt that came has been acknowledged."""
        await self._idle.wait()

    def _put(self, origin: tuple[SmppSession, DeliverSm | DataSm] | None, receipt: Receipt) -> None:
        self._desk.append((origin, receipt))
        self._idle.clear()
        self._bell.set()
        if self._has_enough():
            self._enough.set()

    def _put_off(self, receipts: list[Receipt]) -> None:
        if receipts:
            self._put_aside += len(receipts)
            asyncio.get_running_loop().call_later(_AGAIN_S, self._put_back, receipts)

    def _put_back(self, receipts: list[Receipt]) -> None:
        self._put_aside -= len(receipts)
        for receipt in receipts:
            self._put(None, receipt)

    async def _commit(self, sink: ReceiptSink, receipts: list[Receipt]) -> CommandStatus:
        try:
            async with asyncio.timeout(self._timeout_s):
                await sink(receipts)
        except (ReceiptsRefused, TimeoutError) as exc:
            self._log(len(receipts), "refused" if isinstance(exc, ReceiptsRefused) else "timed out")
            return CommandStatus.TEMPORARY_RECEIVER_ERROR
        except Exception:
            # A fault of the sink's must not end the bind: the SMSC keeps the receipts and repeats them.
            logger.exception(
                "receipts not committed", extra={"action": "smpp.receipts_failed", "carrier": self._carrier}
            )
            return CommandStatus.TEMPORARY_RECEIVER_ERROR
        return CommandStatus.OK

    def _log(self, count: int, why: str) -> None:
        logger.warning(
            "%d receipts not committed (%s): they come again",
            count,
            why,
            extra={"action": "smpp.receipts_refused", "carrier": self._carrier},
        )


def _acknowledge(arrivals: list[ReceivedReceipt], status: CommandStatus) -> None:
    origins = [origin for origin, _ in arrivals if origin is not None]
    for session, pdu in origins:
        session.acknowledge(pdu, status)
    for session in dict.fromkeys(session for session, _ in origins):
        session.flush()
