"""One outcome a message, whatever a carrier does: the contract held from the outside."""

import logging
from collections.abc import Sequence

from channels.contract import Carrier, InDoubt, Outcome, Outgoing, Told, Withdraw

log = logging.getLogger(__name__)


def guarded(carrier: Carrier, group: Sequence[Outgoing], told: Told) -> Withdraw:
    """As `carrier.send`, but a second outcome of a message is dropped; where the carrier raises, what it has said
    nothing of is in doubt, as its bytes may have left; and what `told` raises stops nobody."""
    waiting = set(range(len(group)))

    def once(index: int, outcome: Outcome) -> None:
        if index in waiting:
            waiting.discard(index)
            try:
                told(index, outcome)
            except Exception:
                # Whoever hears it raises nothing, by contract; if they do, the carrier goes on with all others.
                log.exception("an outcome was not taken in", extra={"action": "contract-broken"})
        else:
            log.error("carrier answered twice", extra={"action": "contract-broken", "carrier": carrier.name})

    def withdrawn() -> None:
        waiting.clear()
        withdraw()

    try:
        withdraw = carrier.send(group, once)
    except Exception:
        log.exception("carrier raised", extra={"action": "contract-broken", "carrier": carrier.name})
        for index in sorted(waiting):
            once(index, InDoubt("the carrier gave no outcome"))
        return _nothing
    return withdrawn


def _nothing() -> None:
    """There is nothing left to withdraw."""
