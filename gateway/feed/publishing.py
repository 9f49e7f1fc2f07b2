"""Publication: each public alert gets its document, once and for ever, and enters the feed. A chore of every node.

The launch has said that an alert is public; from there it is a moment until the feed has it, or until the next look
where a node died in between. What a node publishes no other does again, and no change of the key touches it.
"""

import asyncio
import logging
from dataclasses import dataclass, field

from cap.edition import Sign, Unfit, edition
from cap.forward import FileAddress
from gateway.failed_work_rests import Setbacks
from store import feed
from store.engine.database import Database
from store.feed import Edition, PendingAlert

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Publisher:
    database: Database
    sign: Sign | None
    """None: an alert is published as its sender signed it, or without a signature."""
    public_url: str = ""
    """How readers reach the feed, without a final slash: files that were enclosed in an alert have their address below
    it. Empty: they have none."""
    _setbacks: Setbacks = field(default_factory=Setbacks)

    async def run(self) -> bool:
        """Publishes some of what waits; True when something was published, and there may be more."""
        async with self.database.read() as conn:
            waiting = await feed.pending(conn, without=self._setbacks.resting())
            if not waiting and not await feed.anything_over(conn, self.database.clock.now_ms()):
                return False
        editions, unfit, failed = await asyncio.to_thread(self._made, waiting)
        for entry_id, exc in failed.items():
            self._setbacks.note(entry_id, "publish-failed", exc)
        await self.database.write(lambda tx: feed.publish(tx, editions, unfit))
        for made in waiting:
            if made.id not in unfit and made.id not in failed:
                log.info("published", extra={"action": "published", "alert": made.public_id})
        return bool(waiting)

    def _place(self, public_id: str) -> FileAddress:
        return lambda sha256: f"{self.public_url}/cap/alerts/{public_id}/files/{sha256}"

    def _made(self, waiting: list[PendingAlert]) -> tuple[list[Edition], list[int], dict[int, Exception]]:
        """What can be published, what never can, and what could not be made now: none of them stops the others."""
        editions, unfit, failed = [], [], {}
        for pending in waiting:
            try:
                place = self._place(pending.public_id) if self.public_url else None
                document = edition(pending.document, pending.sender, pending.identifier, self.sign, place)
            except ValueError as exc:  # Unfit, or what XML cannot hold
                why = str(exc) if isinstance(exc, Unfit) else f"it cannot be written: {exc}"
                about = {"action": "feed-unfit", "alert": pending.public_id, "why": why}
                log.error("not fit for the feed", extra=about)
                unfit.append(pending.id)
            except Exception as exc:
                failed[pending.id] = exc
            else:
                editions.append(Edition(pending.id, None if document == pending.document else document))
        return editions, unfit, failed
