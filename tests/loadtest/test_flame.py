"""Flame graphs: every sample is in its frames, and what is drawn is XML that a browser reads."""

from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from loadtest.flame import StackFrame, drawn, tree

NAMES = st.text(alphabet="abc<&>.()/ ", min_size=1, max_size=8).filter(lambda name: name == name.strip())
STACKS = st.lists(st.tuples(st.lists(NAMES, min_size=1, max_size=5), st.integers(1, 9)), min_size=1, max_size=20)


def lines(stacks: list[tuple[list[str], int]]) -> list[str]:
    return [f"{';'.join(names)} {count}" for names, count in stacks]


@given(STACKS)
def test_a_frame_has_the_samples_of_all_that_it_calls(stacks: list[tuple[list[str], int]]) -> None:
    def check(frame: StackFrame) -> None:
        assert frame.samples >= sum(called.samples for called in frame.calls.values())
        for called in frame.calls.values():
            check(called)

    root = tree(lines(stacks))
    assert root.samples == sum(count for _, count in stacks)
    check(root)
    etree.fromstring(drawn(root, "a & b <c>").encode())


def test_lines_of_one_function_are_one_frame_and_what_is_below_the_loop_is_left_away() -> None:
    root = tree(
        [
            "main (m.py:1);run (loop.py:9);work (gateway/a.py:3) 2",
            "main (m.py:1);run (loop.py:9);work (gateway/a.py:7) 3",
        ],
        below="run (loop",
    )
    assert list(root.calls) == ["work (gateway/a.py)"]
    assert root.calls["work (gateway/a.py)"].samples == 5
    assert "work (gateway/a.py): 100.0%" in drawn(root, "t")
