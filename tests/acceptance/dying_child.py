"""A carriers' process that ends itself with SIGKILL at a named point (a file has one a life).

    python -m tests.acceptance.dying_child FILE ...

It is the product's own `channels.processes.child` with ONE function wrapped: the product has no hook for this. A server
makes it in place of its own where `dying_server` is told `--children-die FILE`.
"""

import functools
import inspect
import os
import signal
import sys
from pathlib import Path
from typing import Any

from channels.begun import BegunBytes
from channels.email.carrier import SmtpCarrier
from channels.processes import child
from channels.processes.child import Child
from channels.sms.smpp.submitter import Submitter

POINTS: dict[str, tuple[Any, str, bool, int]] = {
    # What was granted stands in the child's memory, and nothing of it was written.
    "handed-over": (Child, "_hand_over", True, 2),
    # The byte is set, and the octets are not written; and before it is set.
    "begun": (BegunBytes, "__call__", True, 20),
    "not-begun": (BegunBytes, "__call__", False, 20),
    # A peer has answered, and the server has not heard of it; outcomes that wait to be told; outcomes that are told.
    "smsc-answered": (Submitter, "answered", True, 20),
    "relay-answered": (SmtpCarrier, "_settled", True, 20),
    "not-told": (Child, "_flush", False, 30),
    "told": (Child, "_flush", True, 30),
    # Receipts that the server has not heard of; those that it has committed and the peer has not heard so.
    "receipts-not-told": (Child, "_report", False, 3),
    "receipts-not-acknowledged": (Child, "_kept", False, 3),
}
"""Name -> (owner, function, dies after it rather than before, the how manieth call)."""


def arm(point: str) -> None:
    owner, name, after, left = POINTS[point]
    original = inspect.getattr_static(owner, name)
    is_async = inspect.iscoroutinefunction(original)

    def is_last() -> bool:
        nonlocal left
        left -= 1
        return left == 0

    @functools.wraps(original)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        last = is_last()
        if last and (not after or is_async):
            os.kill(os.getpid(), signal.SIGKILL)
        result = original(*args, **kwargs)
        if last:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, wrapped)


def main() -> None:
    file, *arguments = sys.argv[1:]
    points = Path(file).read_text(encoding="utf-8").split()
    if points:
        Path(file).write_text("\n".join(points[1:]), encoding="utf-8")
        arm(points[0])
    child.main(arguments)


if __name__ == "__main__":
    main()
