"""What an outcome means for its delivery. Pure: the one place where the carriers' words become the store's."""

from collections.abc import Sequence

from channels.contract import Accepted, Channel, Deferred, InDoubt, NotSent, Outcome, Refused, Throttled
from store.outbox.records import Settlement
from store.states import DeliveryEvent

UNFIT = ("unfit", "No carrier can take this message: its letters, its country or its size stand against each of them.")
"""Code and text of what no carrier is given."""


def settlement(
    delivery_id: int, outcome: Outcome, carrier: str, *, attempts: int, most_attempts: int, delays_ms: Sequence[int]
) -> Settlement | None:
    """What an outcome settles of its delivery; None for what is known not sent and costs no attempt: the next
    carrier may take it at once. `attempts` were made before this one; `delays_ms` stand before the second, third ...
    one, and the last repeats."""
    match outcome:
        case Accepted(refs=refs, text=text):
            return Settlement(delivery_id, DeliveryEvent.ACCEPTED, carrier, refs, text=text)
        case Refused(code=code, text=text, refs=refs):
            return Settlement(delivery_id, DeliveryEvent.REFUSED, carrier, refs, code, text)
        case Deferred(code=code, text=text):
            if attempts + 1 >= most_attempts:
                return Settlement(delivery_id, DeliveryEvent.EXHAUSTED, carrier, (), code, text)
            wait_ms = delays_ms[min(attempts, len(delays_ms) - 1)]
            return Settlement(delivery_id, DeliveryEvent.DEFERRED, carrier, (), code, text, wait_ms)
        case InDoubt(reason=reason, refs=refs, code=code):
            return Settlement(delivery_id, DeliveryEvent.IN_DOUBT, carrier, refs, code, reason)
        case NotSent() | Throttled():
            return None


def is_trouble(outcome: Outcome, *, is_over: bool = False) -> bool:
    """Whether an outcome speaks against the carrier rather than against the message. `is_over`: its time had come,
    whatever was said."""
    match outcome:
        case NotSent(withdrawn=withdrawn):
            return not (withdrawn or is_over)
        case InDoubt(code=code):
            return code != "cut"
        case _:
            return False


def is_for_us(outcome: Outcome, channel: str) -> bool:
    """Whether an outcome shows that the carrier has nothing against us: it took the message, or rang at the
    person's."""
    return isinstance(outcome, Accepted) or (channel == Channel.VOICE and isinstance(outcome, Deferred))
