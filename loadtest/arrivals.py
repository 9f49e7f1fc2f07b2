"""What arrived at the sinks, counted by the load test itself: how many units when, and which messages for whom.

Reads the sinks' dumps. Knows nothing of what the gateway says of itself. Instants are seconds UTC.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from loadtest.sinks import stalls
from loadtest.sinks.smsc import Part
from loadtest.sinks.stalls import Stall
from loadtest.sinks.voice import starts

Instants = npt.NDArray[np.float64]
Key = str | int

MARK = re.compile(r"NR[0-9A-F]{8}")
"""Every campaign of a load test bears one in its words: the only thing that an SMS carries of its campaign."""
_TOKEN = re.compile(r"[a-z0-9]{1,16}\.([0-9a-f]{1,16})\.[0-9]{1,4}")


class _MailLine(msgspec.Struct, frozen=True):
    arrived_ns: int
    rcpt: str
    token: str
    answered: bool


@dataclass(slots=True)
class Arrivals:
    """One channel at its sinks. A campaign is known by its `Key`: by the heads of its texts (SMS, see `head_of`), by
    the store's number of it (e-mail, voice)."""

    units_s: Instants
    """When each unit (segment, mail, call start) was read by its sink, ascending."""
    earliest_s: Instants = field(default_factory=lambda: np.empty(0))
    """When each unit, in the same order, may have come: before it was read, where its sink had stood still. Empty: all
    came when they were read."""
    by_delivery: Counter[tuple[int, str]] = field(default_factory=Counter)
    """Whole messages by the delivery that their reference names and the address that they went to (e-mail, voice)."""
    by_address: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Whole messages by the head of their text (`head_of`) and the number (SMS)."""
    by_campaign: dict[Key, Instants] = field(default_factory=dict)
    """When each whole message of a campaign arrived, ascending."""
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

    def surely_in(self, window_s: float) -> int:
        """The most units that came in one window of this length, whenever it was that stalled sinks read them: what
        may have come before a window and what was read after it do not count for it."""
        earliest_s = self.earliest_s if len(self.earliest_s) else self.units_s
        within = self.units_s - earliest_s < window_s
        if not within.any():
            return 0
        starts, last = np.sort(earliest_s[within]), np.sort(self.units_s[within])
        # A unit that was read within the window and did not surely come within it began to wait before the window.
        read = np.searchsorted(last, starts + window_s, side="left")
        return int((read - np.searchsorted(starts, starts, side="left")).max())

    def stood_still_s(self) -> float:
        """The longest that a unit may have waited for its sink to read it."""
        return float((self.units_s - self.earliest_s).max()) if len(self.earliest_s) else 0.0

    def of(self, *keys: Key) -> Instants:
        """When the messages of a campaign arrived, ascending; empty when none did."""
        found = [self.by_campaign[key] for key in keys if key in self.by_campaign]
        return np.sort(np.concatenate(found)) if found else np.empty(0)

    def longest_gap_s(self, start_s: float, end_s: float) -> float:
        """The longest time without a unit between these instants."""
        inside = self.units_s[(self.units_s >= start_s) & (self.units_s <= end_s)]
        return float(np.diff(np.concatenate(([start_s], inside, [end_s]))).max())

    def per_second(self, start_s: float, end_s: float) -> list[int]:
        seconds = max(1, round(end_s - start_s))
        return [int(n) for n in np.histogram(self.units_s, bins=seconds, range=(start_s, start_s + seconds))[0]]


def mark_of(text: str) -> str:
    """The mark in a text; empty where there is none."""
    found = MARK.search(text)
    return found[0] if found else ""


def head_of(text: str) -> str:
    """A text up to its mark: a Cancel bears the mark of what it cancels, after a word of its own. Empty without one."""
    found = MARK.search(text)
    return text[: found.end()] if found else ""


def sms(*dumps: Path) -> Arrivals:
    """Every submit counts as a unit, taken or not; a message counts once all its parts were taken."""
    decoder = msgspec.json.Decoder(Part)
    reading = _Reading()
    arrivals = reading.arrivals
    for dump in dumps:
        reading.sink(stalls.read(dump))
        for line in _lines(dump):
            part = decoder.decode(line)
            reading.unit(part.at_ns)
            if part.text is None or part.status:
                continue
            head = head_of(part.text)
            if head:
                arrivals.by_address[head, f"+{part.destination}"] += 1
                reading.message(head, part.at_ns)
            else:
                arrivals.strange += 1
    return reading.close()


def email(*dumps: Path) -> Arrivals:
    decoder = msgspec.json.Decoder(_MailLine)
    reading = _Reading()
    for dump in dumps:
        reading.sink(stalls.read(dump))
        for line in _lines(dump):
            mail = decoder.decode(line)
            reading.unit(mail.arrived_ns)
            reading.token(mail.token, mail.rcpt, mail.arrived_ns)
    return reading.close()


def voice(*dumps: Path) -> Arrivals:
    """By the wall clock, to the millisecond, as the trunk wrote it."""
    reading = _Reading()
    for dump in dumps:
        reading.sink([])  # the trunk writes a start down before anybody else can be late
        for start in starts(dump):
            reading.unit(start.at_ms * 1_000_000)
            reading.token(start.reference, start.address, start.at_ms * 1_000_000)
    return reading.close()


class _Reading:
    """Gathers the lines of a channel's dumps."""

    def __init__(self) -> None:
        self.arrivals = Arrivals(np.empty(0))
        self._sinks: list[tuple[list[int], Sequence[Stall]]] = []
        self._messages_ns: defaultdict[Key, list[int]] = defaultdict(list)

    def sink(self, stood: Sequence[Stall]) -> None:
        """The units that follow are of this one."""
        self._sinks.append(([], stood))

    def unit(self, at_ns: int) -> None:
        self._sinks[-1][0].append(at_ns)

    def message(self, key: Key, at_ns: int) -> None:
        self._messages_ns[key].append(at_ns)

    def token(self, token: str, address: str, at_ns: int) -> None:
        found = _TOKEN.fullmatch(token)
        if not found:
            self.arrivals.strange += 1
            return
        delivery = int(found[1], 16)
        self.arrivals.by_delivery[delivery, address] += 1
        self.message(delivery >> 24, at_ns)

    def close(self) -> Arrivals:
        read_ns = [np.asarray(units_ns, dtype=np.int64) for units_ns, _ in self._sinks]
        came_ns = [stalls.earliest(units, stood) for units, (_, stood) in zip(read_ns, self._sinks, strict=True)]
        units_s = np.concatenate([np.empty(0), *read_ns]) / 1e9
        order = np.argsort(units_s, kind="stable")
        self.arrivals.units_s = units_s[order]
        self.arrivals.earliest_s = np.concatenate([np.empty(0), *came_ns])[order] / 1e9
        self.arrivals.by_campaign = {key: _instants(times_ns) for key, times_ns in self._messages_ns.items()}
        return self.arrivals


def _lines(dump: Path) -> Iterator[bytes]:
    """Whole lines only: a sink that is still running may be in the middle of one."""
    if not dump.exists():
        return
    with dump.open("rb") as lines:
        for line in lines:
            if line.endswith(b"\n"):
                yield line


def _instants(times_ns: list[int]) -> Instants:
    return np.sort(np.asarray(times_ns, dtype=np.float64) / 1e9)
