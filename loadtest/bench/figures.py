"""What a benchmark found: lines with a figure, its ratio to a peer or a promise, and how the peer was set. Pure."""

from collections.abc import Sequence

import msgspec
import numpy as np


class Claim(msgspec.Struct, frozen=True):
    """A figure beside another of the same run, or beside a promise."""

    text: str
    """After the value: `x Kannel`."""
    value: float
    goal: float | None = None
    """None: only told."""
    at_most: bool = False
    """The goal is a ceiling."""

    @property
    def holds(self) -> bool | None:
        if self.goal is None:
            return None
        return self.value <= self.goal if self.at_most else self.value >= self.goal

    def __str__(self) -> str:
        sign = "<=" if self.at_most else ">="
        goal = "" if self.goal is None else f" (goal {sign} {number(self.goal)})"
        return f"{number(self.value)} {self.text}{goal}"


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One measured thing: ours or a peer's."""

    what: str
    value: float | None = None
    """None: it was not measured; `skipped` says why."""
    unit: str = ""
    claims: tuple[Claim, ...] = ()
    settings: str = ""
    """How it was set up and measured, in a sentence."""
    skipped: str = ""


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the bench: its lines."""

    name: str
    title: str
    lines: tuple[Figure, ...]
    took_s: float = 0.0
    others_cores: float = 0.0
    """What everything else on the machine used of it meanwhile."""
    failed: str = ""
    """Why it broke off; empty when it did not."""


class PeerMissing(Exception):
    """A peer that is not there; the text is a sentence."""


class Failed(Exception):
    """A part did not do what it was asked; the text says which and what it said."""


def ratio(ours: float, peer: Figure, text: str, goal: float | None = None) -> tuple[Claim, ...]:
    """The ratio of our figure to a peer's; nothing where the peer was skipped."""
    return (Claim(text, ours / peer.value, goal),) if peer.value else ()


def percentiles(took: Sequence[float]) -> tuple[float, float]:
    """p50 and p99 by the nearest rank above: never a time that nobody had."""
    p50, p99 = np.percentile(np.asarray(took), (50, 99), method="higher")
    return float(p50), float(p99)


def number(value: float) -> str:
    """A number with three figures that count, its thousands apart."""
    if value == int(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.3g}"
