"""The process in which passwords are hashed: a job a line comes in, an outcome a line goes out, until the end of input.

A process and not a thread: one of the lowest priority would hold the interpreter's lock while others have the cores,
and with it everything that waits in the server.
"""

import os
import sys

import msgspec

from channels.processes.die_with import die_with
from gateway.access.hash_jobs import NumberedJob, outcome_of

LOWEST = 19
NAME = "tocsin-hashing"
"""In `ps` and `top`."""


def main() -> None:
    os.nice(LOWEST)
    die_with(os.getppid(), NAME)
    for line in sys.stdin.buffer:
        outcome = outcome_of(msgspec.json.decode(line, type=NumberedJob))
        sys.stdout.buffer.write(msgspec.json.encode(outcome) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
