"""Areas of alerts as GeoJSON (RFC 7946), for maps. Knows no map, no store and no clock.

Longitude comes first here, unlike in CAP; outer rings run against the clock. GeoJSON has no circles: they become
polygons that contain them, and stand in the properties too. A code without a shape has no geometry.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import pairwise
from math import asin, atan2, cos, degrees, pi, radians, sin
from typing import Any, Final

from cap.model import DEFAULT_LANGUAGE, Alert, Area, Circle, Info, Ring
from cap.write import moment

MEDIA_TYPE: Final = "application/geo+json"
CORNERS: Final = 64
_EARTH_KM = 6371.0088  # mean radius, IUGG
_DECIMALS = 6  # 0.1 m
# A side is straight on a map of degrees and not on the earth, and corners are rounded: together less than this.
_MARGIN = 1.001

Position = list[float]


def to_geojson(alerts: Iterable[Alert], links: Iterable[str] = (), remark: str = "") -> bytes:
    """One FeatureCollection: a feature for every area of every info of every alert, in their order.

    `links` are the addresses of the alerts' documents, in the same order; without them no feature has one. `remark` is
    a member of its own (RFC 7946 6.1): what the collection leaves out.
    """
    urls = iter(links)
    features = [feature for alert in alerts for feature in features_of(alert, next(urls, ""))]
    said = {"remark": remark} if remark else {}
    collection = {"type": "FeatureCollection", **said, "features": features}
    return json.dumps(collection, ensure_ascii=False).encode() + b"\n"


def features_of(alert: Alert, url: str = "") -> Iterator[dict[str, Any]]:
    """A feature for each area, with what a map needs to colour and name it."""
    for info in alert.infos:
        for area in info.areas:
            properties = {**_about(alert, info), **_place(area)}
            if url:
                properties["url"] = url
            yield {"type": "Feature", "geometry": geometry_of(area), "properties": properties}


def geometry_of(area: Area) -> dict[str, Any] | None:
    """A Polygon, or a MultiPolygon for several shapes; None for an area without any.

    Shapes across the antimeridian are not cut: their longitudes run on beyond 180.
    """
    rings = [*map(_outer, area.polygons), *map(circle_ring, area.circles)]
    if not rings:
        return None
    if len(rings) == 1:
        return {"type": "Polygon", "coordinates": rings}
    return {"type": "MultiPolygon", "coordinates": [[ring] for ring in rings]}


def circle_ring(circle: Circle) -> list[Position]:
    """A closed ring of `CORNERS` sides around the circle: nobody inside the circle is outside of it."""
    # Sides that touch the circle have their corners further out by this factor.
    angle = circle.radius_km * _MARGIN / _EARTH_KM / cos(pi / CORNERS)
    lat, lon = radians(circle.lat), radians(circle.lon)
    ring = []
    for corner in range(CORNERS):
        bearing = -2 * pi * corner / CORNERS  # against the clock
        north = asin(max(-1.0, min(1.0, sin(lat) * cos(angle) + cos(lat) * sin(angle) * cos(bearing))))
        east = lon + atan2(sin(bearing) * sin(angle) * cos(lat), cos(angle) - sin(lat) * sin(north))
        ring.append(_position(degrees(north), degrees(east)))
    return [*ring, ring[0]]


def _outer(ring: Ring) -> list[Position]:
    twice_area = sum(lon * lat2 - lon2 * lat for (lat, lon), (lat2, lon2) in pairwise(ring))
    points = ring if twice_area >= 0 else ring[::-1]
    return [_position(lat, lon) for lat, lon in points]


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
