"""Areas of alerts as GeoJSON (RFC 7946), for maps. Knows no map, no store and no clock.

Longitude comes first here, unlike in CAP; outer rings run against the clock. GeoJSON has no circles: they become
polygons that contain them, and stand in the properties too. A code without a shape has no geometry.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import pairwise
from math import asin, atan2, cos, degrees, floor, pi, radians, sin
from typing import Any, Final
from uuid import NAMESPACE_URL, UUID, uuid5

from cap.model import DEFAULT_LANGUAGE, Alert, Area, Circle, Info, Ring
from cap.visible_text import harmless
from cap.write import moment

MEDIA_TYPE: Final = "application/geo+json"
CORNERS: Final = 64
_EARTH_KM = 6371.0088  # mean radius, IUGG
_DECIMALS = 6  # 0.1 m
# A side is straight on a map of degrees and not on the earth, and corners are rounded: together less than this.
_MARGIN = 1.001

Position = list[float]
_Corner = tuple[float, float]
"""Longitude and latitude, not rounded."""


def to_geojson(
    alerts: Iterable[Alert], links: Iterable[str] = (), remark: str = "", *, shapes_apart: bool = False
) -> bytes:
    """One FeatureCollection: a feature for every area of every info of every alert, in their order.

    `links` are the addresses of the alerts' documents, in the same order; without them no feature has one. `remark` is
    a member of its own (RFC 7946 6.1): what the collection leaves out. `shapes_apart` gives every shape of an area a
    feature of its own: readers that know nothing but a Point and a Polygon, as Home Assistant's, leave out a
    MultiPolygon, and with it the alert.
    """
    urls = iter(links)
    features = [feature for alert in alerts for feature in features_of(alert, next(urls, ""))]
    if shapes_apart:
        features = [part for feature in features for part in _apart(feature)]
    said = {"remark": remark} if remark else {}
    collection = {"type": "FeatureCollection", **said, "features": features}
    return json.dumps(collection, ensure_ascii=False).encode() + b"\n"


def features_of(alert: Alert, url: str = "") -> Iterator[dict[str, Any]]:
    """A feature for each area, with what a map needs to colour and name it; an info without areas has one nowhere
    (RFC 7946 3.2: a geometry of null). The id is the same whenever the alert is shown."""
    known: Counter[str] = Counter()
    for info in alert.infos:
        for place, area in enumerate(alert.areas_of(info) or (None,), 1):
            name = _name(alert, info, place)
            known[name] += 1
            told = {"title": info.headline or info.event, **_about(alert, info), **(_place(area) if area else {})}
            properties = {key: harmless(value) if isinstance(value, str) else value for key, value in told.items()}
            if url:
                properties["url"] = url
            yield {
                "type": "Feature",
                "id": str(uuid5(NAMESPACE_URL, f"{name}.{known[name]}")),
                "geometry": geometry_of(area) if area else None,
                "properties": properties,
            }


def _apart(feature: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The first shape keeps the feature's id."""
    for number, geometry in enumerate(_parts(feature["geometry"]), 1):
        name = feature["id"] if number == 1 else str(uuid5(UUID(feature["id"]), str(number)))
        yield feature | {"id": name, "geometry": geometry}


def _parts(geometry: dict[str, Any] | None) -> Iterator[dict[str, Any] | None]:
    """The Points and Polygons of a geometry; None for none."""
    if geometry is None or geometry["type"] in ("Point", "Polygon"):
        yield geometry
        return
    for part in geometry.get("geometries", ()):
        yield from _parts(part)
    for coordinates in geometry.get("coordinates", ()):
        yield {"type": geometry["type"].removeprefix("Multi"), "coordinates": coordinates}


def _name(alert: Alert, info: Info, place: int) -> str:
    """By what the info says, not by its number: of those that are over none is shown, and the others keep their ids."""
    said = (info.language, info.event, info.headline, info.effective, info.onset, info.expires)
    return f"cap:{alert.sender},{alert.identifier},{moment(alert.sent)}#{said}.{place}"


def geometry_of(area: Area) -> dict[str, Any] | None:
    """A Polygon, or a MultiPolygon for several shapes; a Point, or several, for circles without a radius; a collection
    where there are both; None for an area without any.

    Shapes across the antimeridian are cut there (RFC 7946 3.1.9), so that no map draws them round the world.
    """
    drawn = list(shapes_of(area))
    found = [
        _one_or_many(kind, each)
        for kind in ("Polygon", "Point")
        if (each := [shape["coordinates"] for shape in drawn if shape["type"] == kind])
    ]
    if len(found) > 1:
        return {"type": "GeometryCollection", "geometries": found}
    return found[0] if found else None


def shapes_of(area: Area, corners: int = CORNERS) -> Iterator[dict[str, Any]]:
    """A Polygon for each piece of each polygon and circle, and a Point for each circle without a radius. A circle has
    so many corners."""
    for ring in area.polygons:
        yield from _polygons(_turned(ring), 1.0)
    for circle in area.circles:
        if circle.radius_km > 0:
            yield from _polygons(_rim(circle, corners), circle.lat)
        else:
            yield {"type": "Point", "coordinates": _position(circle.lat, circle.lon)}


def _polygons(ring: list[_Corner], towards: float) -> Iterator[dict[str, Any]]:
    for piece in _cut(ring, towards):
        yield {"type": "Polygon", "coordinates": [piece]}


def _one_or_many(kind: str, coordinates: list[Any]) -> dict[str, Any]:
    if len(coordinates) == 1:
        return {"type": kind, "coordinates": coordinates[0]}
    return {"type": f"Multi{kind}", "coordinates": coordinates}


