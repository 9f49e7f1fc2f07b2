"""Shapes on integers: polygons and circles in units of 1e-7 degree, and the grid that finds positions in them.

Positions and vertices are rounded to integers first, so that GEOS decides exactly and whoever stands on the
boundary is in (measured: 2,403 of 2,403 boundary points; as degrees only 1,977). Edges are straight
in longitude and latitude, as in RFC 7946. CPU-bound: call it in a thread. A `Shape` is prepared by GEOS at its
first use and is to be used by one thread at a time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
from pyproj import Geod

from gateway.directory.columns import Int64
from gateway.directory.targets import Point

E7 = 10_000_000
HALF_TURN = 180 * E7
TURN = 360 * E7
MAX_RADIUS_KM = 2_000.0

Int32 = npt.NDArray[np.int32]
Mask = npt.NDArray[np.bool_]
Float64 = npt.NDArray[np.float64]

_LAT_SHIFT = 15  # rows of 2^15 units: 364 m
_LON_SHIFT = 16  # columns of 2^16 units: 461 m at 50.85 N
_STRIDE = 1 << 16  # more than the 54,932 columns round the earth
_MEAN_RADIUS_M = 6_371_008.8
# Haversine is within -0.45..+0.56 % of the WGS 84 geodesic worldwide, measured.
_HAVERSINE_ERROR = 0.0057
_CIRCLE_CORNERS = 360
_BORDER_E7 = 450
_SWAPPED = "Longitude seems to stand before latitude: write latitude first."


class ShapeRefused(ValueError):
    """The coordinates are no area; the text says why, in a sentence."""


MOST_OVERLAPS = 5_000_000
"""Pairs of sides that a request may have beside one another, over all its rings: a quarter of a second of a thread. A
coast of 50,000 points that turns at each of them has three million."""
MOST_CROSSINGS = 2_000
"""Of sides of its rings with one another: each costs some 20 us to mend."""


class Effort:
    """What is left of the comparisons that one request may cost. Looking at a ring takes time in proportion to the
    pairs of its sides that lie beside one another, mending one in proportion to its crossings: both can be the square
    of the points."""

    def __init__(self, overlaps: int = MOST_OVERLAPS, crossings: int = MOST_CROSSINGS) -> None:
        self._overlaps, self._crossings = overlaps, crossings

    def compare(self, corners: Float64) -> None:
        """Takes the cost of looking at a ring off what is left. Raises ShapeRefused where it is more than that."""
        self._overlaps -= _beside(corners)
        if self._overlaps < 0:
            raise ShapeRefused("The ring winds so much that it cannot be looked at: draw it simpler.")

    def mend(self, corners: Float64) -> None:
        """Takes the cost of mending a ring that crosses itself off what is left. Raises ShapeRefused as `compare`
        does."""
        self._crossings -= _crossings(corners, self._crossings)
        if self._crossings < 0:
            raise ShapeRefused("The ring crosses or touches itself too often to be mended: draw it simpler.")


def _beside(corners: Float64) -> int:
    """At most so many pairs of sides have a place in common: those side by side from south to north, or from west to
    east, whichever are fewer."""
    low, high = np.minimum(corners[:-1], corners[1:]), np.maximum(corners[:-1], corners[1:])
    return min(_sharing(low[:, axis], high[:, axis]) for axis in (0, 1))


def _sharing(low: Float64, high: Float64) -> int:
    """Pairs of intervals that share a point."""
    begun = np.searchsorted(np.sort(low), high, "right")
    over = np.searchsorted(np.sort(high), low, "left")
    return int((begun - over).sum() - len(low)) // 2


_SIDES_AT_ONCE = 64


def _crossings(corners: Float64, most: int) -> int:
    """Pairs of sides that meet, neighbours left out; counting ends some way beyond `most`."""
    sides = shapely.linestrings(np.stack([corners[:-1], corners[1:]], axis=1))
    tree = shapely.STRtree(sides)
    met = 0
    for first in range(0, len(sides), _SIDES_AT_ONCE):
        some = sides[first : first + _SIDES_AT_ONCE]
        met += tree.query(some, predicate="intersects").shape[1] - 3 * len(some)
        if met > 2 * most:
            break
    return max(0, met) // 2


@dataclass(frozen=True, slots=True)
class CircleOnGround:
    lat: float
    lon: float
    radius_m: float


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """An area on the ground. For a circle the polygon encloses it and the distance decides."""

    parts: tuple[Any, ...]
    """GEOS polygons on integer coordinates (longitude, latitude); two when it crosses the antimeridian."""
    circle: CircleOnGround | None = None
    repaired: bool = False
    """The ring crossed itself; what it winds round counts as inside, so that nobody is left out."""
    collapsed: bool = False
    """The ring encloses nothing, as rounding leaves it: it is the line, or the point, that its points lie on."""

    def meets(self, tree: shapely.STRtree) -> Int64:
        """Indexes of the tree's geometries that share at least a point with this shape, ascending."""
        found = [tree.query(part, predicate="intersects") for part in self.parts]
        return np.unique(np.concatenate(found)).astype(np.int64)

    def only_borders(self, territories: Any) -> Mask:
        """Of territories that it meets: those of which it has no more than a strip along their border, narrower than
        5 m from north to south and 3 m from east to west (`_BORDER_E7`): a drawing along a border is never exact. A
        line or a point has nothing else to meet with: it borders on nothing."""
        if self.collapsed or not len(territories):
            return np.zeros(len(territories), np.bool_)
        # Most lie in it as a whole, and need no look at their borders.
        x, y = shapely.get_coordinates(shapely.point_on_surface(territories)).T
        borders: Mask = ~np.any([shapely.intersects_xy(part, x, y) for part in self.parts], axis=0)
        doubtful = np.flatnonzero(borders)
        cores = shapely.buffer(territories[doubtful], -_BORDER_E7, join_style="mitre")
        reached = np.any([shapely.intersects(part, cores) for part in self.parts], axis=0)
        narrow = np.flatnonzero(shapely.is_empty(cores))
        shared = [shapely.area(shapely.intersection(part, territories[doubtful[narrow]])) > 0 for part in self.parts]
        reached[narrow] = np.any(shared, axis=0)
        borders[doubtful[reached]] = False
        return borders


