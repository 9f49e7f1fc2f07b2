"""Rules about area elements (CAP-v1.2 3.2.4). Checks take one area; the one on crossings takes the alert."""

from __future__ import annotations

from cap import shapes
from cap.model import Alert, Area
from cap.rules.row import NOTHING, Findings, Rule, RuleFinding, error, warning
from cap.text_values import is_blank


def _description(area: Area) -> Findings:
    if not is_blank(area.description):
        return NOTHING
    shape = next((word for word, there in _where(area) if there), "")
    return (RuleFinding("areaDesc", "the description is blank", cause="shape" if shape else "", facts=(shape,)),)


def _where(area: Area) -> tuple[tuple[str, bool], ...]:
    """What says where, and whether there is any; a shape at fault is told of beside this."""
    return (
        ("polygon", any(area.polygons)),
        ("circle", bool(area.circles)),
        ("geocode", any(code.name.strip() and code.value.strip() for code in area.geocodes)),
    )


def _few_points(area: Area) -> Findings:
    return [
        RuleFinding(f"polygon[{number}]", f"a polygon of {len(ring)} points")
        for number, ring in enumerate(area.polygons, 1)
        if len(ring) < 4
    ] or NOTHING


def _open(area: Area) -> Findings:
    return [
        RuleFinding(f"polygon[{number}]", "the last point is not the first", f"{ring[0]} ... {ring[-1]}")
        for number, ring in enumerate(area.polygons, 1)
        if ring and ring[0] != ring[-1]
    ] or NOTHING


def _off_earth(area: Area) -> Findings:
    findings = []
    for number, ring in enumerate(area.polygons, 1):
        if point := shapes.first_off_earth(ring):
            cause, facts = _beyond(*ring[point - 1])
            lat, lon = ring[point - 1]
            at = f"polygon[{number}]"
            findings.append(RuleFinding(at, "", f"{lat},{lon}", cause=cause, facts=(str(point), *facts)))
    return findings


def _beyond(lat: float, lon: float) -> tuple[str, tuple[str, ...]]:
    """(cause, facts): which figure is out of its range, by how much, and what may be meant."""
    if abs(lat) > _MOST_LAT and abs(lat) <= _MOST_LON and abs(lon) <= _MOST_LAT:
        return "swapped", (str(lat), f"{lon},{lat}")
    if abs(lat) > _MOST_LAT:
        return "latitude", (str(lat), _figure(abs(lat) - _MOST_LAT))
    return "longitude", (str(lon), _figure(abs(lon) - _MOST_LON), _figure((lon + _MOST_LON) % 360 - _MOST_LON))


_MOST_LAT, _MOST_LON = 90.0, 180.0


def _figure(value: float) -> str:
    return f"{value:.6f}".rstrip("0").rstrip(".") if abs(value) < 1e6 else f"{value:g}"


def _flat(area: Area) -> Findings:
    return [
        RuleFinding(f"polygon[{number}]", "the polygon encloses nothing")
        for number, ring in enumerate(area.polygons, 1)
        if len(ring) >= 4 and shapes.is_flat(ring)
    ] or NOTHING


def _circle_off_earth(area: Area) -> Findings:
    return [
        RuleFinding(f"circle[{number}]", "", f"{circle.lat},{circle.lon}", *_beyond(circle.lat, circle.lon))
        for number, circle in enumerate(area.circles, 1)
        if not shapes.on_earth(circle.lat, circle.lon)
    ] or NOTHING


def _radius(area: Area) -> Findings:
    return [
        RuleFinding(f"circle[{number}]", "the radius is negative or endless", str(circle.radius_km))
        for number, circle in enumerate(area.circles, 1)
        if not shapes.is_radius(circle.radius_km)
    ] or NOTHING


def _radius_zero(area: Area) -> Findings:
    return [
        RuleFinding(f"circle[{number}]", "a radius of zero is a point")
        for number, circle in enumerate(area.circles, 1)
        if circle.radius_km == 0.0
    ] or NOTHING


