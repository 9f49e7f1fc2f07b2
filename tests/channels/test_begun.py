"""A byte a message says whether an octet of it may have left, to whichever process asks, and errs towards "may"."""

import os
import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from channels.begun import begun_bytes


def test_what_was_not_begun_is_known_and_what_was_begun_too() -> None:
    begun = begun_bytes(8)
    first, second = begun.allot(), begun.allot()
    begun(second)

    assert not begun.has_begun(first)
    assert begun.has_begun(second)


@given(st.integers(1, 20), st.lists(st.booleans(), max_size=60))
def test_nothing_that_was_begun_is_ever_thought_unbegun(count: int, steps: list[bool]) -> None:
    begun = begun_bytes(count)
    written = []
    for begins in steps:
        number = begun.allot()
        if begins:
            begun(number)
            written.append(number)

    assert all(begun.has_begun(number) for number in written)
    assert begun.has_begun(0)
    assert begun.has_begun(len(steps) + 1)


def test_what_another_process_begins_is_seen_here_after_its_death() -> None:
    begun = begun_bytes(8)
    numbers = [begun.allot() for _ in range(3)]
    program = (
        "import os, signal, sys\n"
        "from channels.begun import shared\n"
        f"shared({begun.fd}, 0, 8)({numbers[1]})\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", program], pass_fds=[begun.fd], check=False, cwd=os.getcwd())

    assert [begun.has_begun(number) for number in numbers] == [False, True, False]
