"""Where an alert holds, as GeoRSS Simple in the entries of feeds (georss.org): latitude first, as in CAP. No map.

A circle becomes a ring around it, and a shape across the antimeridian is cut there. Shapes are bounded in number and
size: a feed shows where to look, and all of it is in the alert.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from lxml import etree

from cap.geojson import Position, shapes_of
from cap.model import Area

GEORSS = "http://www.georss.org/georss"
MOST_SHAPES = 20
MOST_POINTS = 250
"""Of all shapes of one entry; those that go beyond are told by the rectangle around them."""
CORNERS = 16
"""Of the ring around a circle."""
_DECIMALS = 6


def add_shapes(parent: etree._Element, areas: Sequence[Area]) -> None:
    """A `georss:polygon` or `georss:point` for each shape of the areas, at the end of an element."""
    left = MOST_POINTS
    for shape in islice((shape for area in areas for shape in shapes_of(area, CORNERS)), MOST_SHAPES):
        name = shape["type"].lower()
        points = [shape["coordinates"]] if name == "point" else shape["coordinates"][0]
        if len(points) > left:
            points = _around(points)
        left -= len(points)
        text = " ".join(f"{_told(lat)} {_told(lon)}" for lon, lat in points)
        etree.SubElement(parent, f"{{{GEORSS}}}{name}").text = text


def _around(points: Sequence[Position]) -> list[Position]:
    """The ring of the rectangle around them. Not a `georss:box`, which some readers do not know."""
    lons, lats = [lon for lon, _ in points], [lat for _, lat in points]
    west, east, south, north = min(lons), max(lons), min(lats), max(lats)
    return [[west, south], [east, south], [east, north], [west, north], [west, south]]


def _told(degrees: float) -> str:
    return f"{degrees:.{_DECIMALS}f}".rstrip("0").rstrip(".") or "0"
