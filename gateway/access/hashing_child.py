"""The process in which passwords are hashed: a job a line comes in, an outcome a line goes out, until the end of input.

A process and not a thread: one of the lowest priority would hold the interpreter's lock while others have the cores,
and with it everything that waits in the server.
"""

import contextlib
import ctypes
import os
import sys

import msgspec

from gateway.access.hash_jobs import NumberedJob, outcome_of

LOWEST = 19
NAME = "tocsin-hashing"
"""In `ps` and `top`."""
_PR_SET_NAME = 15  # linux/prctl.h


def main() -> None:
    os.nice(LOWEST)
    with contextlib.suppress(OSError, AttributeError):  # elsewhere than on Linux it has none
        ctypes.CDLL(None).prctl(_PR_SET_NAME, NAME.encode(), 0, 0, 0)
    for line in sys.stdin.buffer:
        outcome = outcome_of(msgspec.json.decode(line, type=NumberedJob))
        sys.stdout.buffer.write(msgspec.json.encode(outcome) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
