"""Where an alert holds, as GeoRSS Simple in the entries of feeds (georss.org): latitude first, as in CAP. No map.

A circle becomes a ring around it. Shapes are bounded in number and size: a feed shows where to look, and all of it is
in the alert.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from lxml import etree

from cap.geojson import circle_ring
from cap.model import Area, Circle

GEORSS = "http://www.georss.org/georss"
MOST_SHAPES = 20
MOST_POINTS = 250
"""Of all shapes of one entry; those that go beyond are boxes."""
CORNERS = 16
"""Of the ring around a circle."""
_DECIMALS = 6
_Points = list[tuple[float, float]]


def add_shapes(parent: etree._Element, areas: Sequence[Area]) -> None:
    """A `georss:polygon`, `georss:point` or `georss:box` for each shape of the areas, at the end of an element."""
    left = MOST_POINTS
    for name, points in islice(_shapes(areas), MOST_SHAPES):
        if name == "polygon" and len(points) > left:
            name, points = "box", _box(points)
        left -= len(points)
        etree.SubElement(parent, f"{{{GEORSS}}}{name}").text = " ".join(f"{_told(a)} {_told(b)}" for a, b in points)


def _shapes(areas: Sequence[Area]) -> Iterator[tuple[str, _Points]]:
    for area in areas:
        yield from (("polygon", list(ring)) for ring in area.polygons)
        yield from map(_round, area.circles)


def _round(circle: Circle) -> tuple[str, _Points]:
    if circle.radius_km <= 0:
        return "point", [(circle.lat, circle.lon)]
    return "polygon", [(lat, lon) for lon, lat in circle_ring(circle, CORNERS)]


def _box(points: _Points) -> _Points:
    """Its south-west and north-east corners."""
    lats, lons = [lat for lat, _ in points], [lon for _, lon in points]
    return [(min(lats), min(lons)), (max(lats), max(lons))]


def _told(degrees: float) -> str:
    return f"{degrees:.{_DECIMALS}f}".rstrip("0").rstrip(".") or "0"
