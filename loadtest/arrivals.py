"""What arrived at the sinks, counted by the load test itself: how many units when, and which messages for whom.

Reads the sinks' dumps. Knows nothing of what the gateway says of itself. Instants are seconds UTC.
"""

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from loadtest.sinks.smsc import Part
from loadtest.sinks.voice import starts

Instants = npt.NDArray[np.float64]

MARK = re.compile(r"NR[0-9A-F]{8}")
"""Every campaign of a load test bears one in its words: the only thing that an SMS carries of its campaign."""
_TOKEN = re.compile(r"[a-z0-9]{1,16}\.([0-9a-f]{1,16})\.[0-9]{1,4}")


class _MailLine(msgspec.Struct, frozen=True):
    arrived_ns: int
    token: str
    answered: bool


@dataclass(slots=True)
class Arrivals:
    """One channel at its sinks."""

    units_s: Instants
    """When each unit (segment, mail, call start) arrived, ascending."""
    by_delivery: Counter[int] = field(default_factory=Counter)
    """Whole messages by the delivery that their reference names (e-mail, voice)."""
    by_address: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Whole messages by the head of their text (`head_of`) and the number (SMS)."""
    strange: int = 0
    """Messages that name no delivery and bear no mark."""

    def between(self, start_s: float, end_s: float) -> int:
        low, high = np.searchsorted(self.units_s, (start_s, end_s))
        return int(high - low)

    def most_in(self, window_s: float) -> int:
        """The most units in ANY window of this length."""
        if not len(self.units_s):
            return 0
        ends = np.searchsorted(self.units_s, self.units_s + window_s, side="left")
        return int((ends - np.arange(len(self.units_s))).max())

    def per_second(self, start_s: float, end_s: float) -> list[int]:
        seconds = max(1, round(end_s - start_s))
        return [int(n) for n in np.histogram(self.units_s, bins=seconds, range=(start_s, start_s + seconds))[0]]


def mark_of(text: str) -> str:
    """Empty where there is none."""
    found = MARK.search(text)
    return found[0] if found else ""


def head_of(text: str) -> str:
    """A text up to its mark: a Cancel bears the mark of what it cancels, after a word of its own. Empty without one."""
    found = MARK.search(text)
    return text[: found.end()] if found else ""


def sms(*dumps: Path) -> Arrivals:
    """Every submit counts as a unit, taken or not; a message counts once all its parts were taken."""
    decoder = msgspec.json.Decoder(Part)
    times: list[int] = []
    arrivals = Arrivals(np.empty(0))
    for dump in dumps:
        for line in _lines(dump):
            part = decoder.decode(line)
            times.append(part.at_ns)
            if part.text is None or part.status:
                continue
            head = head_of(part.text)
            if head:
                arrivals.by_address[head, f"+{part.destination}"] += 1
            else:
                arrivals.strange += 1
    arrivals.units_s = _instants(times)
    return arrivals


def email(*dumps: Path) -> Arrivals:
    decoder = msgspec.json.Decoder(_MailLine)
    times: list[int] = []
    arrivals = Arrivals(np.empty(0))
    for dump in dumps:
        for line in _lines(dump):
            mail = decoder.decode(line)
            times.append(mail.arrived_ns)
            _count(arrivals, mail.token)
    arrivals.units_s = _instants(times)
    return arrivals


def voice(*dumps: Path) -> Arrivals:
    """By the wall clock, to the millisecond, as the trunk wrote it."""
    times: list[int] = []
    arrivals = Arrivals(np.empty(0))
    for dump in dumps:
        for start in starts(dump):
            times.append(start.at_ms * 1_000_000)
            _count(arrivals, start.reference)
    arrivals.units_s = _instants(times)
    return arrivals


def _count(arrivals: Arrivals, token: str) -> None:
    found = _TOKEN.fullmatch(token)
    if found:
        arrivals.by_delivery[int(found[1], 16)] += 1
    else:
        arrivals.strange += 1


def _lines(dump: Path) -> list[bytes]:
    """Whole lines only: a sink that is still running may be in the middle of one."""
    if not dump.exists():
        return []
    whole, _, _ = dump.read_bytes().rpartition(b"\n")
    return whole.split(b"\n") if whole else []


def _instants(times_ns: list[int]) -> Instants:
    return np.sort(np.asarray(times_ns, dtype=np.float64) / 1e9)
