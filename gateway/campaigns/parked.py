"""Updates and Cancels that came before the alert they name: tried again until it comes, for a bounded time."""

import logging
from dataclasses import dataclass, field

from gateway.access.keys import as_caller
from gateway.access.rights import Caller
from gateway.campaigns.alert_desk import AlertDesk
from gateway.errors import Refusal
from gateway.failed_work_rests import Setbacks
from store.access import accounts
from store.campaigns import alerts
from store.campaigns.alerts import FiledAlert
from store.engine.database import Database

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Parked:
    database: Database
    desk: AlertDesk
    park_ms: int
    _setbacks: Setbacks = field(default_factory=Setbacks)

    async def run(self) -> bool:
        """True when one was launched or given up."""
        async with self.database.read() as conn:
            waiting = {
                filed.id: filed for filed in await alerts.parked(conn, self.database.clock.now_ms() - self.park_ms)
            }
        resting = self._setbacks.resting()
        due = [alert_id for alert_id in waiting if alert_id not in resting]
        # One that cannot be handled now must not keep the others waiting; it is tried again.
        return any(await self._setbacks.each(due, "parked-failed", lambda alert_id: self._retry(waiting[alert_id])))

    async def _retry(self, filed: FiledAlert) -> bool:
        try:
            # Rights as they are now: an account that was closed meanwhile launches nothing.
            caller = await self._caller(filed.account_id)
            if caller is None:
                raise Refusal(403, "account-closed", "The account that sent it is closed.")
            return await self.desk.retry_parked(filed, caller, self.park_ms)
        except Refusal as refusal:
            text = f"{refusal.code}: {refusal.title}"
            await self.database.write(lambda tx: alerts.set_state(tx, filed.id, "failed", text))
            log.error("parked alert refused", extra={"action": "parked-refused", "alert": filed.public_id})
            return True

    async def _caller(self, account_id: int) -> Caller | None:
        async with self.database.read() as conn:
            row = await accounts.find_account(conn, account_id)
        return as_caller(row) if row is not None and row.may_come_in else None