def point_e7(lat: float, lon: float) -> tuple[int, int]:
    """A position as (lon_e7, lat_e7). Raises ShapeRefused."""
    if not (abs(lat) <= 90 and abs(lon) <= 180):
        raise ShapeRefused(f"{lat},{lon} is no latitude and longitude.")
    if 2.5 < lat < 6.5 and 49.4 < lon < 51.6:
        raise ShapeRefused(_SWAPPED)
    return round(lon * E7), round(lat * E7)


def polygon(points: Sequence[Point], effort: Effort | None = None) -> Shape:
    """The area of a closed ring of (latitude, longitude) in degrees. Raises ShapeRefused, also where it would cost more
    than what is left of the effort (that of one request, if none is given)."""
    degrees = _checked(points)
    if len(degrees) < 4:
        raise ShapeRefused("A ring needs at least four points, the last equal to the first.")
    if tuple(degrees[0]) != tuple(degrees[-1]):
        raise ShapeRefused("The ring is not closed: its last point is not its first.")
    return _ring(degrees, effort or Effort())


def circle(lat: float, lon: float, radius_km: float) -> Shape:
    """All that lies within `radius_km` of a point along the ellipsoid, its rim included. Raises ShapeRefused."""
    _checked([(lat, lon)])
    if not 0 <= radius_km <= MAX_RADIUS_KM:
        raise ShapeRefused(f"A radius is 0 to {MAX_RADIUS_KM:,.0f} km.")
    # Around the circle, not in it; a point's circle still needs a ring to look in.
    rim_m = max(radius_km * 1000 / np.cos(np.pi / _CIRCLE_CORNERS), 1.0)
    bearings = np.linspace(0, 360, _CIRCLE_CORNERS + 1)
    size = len(bearings)
    lons, lats, _ = Geod(ellps="WGS84").fwd(np.full(size, lon), np.full(size, lat), bearings, np.full(size, rim_m))
    rim = np.column_stack([lats, lons])
    rim[-1] = rim[0]
    return Shape(_ring(rim, Effort()).parts, CircleOnGround(lat, lon, radius_km * 1000))


