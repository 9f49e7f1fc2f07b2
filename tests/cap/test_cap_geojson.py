"""Areas as GeoJSON: right way round, circles contained, everything a map needs to show them."""

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry import Point, shape

from cap import Alert, Area, Circle, read, write
from cap.geojson import CORNERS, circle_ring, features_of, geometry_of, to_geojson
from tests.cap.documents import BASE, INFO, inserted
from tests.cap.strategies import AREAS

GOOD = read(BASE.encode()).alert
SQUARE = ((50.0, 4.0), (51.0, 4.0), (51.0, 5.0), (50.0, 5.0), (50.0, 4.0))


def test_a_feature_says_what_happens_where_and_until_when():
    (feature,) = features_of(GOOD, "https://a.example/1.xml")

    properties = feature["properties"]
    assert feature["type"] == "Feature"
    assert properties["identifier"] == "cic-042.2026:17"
    assert (properties["event"], properties["severity"]) == ("Personne disparue", "Severe")
    assert (properties["expires"], properties["language"]) == ("2026-05-12T06:00:00+02:00", "fr-BE")
    assert properties["geocode"] == [{"valueName": "NIS5", "value": "55085"}]
    assert properties["circle"] == [{"center": [4.12, 50.46], "radius_km": 1.5}]
    assert (properties["altitude"], properties["ceiling"]) == (120.0, 300.5)
    assert properties["url"] == "https://a.example/1.xml"


def test_longitude_comes_first_and_rings_run_against_the_clock():
    for ring in (SQUARE, SQUARE[::-1]):
        geometry = geometry_of(Area("a", polygons=(ring,)))
        assert geometry["type"] == "Polygon"
        assert shape(geometry).exterior.is_ccw
        assert shape(geometry).bounds == (4.0, 50.0, 5.0, 51.0)


def test_several_shapes_are_one_multipolygon_and_none_is_no_geometry():
    geometry = geometry_of(Area("a", polygons=(SQUARE,), circles=(Circle(52.0, 4.0, 1.0),)))

    assert geometry["type"] == "MultiPolygon"
    assert len(geometry["coordinates"]) == 2
    assert geometry_of(Area("a")) is None


@settings(max_examples=500)
@given(st.floats(-80, 80), st.floats(-170, 170), st.floats(0.1, 50), st.floats(0, 360))
def test_nobody_inside_a_circle_is_outside_of_its_polygon(lat, lon, radius_km, bearing):
    pyproj = pytest.importorskip("pyproj")
    sphere = pyproj.Geod(a=6371008.8, b=6371008.8)
    polygon = shape(geometry_of(Area("a", circles=(Circle(lat, lon, radius_km),))))
    on_edge = sphere.fwd(lon, lat, bearing, radius_km * 1000)[:2]
    beyond = sphere.fwd(lon, lat, bearing, radius_km * 1010)[:2]

    assert polygon.contains(Point(*on_edge))
    assert not polygon.contains(Point(*beyond))
    assert polygon.exterior.is_ccw


def test_a_circle_without_a_radius_is_a_point_many_times():
    ring = circle_ring(Circle(50.0, 4.0, 0.0))

    assert len(ring) == CORNERS + 1
    assert {tuple(position) for position in ring} == {(4.0, 50.0)}


ACROSS = ((-17.0, 179.0), (-17.0, -179.0), (-18.0, -179.0), (-18.0, 179.0), (-17.0, 179.0))


@pytest.mark.parametrize("ring", [ACROSS, ACROSS[::-1], (*ACROSS[2:], *ACROSS[1:3])])
def test_an_area_across_the_antimeridian_is_cut_there_and_not_drawn_round_the_world(ring):
    geometry = geometry_of(Area("Fiji", polygons=(ring,)))

    assert geometry["type"] == "MultiPolygon"
    pieces = shape(geometry)
    assert sorted(piece.bounds for piece in pieces.geoms) == [(-180, -18, -179, -17), (179, -18, 180, -17)]
    assert all(piece.exterior.is_ccw for piece in pieces.geoms)
    assert pieces.area == pytest.approx(2.0)


def test_a_circle_across_the_antimeridian_is_cut_there():
    pieces = shape(geometry_of(Area("a", circles=(Circle(-17.0, 179.9, 50.0),))))

    assert len(pieces.geoms) == 2
    assert pieces.bounds[0] == -180.0
    assert pieces.bounds[2] == 180.0
    assert pieces.area < 1.0
    assert pieces.contains(Point(-179.9, -17.0))


def test_a_circle_round_a_pole_holds_the_pole():
    polygon = shape(geometry_of(Area("a", circles=(Circle(89.0, 10.0, 500.0),))))

    assert polygon.bounds[0] == -180.0
    assert polygon.bounds[2:] == (180.0, 90.0)
    assert all(polygon.contains(Point(lon, 89.9)) for lon in (-179, -90, 0, 90, 179))
    assert not polygon.contains(Point(-170, 80))


