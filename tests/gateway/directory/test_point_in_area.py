"""Shapes: the boundary is in, exactly; nothing that is no area passes for one."""

import math
import random

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from pyproj import Geod

from gateway.directory.point_in_area import Effort, ShapeRefused, circle, grid, point_e7, polygon, territory

LON, LAT = 43_000_000, 508_000_000  # near Brussels, in 1e-7 degree


def _grid(points):
    lon = np.array([p[0] for p in points], dtype=np.int32)
    lat = np.array([p[1] for p in points], dtype=np.int32)
    return grid(np.arange(len(points), dtype=np.int32), lon, lat)


def _ring(corners):
    return [(lat / 1e7, lon / 1e7) for lon, lat in (*corners, corners[0])]


def _inside(shape, points):
    return set(_grid(points).inside(shape).tolist())


def _side(a, b, p):
    return (b[0] - a[0]) * (p[1] - a[1]) - (b[1] - a[1]) * (p[0] - a[0])


def _in_triangle(corners, p):
    """Exact, in Python's integers; the boundary is in."""
    a, b, c = corners
    sides = [_side(a, b, p), _side(b, c, p), _side(c, a, p)]
    return all(s >= 0 for s in sides) or all(s <= 0 for s in sides)


_point = st.tuples(st.integers(LON - 3_000_000, LON + 3_000_000), st.integers(LAT - 2_000_000, LAT + 2_000_000))


@given(
    corners=st.tuples(_point, _point, _point).filter(lambda c: _side(*c) != 0),
    strangers=st.lists(_point, max_size=20),
    weights=st.lists(st.integers(0, 12), max_size=12),
)
def test_a_triangle_holds_exactly_the_points_that_an_integer_oracle_says(corners, strangers, weights):
    a, b, _ = corners
    # Points on an edge where the lattice has them, and their neighbours one unit beside.
    along = [(a[0] + (b[0] - a[0]) * w // 12, a[1] + (b[1] - a[1]) * w // 12) for w in weights]
    beside = [(x + dx, y + dy) for x, y in along for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1))]
    points = [*corners, *strangers, *along, *beside]

    found = _inside(polygon(_ring(corners)), points)

    assert found == {i for i, p in enumerate(points) if _in_triangle(corners, p)}


def test_every_point_of_an_edge_is_inside():
    a, b, c = (LON, LAT), (LON + 700_000, LAT + 300_000), (LON, LAT + 900_000)
    on_edge = [(a[0] + 7 * k, a[1] + 3 * k) for k in range(0, 100_001, 97)]

    assert len(_inside(polygon(_ring((a, b, c))), on_edge)) == len(on_edge)


def test_a_point_one_unit_outside_is_outside():
    square = ((LON, LAT), (LON + 1000, LAT), (LON + 1000, LAT + 1000), (LON, LAT + 1000))

    assert _inside(polygon(_ring(square)), [(LON - 1, LAT), (LON + 1001, LAT + 5), (LON + 5, LAT + 1000)]) == {2}


def test_a_bow_tie_keeps_both_its_wings_and_says_that_it_was_repaired():
    bow = ((LON, LAT), (LON + 1000, LAT + 1000), (LON + 1000, LAT), (LON, LAT + 1000))

    shape = polygon(_ring(bow))

    assert shape.repaired
    assert _inside(shape, [(LON + 1, LAT + 500), (LON + 999, LAT + 500), (LON + 500, LAT + 900)]) == {0, 1}


def test_what_a_ring_winds_round_twice_stays_inside():
    star = [(LON + int(1e6 * np.cos(t)), LAT + int(1e6 * np.sin(t))) for t in np.arange(5) * 4 * np.pi / 5]

    assert _inside(polygon(_ring(star)), [(LON, LAT)]) == {0}


@pytest.mark.parametrize(
    "corners",
    [
        ((LON, LAT), (LON + 500, LAT + 500), (LON + 1000, LAT + 1000)),
        ((LON, LAT), (LON + 1000, LAT + 1000), (LON, LAT), (LON + 1000, LAT + 1000)),
        ((LON, LAT), (LON, LAT), (LON + 1000, LAT + 1000)),
        ((LON, LAT), (LON + 1000, LAT + 1000), (LON + 500, LAT + 500), (LON + 250, LAT + 250)),
    ],
)
def test_a_ring_without_area_is_the_line_that_its_points_lie_on(corners):
    shape = polygon(_ring(corners))

    assert shape.collapsed
    assert _inside(shape, [(LON + 500, LAT + 500), (LON + 501, LAT + 500), (LON, LAT)]) == {0, 2}


def test_a_ring_of_one_point_is_that_point():
    shape = polygon(_ring(((LON, LAT),) * 4))

    assert shape.collapsed
    assert _inside(shape, [(LON, LAT), (LON + 1, LAT)]) == {0}


