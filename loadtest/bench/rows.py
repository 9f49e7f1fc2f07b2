"""The rows of the bench, in the order of the table: the one place that lists them."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from loadtest.bench import cap, email, first_message, outbox, resolve, sms, voice
from loadtest.bench.figures import Line
from loadtest.bench.ground import Ground


@dataclass(frozen=True, slots=True)
class Row:
    title: str
    measure: Callable[[Ground], Awaitable[list[Line]]]
    at_most_s: float
    """A row that takes longer is broken off."""


ROWS: Mapping[str, Row] = MappingProxyType(
    {
        "sms": Row(sms.TITLE, sms.measure, 240.0),
        "email": Row(email.TITLE, email.measure, 240.0),
        "outbox": Row(outbox.TITLE, outbox.measure, 240.0),
        "cap": Row(cap.TITLE, cap.measure, 120.0),
        "resolve": Row(resolve.TITLE, resolve.measure, 240.0),
        "first_message": Row(first_message.TITLE, first_message.measure, 240.0),
        "voice": Row(voice.TITLE, voice.measure, 120.0),
    }
)
