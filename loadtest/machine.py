"""The machine in a line, and how much of it somebody else was using meanwhile: without that, no figure can be read."""

import contextlib
import os
import resource
import time
from pathlib import Path

from gateway.operations.calibration import build, calibrate
from loadtest.stage import machine_cpu_s


def described() -> str:
    """Cores, processor, memory, Python's build, and what a step of it takes now (30 ms of CPU)."""
    model = "unknown processor"
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} cores ({model}), {memory_gib:.0f} GiB, {build()}; {calibrate()}"


class Others:
    """CPU that is not ours, from its making on. Ask when every process of ours has ended."""

    def __init__(self) -> None:
        self._begun_s = time.monotonic()
        self._strange_s = machine_cpu_s() - _ours_s()

    def cores(self) -> float:
        """How many cores others used, on average; 0 where nobody tells."""
        took_s = time.monotonic() - self._begun_s
        return max(0.0, (machine_cpu_s() - _ours_s() - self._strange_s) / took_s)


def _ours_s() -> float:
    """This process and all that it started and saw the end of."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)
