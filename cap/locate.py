"""Where an element stands: its path in an author's words, and back. Only called once something is wrong."""

from __future__ import annotations

import re
from collections import Counter
from itertools import islice

from lxml import etree

from cap.names import CAP_12, REPEATED

_STEP = re.compile(r"([^/\[\]]+)(?:\[([0-9]+)\])?")


def local_name(element: etree._Element) -> str:
    """The name without its namespace."""
    return etree.QName(element).localname


def path_of(element: etree._Element) -> str:
    """`/alert/info[1]/area[2]/polygon[1]`: a number wherever more than one may stand, or does."""
    steps = [_step(element)]
    steps += [_step(ancestor) for ancestor in element.iterancestors()]
    return "/" + "/".join(reversed(steps))


def _step(element: etree._Element) -> str:
    name = local_name(element)
    if element.getparent() is None:
        return name
    before = sum(1 for _ in element.itersiblings(element.tag, preceding=True))
    alone = name not in REPEATED and not before and next(element.itersiblings(element.tag), None) is None
    return name if alone else f"{name}[{before + 1}]"


class Paths:
    """`path_of` for many elements: the children of each parent are counted once, however many of them are asked for."""

    def __init__(self) -> None:
        self._steps: dict[etree._Element, dict[etree._Element, str]] = {}

    def of(self, element: etree._Element) -> str:
        steps = []
        at = element
        while (parent := at.getparent()) is not None:
            known = self._steps.get(parent)
            if known is None:
                known = self._steps[parent] = _steps_in(parent)
            steps.append(known[at])
            at = parent
        return "/" + "/".join((local_name(at), *reversed(steps)))


def _steps_in(parent: etree._Element) -> dict[etree._Element, str]:
    count = Counter(child.tag for child in parent)
    before: Counter[object] = Counter()
    steps = {}
    for child in parent:
        name = local_name(child)
        before[child.tag] += 1
        alone = name not in REPEATED and count[child.tag] == 1
        steps[child] = name if alone else f"{name}[{before[child.tag]}]"
    return steps


def line_of(root: etree._Element, path: str) -> int | None:
    """The source line of the CAP element that a path names, or of its nearest ancestor that exists."""
    found = root
    for name, number in _STEP.findall(path)[1:]:
        same = found.iterchildren(f"{{{CAP_12}}}{name}")
        child = next(islice(same, int(number or 1) - 1, None), None)
        if child is None:
            break
        found = child
    return source_line(found)


def source_line(element: etree._Element) -> int | None:
    """The line, from 1, on which the start tag of a parsed element ends."""
    line: object = element.sourceline
    return line if isinstance(line, int) else None
