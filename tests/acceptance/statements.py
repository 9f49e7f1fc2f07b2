"""Which statements of the seed, and which invariants, the tests of a run have shown.

    SHOWN=FILE pytest ...                            # adds the tests that passed to the file (tests/conftest.py)
    python -m tests.acceptance.statements FILE       # "n of 62 statements of the seed shown", and what is missing

Exit code 1 when a test that a statement names did not pass in that run.
"""

import sys
import tomllib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

STATEMENTS, INVARIANTS = 62, 17
_FILE = Path(__file__).with_suffix(".toml")


@dataclass(frozen=True, slots=True)
class Statement:
    id: str
    """S01 to S62 of the seed, I01 to I17 of the design."""
    says: str
    tests: tuple[str, ...]
    """`file::function`, with all their parameters. None: it is missing."""
    missing: str
    """Why."""

    def is_shown(self, passed: Collection[str]) -> bool:
        return bool(self.tests) and all(test in passed for test in self.tests)


def statements() -> list[Statement]:
    table = tomllib.loads(_FILE.read_text(encoding="utf-8"))
    return [Statement(id, s["says"], tuple(s.get("tests", ())), s.get("missing", "")) for id, s in table.items()]


def told(passed: Collection[str]) -> tuple[list[str], bool]:
    """Lines, and whether every test that is named has passed."""
    every = statements()
    lines = []
    for s in every:
        lines += [f"{s.id} {test} did not pass" for test in s.tests if test not in passed]
    fell = bool(lines)
    for letter, most, what in (("I", INVARIANTS, "invariants"), ("S", STATEMENTS, "statements of the seed")):
        shown = [s for s in every if s.id.startswith(letter) and s.is_shown(passed)]
        lines.append(f"{len(shown)} of {most} {what} shown")
    return lines, not fell


if __name__ == "__main__":
    lines, well = told(set(Path(sys.argv[1]).read_text(encoding="utf-8").split()))
    print("\n".join(lines))
    sys.exit(0 if well else 1)