@given(st.floats(-85, 85), st.floats(-180, 180), st.floats(0.1, 900))
def test_every_longitude_stays_on_the_map(lat, lon, radius_km):
    geometry = geometry_of(Area("a", circles=(Circle(lat, lon, radius_km),)))

    assert shape(geometry).bounds[0] >= -180
    assert shape(geometry).bounds[2] <= 180


@given(AREAS)
def test_every_area_that_obeys_the_rules_has_a_geometry_or_none(area):
    geometry = geometry_of(area)

    assert json.dumps(geometry, allow_nan=False)
    assert (geometry is None) is not bool(area.polygons or area.circles)


def test_a_collection_holds_every_area_of_every_info_of_every_alert():
    two = read(inserted(INFO.replace("fr-BE", "nl-BE"), before="</alert>")).alert

    collection = json.loads(to_geojson([GOOD, two], ["https://a.example/1.xml", "https://a.example/2.xml"]))

    assert collection["type"] == "FeatureCollection"
    assert [(f["properties"]["language"], f["properties"]["url"][-5:]) for f in collection["features"]] == [
        ("fr-BE", "1.xml"),
        ("fr-BE", "2.xml"),
        ("nl-BE", "2.xml"),
    ]


def test_a_collection_says_what_it_leaves_out():
    assert json.loads(to_geojson([GOOD], remark="2 of 3"))["remark"] == "2 of 3"
    assert "remark" not in json.loads(to_geojson([GOOD]))


# ---- what maps and home automation ask of a feature ------------------------------------------------------------------


def two_infos() -> Alert:
    alert = read(BASE.encode()).alert
    (info,) = alert.infos
    other = replace(info, language="nl-BE", headline="Vermist", areas=())
    return replace(alert, infos=(info, other))


def test_each_feature_has_an_id_of_its_own_that_stays_when_others_are_over():
    alert = two_infos()
    features = list(features_of(alert))

    assert len({feature["id"] for feature in features}) == len(features)
    assert [f["id"] for f in features_of(replace(alert, infos=alert.infos[1:]))] == [features[-1]["id"]]
    assert [f["id"] for f in features_of(read(write(alert)).alert)] == [f["id"] for f in features]
    later = replace(alert, identifier="another")
    assert {f["id"] for f in features_of(later)}.isdisjoint(f["id"] for f in features)


def test_a_text_without_an_area_is_a_feature_that_lies_nowhere():
    _, bare = two_infos().infos
    (feature,) = features_of(replace(two_infos(), infos=(bare,)), "https://a.example/1.xml")

    assert (feature["geometry"], feature["properties"]["title"]) == (None, "Vermist")
    assert feature["properties"]["url"] == "https://a.example/1.xml"
    assert "areaDesc" not in feature["properties"]


def test_a_text_in_another_language_without_an_area_lies_where_the_first_does():
    first, second = features_of(two_infos())

    assert (second["geometry"], second["properties"]["title"]) == (first["geometry"], "Vermist")
    assert second["id"] != first["id"]


def test_shapes_apart_are_features_that_readers_of_points_and_polygons_show():
    area = Area("Fiji", polygons=(ACROSS, SQUARE), circles=(Circle(52.0, 4.0, 0.0), Circle(52.0, 4.0, 1.0)))
    info = replace(GOOD.infos[0], areas=(area, Area("nowhere")))
    alert = replace(GOOD, infos=(info,))

    whole = json.loads(to_geojson([alert]))["features"]
    apart = json.loads(to_geojson([alert], shapes_apart=True))["features"]

    assert [f["geometry"] and f["geometry"]["type"] for f in whole] == ["GeometryCollection", None]
    assert [f["geometry"] and f["geometry"]["type"] for f in apart] == [*["Polygon"] * 4, "Point", None]
    assert len({f["id"] for f in apart}) == len(apart)
    assert {f["id"] for f in whole} <= {f["id"] for f in apart}
    assert [f["properties"] for f in apart] == [*[whole[0]["properties"]] * 5, whole[1]["properties"]]


@pytest.mark.parametrize(
    ("radii", "kinds"),
    [
        ((0.0,), "Point"),
        ((0.0, 0.0), "MultiPoint"),
        ((0.0, 1.0), "GeometryCollection"),
        ((1.0, 2.0), "MultiPolygon"),
    ],
)
def test_a_circle_without_a_radius_is_a_point(radii, kinds):
    area = Area("here", circles=tuple(Circle(50.0 + n, 4.0, radius) for n, radius in enumerate(radii)))

    geometry = geometry_of(area)

    assert geometry["type"] == kinds
    if kinds == "Point":
        assert geometry["coordinates"] == [4.0, 50.0]
