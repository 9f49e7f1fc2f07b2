"""Which revision of the tables this program needs, and what to do about another one."""

import re
from pathlib import Path

from store.errors import SchemaMismatch

MIGRATIONS = Path(__file__).parents[1] / "migrations"


def newest() -> str:
    """The revision of this version of the program: the highest number before the name of a migration's file."""
    names = (re.match(r"\d+", file.name) for file in (MIGRATIONS / "versions").iterdir())
    return max(found[0] for found in names if found)


def require(found: str | None, where: str) -> None:
    """Raises SchemaMismatch, saying what to do. `found`: what the store has, None for no tables; `where` it is."""
    if found is None:
        raise SchemaMismatch(f"there is no store in {where}: 'tocsin migrate' makes one")
    needed = newest()
    if found < needed:
        raise SchemaMismatch(f"the tables are at revision {found}, this version needs {needed}: run 'tocsin migrate'")
    if found > needed:
        raise SchemaMismatch(
            f"the tables are at revision {found}, of a newer version of tocsin than this one ({needed}): "
            "run that version, or restore a backup from before its upgrade"
        )
