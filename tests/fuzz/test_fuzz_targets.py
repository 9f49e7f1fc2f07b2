"""The search for inputs that break a parser finds one that is broken, and nothing in ours for a second each."""

import pytest

from tests.fuzz.targets import TARGETS, Target, search


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_is_found_in_a_second(name: str) -> None:
    *found, (tried, wrong, _) = search(TARGETS[name], 1.0, seed=5)

    assert [wrong for _, wrong, _ in found] == []
    assert (tried > 200, wrong) == (True, "")


@pytest.mark.parametrize("name", TARGETS)
def test_each_source_is_one_that_its_parser_takes(name: str) -> None:
    for source in TARGETS[name].sources:
        TARGETS[name].run(source)


def test_a_parser_that_raises_or_takes_long_is_found() -> None:
    import time

    def broken(data: bytes) -> None:
        if b"\xff" in data:
            raise KeyError(data[:1])
        if b"9999" in data:
            until = time.thread_time() + 0.3
            while time.thread_time() < until:
                pass

    found = search(Target((b"abc",), broken), 2.0, seed=1)
    wrong = {wrong.partition(" ")[0] for _, wrong, _ in found}

    assert {"raised", "took"} <= wrong
