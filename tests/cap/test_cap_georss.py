"""Entries say where an alert holds, in GeoRSS Simple: latitude first, within bounds."""

import pytest
from lxml import etree

from cap import Area, Circle
from cap.georss import GEORSS, MOST_POINTS, MOST_SHAPES, add_shapes

RING = ((50.45, 4.1), (50.47, 4.1), (50.47, 4.14), (50.45, 4.1))


def shapes(*areas):
    parent = etree.Element("entry")
    add_shapes(parent, areas)
    return [(child.tag.removeprefix(f"{{{GEORSS}}}"), child.text) for child in parent]


def test_a_polygon_is_told_point_by_point_latitude_first():
    assert shapes(Area("a", polygons=(RING,))) == [("polygon", "50.45 4.1 50.47 4.14 50.47 4.1 50.45 4.1")]


def test_a_circle_is_a_ring_around_it_and_one_without_a_radius_a_point():
    (ring, text), point = shapes(Area("a", circles=(Circle(50.0, 4.0, 1.0), Circle(50.0, 4.0, 0.0))))

    numbers = list(map(float, text.split()))
    assert (ring, point) == ("polygon", ("point", "50 4"))
    assert numbers[:2] == numbers[-2:]
    assert max(numbers[::2]) == pytest.approx(50.0 + 1 / 111.2, abs=0.001)


def test_a_large_shape_is_told_by_the_rectangle_around_it():
    ring = tuple((50 + n / 10_000, 4.0 + (n % 7) / 10) for n in range(MOST_POINTS + 1))

    assert shapes(Area("a", polygons=((*ring, ring[0]),))) == [("polygon", "50 4 50 4.6 50.025 4.6 50.025 4 50 4")]


@pytest.mark.parametrize(
    "area",
    [
        Area("Fiji", polygons=(((-16, 179), (-16, -179), (-18, -179), (-18, 179), (-16, 179)),)),
        Area("Fiji", circles=(Circle(-17.0, 179.9, 50.0),)),
        Area("Fiji", polygons=(tuple((-17 - n / 1000, 179.8 if n % 2 else -179.8) for n in (*range(300), 0)),)),
        Area("the pole", circles=(Circle(89.9, 0.0, 100.0),)),
    ],
    ids=["polygon", "circle", "large", "pole"],
)
def test_every_longitude_is_one_that_readers_take(area):
    for _, text in shapes(area):
        numbers = list(map(float, text.split()))
        assert all(-90 <= lat <= 90 for lat in numbers[::2])
        assert all(-180 <= lon <= 180 for lon in numbers[1::2])
        assert max(numbers[1::2]) - min(numbers[1::2]) < 2 or area.description == "the pole"


def test_only_so_many_shapes_are_told():
    assert len(shapes(*(Area(str(n), polygons=(RING,)) for n in range(MOST_SHAPES + 5)))) == MOST_SHAPES


def test_what_lies_nowhere_says_nothing():
    assert shapes(Area("a")) == []
    assert shapes() == []
