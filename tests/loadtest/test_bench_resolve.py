"""The resolver's row: the country, the areas asked for and the plain SQL that answers beside the gateway."""

import sqlite3
from pathlib import Path

import numpy as np
import pytest
import shapely

from loadtest.bench import country
from loadtest.bench.country import E7
from loadtest.bench.resolve import areas, inside


def test_the_same_people_live_in_the_same_places_in_every_run() -> None:
    assert (country.positions(500) == country.positions(500)).all()
    lat, lon = (country.positions(500) / E7).T
    assert (abs(lat - 50.5) < 1.5).all()
    assert (abs(lon - 4.5) < 3.0).all()


@pytest.mark.parametrize("vertices", [50, 10_000])
def test_areas_are_closed_rings_with_people_in_them(vertices: int) -> None:
    places = country.positions(2_000)
    for ring in areas(places, vertices, 0.05):
        assert len(ring) == vertices
        assert ring[0] == ring[-1]
        assert shapely.Polygon([(lon, lat) for lat, lon in ring]).is_valid


def test_plain_sql_finds_those_in_the_area_and_on_its_edge(tmp_path: Path) -> None:
    square = [(50.0, 4.0), (50.0, 4.1), (50.1, 4.1), (50.1, 4.0), (50.0, 4.0)]
    at = [(50.05, 4.05), (50.0, 4.05), (50.1, 4.1), (50.2, 4.05), (49.9999999, 4.05), (50.05, 4.1000001)]
    places = np.rint(np.asarray(at) * E7).astype(np.int64)
    country.plain(tmp_path / "plain.db", places)
    db = sqlite3.connect(tmp_path / "plain.db")
    assert sorted(inside(db, square).tolist()) == [0, 1, 2]
    assert inside(db, [(60.0, 4.0), (60.0, 4.1), (60.1, 4.1), (60.0, 4.0)]).tolist() == []
    db.close()
