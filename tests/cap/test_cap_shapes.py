"""Polygons and circles are read exactly, and crossings are found without looking at every pair."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cap import Circle
from cap.shapes import MOST_COMPARISONS, GeometryEffort, circle, crosses_itself, is_flat, ring
from cap.text_values import Unreadable

GRID = st.tuples(st.integers(0, 9).map(float), st.integers(0, 9).map(float))
COORDINATES = st.decimals(-200, 200, places=6)
SPACES = st.text(st.sampled_from(" \t\r\n"), min_size=1, max_size=3)


def side(a, b, c):
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def cross(a, b, c, d):
    return side(a, b, c) * side(a, b, d) < 0 and side(c, d, a) * side(c, d, b) < 0


@given(st.lists(st.tuples(COORDINATES, COORDINATES), max_size=8), SPACES, SPACES)
def test_points_are_read_as_written_whatever_the_space_between(points, around, between):
    text = around + between.join(f"{lat},{lon}" for lat, lon in points) + around

    assert ring(text) == tuple((float(lat), float(lon)) for lat, lon in points)


@pytest.mark.parametrize(
    ("text", "number", "piece"),
    [
        ("1,2 3", 2, "3"),
        ("1,2 3,", 2, "3,"),
        ("1,2,3 4,5", 1, "1,2,3"),
        ("1,2 ,3", 2, ",3"),
        ("1,2 --3,4", 2, "--3,4"),
        ("1.2.3,4", 1, "1.2.3,4"),
        ("0x1,2", 1, "0x1,2"),
        ("1,2\u20033,4", 1, "1,2\u20033,4"),
        (".,.", 1, ".,."),
    ],
)
def test_a_point_out_of_form_is_named_by_number_and_text(text, number, piece):
    with pytest.raises(Unreadable) as refusal:
        ring(text)

    assert refusal.value.rule == "G-POLY-LEX"
    assert refusal.value.text.startswith(f"point {number} ")
    assert refusal.value.piece == piece


def test_a_circle_is_a_centre_and_a_radius():
    assert circle("\n 51.5,-.25\t2. ") == Circle(51.5, -0.25, 2.0)


@pytest.mark.parametrize("text", ["", "51,4", "51,4,2", "51 4 2", "51,4 2km", "51,4 1e3", "51,4 2 3", "51,4 ٢"])
def test_a_circle_out_of_form_is_refused(text):
    with pytest.raises(Unreadable, match="lat,lon radius"):
        circle(text)


@given(st.lists(GRID, min_size=3, max_size=14))
def test_a_crossing_is_found_exactly_where_two_sides_cross(points):
    closed = (*points, points[0])
    sides = list(pairwise(closed))

    assert crosses_itself(closed, GeometryEffort()) is any(cross(*one, *other) for one in sides for other in sides)


def test_a_ring_that_only_touches_itself_does_not_cross():
    touching = ((0.0, 0.0), (2.0, 2.0), (4.0, 0.0), (4.0, 4.0), (2.0, 2.0), (0.0, 4.0), (0.0, 0.0))

    assert crosses_itself(touching, GeometryEffort()) is False


def test_looking_for_crossings_costs_no_more_than_it_may():
    to_and_fro = tuple((float(n % 2), float(n)) for n in range(900))
    effort = GeometryEffort()

    assert crosses_itself((*to_and_fro, to_and_fro[0]), effort) is None
    assert -900 < effort.left < 0
    assert MOST_COMPARISONS < 900**2 / 2


@pytest.mark.parametrize(
    ("points", "flat"),
    [
        (((0.0, 0.0), (0.0, 0.0), (0.0, 0.0), (0.0, 0.0)), True),
        (((0.0, 0.0), (1.0, 1.0), (3.0, 3.0), (0.0, 0.0)), True),
        (((0.0, 0.0), (0.0, 0.0), (1.0, 1.0), (1.0, 0.0), (0.0, 0.0)), False),
    ],
)
def test_a_ring_on_one_line_is_flat(points, flat):
    assert is_flat(points) is flat
