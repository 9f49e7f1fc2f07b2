"""Where a zone lies: rings and codes. What is published for a zone must lie in it.

Pure and CPU-bound (`beyond`): call it in a thread.
"""

from collections.abc import Collection, Iterable, Sequence

import msgspec
import shapely

from gateway.directory import point_in_area
from gateway.directory.prepared_targets import PreparedTargets
from gateway.directory.targets import Point

MARGIN_M = 5_000
"""An area may reach so far beyond a territory, from north to south; from east to west it is less, 3.2 km at 51 degrees:
what drifts does not stop at a border, and a drawing is never exact."""
_MARGIN_E7 = round(MARGIN_M / 111_195 * point_in_area.E7)


class Territory(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    rings: tuple[tuple[Point, ...], ...] = ()
    """Of (latitude, longitude) in degrees."""
    codes: tuple[tuple[str, str], ...] = ()
    """(system, value), as `geocode_systems.read_geocode` gives them."""


def read_territory(text: str) -> Territory | None:
    """The territory of a zone's row; None where nobody has said where it lies. Raises msgspec.MsgspecError."""
    return msgspec.json.decode(text, type=Territory) if text else None


def write_territory(territory: Territory) -> str:
    """The text of `zone.territory`."""
    return "" if territory == Territory() else msgspec.json.encode(territory).decode()


def beyond(
    ground: PreparedTargets, territories: Sequence[Territory], own: Collection[tuple[str, str]]
) -> tuple[str, ...]:
    """The names of the areas that lie beyond all these territories together, or of which that cannot be known.

    `own`: codes of the zones themselves, of their networks and groups: (system, value).
    """
    rings = [ring for territory in territories for ring in territory.rings]
    land = _wide(rings) if rings else None
    codes = {code for territory in territories for code in territory.codes}.union(own)
    names = [name for name, shape in ground.shapes if land is None or not _lies_in(shape, land)]
    names += [geocode.area for geocode, code in ground.codes if (code.system, code.value) not in codes]
    return tuple(dict.fromkeys((*names, *_unplaced(ground))))


def _wide(rings: Sequence[Sequence[Point]]) -> shapely.Geometry:
    wide = shapely.buffer(point_in_area.territory(rings), _MARGIN_E7)
    shapely.prepare(wide)
    return wide


def _lies_in(shape: point_in_area.Shape, land: shapely.Geometry) -> bool:
    # The parts are the same shape, a turn of the earth apart.
    return any(bool(shapely.covers(land, part)) for part in shape.parts)


def _unplaced(ground: PreparedTargets) -> Iterable[str]:
    """Areas of which nothing, or not everything, could be read."""
    targets = ground.targets
    yield from targets.empty_areas
    drawn = [*(polygon.area for polygon in targets.polygons), *(circle.area for circle in targets.circles)]
    if len(ground.shapes) < len(drawn):
        read = {name for name, _ in ground.shapes}
        yield from [name for name in drawn if name not in read] or drawn
    understood = {geocode for geocode, _ in ground.codes}
    yield from (geocode.area for geocode in targets.geocodes if geocode not in understood)
