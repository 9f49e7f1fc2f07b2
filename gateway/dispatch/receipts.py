"""Receipts from carriers, made durable before their peers are told so."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from channels.contract import Receipt, ReceiptsRefused
from gateway.dispatch.references import attempt_of
from store import receipts
from store.database import Database
from store.errors import StoreUnavailable

log = logging.getLogger(__name__)


@dataclass(slots=True)
class ReceiptDesk:
    """The `ReceiptSink` that every carrier is given."""

    database: Database
    generation: str
    matched: int = 0
    waiting: int = 0

    async def __call__(self, arrived: Sequence[Receipt]) -> None:
        reports = [self._report(receipt) for receipt in arrived]
        try:
            recorded = await self.database.write(lambda tx: receipts.record(tx, reports))
        except StoreUnavailable as exc:
            log.warning("receipts refused", extra={"action": "receipts-refused", "count": len(reports)})
            raise ReceiptsRefused(str(exc)) from exc
        self.matched += recorded.matched
        self.waiting += recorded.waiting

    def _report(self, r: Receipt) -> receipts.Report:
        ours = attempt_of(r.ref if r.echoed else r.answers, self.generation)
        return receipts.Report(
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
        )
