"""How large a document may be before anybody looks at what it says. Counts a tree; knows no rule of CAP.

libxml2 lists schema faults in more than linear time: 225 kB of `<info/>` held a process for 6 seconds, so every
limit here is checked before the schema is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from lxml import etree

from cap.names import ADDRESSES, AREA, INCIDENTS, INFO, POLYGON, REFERENCES


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that a document may hold. The largest real alerts known have 882 kB, 41,009 points in 358 elements, and
    9,809 elements in 1,352 areas and 8 languages."""

    max_bytes: int = 1_048_576
    max_elements: int = 20_000
    max_children: int = 2_000
    max_attributes: int = 500
    max_infos: int = 64
    max_areas: int = 4_000
    max_points: int = 50_000
    max_list_chars: int = 65_536  # of addresses, references or incidents
    # A rejected document larger than this gets the short list of faults: the long one takes 33 ms per 1,000 elements.
    max_explained_elements: int = 1_000


DEFAULT = Limits()

KEPT = Limits(
    max_bytes=64 * 1_048_576,
    max_elements=10_000_000,
    max_children=1_000_000,
    max_attributes=1_000_000,
    max_infos=100_000,
    max_areas=1_000_000,
    max_points=10_000_000,
    max_list_chars=64 * 1_048_576,
)
"""For what was accepted once: the limits of that day may have been wider than those of today."""


class Excess(NamedTuple):
    """A limit that is broken: where, which (a cause of the rule XML-LIMIT), and its value."""

    element: etree._Element
    cause: str
    facts: tuple[str, ...]


def excess(document: bytes, root: etree._Element, limits: Limits) -> Excess | None:
    """The first limit that a parsed document breaks; None if it keeps them all."""
    # Tags and attributes need these bytes in every encoding that is let in, so few bytes are proof enough.
    tags = document.count(b"<")
    if tags > min(limits.max_children, limits.max_elements) and (found := _large_tree(root, limits)):
        return found
    if document.count(b"=") > limits.max_attributes:
        attributes = sum(len(element.attrib) for element in root.iter())
        if attributes > limits.max_attributes:
            return Excess(root, "attributes", (str(limits.max_attributes),))
    if (
        len(root) <= limits.max_infos
        and tags <= limits.max_areas
        and len(document) <= min(limits.max_points, limits.max_list_chars)
    ):
        return None
    return _many_parts(root, limits) or _long_list(root, limits)


def _large_tree(root: etree._Element, limits: Limits) -> Excess | None:
    for count, element in enumerate(root.iter(), 1):
        if count > limits.max_elements:
            return Excess(root, "elements", (str(limits.max_elements),))
        if len(element) > limits.max_children:
            return Excess(element, "children", (str(limits.max_children),))
    return None


def _many_parts(root: etree._Element, limits: Limits) -> Excess | None:
    infos = areas = points = 0
    for element in root.iter(INFO, AREA, POLYGON):
        if element.tag == POLYGON:
            points += (element.text or "").count(",")
        elif element.tag == AREA:
            areas += 1
        else:
            infos += 1
        if infos > limits.max_infos:
            return Excess(element, "infos", (str(limits.max_infos),))
        if areas > limits.max_areas:
            return Excess(element, "areas", (str(limits.max_areas),))
        if points > limits.max_points:
            return Excess(element, "points", (str(limits.max_points),))
    return None


def _long_list(root: etree._Element, limits: Limits) -> Excess | None:
    for element in root.iterchildren(ADDRESSES, REFERENCES, INCIDENTS):
        if len(element.text or "") > limits.max_list_chars:
            return Excess(element, "list", (str(limits.max_list_chars),))
    return None
