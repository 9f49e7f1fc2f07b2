"""Updates and Cancels that came before the alert they name: tried again until it comes, for a bounded time."""

import logging
from dataclasses import dataclass

from gateway.access.caller import Caller
from gateway.access.keys import as_caller
from gateway.campaigns.alerts import AlertDesk
from gateway.errors import Refusal
from store import accounts, alerts
from store.database import Database
from store.errors import StoreUnavailable

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Parked:
    database: Database
    desk: AlertDesk
    park_ms: int

    async def run(self) -> bool:
        """True when one was launched or given up."""
        async with self.database.read() as conn:
            waiting = await alerts.parked(conn)
        moved = False
        for filed in waiting:
            try:
                # Rights as they are now: an account that was closed meanwhile launches nothing.
                caller = await self._caller(filed.account_id)
                if caller is None:
                    raise Refusal(403, "account-closed", "The account that sent it is closed.")
                moved |= await self.desk.retry_parked(filed, caller, self.park_ms)
            except Refusal as refusal:
                moved = True
                text = f"{refusal.code}: {refusal.title}"
                await self.database.write(lambda tx, f=filed, t=text: alerts.set_state(tx, f.id, "failed", t))  # type: ignore[misc]
                log.error("parked alert refused", extra={"action": "parked-refused", "alert": filed.public_id})
            except StoreUnavailable:
                raise
            except Exception:
                # One that cannot be handled now must not keep the others waiting; it is tried again.
                log.exception("parked alert failed", extra={"action": "parked-failed", "alert": filed.public_id})
        return moved

    async def _caller(self, account_id: int) -> Caller | None:
        async with self.database.read() as conn:
            row = await accounts.find_account(conn, account_id)
        return None if row is None or row.disabled_ms is not None else as_caller(row)
