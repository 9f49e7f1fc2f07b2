"""How a call can end, in the words that every engine's and every provider's answers are brought to.

One table says what each word means to the outbox. Pure; knows no SIP code and no provider.

An answered call is `Accepted` when it is taken and gets its `Receipt` when it has ended:

    confirmed    a key said so                     delivered
    heard        played to the end                 delivered
    heard-part   hung up before the end            failed: nobody may be shown as told who was not
    voicemail    a machine took it                 pending: no person has heard it yet; never called again

One that is not answered has its outcome at once:

    busy, no-answer, unreachable, congestion       deferred: worth another try
    rejected, bad-number, failed                   refused: final
    cancelled                                      not sent: we hung up before anybody heard a word
"""

from enum import StrEnum

from channels.contract import Accepted, Deferred, NotSent, Outcome, ReceiptState, Refused


class Ending(StrEnum):
    CONFIRMED = "confirmed"
    HEARD = "heard"
    HEARD_PART = "heard-part"
    VOICEMAIL = "voicemail"
    BUSY = "busy"
    NO_ANSWER = "no-answer"
    REJECTED = "rejected"
    BAD_NUMBER = "bad-number"
    UNREACHABLE = "unreachable"
    CONGESTION = "congestion"
    FAILED = "failed"
    CANCELLED = "cancelled"


ANSWERED: dict[Ending, ReceiptState] = {
    Ending.CONFIRMED: ReceiptState.DELIVERED,
    Ending.HEARD: ReceiptState.DELIVERED,
    Ending.HEARD_PART: ReceiptState.FAILED,
    Ending.VOICEMAIL: ReceiptState.PENDING,
}
"""What the receipt of an answered call says; only these cost a minute."""

# What a voicemail took and a number that does not exist are never called again: the BIN telephone's rule.
WORTH_ANOTHER_TRY = frozenset({Ending.BUSY, Ending.NO_ANSWER, Ending.UNREACHABLE, Ending.CONGESTION})


def outcome(ending: Ending, text: str = "") -> Outcome:
    """What the carrier answers about a call that came to this end, or is about to."""
    if ending in ANSWERED:
        return Accepted(text=text or "answered")
    if ending in WORTH_ANOTHER_TRY:
        return Deferred(code=ending.value, text=text)
    if ending is Ending.CANCELLED:
        return NotSent(reason=text or ending.value)
    return Refused(code=ending.value, text=text)
