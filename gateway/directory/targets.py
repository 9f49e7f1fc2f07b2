"""What was asked for: areas, codes, networks, groups. ONE union, as CAP-v1.2 3.2.4 has it for areas.

Pure. Holds what was asked word for word (it is kept with the campaign); `geocode_systems` says what the codes mean and
`point_in_area` what the shapes are. Degrees are WGS 84, latitude first; radii are kilometres.
"""

from collections.abc import Iterable

import msgspec

from cap.model import Area

Point = tuple[float, float]


class PolygonTarget(msgspec.Struct, frozen=True):
    """A closed ring of (latitude, longitude), the last point equal to the first."""

    area: str
    """How the sender calls it (areaDesc); several targets may bear one name."""
    points: tuple[Point, ...]


class CircleTarget(msgspec.Struct, frozen=True):
    area: str
    lat: float
    lon: float
    radius_km: float


class GeocodeTarget(msgspec.Struct, frozen=True):
    area: str
    system: str
    """The valueName as sent."""
    value: str


class Targets(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A union: whoever fits any of it is concerned, once."""

    polygons: tuple[PolygonTarget, ...] = ()
    circles: tuple[CircleTarget, ...] = ()
    geocodes: tuple[GeocodeTarget, ...] = ()
    networks: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    whole_zone: bool = False
    empty_areas: tuple[str, ...] = ()
    """Names of areas that are only a name: nobody can tell where they are."""
    bad_addresses: tuple[str, ...] = ()
    """Entries of `<addresses>` that are neither plp:CODE nor group:CODE."""
    ignored: tuple[str, ...] = ()
    """Sentences on what was given and does not narrow the targets (altitude, ceiling)."""

    def names(self) -> tuple[str, ...]:
        """What was asked for as the sender calls it, each name once."""
        placed = (
            *(polygon.area for polygon in self.polygons),
            *(circle.area for circle in self.circles),
            *(geocode.area for geocode in self.geocodes),
        )
        return tuple(dict.fromkeys((*placed, *self.empty_areas, *self.networks, *self.groups)))


def from_cap(areas: Iterable[Area], addresses: Iterable[str] = ()) -> Targets:
    """The targets of an alert: the areas of all its infos and its `<addresses>`. Each distinct area counts once."""
    polygons: dict[PolygonTarget, None] = {}  # dicts: sets that keep the order
    circles: dict[CircleTarget, None] = {}
    geocodes: dict[GeocodeTarget, None] = {}
    empty: dict[str, None] = {}
    ignored: dict[str, None] = {}
    for area in dict.fromkeys(areas):
        name = area.description
        polygons |= {PolygonTarget(name, ring): None for ring in area.polygons}
        circles |= {CircleTarget(name, c.lat, c.lon, c.radius_km): None for c in area.circles}
        geocodes |= {GeocodeTarget(name, code.name, code.value): None for code in area.geocodes}
        if not (area.polygons or area.circles or area.geocodes):
            empty[name] = None
        ignored |= dict.fromkeys(_heights(area))
    networks, groups, bad = _addressees(addresses)
    return Targets(
        tuple(polygons),
        tuple(circles),
        tuple(geocodes),
        networks,
        groups,
        empty_areas=tuple(empty),
        bad_addresses=bad,
        ignored=tuple(ignored),
    )


def _heights(area: Area) -> list[str]:
    named = {"altitude": area.altitude, "ceiling": area.ceiling}
    return [
        f"The {name} of {height:g} feet of “{area.description}” does not narrow who is concerned."
        for name, height in named.items()
        if height is not None
    ]


def _addressees(addresses: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    networks: dict[str, None] = {}
    groups: dict[str, None] = {}
    bad: dict[str, None] = {}
    for entry in addresses:
        scheme, colon, code = entry.partition(":")
        kind = scheme.strip().lower() if colon and code.strip() else ""
        # The three languages' names of the same thing.
        into = {"plp": networks, "bin": networks, "nin": networks, "group": groups}.get(kind, bad)
        into[entry if into is bad else code.strip()] = None
    return tuple(networks), tuple(groups), tuple(bad)