def test_a_sliver_that_rounding_makes_a_line_is_one():
    ring = [(50.8, 4.3), (50.9, 4.4), (50.900000001, 4.400000001), (50.8, 4.3)]

    assert polygon(ring).collapsed


def test_a_territory_without_area_is_refused():
    with pytest.raises(ShapeRefused, match="encloses nothing"):
        territory([_ring(((LON, LAT), (LON + 500, LAT + 500), (LON + 1000, LAT + 1000)))])


BLOCK = 100_000  # some kilometre


def _block(column, row, *, by=BLOCK):
    west, south = LON + column * BLOCK, LAT + row * BLOCK
    return _ring(((west, south), (west + by, south), (west + by, south + by), (west, south + by)))


def _borders(shape, *rings):
    geometries = np.array([territory([ring]) for ring in rings])
    return shape.only_borders(geometries).tolist()


def test_a_neighbour_that_shares_an_edge_or_a_corner_is_only_bordered_on():
    assert _borders(polygon(_block(0, 0)), _block(0, 0), _block(1, 0), _block(1, 1), _block(0, -1)) == [
        False, True, True, True,
    ]  # fmt: skip


@pytest.mark.parametrize(("beyond", "borders"), [(1, True), (400, True), (2_000, False), (BLOCK // 2, False)])
def test_a_drawing_along_a_border_may_miss_it_by_some_metres(beyond, borders):
    drawn = polygon(_block(0, 0, by=BLOCK + beyond))

    assert _borders(drawn, _block(1, 0)) == [borders]


def test_a_narrow_strip_into_a_territory_is_more_than_a_border():
    """A street of 6 m, drawn as an area."""
    west, south = LON + BLOCK // 2, LAT + BLOCK // 2
    street = polygon(_ring(((west, south), (west + BLOCK, south), (west + BLOCK, south + 600), (west, south + 600))))

    assert _borders(street, _block(0, 0), _block(1, 0)) == [False, False]


def test_a_territory_narrower_than_a_border_is_met_by_whatever_overlaps_it():
    alley = _ring(
        ((LON + BLOCK, LAT), (LON + BLOCK + 300, LAT), (LON + BLOCK + 300, LAT + BLOCK), (LON + BLOCK, LAT + BLOCK))
    )

    assert _borders(polygon(_block(0, 0, by=BLOCK + 100)), alley) == [False]
    assert _borders(polygon(_block(0, 0)), alley) == [True]


def test_a_line_borders_on_nothing():
    line = polygon(_ring(((LON, LAT), (LON + BLOCK, LAT), (LON + 2 * BLOCK, LAT))))

    assert _borders(line, _block(0, 0), _block(1, -1)) == [False, False]


@pytest.mark.parametrize(
    ("points", "reason"),
    [
        ([(50.8, 4.3), (50.9, 4.4), (50.8, 4.4), (50.8, 4.31)], "not closed"),
        ([(50.8, 4.3), (50.9, 4.4), (50.8, 4.3)], "at least four"),
        ([], "at least four"),
        ([(4.3, 50.8), (4.4, 50.9), (4.4, 50.8), (4.3, 50.8)], "latitude first"),
        ([(50.8, 4.3), (91.0, 4.4), (50.8, 4.4), (50.8, 4.3)], "no latitude"),
        ([(50.8, 4.3), (float("nan"), 4.4), (50.8, 4.4), (50.8, 4.3)], "no latitude"),
        ([(80.0, 0.0), (80.0, 120.0), (80.0, -120.0), (80.0, 0.0)], "round a pole"),
    ],
)
def test_a_ring_that_is_no_area_is_refused_with_its_reason(points, reason):
    with pytest.raises(ShapeRefused, match=reason):
        polygon(points)


def test_a_ring_over_the_antimeridian_holds_both_its_sides_and_nothing_between():
    shape = polygon([(-18.0, 178.0), (-18.0, -178.0), (-16.0, -178.0), (-16.0, 178.0), (-18.0, 178.0)])
    fiji = [(1_790_000_000, -170_000_000), (-1_790_000_000, -170_000_000), (0, -170_000_000)]

    assert _inside(shape, fiji) == {0, 1}


@pytest.mark.parametrize("radius_km", [0.05, 2.0, 50.0, 400.0])
def test_a_circle_holds_exactly_those_within_the_radius_along_the_ellipsoid(radius_km):
    draw = np.random.default_rng(7)
    geod = Geod(ellps="WGS84")
    # Most of them near the rim, where the sphere would be wrong.
    metres = radius_km * 1000 * np.concatenate([draw.uniform(0.99, 1.01, 4000), draw.uniform(0, 2, 1000)])
    lon, lat, _ = geod.fwd(np.full(5000, 4.35), np.full(5000, 50.85), draw.uniform(0, 360, 5000), metres)
    points = np.rint(np.column_stack([lon, lat]) * 1e7).astype(np.int64)
    _, _, exact = geod.inv(np.full(5000, 4.35), np.full(5000, 50.85), points[:, 0] / 1e7, points[:, 1] / 1e7)

    found = _inside(circle(50.85, 4.35, radius_km), [tuple(p) for p in points.tolist()])

    assert found == set(np.flatnonzero(exact <= radius_km * 1000).tolist())


def test_a_circle_of_no_radius_holds_its_centre():
    assert _inside(circle(50.85, 4.35, 0), [(43_500_000, 508_500_000), (43_500_001, 508_500_000)]) == {0}


@pytest.mark.parametrize(("lat", "lon", "radius"), [(50.8, 4.3, -1.0), (50.8, 4.3, 3000.0), (89.9, 0.0, 100.0)])
def test_a_circle_that_cannot_be_told_is_refused(lat, lon, radius):
    with pytest.raises(ShapeRefused):
        circle(lat, lon, radius)


def test_a_shape_meets_the_territories_that_it_touches_even_in_one_point():
    square = _ring(((LON, LAT), (LON + 1000, LAT), (LON + 1000, LAT + 1000), (LON, LAT + 1000)))
    corner = _ring(((LON + 1000, LAT + 1000), (LON + 2000, LAT + 1000), (LON + 2000, LAT + 2000)))
    away = _ring(((LON + 1001, LAT + 1001), (LON + 2000, LAT + 1001), (LON + 2000, LAT + 2000)))
    tree = shapely.STRtree([territory([corner]), territory([away])])

    assert polygon(square).meets(tree).tolist() == [0]


def test_positions_all_round_the_earth_are_found_in_their_cell():
    corners = [(-1_800_000_000, -900_000_000), (1_800_000_000, 900_000_000), (0, 0), (1_799_999_999, 0)]
    box = polygon([(-1.0, 179.0), (-1.0, 180.0), (1.0, 180.0), (1.0, 179.0), (-1.0, 179.0)])

    assert _inside(box, corners) == {3}


def test_a_position_with_longitude_first_is_refused_in_belgium():
    assert point_e7(50.85, 4.35) == (43_500_000, 508_500_000)
    with pytest.raises(ShapeRefused, match="latitude first"):
        point_e7(4.35, 50.85)


# ---- what a ring may cost ----------------------------------------------------------------------------------------


def star(points: int) -> list[tuple[float, float]]:
    """Every side crosses nearly every other one."""
    step = points // 2
    turns = [2 * math.pi * n * step / points for n in range(points)]
    ring = [(50.5 + math.sin(turn) / 2, 4.5 + math.cos(turn) / 2) for turn in turns]
    return [*ring, ring[0]]


def zigzag(sides: int) -> list[tuple[float, float]]:
    """Long sides beside one another that never cross."""
    ring = []
    for n in range(sides):
        shift = 0.3 * n / sides
        ends = [(50 + shift, 4.0), (51 + shift, 5.0)]
        ring += ends if n % 2 == 0 else ends[::-1]
    return [*ring, (51.5, 5.2), (51.5, 3.8), (49.9, 3.8), ring[0]]


def burst(spikes: int) -> list[tuple[float, float]]:
    """Out from one point and back to it."""
    ring = [(50.5, 4.5)]
    for n in range(spikes):
        turn = 2 * math.pi * n / spikes
        ring += [(50.5 + math.sin(turn) / 2, 4.5 + math.cos(turn) / 2), (50.5, 4.5)]
    return ring


@pytest.mark.parametrize(
    "ring", [star(501), star(5_001), zigzag(20_000), burst(20_000)], ids=["star", "large-star", "zigzag", "burst"]
)
def test_a_ring_that_would_cost_too_much_is_refused_before_it_is_looked_at(ring):
    with pytest.raises(ShapeRefused, match="draw it simpler"):
        polygon(ring)


@pytest.mark.parametrize("ring", [star(51), zigzag(500), burst(20)])
def test_a_ring_that_is_odd_and_cheap_is_taken(ring):
    assert polygon(ring).parts


def test_a_coast_of_fifty_thousand_points_is_taken():
    draw = random.Random(3)
    ring = []
    for n in range(50_000):
        turn = 2 * math.pi * n / 50_000
        far = 0.3 + draw.uniform(0, 0.0001)
        ring.append((50.5 + far * math.sin(turn), 4.5 + far * math.cos(turn)))

    assert polygon([*ring, ring[0]]).parts


def test_what_is_left_for_a_ring_is_less_by_what_those_before_it_cost():
    effort = Effort(crossings=100)

    polygon(star(13), effort)
    with pytest.raises(ShapeRefused):
        polygon(star(13), effort)
    assert polygon(zigzag(5), effort).parts, "who needs no mending is taken all the same"
