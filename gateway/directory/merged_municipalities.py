"""Municipalities that merged on 2025-01-01 (Statbel's refnis): an old code means the one it became part of.

Data and one look-up. Registers and dispatch systems change their tables at different times; both sides of a
comparison go through `current`, so an alert never misses a member for that.
"""

_MERGED = {
    11002: (11007,),
    23106: (23023, 23024, 23032),
    37021: (37012, 37018),
    37022: (37007, 37015),
    44086: (44012, 44048),
    44087: (44034, 44073),
    44088: (44040, 44043),
    46029: (44045, 46014),
    46030: (11056, 46003, 46013),
    71071: (71057, 71069),
    71072: (71022, 73040),
    73110: (73006, 73032),
    73111: (73009, 73083),
    82039: (82003, 82005),
}
_BECAME = {old: new for new, olds in _MERGED.items() for old in olds}


def current(refnis: str) -> str:
    """The code in the edition of 2025 for a five-digit code of that edition or of the one before."""
    return str(_BECAME.get(int(refnis), refnis))


def renumbered() -> dict[int, int]:
    """The table from each old code to the current one."""
    return dict(_BECAME)
