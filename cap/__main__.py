"""`python -m cap check [--json] FILE...`: what is right and wrong with documents, for people and for programs."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cap import rules
from cap.limits import DEFAULT
from cap.problem import Problem
from cap.read import Reading, read

ACCEPTED, REJECTED, UNREADABLE = 0, 1, 2


def main(argv: Sequence[str]) -> int:
    """Check every file and print a verdict of each: 0 all accepted, 1 one rejected, 2 one unreadable or bad usage."""
    parser = argparse.ArgumentParser(prog="cap", description="Check CAP 1.2 documents.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    check = commands.add_parser("check", help="parse, validate by the schema and by every rule")
    check.add_argument("--json", action="store_true", help="one JSON object a line for each file")
    check.add_argument("files", nargs="+", metavar="FILE", help="a document, or - for standard input")
    try:
        arguments = parser.parse_args(argv)
    except SystemExit as exc:
        return UNREADABLE if exc.code else ACCEPTED
    return max(_check(file, as_json=arguments.json) for file in arguments.files)


def _check(file: str, *, as_json: bool) -> int:
    try:
        reading, status = read(_content(file)), ACCEPTED
    except (OSError, ValueError) as exc:  # ValueError: a name that no file can have
        reading, status = Reading(None, (rules.problem("FILE", "/", f"cannot be read: {exc}"),)), UNREADABLE
    print(json.dumps(_record(file, reading)) if as_json else _page(file, reading))
    return status if reading.accepted or status else REJECTED


def _content(file: str) -> bytes:
    # One byte more than the limit is enough to see that it is broken.
    if file == "-":
        return sys.stdin.buffer.read(DEFAULT.max_bytes + 1)
    with Path(file).open("rb") as stream:
        return stream.read(DEFAULT.max_bytes + 1)


def _verdict(reading: Reading) -> str:
    return "accept" if reading.accepted else "reject"


def _record(file: str, reading: Reading) -> dict[str, Any]:
    return {"file": file, "verdict": _verdict(reading), "problems": [_fields(item) for item in reading.problems]}


def _fields(problem: Problem) -> dict[str, Any]:
    return {name: getattr(problem, name) for name in Problem.__slots__}


def _page(file: str, reading: Reading) -> str:
    lines = [f"{file}: {_verdict(reading)}"]
    for problem in reading.problems:
        where = f"line {problem.line}, {problem.path}" if problem.line else problem.path
        value = f" ({problem.value})" if problem.value else ""
        lines.append(f"  {problem.level} {problem.rule} [{problem.section}] {where}: {problem.text}{value}")
        lines.append(f"    {problem.remedy}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
