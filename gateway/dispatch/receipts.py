"""Receipts from carriers, made durable before their peers are told so."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from channels.contract import Receipt, ReceiptsRefused
from gateway.dispatch.references import attempt_of
from store.engine.database import Database
from store.errors import StoreUnavailable
from store.outbox import inbox

log = logging.getLogger(__name__)


@dataclass(slots=True)
class ReceiptDesk:
    """The `ReceiptSink` that every carrier is given."""

    database: Database
    generation: str
    matched: int = 0
    waiting: int = 0
    simulated: frozenset[str] = frozenset()
    """Names of the carriers of simulated campaigns: what they say is about no live message."""

    async def __call__(self, arrived: Sequence[Receipt]) -> None:
        """Raises nothing but ReceiptsRefused."""
        try:
            await self._record(arrived)
        except StoreUnavailable as exc:
            log.warning("receipts refused", extra={"action": "receipts-refused", "count": len(arrived)})
            raise ReceiptsRefused(str(exc)) from exc

    async def _record(self, arrived: Sequence[Receipt]) -> None:
        try:
            await self._write(arrived)
        except StoreUnavailable:
            raise
        except Exception:
            # One of them spoils the transaction of all. Repeated, it would do so for ever.
            log.warning("receipts one by one", extra={"action": "receipts-one-by-one", "count": len(arrived)})
            for receipt in arrived:
                await self._record_one(receipt)

    async def _record_one(self, receipt: Receipt) -> None:
        try:
            await self._write([receipt])
            return
        except StoreUnavailable:
            raise
        except Exception:
            about = {"carrier": receipt.carrier, "ref": receipt.ref, "raw": receipt.raw[:200]}
            log.exception("receipt set aside", extra={"action": "receipt-set-aside", **about})
        try:
            report = self._bare(receipt)
            await self.database.write(lambda tx: inbox.set_aside(tx, report))
            self.waiting += 1
        except StoreUnavailable:
            raise
        except Exception:
            log.exception("receipt only logged", extra={"action": "receipt-only-logged", **about})

    async def _write(self, arrived: Sequence[Receipt]) -> None:
        reports = [self._report(receipt) for receipt in arrived]
        recorded = await self.database.write(lambda tx: inbox.record(tx, reports))
        self.matched += recorded.matched
        self.waiting += recorded.waiting

    def _bare(self, r: Receipt) -> inbox.ReceiptReport:
        return inbox.ReceiptReport(
            r.carrier, r.ref, str(r.state), r.at_ms, destination=r.destination, code=r.code, text=r.text, raw=r.raw,
            mode=self._mode(r),
        )  # fmt: skip

    def _mode(self, r: Receipt) -> str:
        return "simulation" if r.carrier in self.simulated else "live"

    def _report(self, r: Receipt) -> inbox.ReceiptReport:
        ours = attempt_of(r.ref if r.echoed else r.answers, self.generation)
        return inbox.ReceiptReport(
            carrier=r.carrier,
            ref=r.ref,
            state=str(r.state),
            at_ms=r.at_ms,
            delivery_id=ours[0] if ours and r.echoed else None,
            answers=ours[0] if ours and not r.echoed else None,
            attempt=ours[1] if ours else 0,
            # Our own reference names the delivery or nothing: an echo of another generation must not be guessed at.
            destination=None if r.echoed else r.destination,
            readings=None if r.echoed else r.readings,
            code=r.code,
            text=r.text,
            raw=r.raw,
            mode=self._mode(r),
        )
