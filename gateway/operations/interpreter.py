"""What a serving process is set to as a whole: the interpreter's own clocks and counters, changed once at the start.

Only for the command that serves: a test or a library user keeps Python's own.
"""

import gc
import sys

from cap import explain

GIL_INTERVAL_S = 0.0005
"""SQLite's statements run in a thread and need the GIL before and after each. While the loop is busy a thread waits for
the whole interval, twice a statement: with Python's 5 ms the writer does 10 of them in 0.1 s."""
GARBAGE = (20_000, 20, 20)
"""Python's 700 new objects are one batch of a lane; a look at the youngest is then 30 times rarer and no longer."""


def prepare() -> None:
    """Sets the interpreter up before the loop runs. What the first refused alert would load is loaded: it stood in
    the loop for 0.5 s."""
    sys.setswitchinterval(GIL_INTERVAL_S)
    explain.ready()


def settle() -> None:
    """Freezes what is there once everything is built. A full collection looks at every module and schema for 130 ms,
    several times a minute under load, and holds up every channel: what is there now is there for good and is no
    longer looked at."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GARBAGE)
