"""A line of `tocsin status`, and the one that a hold prints too: nothing here loads more than a brake can wait for."""

import shlex
from dataclasses import dataclass
from pathlib import Path

from store.outbox.hold_statements import Hold


@dataclass(frozen=True, slots=True)
class StatusLine:
    """A sentence for an operator."""

    well: bool
    """False: somebody should look at it."""
    text: str


def hold_line(hold: Hold, now_ms: int, config: Path | None) -> StatusLine:
    """What is held, since when and why, with the command that lifts it; of a restore's, the two that decide."""
    more = ["-c", str(config)] if config else []
    resume = shlex.join(["tocsin", "resume", hold.scope, *([hold.name] if hold.name else []), *more])
    what = " ".join(filter(None, (hold.scope, hold.name)))
    why = f": {hold.reason}" if hold.reason else ", no reason given"
    decide = f"to lift it: {resume}"
    if hold.of_restore:
        retire = shlex.join(["tocsin", "retire", hold.name, *more])
        decide = (
            f"a restore holds it: {retire} gives it up, {resume} sends what is left, "
            "twice to whoever was told since the backup"
        )
    text = f"HOLD on {what} since {age(now_ms - hold.at_ms)} by {hold.by}{why}; {decide}"
    return StatusLine(False, text)


def age(ms: int) -> str:
    seconds = max(ms, 0) // 1000
    if seconds < 120:
        return f"{seconds} s"
    if seconds < 7200:
        return f"{seconds // 60} min"
    return f"{seconds // 3600} h" if seconds < 172_800 else f"{seconds // 86_400} days"