def territory(rings: Sequence[Sequence[Point]]) -> Any:
    """The union of rings as one GEOS geometry on integers. Raises ShapeRefused."""
    shapes = [polygon(ring) for ring in rings]  # the register's own: each has an effort of its own
    if any(shape.collapsed for shape in shapes):
        raise ShapeRefused("The ring encloses nothing: its points lie on a line.")
    parts = [part for shape in shapes for part in shape.parts]
    if not parts:
        raise ShapeRefused("A territory needs at least one ring.")
    return parts[0] if len(parts) == 1 else shapely.union_all(parts)


def _checked(points: Sequence[Point] | Float64) -> Float64:
    # Three times as quick as np.asarray on a tuple of pairs.
    degrees = np.fromiter(chain.from_iterable(points), np.float64).reshape(-1, 2)
    lat, lon = degrees[:, 0], degrees[:, 1]
    inside = (np.abs(lat) <= 90) & (np.abs(lon) <= 180)  # false for NaN as well
    swapped = (lat > 2.5) & (lat < 6.5) & (lon > 49.4) & (lon < 51.6)
    if len(degrees) and bool(swapped.all()):
        raise ShapeRefused(_SWAPPED)
    if not inside.all():
        bad = points[int(np.argmin(inside))]
        raise ShapeRefused(f"{bad[0]},{bad[1]} is no latitude and longitude.")
    return degrees


def _ring(degrees: Float64, effort: Effort) -> Shape:
    lat, lon = np.rint(degrees.T * E7)
    steps = np.diff(lon)
    unwrapped = lon - TURN * np.concatenate(([0.0], np.cumsum(np.rint(steps / TURN))))
    if unwrapped[0] != unwrapped[-1]:
        raise ShapeRefused("The ring goes round a pole.")
    corners = np.column_stack([unwrapped, lat])
    if not _encloses(corners):
        return Shape(_wrapped(_flat(corners)), collapsed=True)
    effort.compare(corners)
    shape = shapely.polygons(corners)
    repaired = not shapely.is_valid(shape)
    if repaired:
        effort.mend(corners)
        # "structure" is the union by non-zero winding; buffer(0) loses half of a bow-tie.
        shape = shapely.make_valid(shape, method="structure", keep_collapsed=False)
        if shapely.area(shape) == 0:
            return Shape(_wrapped(_flat(corners)), collapsed=True)
    return Shape(_wrapped(shape), repaired=repaired)


def _encloses(corners: Float64) -> bool:
    """Whether the points are not all on one line: exact, as they are integers below 2^53."""
    from_first = corners[1:] - corners[0]
    away = from_first[np.any(from_first != 0, axis=1)]
    if not len(away):
        return False
    return bool(np.any(away[:, 0] * away[0, 1] != away[:, 1] * away[0, 0]))


def _flat(corners: Float64) -> Any:
    apart = np.concatenate([[True], np.any(np.diff(corners, axis=0) != 0, axis=1)])
    points = corners[apart]
    return shapely.points(points[0]) if len(points) == 1 else shapely.linestrings(points)


