"""What this machine's Python can do: how it was built, and two figures without which no other one can be compared.

A build without profile-guided optimisation takes about twice the time for each step, and so for each message.
"""

import os
import platform
import sys
import sysconfig
import time
from dataclasses import dataclass

_STEPS, _CALLS, _TRIES = 100_000, 20_000, 5
"""Some 30 ms in all: the best of five tries is what the machine can do, whatever else it is doing."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """Two figures of this process's interpreter, on this machine, now."""

    loop_step_ns: float
    """One turn of an empty loop, in nanoseconds: 15 to 35 on an optimised build, twice that on another."""
    system_call_us: float
    """One system call that does nothing, in microseconds."""

    def __str__(self) -> str:
        return f"{self.loop_step_ns:.0f} ns a loop step, {self.system_call_us:.2f} us a system call"


def calibrate() -> Calibration:
    """Measures both; takes some 30 ms of CPU, so not on a loop that others wait for."""
    return Calibration(
        loop_step_ns=min(_steps_s() for _ in range(_TRIES)) / _STEPS * 1e9,
        system_call_us=min(_calls_s() for _ in range(_TRIES)) / _CALLS * 1e6,
    )


def is_optimised() -> bool:
    """Whether the interpreter was built with profile-guided optimisation. A distribution's own build is, though its
    flags do not say so; any other names the option it was configured with."""
    return sys.base_prefix == "/usr" or "--enable-optimizations" in (sysconfig.get_config_var("CONFIG_ARGS") or "")


def build() -> str:
    """The interpreter in a few words: `CPython 3.11.2, optimised build`."""
    kind = "optimised build" if is_optimised() else "built WITHOUT optimisation"
    return f"{platform.python_implementation()} {platform.python_version()}, {kind}"


def _steps_s() -> float:
    begun_s = time.perf_counter()
    for _ in range(_STEPS):
        pass
    return time.perf_counter() - begun_s


def _calls_s() -> float:
    begun_s = time.perf_counter()
    for _ in range(_CALLS):
        os.getppid()
    return time.perf_counter() - begun_s
