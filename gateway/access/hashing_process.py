"""The process of hashing, as the server sees it: made with the first job, made anew when it has died, one job a time.

An outcome is its job's or nobody's: who leaves while his job is done takes the process with him.
"""

import asyncio
import contextlib
import logging
import os
import sys
from dataclasses import dataclass, field

import msgspec

from gateway.access.hash_jobs import HashJob, HashOutcome, NumberedJob

log = logging.getLogger(__name__)
_ENVIRONMENT = ("LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "TZ")
LONGEST_S = 60.0
"""Of one job, on a machine whose cores are all others'."""


class HashingDied(Exception):
    """The process ended in the middle of a job, or said something else than its outcome."""


@dataclass(slots=True)
class HashingProcess:
    command: tuple[str, ...] = (sys.executable, "-P", "-m", "gateway.access.hashing_child")
    longest_s: float = LONGEST_S
    lives: int = field(default=0, init=False)
    _process: asyncio.subprocess.Process | None = field(default=None, init=False, repr=False)
    _is_closed: bool = field(default=False, init=False, repr=False)
    _number: int = field(default=0, init=False, repr=False)

    async def do(self, job: HashJob) -> HashOutcome:
        """One at a time: the caller sees to that. A process that has died is made anew once. Raises HashingDied,
        TimeoutError, OSError."""
        try:
            return await self._done(job)
        except HashingDied:
            if self._is_closed:
                raise
            log.warning("the process of hashing died", extra={"action": "hashing-died", "lives": self.lives})
            return await self._done(job)

    async def close(self) -> None:
        """Ends it for good."""
        self._is_closed = True
        await self._end()

    async def _end(self) -> None:
        """It is made anew with the next job."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        transport = getattr(process, "_transport", None)
        if transport is not None:
            transport.close()

    async def _done(self, job: HashJob) -> HashOutcome:
        self._number += 1
        number = self._number
        is_whole = False
        try:
            async with asyncio.timeout(self.longest_s):
                line = await self._asked(msgspec.json.encode(NumberedJob(number, job)) + b"\n")
            outcome = _read(line, number)
            is_whole = True
            return outcome
        finally:
            if not is_whole:
                # What it still says is of no job of ours.
                await asyncio.shield(self._end())

    async def _asked(self, line: bytes) -> bytes:
        process = await self._made()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(line)
            await process.stdin.drain()
            return await process.stdout.readline()
        except ConnectionError as exc:
            raise HashingDied from exc

    async def _made(self) -> asyncio.subprocess.Process:
        if self._is_closed:
            raise HashingDied
        if self._process is None or self._process.returncode is not None:
            pipe = asyncio.subprocess.PIPE
            # Not of the terminal's group: what ends the server there ends this by the end of its input.
            self._process = await asyncio.create_subprocess_exec(
                *self.command, stdin=pipe, stdout=pipe, start_new_session=True, env=_environment()
            )
            self.lives += 1
        return self._process


def _environment() -> dict[str, str]:
    """Where modules are found is the same there. Of our environment, which may hold secrets, it has what it needs."""
    kept = {key: os.environ[key] for key in _ENVIRONMENT if key in os.environ}
    return kept | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def _read(line: bytes, number: int) -> HashOutcome:
    try:
        outcome = msgspec.json.decode(line, type=HashOutcome)
    except msgspec.DecodeError as exc:
        raise HashingDied from exc
    if outcome.number != number:
        raise HashingDied
    return outcome
