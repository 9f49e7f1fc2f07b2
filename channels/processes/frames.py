"""What the gateway's process and a carriers' process say to each other: frames of msgpack, with a length before each.

Sans I/O. A carriers' process talks with peers that may be anybody's: whatever it says is checked for form and size
here, and what is no frame ends it (`FaultyFrame`). Times are the monotonic clock's, in seconds, which is one for all
processes of a machine.
"""

import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from channels.catalogue import CarrierSettings
from channels.contract import (
    Accepted,
    CarrierStatus,
    Channel,
    Content,
    Deferred,
    InDoubt,
    Mode,
    NoLimits,
    NotSent,
    Outgoing,
    Permission,
    Receipt,
    ReceiptState,
    Refused,
    Throttled,
)
from channels.email.letter_form import PreparedMail
from channels.email.limits import MailLimits
from channels.sms.segments import SmsText
from channels.sms.smpp.limits import SmsLimits
from channels.voice.script import Script

MOST_BYTES = 16 * 1_048_576
"""Of one frame: a window of the largest mails is a tenth of it."""
_HEAD = struct.Struct("<I")


class FaultyFrame(Exception):
    """The other side said what no process of ours says."""


# ---- down: to the carriers' process --------------------------------------------------------------------------


class CarrierOrder(msgspec.Struct, frozen=True, array_like=True):
    """One carrier to be made; its place in `Setup.carriers` is how frames name it."""

    name: str
    channel: Channel
    mode: Mode
    settings: CarrierSettings
    guard_s: float
    """How long after its slot a message may leave."""