def _value_blank(area: Area) -> Findings:
    return [
        RuleFinding(
            f"geocode[{number}]/value", "", cause="code" if code.name.strip() else "nothing", facts=(code.name.strip(),)
        )
        for number, code in enumerate(area.geocodes, 1)
        if not code.value.strip()
    ] or NOTHING


def _code_alone(area: Area) -> Findings:
    if area.geocodes and not area.polygons and not area.circles:
        return (RuleFinding("", "the area has codes but no polygon or circle", area.description),)
    return NOTHING


def _ceiling_alone(area: Area) -> Findings:
    if area.ceiling is not None and area.altitude is None:
        return (RuleFinding("ceiling", "a ceiling without an altitude", str(area.ceiling)),)
    return NOTHING


def _ceiling_below(area: Area) -> Findings:
    if area.ceiling is not None and area.altitude is not None and area.ceiling < area.altitude:
        return (RuleFinding("ceiling", "the ceiling is below the altitude", str(area.ceiling)),)
    return NOTHING


def _crossing(alert: Alert) -> Findings:
    effort = shapes.GeometryEffort()
    findings = []
    for number, info in enumerate(alert.infos, 1):
        for place, area in enumerate(info.areas, 1):
            for shape, ring in enumerate(area.polygons, 1):
                crosses = shapes.is_closed(ring) and shapes.crosses_itself(ring, effort)
                if crosses is not False:
                    at = f"info[{number}]/area[{place}]/polygon[{shape}]"
                    cause = "" if crosses else "unchecked"
                    findings.append(RuleFinding(at, "the polygon crosses itself", cause=cause))
    return findings


AREA: tuple[Rule, ...] = (
    warning("G-EMPTY", "3.2.4", "An optional element is not empty.", "Leave it out, or say where it is."),
    error("G-DESC", "3.2.4 areaDesc", "An area is described.", "Say in words where it is.", _description),
    error(
        "G-POLY-MIN4",
        "3.2.4 polygon",
        "A polygon has at least four points.",
        "Three corners, and the first again.",
        _few_points,
    ),
    error(
        "G-POLY-CLOSED", "3.2.4 polygon", "A polygon ends where it begins.", "Repeat the first point at the end.", _open
    ),
    error(
        "G-POLY-RANGE",
        "3.3.1",
        "Latitudes are within 90 degrees, longitudes within 180.",
        "Write latitude first.",
        _off_earth,
    ),
    warning("G-POLY-DEGEN", "policy", "A polygon encloses something.", "Check the corners, or use a circle.", _flat),
    error(
        "G-CIRC-RANGE",
        "3.3.1",
        "Latitudes are within 90 degrees, longitudes within 180.",
        "Write latitude first.",
        _circle_off_earth,
    ),
    error("G-CIRC-RADIUS", "3.2.4 circle", "A radius is zero or more kilometres.", "Write kilometres.", _radius),
    warning("G-CIRC-ZERO", "policy", "A circle has a radius.", "Give the kilometres that are meant.", _radius_zero),
    warning("G-GEO-EMPTY", "3.2.4 geocode", "A geocode has a value.", "Write the code, or leave it out.", _value_blank),
    warning(
        "G-GEO-PLUS",
        "3.2.4 geocode",
        "A geocode goes with a polygon or circle of the same place.",
        "Add the shape for those who do not know the code.",
        _code_alone,
    ),
    warning(
        "G-CEIL-ALT",
        "3.2.4 ceiling",
        "A ceiling goes with an altitude.",
        "Add <altitude>, or leave <ceiling> out.",
        _ceiling_alone,
    ),
    warning(
        "G-ALT-ORDER",
        "policy",
        "A ceiling is not below the altitude.",
        "Write the lower height in <altitude>.",
        _ceiling_below,
    ),
)

# Takes the alert, because what looking costs is bounded for the whole document.
CROSSING: tuple[Rule, ...] = (
    warning("G-POLY-SELFX", "policy", "A polygon does not cross itself.", "Check the order of the corners.", _crossing),
)