def _wrapped(shape: Any) -> tuple[Any, ...]:
    """The shape, and once more a turn away where it reaches the antimeridian."""
    west, _, east, _ = shapely.bounds(shape)
    turn = np.array([TURN, 0])
    parts = [shape]
    if east >= HALF_TURN:
        parts.append(shapely.transform(shape, lambda xy: xy - turn))
    if west <= -HALF_TURN:
        parts.append(shapely.transform(shape, lambda xy: xy + turn))
    shapely.prepare(parts)
    return tuple(parts)


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """Positions sorted by grid cell: columns of one length."""

    cell: Int64
    lon_e7: Int32
    lat_e7: Int32
    row: Int32
    """Whose position it is: the caller's row number."""

    def inside(self, shape: Shape) -> Int32:
        """Rows whose position lies in the shape or on its boundary; in no order, each once."""
        found = [self._inside(shape, part) for part in shape.parts]
        return found[0] if len(found) == 1 else np.asarray(np.unique(np.concatenate(found)))

    def renewed(self, row_now: Int32, joined: "Grid") -> "Grid":
        """The grid with its rows renumbered, those of a negative number left out, and the positions of another grid
        added."""
        row = row_now[self.row]
        stay = np.flatnonzero(row >= 0)
        cell = self.cell[stay]
        place = np.searchsorted(cell, joined.cell)
        return Grid(
            np.insert(cell, place, joined.cell),
            np.insert(self.lon_e7[stay], place, joined.lon_e7),
            np.insert(self.lat_e7[stay], place, joined.lat_e7),
            np.insert(row[stay], place, joined.row),
        )

    def _inside(self, shape: Shape, part: Any) -> Int32:
        near = self._near(*shapely.bounds(part))
        lon, lat = self.lon_e7[near], self.lat_e7[near]
        if shape.circle is not None:
            within: Mask = _within(shape.circle, lon / E7, lat / E7)
        else:
            within = shapely.intersects_xy(part, lon.astype(np.float64), lat.astype(np.float64))
        return self.row[near[within]]

    def _near(self, west: float, south: float, east: float, north: float) -> Int64:
        """Indexes of the positions in the cells that a box touches."""
        first, last = _row_of(south), _row_of(north)
        rows = np.arange(max(first, 0), last + 1, dtype=np.int64) * _STRIDE
        lows = np.searchsorted(self.cell, rows + max(_column_of(west), 0))
        highs = np.searchsorted(self.cell, rows + min(_column_of(east), _STRIDE - 1), side="right")
        lengths = np.maximum(highs - lows, 0)
        starts = lows - (np.cumsum(lengths) - lengths)
        return np.repeat(starts, lengths) + np.arange(int(lengths.sum()), dtype=np.int64)


def grid(row: Int32, lon_e7: Int32, lat_e7: Int32) -> Grid:
    """The index of positions: columns in any order (0.2 s for a million)."""
    cells = ((lat_e7.astype(np.int64) + 90 * E7) >> _LAT_SHIFT) * _STRIDE
    cells += (lon_e7.astype(np.int64) + HALF_TURN) >> _LON_SHIFT
    order = np.argsort(cells, kind="stable")
    return Grid(cells[order], lon_e7[order], lat_e7[order], row[order])


def _row_of(lat_e7: float) -> int:
    return (int(np.floor(lat_e7)) + 90 * E7) >> _LAT_SHIFT


def _column_of(lon_e7: float) -> int:
    return (int(np.floor(lon_e7)) + HALF_TURN) >> _LON_SHIFT


def _within(circle: CircleOnGround, lon: Float64, lat: Float64) -> Mask:
    """Which points lie within the circle: haversine where it is sure, the geodesic near the rim."""
    distance = _haversine_m(circle, lon, lat)
    inside = distance <= circle.radius_m * (1 - _HAVERSINE_ERROR)
    rim = np.flatnonzero(~inside & (distance <= circle.radius_m * (1 + _HAVERSINE_ERROR)))
    if rim.size:
        _, _, exact = Geod(ellps="WGS84").inv(
            np.full(rim.size, circle.lon), np.full(rim.size, circle.lat), lon[rim], lat[rim]
        )
        inside[rim] = exact <= circle.radius_m
    return inside


def _haversine_m(circle: CircleOnGround, lon: Float64, lat: Float64) -> Float64:
    here, there = np.radians(circle.lat), np.radians(lat)
    half_lat = np.sin((there - here) / 2) ** 2
    half_lon = np.sin(np.radians(lon - circle.lon) / 2) ** 2
    chord = half_lat + np.cos(here) * np.cos(there) * half_lon
    return np.asarray(2 * _MEAN_RADIUS_M * np.arcsin(np.sqrt(np.minimum(chord, 1.0))))
