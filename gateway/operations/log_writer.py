"""The way of log lines out of the process: a queue with a bound, and a thread that writes.

Whoever reads the log may stand still (a terminal, a pipe, a full journal): the gateway never waits for it. What the
queue cannot hold is dropped and counted, and the count is told as soon as a line can be written again.
"""

import logging
import os
import threading
from collections import deque

MOST_BYTES = 4 * 1_048_576
"""Of lines that wait: some minutes of a busy server."""
FLUSH_S = 1.0
"""How long the end of the process waits for its last lines."""
_AT_ONCE = 65_536
"""Bytes in one write."""


class LogWriter(logging.Handler):
    """`fd`: an open file descriptor, not closed here. `most_bytes`: of lines that wait, each counted until it has
    been written."""

    def __init__(self, fd: int, most_bytes: int = MOST_BYTES) -> None:
        super().__init__()
        self.dropped = 0
        """Lines that nobody will read: the queue was full, the reader has gone, or a line could not be made."""
        self._fd = fd
        self._most_bytes = most_bytes
        self._lines: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._told = 0
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._write, name="log", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record).encode("utf-8", "replace") + b"\n"
        except Exception:
            # Nothing that a peer sends may stop whoever logs it, and there is nowhere else to tell it.
            with self._changed:
                self.dropped += 1
            return
        with self._changed:
            if self._waiting_bytes + len(line) > self._most_bytes:
                self.dropped += 1
                return
            self._lines.append(line)
            self._waiting_bytes += len(line)
            self._changed.notify_all()

    def flush(self) -> None:
        """Waits until all lines are written, `FLUSH_S` at most."""
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting_bytes, FLUSH_S)

    def close(self) -> None:
        """Has the thread end once all lines are written; a reader that stands still keeps it, and nothing else."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        super().close()

    def _write(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._lines or self._closed)
                if not self._lines:
                    return
                lines = self._taken()
            whole = b"".join(lines)
            written = self._put(whole)
            with self._changed:
                self._waiting_bytes -= len(whole)
                if not written:
                    self.dropped += len(lines)
                untold = self.dropped - self._told
                self._changed.notify_all()
            if written and untold and self._put(self._loss(untold)):
                self._told += untold

    def _taken(self) -> list[bytes]:
        lines = [self._lines.popleft()]
        size = len(lines[0])
        while self._lines and size + len(self._lines[0]) <= _AT_ONCE:
            lines.append(self._lines.popleft())
            size += len(lines[-1])
        return lines

    def _loss(self, lines: int) -> bytes:
        told = logging.makeLogRecord(
            {
                "name": __name__,
                "levelno": logging.WARNING,
                "levelname": "WARNING",
                "msg": "log lines were dropped: whoever reads the log was too slow, or away",
                "action": "log-dropped",
                "lines": lines,
            }
        )
        return self.format(told).encode() + b"\n"

    def _put(self, octets: bytes) -> bool:
        """False when they cannot be written: the reader has closed its end, or the disk is full."""
        left = memoryview(octets)
        try:
            while left:
                left = left[os.write(self._fd, left) :]
        except OSError:
            return False
        return True
