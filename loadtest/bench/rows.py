"""The rows of the bench, in the order of the table: the one place that lists them."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from loadtest.bench import cap, email, first_message, outbox, resolve, sms, voice
from loadtest.bench.figures import Figure
from loadtest.bench.ground import BenchGround


@dataclass(frozen=True, slots=True)
class BenchRow:
    title: str
    measure: Callable[[BenchGround], Awaitable[list[Figure]]]
    at_most_s: float
    """A row that takes longer is broken off."""


ROWS: Mapping[str, BenchRow] = MappingProxyType(
    {
        "sms": BenchRow(sms.TITLE, sms.measure, 240.0),
        "email": BenchRow(email.TITLE, email.measure, 240.0),
        "outbox": BenchRow(outbox.TITLE, outbox.measure, 240.0),
        "cap": BenchRow(cap.TITLE, cap.measure, 120.0),
        "resolve": BenchRow(resolve.TITLE, resolve.measure, 240.0),
        "first_message": BenchRow(first_message.TITLE, first_message.measure, 240.0),
        "voice": BenchRow(voice.TITLE, voice.measure, 120.0),
    }
)
