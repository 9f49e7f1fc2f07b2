"""`cap` can be lifted out: its page of documentation is true, and it needs nothing of this project."""

import ast
import doctest
import re
import subprocess
import sys
from pathlib import Path

import cap

PACKAGE = Path(cap.__file__).parent


def test_the_example_of_the_documentation_runs():
    result = doctest.testmod(cap)

    assert result.attempted > 8
    assert result.failed == 0


def test_what_the_documentation_names_is_there():
    named = set(re.findall(r"cap\.([a-z_]+)(?=[ :]+\w+\()", cap.__doc__))

    assert {"signing", "thread", "answer", "edxl", "geojson"} <= named
    for module in named - {"check", "write", "read"}:
        assert (PACKAGE / f"{module}.py").is_file(), module
    for name in cap.__all__:
        assert getattr(cap, name) is not None


def test_the_package_imports_nothing_of_this_project_but_itself():
    imported = set()
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add((node.module or "").partition(".")[0])

    assert imported - set(sys.stdlib_module_names) == {"cap", "lxml", "xmlschema", "signxml", "cryptography"}


def test_reading_alerts_loads_neither_xmlschema_nor_cryptography():
    code = "import cap, sys; print([name for name in ('xmlschema', 'cryptography', 'signxml') if name in sys.modules])"

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True, cwd=PACKAGE.parent
    )

    assert done.stdout.strip() == "[]"
