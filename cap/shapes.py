"""Polygons and circles of CAP areas: reading them, and what can be wrong with a shape (CAP-v1.2 3.2.4, 3.3.1).

WGS 84 degrees, latitude first. Knows no distance, no map and nobody who lives there.
"""

from __future__ import annotations

import re
from itertools import pairwise
from math import isfinite

from cap.model import Circle, Point, Ring
from cap.text_values import XML_SPACE, Unreadable

# Possessive quantifiers: no digit is tried twice, 41,009 points take 7 ms (31 ms with plain ones).
_NUMBER = r"[+-]?(?:[0-9]++(?:\.[0-9]*+)?|\.[0-9]++)"
# No possessive quantifier behind a group: up to Python 3.11.4 (Debian 12 has 3.11.2) it keeps what the last try of the
# group had taken before it failed (CPython issue 106052).
_RING = re.compile(rf"[ \t\r\n]*+(?:{_NUMBER},{_NUMBER}(?:[ \t\r\n]++|\Z))*")
_SPACES = re.compile(r"[ \t\r\n]+")
_CIRCLE = re.compile(rf"({_NUMBER}),({_NUMBER})[ \t\r\n]++({_NUMBER})")

# Looking for crossings is bounded: 20,000 comparisons take some 5 ms. Beyond them the answer is "not checked".
MOST_COMPARISONS = 20_000


def ring(text: str) -> Ring:
    """The points of a polygon as sent. Raises `Unreadable` unless it is `lat,lon` pairs between white space."""
    form = _RING.match(text)
    if form is None or form.end() != len(text):
        read = form.end() if form else 0
        number = text[:read].count(",") + 1
        raise Unreadable(
            "G-POLY-LEX", f"point {number} is not written lat,lon in plain decimals", _SPACES.split(text[read:], 1)[0]
        )
    numbers = map(float, text.replace(",", " ").split())
    return tuple(zip(numbers, numbers, strict=True))


def circle(text: str) -> Circle:
    """A circle; a radius below zero is read, and left to a rule. Raises `Unreadable` if it is not `lat,lon radius`."""
    form = _CIRCLE.fullmatch(text.strip(XML_SPACE))
    if form is None:
        raise Unreadable("G-CIRC-LEX", "not written lat,lon radius in plain decimals", text)
    return Circle(float(form[1]), float(form[2]), float(form[3]))


def on_earth(lat: float, lon: float) -> bool:
    """Whether these are a latitude and a longitude at all."""
    return -90.0 <= lat <= 90.0 and -180.0 <= lon <= 180.0


def first_off_earth(points: Ring) -> int | None:
    """The number, from 1, of the first point outside the WGS 84 ranges."""
    for number, (lat, lon) in enumerate(points, 1):
        if not (-90.0 <= lat <= 90.0 and -180.0 <= lon <= 180.0):
            return number
    return None


def is_closed(points: Ring) -> bool:
    """Whether the ring ends where it begins."""
    return len(points) > 1 and points[0] == points[-1]


def is_flat(points: Ring) -> bool:
    """Whether all points lie on one line, so that the ring encloses nothing."""
    origin = other = points[0]
    for point in points:
        if other == origin:
            other = point
        elif _turn(origin, other, point):
            return False
    return True


def is_radius(radius_km: float) -> bool:
    """Whether a circle may have this radius; zero is allowed and means a point."""
    return isfinite(radius_km) and radius_km >= 0.0


class GeometryEffort:
    """What is left of the comparisons that one document may cost."""

    __slots__ = ("left",)

    def __init__(self, comparisons: int = MOST_COMPARISONS) -> None:
        self.left = comparisons


def crosses_itself(points: Ring, effort: GeometryEffort) -> bool | None:
    """Whether two sides of a closed ring properly cross; None when the effort ran out before the answer.

    A ring that only touches itself in a corner does not cross. Sides are swept from south to north, so that a
    side is compared with those at its own latitude and with no others.
    """
    sides = len(points) - 1
    if sides < 4:
        return False
    if sides == 4:  # nearly every polygon a person draws: two pairs of opposite sides
        a, b, c, d = points[:4]
        return _cross(a, b, c, d) or _cross(b, c, d, a)
    if sides * 4 > effort.left:  # sorting them costs something too
        return None
    return _sweep(points, effort)


def _sweep(points: Ring, effort: GeometryEffort) -> bool | None:
    last = len(points) - 2
    boxes = []  # (south, side, north, west, east)
    for side, ((lat, lon), (lat2, lon2)) in enumerate(pairwise(points)):
        south, north = (lat, lat2) if lat < lat2 else (lat2, lat)
        boxes.append((south, side, north, lon, lon2) if lon < lon2 else (south, side, north, lon2, lon))
    boxes.sort()
    active: list[tuple[float, int, float, float, float]] = []
    for box in boxes:
        south, side, _, west, east = box
        active = [known for known in active if known[2] > south]
        effort.left -= len(active) + 1
        if effort.left < 0:
            return None
        for _, other, _, other_west, other_east in active:
            if other_west > east or west > other_east or abs(side - other) in (1, last):
                continue  # apart, or neighbours, which share a corner
            if _cross(points[side], points[side + 1], points[other], points[other + 1]):
                return True
        active.append(box)
    return False


def _cross(a: Point, b: Point, c: Point, d: Point) -> bool:
    """Whether the sides ab and cd cross inside both; neighbours, which share an end, do not."""
    return _turn(a, b, c) * _turn(a, b, d) < 0.0 and _turn(c, d, a) * _turn(c, d, b) < 0.0


def _turn(a: Point, b: Point, c: Point) -> float:
    """Twice the signed area of a triangle: its sign says to which side c lies of ab."""
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