class Setup(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """The first frame. Settings and secrets come this way, where no list of processes shows them."""

    carriers: tuple[CarrierOrder, ...]
    begun_at: int
    begun_count: int
    log_level: int


class Run(msgspec.Struct, frozen=True, array_like=True, tag=2):
    carrier: int


class Stop(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """End its sessions in order; `Stopped` when that is done."""

    carrier: int


class Keep(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """Words that messages will name by this number."""

    content: int
    mail: PreparedMail | None = None
    sms: SmsText | None = None
    script: Script | None = None


class Forget(msgspec.Struct, frozen=True, array_like=True, tag=5):
    """No further message names these words."""

    content: int


class SentMessage(msgspec.Struct, frozen=True, array_like=True):
    """`contract.Outgoing`, its words and its permission by their numbers."""

    reference: str
    address: str
    name: str
    content: int
    due: tuple[float, ...]
    expires_ms: int | None
    permission: int
    """-1: it never ends."""
    message: str
    number: int
    """0: nobody asks whether it has begun."""


class HandOver(msgspec.Struct, frozen=True, array_like=True, tag=6):
    carrier: int
    handover: int
    permissions: tuple[tuple[int, float], ...]
    """(number, not_after) of those that its messages stand under."""
    messages: tuple[SentMessage, ...]


class CallOff(msgspec.Struct, frozen=True, array_like=True, tag=7):
    """Nobody waits for the handover any more."""

    handover: int


class CallBack(msgspec.Struct, frozen=True, array_like=True, tag=8):
    """Of these messages nothing is to be given to the carrier."""

    carrier: int
    handover: int
    indexes: tuple[int, ...]


class Renew(msgspec.Struct, frozen=True, array_like=True, tag=9):
    permissions: tuple[tuple[int, float], ...]


class Kept(msgspec.Struct, frozen=True, array_like=True, tag=10):
    """The receipts of that number are committed; with `refused` they are not, and are to come again."""

    receipts: int
    refused: str | None = None


Down = Setup | Run | Stop | Keep | Forget | HandOver | CallOff | CallBack | Renew | Kept

# ---- up: from the carriers' process --------------------------------------------------------------------------

_Outcome = Accepted | Refused | Deferred | NotSent | Throttled | InDoubt


class Ready(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """Its carriers are made."""


class CannotMake(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """Its carriers cannot be made, and it has ended."""

    why: str


class Told(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """Outcomes, and how much each carrier can take now."""

    outcomes: tuple[tuple[int, int, _Outcome], ...]
    """(handover, index, outcome)."""
    rooms: tuple[int, ...]
    waiting: tuple[int, ...]
    """Units that wait for their slots before each carrier."""
    heard: int
    """The last handover that `rooms` and `waiting` know of."""


class State(msgspec.Struct, frozen=True, array_like=True, tag=4):
    carrier: int
    status: CarrierStatus
    limits: SmsLimits | MailLimits | NoLimits


class Reported(msgspec.Struct, frozen=True, array_like=True):
    """`contract.Receipt`."""

    ref: str
    state: ReceiptState
    at_ms: int
    echoed: bool
    destination: str | None
    has_readings: bool
    answers: str
    code: str
    text: str
    raw: str


class Receipts(msgspec.Struct, frozen=True, array_like=True, tag=5):
    carrier: int
    receipts: int
    """The number under which they are told as kept."""
    reported: tuple[Reported, ...]


class Stopped(msgspec.Struct, frozen=True, array_like=True, tag=6):
    carrier: int


class Logged(msgspec.Struct, frozen=True, array_like=True, tag=7):
    """A line of its log."""

    logger: str
    level: int
    message: str
    created_s: float
    extra: dict[str, Any]
    exception: str


class AskedToEnd(msgspec.Struct, frozen=True, array_like=True, tag=8):
    """Somebody has told this process alone to end (SIGTERM)."""


Up = Ready | CannotMake | Told | State | Receipts | Stopped | Logged | AskedToEnd

# ---- octets --------------------------------------------------------------------------------------------------

_encoder = msgspec.msgpack.Encoder()
up_decoder: "msgspec.msgpack.Decoder[Up]" = msgspec.msgpack.Decoder(Up)
down_decoder: "msgspec.msgpack.Decoder[Down]" = msgspec.msgpack.Decoder(Down)


def encoded(frame: Up | Down) -> bytes:
    body = _encoder.encode(frame)
    return _HEAD.pack(len(body)) + body


class FrameReader:
    """Octets in, frames out."""

    def __init__(self, decode: Callable[[bytes], Any]) -> None:
        self._decode = decode
        self._held = bytearray()

    def feed(self, data: bytes) -> Iterator[Any]:
        """Raises FaultyFrame for what is none, and for one that is too long."""
        held = self._held
        held += data
        while len(held) >= _HEAD.size:
            (length,) = _HEAD.unpack_from(held)
            if length > MOST_BYTES:
                raise FaultyFrame(f"a frame of {length} octets")
            end = _HEAD.size + length
            if len(held) < end:
                return
            body = bytes(held[_HEAD.size : end])
            del held[:end]
            try:
                frame = self._decode(body)
            except (msgspec.MsgspecError, ValueError, RecursionError) as exc:
                raise FaultyFrame(str(exc)[:200]) from exc
            yield frame


# ---- what stands in them -------------------------------------------------------------------------------------


def keep(number: int, content: Content) -> Keep:
    """Raises TypeError for words of another kind than those of the three channels."""
    match content:
        case PreparedMail():
            return Keep(number, mail=content)
        case SmsText():
            return Keep(number, sms=content)
        case Script():
            return Keep(number, script=content)
    raise TypeError(f"words that no carriers' process knows: {type(content).__name__}")


def kept_content(frame: Keep) -> Content:
    content = frame.mail or frame.sms or frame.script
    if content is None:
        raise FaultyFrame("words without words")
    return content


def outgoing(
    sent: SentMessage, content: Content, permission: Permission | None, begins: Callable[[int], None]
) -> Outgoing:
    return Outgoing(
        sent.reference,
        sent.address,
        sent.name,
        content,
        sent.due,
        sent.expires_ms,
        permission,
        sent.message,
        sent.number,
        begins if sent.number else None,
    )


def reported(receipt: Receipt) -> Reported:
    r = receipt
    return Reported(
        r.ref, r.state, r.at_ms, r.echoed, r.destination, r.readings is not None, r.answers, r.code, r.text, r.raw
    )


def receipt(carrier: str, r: Reported, readings: Callable[[str], Sequence[str]]) -> Receipt:
    return Receipt(
        carrier, r.ref, r.state, r.at_ms, r.echoed, r.destination, readings if r.has_readings else None,
        r.answers, r.code, r.text, r.raw,
    )  # fmt: skip
