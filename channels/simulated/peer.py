"""What a simulated peer makes of a message: a keyed hash of seed, address and reference decides, nothing else.

Pure: the same message meets the same fate in every run, on every machine, in any order. Knows no time of day.

The words, and what they come to (`Shares` and `forced` of the settings use them):

    delivered, failed, expired   taken, and its receipt says so later    (sms, email)
    silent                       taken, and no receipt ever comes        (sms, email)
    refused, deferred            answered so                             (sms, email)
    confirmed ... cancelled      the twelve endings of a call            (voice; channels/voice/ending.py)
    throttled                    the peer asks for a slower pace         (all)
    not-sent                     it never left                           (all)
    in-doubt                     no answer comes; half of these were taken all the same (all)
"""

import math
from bisect import bisect_right
from collections.abc import Mapping
from hashlib import blake2b
from itertools import accumulate
from struct import Struct as Layout

import msgspec

from channels.contract import (
    Accepted,
    Channel,
    Deferred,
    InDoubt,
    NotSent,
    Outcome,
    Outgoing,
    ReceiptState,
    Refused,
    Throttled,
)
from channels.voice.ending import ANSWERED, Ending, outcome
from channels.voice.script import Script

_RECEIPTS = {
    "delivered": ReceiptState.DELIVERED,
    "failed": ReceiptState.FAILED,
    "expired": ReceiptState.EXPIRED,
}
_EVERYWHERE = frozenset({"throttled", "not-sent", "in-doubt"})
_WRITTEN = _EVERYWHERE | {*_RECEIPTS, "silent", "refused", "deferred"}
WORDS: dict[Channel, frozenset[str]] = {
    Channel.SMS: frozenset(_WRITTEN),
    Channel.EMAIL: frozenset(_WRITTEN),
    Channel.VOICE: frozenset(_EVERYWHERE | {ending.value for ending in Ending}),
}
USUAL: dict[Channel, str] = {
    Channel.SMS: "delivered",
    # A relay's 250 is all that is ever heard of most mail.
    Channel.EMAIL: "silent",
    Channel.VOICE: "confirmed",
}
"""What happens to the share that no word was given."""

# What is wrong with an address is wrong at every attempt: these are drawn from the address alone.
_OF_THE_ADDRESS = ("refused", "bad-number")
_DRAWS = Layout(">5Q")
_TALK_WITHOUT_SCRIPT_S = 20.0


