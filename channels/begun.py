"""Which messages a carrier has begun to write: a byte each, in memory that outlives the process that sets it.

Whoever grants messages allots the bytes; whichever process writes a message sets its byte before the first octet
leaves. The bytes go round: one is used again for a later message, long after the first one was answered.
"""

import mmap
import os


class BegunBytes:
    """Called with the number of a message before its first octet leaves (`contract.Outgoing.begins`).

    A process sees what another one sets; only one of them allots. Nothing here waits for a disk.
    """

    def __init__(self, memory: mmap.mmap, fd: int, at: int, count: int) -> None:
        """`count` bytes of `memory`, the file `fd`, from `at` on."""
        self.fd, self.at, self.count = fd, at, count
        self._memory = memory
        self._last = 0

    def __call__(self, number: int) -> None:
        self._memory[self.at + number % self.count] = 1

    def allot(self) -> int:
        """The number of a message of which no octet has left."""
        number = self._last = self._last + 1
        self._memory[self.at + number % self.count] = 0
        return number

    def has_begun(self, number: int) -> bool:
        """Whether an octet of it may have left. Of a number that was never allotted, or whose byte is another's by now,
        nobody can tell, and it may."""
        if not self._last - self.count < number <= self._last or number < 1:
            return True
        return self._memory[self.at + number % self.count] != 0


def begun_bytes(count: int) -> BegunBytes:
    """In memory that has no name and ends with the last process that holds it. Raises OSError."""
    fd = os.memfd_create("begun", os.MFD_CLOEXEC)
    os.ftruncate(fd, count)
    return BegunBytes(mmap.mmap(fd, count), fd, 0, count)


def shared(fd: int, at: int, count: int) -> BegunBytes:
    """Those of another process, which allots them. Raises OSError or ValueError for a file that is too short."""
    return BegunBytes(mmap.mmap(fd, at + count), fd, at, count)
