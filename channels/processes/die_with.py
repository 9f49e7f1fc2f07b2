"""How a process that another one has made ends with it, and what `ps` calls it."""

import os
import signal

_PR_SET_PDEATHSIG, _PR_SET_NAME = 1, 15  # linux/prctl.h


def die_with(parent: int, name: str) -> None:
    """End this process by force when its parent has ended, and show it under this name (15 octets of it)."""
    try:
        import ctypes

        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        libc.prctl(_PR_SET_NAME, name.encode()[:15], 0, 0, 0)
    except (ImportError, MemoryError, OSError, AttributeError) as exc:
        # Not Linux, or no memory may be made executable: the end of the socket and the locks that it holds are left.
        os.write(2, f"{name} cannot ask to die with its parent: {exc}\n".encode())
    if os.getppid() != parent:  # it ended before that was asked for
        os._exit(0)
