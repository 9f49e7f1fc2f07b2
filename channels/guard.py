"""One outcome a message, whatever a carrier does: the contract held from the outside."""

import logging
from collections.abc import AsyncIterator, Sequence

from channels.contract import Carrier, InDoubt, Outcome, Outgoing

log = logging.getLogger(__name__)


async def guarded(carrier: Carrier, group: Sequence[Outgoing]) -> AsyncIterator[tuple[int, Outcome]]:
    """Like `carrier.send`, but a second outcome of a message is dropped, and a message whose carrier raised or
    forgot it is in doubt: its bytes may have left."""
    waiting = set(range(len(group)))
    try:
        async for index, outcome in carrier.send(group):
            if index in waiting:
                waiting.discard(index)
                yield index, outcome
            else:
                log.error("carrier answered twice", extra={"action": "contract-broken", "carrier": carrier.name})
    except Exception:
        log.exception("carrier raised", extra={"action": "contract-broken", "carrier": carrier.name})
    for index in sorted(waiting):
        yield index, InDoubt("the carrier gave no outcome")
