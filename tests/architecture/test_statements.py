"""Statements of the seed and invariants are counted truly: each has tests that exist, or says what is missing."""

import ast
from pathlib import Path

import pytest

from tests.acceptance.statements import INVARIANTS, STATEMENTS, Statement, statements, told

ROOT = Path(__file__).parents[2]


def test_every_statement_and_every_invariant_stands_there_once_and_in_order() -> None:
    wanted = [f"S{n:02}" for n in range(1, STATEMENTS + 1)] + [f"I{n:02}" for n in range(1, INVARIANTS + 1)]

    assert [s.id for s in statements()] == wanted


@pytest.mark.parametrize("statement", statements(), ids=lambda s: s.id)
def test_each_names_tests_that_there_are_or_says_what_is_missing(statement: Statement) -> None:
    assert bool(statement.tests) != bool(statement.missing)
    for test in statement.tests:
        file, _, name = test.partition("::")
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        found = {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)}
        assert name in found, f"{file} has no {name}"


def test_what_did_not_pass_is_not_shown() -> None:
    every = {test for s in statements() for test in s.tests}

    lines, well = told(every)
    assert well
    assert lines == [
        f"{sum(bool(s.tests) for s in statements() if s.id[0] == letter)} of {most} {what} shown"
        for letter, most, what in (("I", INVARIANTS, "invariants"), ("S", STATEMENTS, "statements of the seed"))
    ]
    one = min(every)
    lines, well = told(every - {one})
    assert not well
    assert any(one in line for line in lines)
