"""Writes docs/modules.md: every module with the first sentence of its docstring, so that nobody has to guess.

python docs/list_modules.py            # writes the page
python docs/list_modules.py --check    # exit code 1 when it is not that of the docstrings
"""

import ast
import re
import sys
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "modules.md"
TOPS = ("cap", "channels", "store", "gateway", "loadtest")
_SENTENCE = re.compile(r"(.+?[.?])(?:\s|$)", re.DOTALL)

_HEAD = """# Where does this live

Every module with the first sentence of its own docstring, made by `python docs/list_modules.py`. docs/architecture.md
tells how the rooms stand on one another, and the way of one alert through them.
"""


def first_sentence(path: Path) -> str:
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    found = _SENTENCE.match(text.split("\n\n")[0])
    return " ".join((found[1] if found else text).split())


def page() -> str:
    modules = [
        path.relative_to(ROOT)
        for top in TOPS
        for path in sorted((ROOT / top).rglob("*.py"), key=lambda path: (path.parent, path.name))
        if "versions" not in path.parts and path.stat().st_size
    ]
    lines = [_HEAD]
    for folder, members in groupby(modules, key=lambda path: path.parent):
        rows = list(members)
        package = next((path for path in rows if path.name == "__init__.py"), None)
        lines.append(f"\n## {folder}/\n")
        if package is not None:
            lines.append(f"{first_sentence(ROOT / package)}\n")
        lines += [f"- `{path.name}`: {first_sentence(ROOT / path)}" for path in rows if path != package]
    return "\n".join(lines) + "\n"


def main() -> int:
    if "--check" in sys.argv[1:]:
        return int(PAGE.read_text(encoding="utf-8") != page())
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