def circle_ring(circle: Circle) -> list[Position]:
    """A closed ring of so many sides around the circle: nobody inside the circle is outside of it. Across the
    antimeridian its longitudes run on beyond 180."""
    return [_position(lat, lon) for lon, lat in _rim(circle)]


def _rim(circle: Circle, corners: int = CORNERS) -> list[_Corner]:
    # Sides that touch the circle have their corners further out by this factor.
    angle = circle.radius_km * _MARGIN / _EARTH_KM / cos(pi / corners)
    lat, lon = radians(circle.lat), radians(circle.lon)
    ring = []
    for corner in range(corners):
        bearing = -2 * pi * corner / corners  # against the clock
        north = asin(max(-1.0, min(1.0, sin(lat) * cos(angle) + cos(lat) * sin(angle) * cos(bearing))))
        east = lon + atan2(sin(bearing) * sin(angle) * cos(lat), cos(angle) - sin(lat) * sin(north))
        ring.append((degrees(east), degrees(north)))
    return [*ring, ring[0]]


def _turned(ring: Ring) -> list[_Corner]:
    """As corners, against the clock."""
    corners = _unwrapped([(lon, lat) for lat, lon in ring])
    return corners if _twice_area(corners) >= 0 else corners[::-1]


def _unwrapped(corners: list[_Corner]) -> list[_Corner]:
    """Each longitude by the shorter way from the one before: what crosses the antimeridian runs on beyond 180."""
    found: list[_Corner] = []
    for lon, lat in corners:
        before = found[-1][0] if found else lon
        found.append((lon - 360 * round((lon - before) / 360), lat))
    return found


def _cut(ring: list[_Corner], towards: float) -> Iterator[list[Position]]:
    """The pieces between the antimeridian and itself, each with longitudes from -180 to 180. `towards`: on which side
    of the equator the pole lies that a ring goes round."""
    corners = _unwrapped(ring)
    turn = round((corners[-1][0] - corners[0][0]) / 360)
    if turn:
        pole = 90.0 if towards >= 0 else -90.0
        # With a corner half way: both ends of an edge round the whole pole would be one place.
        east, west = corners[-1][0], corners[0][0]
        corners += [(east, pole), ((east + west) / 2, pole), (west, pole), corners[0]]
        if _twice_area(corners) < 0:
            corners.reverse()
    first = floor((min(lon for lon, _ in corners) + 180) / 360)
    last = floor((max(lon for lon, _ in corners) + 180) / 360)
    if first == last == 0:
        yield [_position(lat, lon) for lon, lat in corners]
        return
    windows = [(360 * window, _half(_half(corners, 360 * window - 180, 1), 360 * window + 180, -1))
               for window in range(first, last + 1)]  # fmt: skip
    pieces = [(shift, piece) for shift, piece in windows if piece]
    # What only touches the line has nothing on its other side; a ring without any area is shown all the same.
    for shift, piece in [(shift, piece) for shift, piece in pieces if _twice_area(piece)] or pieces:
        yield [_position(lat, lon - shift) for lon, lat in piece]


def _half(corners: list[_Corner], at: float, side: int) -> list[_Corner]:
    """What of a closed ring lies east (1) or west (-1) of a meridian, closed again (Sutherland and Hodgman)."""
    found: list[_Corner] = []
    for (lon, lat), (lon2, lat2) in pairwise(corners):
        inside, inside2 = side * (lon - at) >= 0, side * (lon2 - at) >= 0
        if inside:
            found.append((lon, lat))
        if inside != inside2:
            found.append((at, lat + (lat2 - lat) * (at - lon) / (lon2 - lon)))
    return [*found, found[0]] if found else []


def _twice_area(corners: list[_Corner]) -> float:
    return sum(lon * lat2 - lon2 * lat for (lon, lat), (lon2, lat2) in pairwise(corners))


def _position(lat: float, lon: float) -> Position:
    return [round(lon, _DECIMALS), round(lat, _DECIMALS)]


def _about(alert: Alert, info: Info) -> dict[str, Any]:
    found: dict[str, Any] = {
        "identifier": alert.identifier,
        "sender": alert.sender,
        "sent": moment(alert.sent),
        "status": str(alert.status),
        "msgType": str(alert.msg_type),
        "scope": str(alert.scope),
        "language": info.language or DEFAULT_LANGUAGE,
        "category": [str(category) for category in info.categories],
        "event": info.event,
        "urgency": str(info.urgency),
        "severity": str(info.severity),
        "certainty": str(info.certainty),
    }
    texts = {"senderName": info.sender_name, "headline": info.headline, "web": info.web}
    times = {"effective": info.effective, "onset": info.onset, "expires": info.expires}
    return found | {name: text for name, text in texts.items() if text} | _times(times)


def _times(times: dict[str, datetime | None]) -> dict[str, str]:
    return {name: moment(time) for name, time in times.items() if time is not None}


def _place(area: Area) -> dict[str, Any]:
    found: dict[str, Any] = {"areaDesc": area.description}
    if area.geocodes:
        found["geocode"] = [{"valueName": code.name, "value": code.value} for code in area.geocodes]
    if area.circles:
        found["circle"] = [{"center": _position(c.lat, c.lon), "radius_km": c.radius_km} for c in area.circles]
    heights = {"altitude": area.altitude, "ceiling": area.ceiling}
    return found | {name: height for name, height in heights.items() if height is not None}
