"""What a document at fault can do without: such a part is left out and told, and the alert holds.

A part is optional and changes nothing in what the rest says: a file, a web address, a code, one shape among good ones,
a text in a second language, whatever is empty. A Cancel ends what it names, and can do without its infos. Where an area
has no good polygon beside a broken one (nor a circle beside a circle) nobody knows whom it means: that stays a fault of
the alert.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any

from lxml import etree

from cap import xsd
from cap.locate import path_of
from cap.model import Alert, Area, Info, MsgType, Resource, Scope
from cap.names import AREA, HEIGHTS
from cap.problem import Level, Problem
from cap.rules import BY_ID
from cap.text_values import is_blank

Paths = frozenset[str]

UNTYPED = "application/octet-stream"
"""The type of a file that has none (RFC 2046 4.5.1)."""

_ROUNDS = 8  # libxml2 knows the first fault of a broken content model only
_SHAPES = ("polygon", "circle", "geocode")
_OF_INFO = ("web", "eventCode", "parameter", "altitude", "ceiling", *_SHAPES)
_OF_RESOURCE = ("mimeType", "size", "uri", "derefUri", "digest")
# Optional elements of which an empty one is none, although their type may not be empty.
_EMPTY = frozenset({"responseType", "effective", "onset", "expires", "resource", "area", "size", *_OF_INFO})
OF_PARTS = frozenset(
    {"G-EMPTY", "G-GEO-EMPTY", "I-VN", "I-WEB-ABS", "G-CEIL-ALT", "G-ALT-LEX", "A-INCID-LEX", "R-MIME", "R-SIZE",
     "R-URI", "R-DEREF", "R-DIGEST"}
)  # fmt: skip
"""Rules about a part alone, which is left out whenever they are broken."""
_OUT_OF_PLACE = frozenset({"place", "early"})
_SAY_NOTHING = frozenset({"G-EMPTY", "G-GEO-EMPTY", "I-VN"})


def at_fault(root: etree._Element, draft: Alert, problems: Sequence[Problem], valid: bool) -> Paths | None:
    """The paths of all that is left out; None where the schema refuses what no part can explain.

    `draft` has a place for each element of the document, so that paths count the same in both.
    """
    by_rule = {part for problem in problems if _may_leave(problem) and (part := _part(problem.path, draft))}
    by_schema = frozenset[str]() if valid else _refused_by_schema(root, draft)
    if by_schema is None:
        return None
    return frozenset(by_rule - _indispensable(draft, by_rule, problems)) | by_schema


def told(problem: Problem, left_out: Paths) -> Problem:
    """The problem as it is where these parts are left out: it refuses nothing if it was theirs.

    Nor does a height out of its place: it is read all the same, and narrows nobody.
    """
    if problem.rule == "XSD" and problem.cause in _OUT_OF_PLACE and "/area[" in problem.path:
        return replace(problem, level=Level.WARNING)
    theirs = problem.rule in BY_ID and (problem.level is Level.ERROR or problem.rule in OF_PARTS)
    if not theirs or not any(_is_within(problem.path, part) for part in left_out):
        return problem
    return replace(problem, level=Level.WARNING, text=f"{problem.text}: it is left out", left_out=True)


def without(alert: Alert, left_out: Paths) -> Alert:
    """The alert without these parts; the paths are those of the document that it was read from."""
    if not left_out:
        return alert
    infos = tuple(
        _info_without(info, path, left_out)
        for number, info in enumerate(alert.infos, 1)
        if (path := f"/alert/info[{number}]") not in left_out
    )
    alert = replace(alert, infos=infos)
    if "/alert/incidents" in left_out:
        alert = replace(alert, incidents=())
    return replace(alert, addresses=()) if "/alert/addresses" in left_out else alert


# ---- which part ------------------------------------------------------------------------------------------------


def _may_leave(problem: Problem) -> bool:
    """What a profile asks for was agreed on, so nothing of it is left out; the schema is looked at on its own."""
    known = problem.rule in BY_ID and problem.rule != "XSD"
    return known and (problem.level is Level.ERROR or problem.rule in OF_PARTS)


def _part(path: str, draft: Alert) -> str:
    """The part that a fault at this path leaves out; "" where the alert cannot do without it."""
    steps = path.split("/")  # "", alert, info[1], ...
    if len(steps) < 3:
        return ""
    if steps[2] == "incidents" or (steps[2] == "addresses" and draft.scope is not Scope.PRIVATE):
        return path
    if not steps[2].startswith("info["):
        return ""
    for place, step in enumerate(steps[3:], 4):
        name = _name(step)
        if name in _OF_INFO:
            return "/".join(steps[:place])
        if name == "resource":
            field = len(steps) == place + 1 and _name(steps[place]) in _OF_RESOURCE
            return "/".join(steps[: place + field])
    return "/".join(steps[:3]) if _can_spare(draft, steps[2]) else ""


def _can_spare(draft: Alert, step: str) -> bool:
    """Whether the alert says all without this info: it is a Cancel's, or in a language that is not the first's."""
    if draft.msg_type is MsgType.CANCEL:
        return True
    number = int(step[len("info[") : -1])
    if not 1 < number <= len(draft.infos):
        return False
    language = draft.infos[number - 1].language.lower()
    return language not in ("", draft.infos[0].language.lower())


def _indispensable(draft: Alert, parts: Iterable[str], problems: Sequence[Problem]) -> set[str]:
    """Shapes that say something, without a good one of their kind beside them: a Cancel has none."""
    shapes = {part for part in parts if _name(part.rpartition("/")[2]) in _SHAPES and "/area[" in part}
    if not shapes or draft.msg_type is MsgType.CANCEL:
        return set()
    silent = {_part(problem.path, draft) for problem in problems if problem.rule in _SAY_NOTHING}
    areas = dict(_areas(draft))
    found = set()
    for shape in shapes - silent:
        at, _, step = shape.rpartition("/")
        if not any(
            path not in shapes and _name(path[len(at) + 1 :]) == _name(step) for path in _speaking(areas[at], at)
        ):
            found.add(shape)
    return found


def _areas(draft: Alert) -> Iterator[tuple[str, Area]]:
    for number, info in enumerate(draft.infos, 1):
        for place, area in enumerate(info.areas, 1):
            yield f"/alert/info[{number}]/area[{place}]", area


def _speaking(area: Area, path: str) -> Iterator[str]:
    """The paths of the shapes and codes of an area in which there is something."""
    yield from (f"{path}/polygon[{number}]" for number, ring in enumerate(area.polygons, 1) if ring)
    yield from (f"{path}/circle[{number}]" for number, _ in enumerate(area.circles, 1))
    codes = enumerate(area.geocodes, 1)
    yield from (f"{path}/geocode[{n}]" for n, code in codes if not (is_blank(code.name) or is_blank(code.value)))


# ---- what the schema refuses -----------------------------------------------------------------------------------


def _refused_by_schema(root: etree._Element, draft: Alert) -> Paths | None:
    """The parts without which the document follows the schema; None if there are no such parts."""
    copy = deepcopy(root)
    # Kept by their elements: the copy loses some, and paths count those of the document as it came.
    originals = dict(zip(copy.iter(), root.iter(), strict=True))
    _lower_heights(copy)
    if xsd.is_valid(copy):
        return frozenset()
    found: set[str] = set()
    for _ in range(_ROUNDS):
        parts = {path: element for element, path in _refused(copy, originals, draft)}
        if "" in parts:
            return None
        for element in parts.values():
            if (parent := element.getparent()) is not None:
                parent.remove(element)
        found |= set(parts)
        if xsd.is_valid(copy):
            return frozenset(found)
    return None


def _lower_heights(root: etree._Element) -> None:
    """Altitude and ceiling behind all else in their area, where the schema wants them."""
    for area in root.iter(AREA):
        heights = [height for tag in HEIGHTS for height in area.iterchildren(tag)]
        if heights and list(area)[-len(heights) :] != heights:
            area.extend(heights)


def _refused(
    copy: etree._Element, originals: dict[etree._Element, etree._Element], draft: Alert
) -> Iterator[tuple[etree._Element, str]]:
    """(element, path) of the part that each fault is in; "" for a path where it is in none."""
    for fault in xsd.faults(copy):
        element = fault.element
        if _is_empty(element):
            yield element, path_of(originals[element])
            continue
        if fault.unexpected and (parent := element.getparent()) is not None:
            element = parent  # what is out of place leaves doubt about the element that holds it
        path = path_of(originals[element])
        part = _part(path, draft)
        for _ in range(path.count("/") - part.count("/") if part else 0):
            element = element.getparent()  # type: ignore[assignment]
        yield element, part


def _is_empty(element: etree._Element) -> bool:
    if etree.QName(element).localname not in _EMPTY:
        return False
    return all(_is_hollow(each) for each in element.iter())


def _is_hollow(element: etree._Element) -> bool:
    return not (element.text or "").strip() and not (element.tail or "").strip()


# ---- leaving out -----------------------------------------------------------------------------------------------


def _info_without(info: Info, path: str, left_out: Paths) -> Info:
    if not any(part.startswith(f"{path}/") for part in left_out):
        return info
    resources = _kept(info.resources, f"{path}/resource", left_out)
    return replace(
        info,
        event_codes=tuple(code for _, code in _kept(info.event_codes, f"{path}/eventCode", left_out)),
        parameters=tuple(pair for _, pair in _kept(info.parameters, f"{path}/parameter", left_out)),
        response_types=tuple(word for _, word in _kept(info.response_types, f"{path}/responseType", left_out)),
        web="" if f"{path}/web" in left_out else info.web,
        resources=tuple(_resource_without(resource, at, left_out) for at, resource in resources),
        areas=tuple(
            _area_without(area, at, left_out) for at, area in _kept(info.areas, f"{path}/area", left_out)
        ),
    )  # fmt: skip


def _kept(items: Sequence[Any], path: str, left_out: Paths) -> list[tuple[str, Any]]:
    numbered = ((f"{path}[{number}]", item) for number, item in enumerate(items, 1))
    return [(at, item) for at, item in numbered if at not in left_out]


def _resource_without(resource: Resource, path: str, left_out: Paths) -> Resource:
    return replace(
        resource,
        mime_type=UNTYPED if f"{path}/mimeType" in left_out else resource.mime_type,
        size=None if f"{path}/size" in left_out else resource.size,
        uri="" if f"{path}/uri" in left_out else resource.uri,
        deref_uri="" if f"{path}/derefUri" in left_out else resource.deref_uri,
        digest="" if f"{path}/digest" in left_out else resource.digest,
    )


def _area_without(area: Area, path: str, left_out: Paths) -> Area:
    return replace(
        area,
        polygons=tuple(ring for _, ring in _kept(area.polygons, f"{path}/polygon", left_out)),
        circles=tuple(circle for _, circle in _kept(area.circles, f"{path}/circle", left_out)),
        geocodes=tuple(code for _, code in _kept(area.geocodes, f"{path}/geocode", left_out)),
        altitude=None if f"{path}/altitude" in left_out else area.altitude,
        # A ceiling goes with an altitude (3.2.4).
        ceiling=None if left_out & {f"{path}/altitude", f"{path}/ceiling"} else area.ceiling,
    )


def _is_within(path: str, part: str) -> bool:
    return path == part or path.startswith(f"{part}/")


def _name(step: str) -> str:
    return step.partition("[")[0]