class Delay(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A shifted exponential in seconds: never less than `least`, `mean` on the average, cut at `most`."""

    least: float
    mean: float
    most: float

    def __post_init__(self) -> None:
        if not 0 <= self.least <= self.mean <= self.most:
            raise ValueError("a delay has 0 <= least <= mean <= most, in seconds")

    def at(self, draw: float) -> float:
        """The delay of a draw in [0, 1)."""
        return min(self.most, self.least - (self.mean - self.least) * math.log1p(-draw))


class LaterReceipt(msgspec.Struct, frozen=True):
    """A receipt to come, about one part."""

    after_s: float
    """After the answer; below zero it overtakes it."""
    part: int
    state: ReceiptState
    code: str
    text: str


class Fate(msgspec.Struct, frozen=True):
    word: str
    outcome: Outcome
    answer_s: float = 0.0
    """From the last unit written to the answer."""
    busy_s: float = 0.0
    """How long after the answer it still takes up the window: a call that is talking."""
    receipts: tuple[LaterReceipt, ...] = ()


class Temper(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a peer behaves. Words of `shares` and `forced`: `WORDS` of its channel."""

    channel: Channel
    seed: int = 1
    shares: dict[str, float] = {}
    """Word -> share of messages; what is missing to 1 is `USUAL`."""
    forced: dict[str, str] = {}
    """End of a number, or of the part before the @ -> the word that always happens to it."""
    answer: Delay = Delay(least=0.005, mean=0.02, most=0.2)
    """From the last unit written to the answer."""
    receipt: Delay = Delay(least=0.05, mean=0.5, most=5.0)
    """From the answer to the receipts; those of a call come when it ends."""
    early: float = 0.0
    """Share of messages whose receipts come before the answer."""
    doubled: float = 0.0
    """Share of messages whose receipts come twice."""
    answer_timeout_s: float = 5.0
    throttle_pause_s: float = 0.5
    speed: float = 1.0
    """How many times faster than life calls talk."""

    def __post_init__(self) -> None:
        if unknown := {*self.shares, *self.forced.values()} - WORDS[self.channel]:
            raise ValueError(f"{self.channel} has no word {', '.join(sorted(unknown))}")
        if min(self.shares.values(), default=0.0) < 0 or math.fsum(self.shares.values()) > 1 + 1e-9:
            raise ValueError("shares lie between 0 and 1 and add up to 1 at most")
        if self.speed <= 0:
            raise ValueError("speed is above zero")


class SimulatedPeer:
    """What stands at the other end."""

    def __init__(self, temper: Temper) -> None:
        self.temper = temper
        self._key = str(temper.seed).encode()
        self._lasting = {word: share for word, share in temper.shares.items() if word in _OF_THE_ADDRESS}
        rest = 1.0 - sum(self._lasting.values())
        passing = temper.shares.items() - self._lasting.items()
        self._passing = {word: share / rest for word, share in sorted(passing)}

    def fate(self, message: Outgoing) -> Fate:
        """What becomes of this message; it has as many parts as `due` has instants."""
        identity = f"{message.address}\0{message.reference}".encode()
        digest = blake2b(identity, digest_size=40, key=self._key).digest()
        choice, answer, later, early, doubled = (draw / 2**64 for draw in _DRAWS.unpack(digest))
        word = self._word(message.address, choice)
        doubt = word == "in-doubt"
        answer_s = self.temper.answer_timeout_s if doubt else self.temper.answer.at(answer)
        fate = self._taken(USUAL[self.temper.channel] if doubt else word, message, later)
        receipts = fate.receipts * 2 if doubled < self.temper.doubled else fate.receipts
        if early < self.temper.early:
            receipts = tuple(msgspec.structs.replace(each, after_s=-answer_s / 2) for each in receipts)
        if not doubt:
            return msgspec.structs.replace(fate, answer_s=answer_s, receipts=receipts)
        taken = receipts if choice % 1e-3 < 5e-4 else ()
        return Fate(word, InDoubt("no answer in time"), answer_s, receipts=taken)

    def _word(self, address: str, choice: float) -> str:
        ending = address.partition("@")[0]
        for suffix, word in self.temper.forced.items():
            if ending.endswith(suffix):
                return word
        if self._lasting:
            raw = blake2b(address.encode(), digest_size=8, key=self._key).digest()
            if lasting := _pick(self._lasting, int.from_bytes(raw, "big") / 2**64):
                return lasting
        return _pick(self._passing, choice) or USUAL[self.temper.channel]

    def _taken(self, word: str, message: Outgoing, draw: float) -> Fate:
        if word == "throttled":
            return Fate(word, Throttled(self.temper.throttle_pause_s, "simulated"))
        if word == "not-sent":
            return Fate(word, NotSent("simulated: it never left"))
        if self.temper.channel is Channel.VOICE:
            return self._call(Ending(word), message, draw)
        return self._written(word, message, draw)

    def _call(self, ending: Ending, message: Outgoing, draw: float) -> Fate:
        if ending not in ANSWERED:
            return Fate(ending.value, outcome(ending, "simulated"))
        seconds = message.content.seconds if isinstance(message.content, Script) else _TALK_WITHOUT_SCRIPT_S
        if ending is Ending.HEARD_PART:
            seconds *= draw
        busy_s = seconds / self.temper.speed
        receipt = LaterReceipt(busy_s, 0, ANSWERED[ending], ending.value, f"{seconds:.0f} s")
        return Fate(ending.value, outcome(ending, "simulated"), busy_s=busy_s, receipts=(receipt,))

    def _written(self, word: str, message: Outgoing, draw: float) -> Fate:
        if word == "refused":
            return Fate(word, Refused("refused", "simulated: no such address"))
        if word == "deferred":
            return Fate(word, Deferred("deferred", "simulated: try again later"))
        taken = Accepted(refs=self.refs(message), text="simulated")
        if word == "silent":
            return Fate(word, taken)
        after_s, state = self.temper.receipt.at(draw), _RECEIPTS[word]
        parts = range(len(taken.refs) or 1)
        receipts = tuple(LaterReceipt(after_s, part, state, word, "simulated") for part in parts)
        return Fate(word, taken, receipts=receipts)

    def refs(self, message: Outgoing) -> tuple[str, ...]:
        """The peer's ids, one a part; none by e-mail and voice, which echo ours."""
        if self.temper.channel is not Channel.SMS:
            return ()
        raw = f"{self.temper.seed}\0{message.reference}".encode()
        return tuple(
            blake2b(raw, digest_size=8, salt=part.to_bytes(2, "big")).hexdigest() for part in range(len(message.due))
        )


def _pick(shares: Mapping[str, float], draw: float) -> str | None:
    """The word on whose share the draw in [0, 1) falls, None beyond the last."""
    words = list(shares)
    at = bisect_right(list(accumulate(shares.values())), draw)
    return words[at] if at < len(words) else None
