"""What the content model says of an element that breaks it, in an author's words: which child, where it belongs.

Reads the model out of the schema document. Says nothing of what the schema does not refuse; which elements it refuses
is said by `xsd` and `explain`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import NamedTuple

from lxml import etree

from cap import xsd
from cap.names import CAP_12
from cap.problem import shortened

_XS = "{http://www.w3.org/2001/XMLSchema}"


class Amiss(NamedTuple):
    """One fault, at an element: a cause of the rule XSD, and its facts (`cap.rules.causes`)."""

    element: etree._Element
    cause: str
    facts: tuple[str, ...]


class ChildElement(NamedTuple):
    """An element that may stand in another."""

    name: str
    required: bool
    many: bool


def amiss_in(parent: etree._Element) -> list[Amiss]:
    """What is wrong with the children of a CAP element; nothing for one that holds text."""
    model = _model().get(_name(parent))
    if model is None:
        return []
    ranks = {child.name: rank for rank, child in enumerate(model)}
    known = [child for child in parent.iterchildren(f"{{{CAP_12}}}*") if _name(child) in ranks]
    unknown = list(_unknown(parent, ranks))
    meant = {each.facts[2] for each in unknown if each.cause == "spelling"}
    counted = (each for each in _miscounted(parent, known, model) if each.facts[0] not in meant)
    return [*unknown, *_misplaced(known, ranks), *counted, *_text_between(parent)]


def amiss_with(element: etree._Element) -> Amiss | None:
    """What is wrong with a word that is none of its closed list; None for any other element and word."""
    words = _words().get(_name(element))
    text = element.text or ""
    if words is None or text in words or len(element):
        return None
    alike = [word for word in words if word.lower() == "".join(text.split()).lower()]
    return Amiss(element, "word-like" if alike else "word", (text, _name(element), alike[0] if alike else _list(words)))


def _list(words: Sequence[str]) -> str:
    return ", ".join(words)


def _unknown(parent: etree._Element, ranks: Mapping[str, int]) -> Iterator[Amiss]:
    within = _name(parent)
    for child in parent.iterchildren(f"{{{CAP_12}}}*"):
        name = _name(child)
        if name in ranks:
            continue
        alike = [right for right in ranks if right.lower() == name.lower()]
        homes = [home for home, children in _model().items() if name in (c.name for c in children)]
        if alike:
            yield Amiss(child, "spelling", (name, within, alike[0]))
        elif homes:
            yield Amiss(child, "elsewhere", (name, within, homes[0]))
        else:
            yield Amiss(child, "unknown", (name, within))


def _misplaced(known: Sequence[etree._Element], ranks: Mapping[str, int]) -> Iterator[Amiss]:
    """Those that are not in the longest run of elements in the right order: as few as can be moved."""
    order = [ranks[_name(child)] for child in known]
    right = _longest_run(order)
    told = set()
    for place, child in enumerate(known):
        if place in right or _name(child) in told:
            continue
        told.add(_name(child))
        before = [at for at in right if at < place and order[at] > order[place]]
        if before:
            yield Amiss(child, "place", (_name(child), _name(known[min(before)])))
        else:
            after = [at for at in right if at > place and order[at] < order[place]]
            yield Amiss(child, "early", (_name(child), _name(known[max(after)])))


def _longest_run(order: Sequence[int]) -> set[int]:
    """The places of a longest run that never falls, of several the earliest (patience sorting, from the end)."""
    tops: list[int] = []
    at: list[int] = []
    after: list[int] = []
    for place in reversed(range(len(order))):
        pile = bisect_right(tops, -order[place])
        after.append(at[pile - 1] if pile else -1)
        if pile == len(tops):
            tops.append(-order[place])
            at.append(place)
        else:
            tops[pile], at[pile] = -order[place], place
    run = set()
    place = at[-1] if at else -1
    while place >= 0:
        run.add(place)
        place = after[len(order) - 1 - place]
    return run


def _miscounted(
    parent: etree._Element, known: Sequence[etree._Element], model: Sequence[ChildElement]
) -> Iterator[Amiss]:
    counts = Counter(_name(child) for child in known)
    before = ""
    for child in model:
        count = counts[child.name]
        if count > 1 and not child.many:
            second = [element for element in known if _name(element) == child.name][1]
            yield Amiss(second, "twice", (child.name, str(count), _name(parent)))
        if not count and child.required:
            cause = "missing" if before else "missing-first"
            yield Amiss(parent, cause, (child.name, _name(parent), before))
        if count:
            before = child.name


def _text_between(parent: etree._Element) -> Iterator[Amiss]:
    for text in (parent.text, *(child.tail for child in parent)):
        if text and text.strip():
            yield Amiss(parent, "text", (_name(parent), shortened(text.strip())))
            return


# ---- the model --------------------------------------------------------------------------------------------------


@cache
def _model() -> Mapping[str, tuple[ChildElement, ...]]:
    """The children of each element that has some, in their order."""
    schema = etree.fromstring(xsd.source())
    types = {
        kind.get("name"): tuple(_child(element) for element in kind.iter(f"{_XS}element"))
        for kind in schema.iter(f"{_XS}complexType")
    }
    return {
        str(element.get("name")): types[_type(element)]
        for element in schema.iter(f"{_XS}element")
        if _type(element) in types
    }


@cache
def _words() -> Mapping[str, tuple[str, ...]]:
    """The closed list of each element that has one."""
    schema = etree.fromstring(xsd.source())
    lists = {
        kind.get("name"): tuple(str(word.get("value")) for word in kind.iter(f"{_XS}enumeration"))
        for kind in schema.iter(f"{_XS}simpleType")
    }
    found = {str(element.get("name")): lists.get(_type(element), ()) for element in schema.iter(f"{_XS}element")}
    return {name: words for name, words in found.items() if words}


def _child(element: etree._Element) -> ChildElement:
    return ChildElement(
        str(element.get("name")), element.get("minOccurs") != "0", element.get("maxOccurs") == "unbounded"
    )


def _type(element: etree._Element) -> str:
    return str(element.get("type")).removeprefix("cap:")


def _name(element: etree._Element) -> str:
    return etree.QName(element).localname
