"""The interpreter says how it was built, and what a step of it takes."""

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from gateway.operations.calibration import build, calibrate, is_optimised

SETUP = Path(__file__).parents[3] / "config" / "setup.sh"


def built(monkeypatch: pytest.MonkeyPatch, *, prefix: str, arguments: str | None) -> None:
    monkeypatch.setattr(sys, "base_prefix", prefix)
    monkeypatch.setattr(sysconfig, "get_config_var", lambda name: arguments if name == "CONFIG_ARGS" else None)


@pytest.mark.parametrize(
    ("prefix", "arguments", "optimised"),
    [
        pytest.param("/usr", "'--without-ensurepip'", True, id="a distribution's own, whose flags do not say so"),
        pytest.param("/usr/local", "'--enable-optimizations' '--with-lto'", True, id="configured so"),
        pytest.param("/opt/python", "'--prefix=/opt/python'", False, id="configured without"),
        pytest.param("/opt/python", None, False, id="says nothing"),
    ],
)
def test_a_build_is_optimised_where_it_was_configured_so(
    monkeypatch: pytest.MonkeyPatch, prefix: str, arguments: str | None, *, optimised: bool
) -> None:
    built(monkeypatch, prefix=prefix, arguments=arguments)
    assert is_optimised() is optimised
    assert ("WITHOUT" in build()) is not optimised


def test_both_figures_are_of_this_machine() -> None:
    measured = calibrate()
    assert 1 < measured.loop_step_ns < 10_000
    assert 0.01 < measured.system_call_us < 1_000
    assert (
        str(measured) == f"{measured.loop_step_ns:.0f} ns a loop step, {measured.system_call_us:.2f} us a system call"
    )


def test_the_setup_asks_what_the_command_asks() -> None:
    """The shell cannot import the module: it holds the same condition, here tried on this interpreter."""
    script = SETUP.read_text(encoding="utf-8")
    condition = script[script.index("optimised() {") : script.index("makes_environments")]
    asked = subprocess.run(["sh", "-c", f'{condition}\noptimised "{sys.executable}"'], timeout=60)
    assert (asked.returncode == 0) is is_optimised()
