"""Bytes -> an `Alert`, or every reason why it is none. No I/O, no clock, no person: the same bytes, the same answer.

In order: closed parser and limits (`parse`), namespace and root, schema (`xsd`), values (`build`), rules.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from lxml import etree

from cap import build, content, droppable_parts, not_cap, rules, safe_xml, signature_place, versions, xsd
from cap.limits import DEFAULT, Limits, excess
from cap.locate import Paths, line_of, path_of, source_line
from cap.model import Alert
from cap.names import ALERT, CAP_12, CONTAINERS, XMLDSIG
from cap.problem import Level, Problem
from cap.terms import USUAL, ReadingTerms

# Nobody mends more at once, and a hostile document must not make us write a book about it.
MOST_PROBLEMS = 200

_OF_CAP = frozenset({CAP_12, XMLDSIG})


@dataclass(frozen=True, slots=True)
class Reading:
    """What was understood. `alert` is None if the document has no complete and typed alert in it.

    It may be there although a rule refuses it, so that an answer can name the message; only `accepted` says that
    it may be used. `problems` are in the order of the document. `version` is that of the document, as "1.1".
    """

    alert: Alert | None
    problems: tuple[Problem, ...]
    version: str = "1.2"

    @property
    def as_sent(self) -> bool:
        """Whether the alert says all that the document says, in the document's own form."""
        return not any(problem.left_out or problem.rule == "XSD" for problem in self.problems)

    @property
    def accepted(self) -> bool:
        """Whether there is an alert and no problem of level error."""
        return self.alert is not None and not any(problem.level is Level.ERROR for problem in self.problems)


def read(
    document: bytes,
    limits: Limits = DEFAULT,
    terms: ReadingTerms = USUAL,
    *,
    terms_of: Callable[[str], ReadingTerms] | None = None,
) -> Reading:
    """Read one CAP 1.2 document, or an older one where the sender's terms allow it. Raises nothing for any bytes.

    `terms_of` gives the terms of whom the document says it is from ("" where it says nothing); without it they are
    `terms`. Whether it is from them is not asked here.

    About 60 us for an alert of 1.6 kB; 16 ms for one with 41,009 polygon points. A refused document costs more:
    up to 33 ms for its list of faults, and 0.1 s once, for loading what makes that list (`cap.explain.ready`
    does it ahead).
    """
    root = safe_xml.tree(document, limits)
    if isinstance(root, safe_xml.UnreadableDocument):
        return Reading(None, (_refused(root),))
    if terms_of is not None:
        terms = terms_of(_claimed_sender(root))
    if root.tag != ALERT:
        return _other(document, root, limits, terms)
    return _read(root, limits, terms)


def _claimed_sender(root: etree._Element) -> str:
    """In whatever version."""
    return next((child.text or "" for child in root if etree.QName(child).localname == "sender"), "")


def _read(root: etree._Element, limits: Limits, terms: ReadingTerms) -> Reading:
    valid = xsd.is_valid(root)
    draft, faults = build.draft(root)
    problems = _unreadable(faults) + _signatures(root)
    unreadable = {problem.path for problem in problems}
    problems += [problem for problem in rules.check(draft, terms.profiles) if problem.path not in unreadable]
    more = 0
    if not valid:
        by_schema, more = _schema_faults(root, problems, limits)
        problems = by_schema + problems
    if not problems:
        return Reading(draft, ())
    left_out = droppable_parts.at_fault(root, draft, problems, valid)
    if left_out is not None:
        problems = _with_parts(problems, left_out)
    whole = left_out is not None and not any(_voids(problem) for problem in problems)
    shown = _in_order(root, _by_terms(_fewer(problems, more), terms))
    return Reading(droppable_parts.without(draft, left_out or frozenset()) if whole else None, tuple(shown))


def _with_parts(problems: list[Problem], left_out: droppable_parts.Paths) -> list[Problem]:
    """As they are without these parts; of what is empty nothing more is said than that."""
    hollow = tuple(f"{problem.path}/" for problem in problems if problem.rule == "G-EMPTY")
    empty = {path[:-1] for path in hollow}
    told = (droppable_parts.told(problem, left_out) for problem in problems)
    return [
        problem
        for problem in told
        if problem.rule == "G-EMPTY" or not (problem.path in empty or problem.path.startswith(hollow))
    ]


def _voids(problem: Problem) -> bool:
    """Whether it leaves a value of the draft blank that the alert promises."""
    return problem.level is Level.ERROR and problem.rule in _WITHOUT_VALUE


_WITHOUT_VALUE = frozenset(rule.id for rule in rules.RULES if rule.check is None)


def _other(document: bytes, root: etree._Element, limits: Limits, terms: ReadingTerms) -> Reading:
    """What is not CAP 1.2: an older version, if it may be one, or the one problem of a stranger."""
    version = versions.version_of(root)
    if version is None or version not in terms.versions:
        rule, cause, facts = not_cap.what_it_is(root)
        name = etree.QName(root)
        text = f"the document element is {name.localname} in {name.namespace or 'no namespace'}"
        problem = rules.problem(
            rule, "/", text, line=source_line(root), value=name.namespace or "", cause=cause, facts=facts
        )
        return Reading(None, (problem,), version or "1.2")
    line = source_line(root)
    versions.modernise(root)
    # The limits of a document are counted by the names of 1.2.
    if found := excess(document, root, limits):
        at = found.element
        problem = rules.problem("XML-LIMIT", path_of(at), line=source_line(at), cause=found.cause, facts=found.facts)
        return Reading(None, (problem,), version)
    reading = _read(root, limits, terms)
    remark = rules.problem("NS-OLD", "/alert", f"this is CAP {version}, read as 1.2", line=line)
    return Reading(reading.alert, (remark, *reading.problems), version)


def _by_terms(problems: list[Problem], terms: ReadingTerms) -> list[Problem]:
    if not (terms.relaxed or terms.strict):
        return problems
    return [_by_term(problem, terms) for problem in problems]


def _by_term(problem: Problem, terms: ReadingTerms) -> Problem:
    if problem.rule in terms.relaxed and problem.level is Level.ERROR:
        return replace(problem, level=Level.WARNING)
    if problem.rule in terms.strict and problem.level is Level.WARNING:
        return replace(problem, level=Level.ERROR)
    return problem


def _refused(why: safe_xml.UnreadableDocument) -> Problem:
    return rules.problem(why.rule, why.path, why.text, line=why.line, value=why.value, cause=why.cause, facts=why.facts)


def _unreadable(faults: list[build.BuildFault]) -> list[Problem]:
    return [
        rules.problem(reason.rule, path_of(element), reason.text, line=source_line(element), value=reason.piece)
        for element, reason in faults[:MOST_PROBLEMS]
    ]


def _signatures(root: etree._Element) -> list[Problem]:
    return [
        rules.problem(rule, path_of(element), text, line=source_line(element))
        for rule, element, text in signature_place.findings(root)[:MOST_PROBLEMS]
    ]


def _schema_faults(root: etree._Element, known: list[Problem], limits: Limits) -> tuple[list[Problem], int]:
    """The schema's faults, but not of a text for which a rule has already given the reason; and how many more there
    are among the children of elements that have more than anybody reads."""
    said = {
        problem.path
        for problem in known
        if (problem.level is Level.ERROR or problem.rule in droppable_parts.OF_PARTS)
        and not _holds_elements(problem.path)
    }
    problems: dict[tuple[str, str], Problem] = {}
    explained: dict[etree._Element, list[content.Amiss]] = {}
    # Each fault leads to all that is amiss in its parent: what has been told of one is not told of the next.
    told: set[etree._Element] = set()
    paths = Paths()
    more = 0
    for element, text, value, _ in _faults(root, limits):
        path = paths.of(element)
        name = etree.QName(element)
        if name.namespace not in _OF_CAP:
            where = name.namespace or "no namespace"
            of, found = None, [content.Amiss(element, "namespace", (name.localname, where))]
        elif path in said and not len(element):
            continue
        else:
            of, found = _explained(element, explained)
        if not found:
            problems[path, text] = rules.problem("XSD", path, text, line=source_line(element), value=value)
        if of in told:
            continue
        if of is not None:
            told.add(of)
        more += max(len(found) - MOST_PROBLEMS, 0)
        for at, cause, facts in found[:MOST_PROBLEMS]:
            problem = rules.problem(
                "XSD",
                _place_of(paths.of(at), cause, facts),
                line=source_line(at),
                value=_text_of(at),
                cause=cause,
                facts=facts,
            )
            problems[problem.path, problem.text] = problem
    return list(problems.values()), more


def _explained(
    element: etree._Element, known: dict[etree._Element, list[content.Amiss]]
) -> tuple[etree._Element | None, list[content.Amiss]]:
    """What is wrong with the word in an element, or with its children and those beside it: those of which element, and
    what."""
    word = content.amiss_with(element)
    if word is not None:
        return None, [word]
    for each in (element, element.getparent()):
        if each is not None:
            if each not in known:
                known[each] = content.amiss_in(each)
            if known[each]:
                return each, known[each]
    return None, []


def _place_of(path: str, cause: str, facts: tuple[str, ...]) -> str:
    """Where it is, or should be."""
    return f"{path}/{facts[0]}" if cause in ("missing", "missing-first") else path


def _text_of(element: etree._Element) -> str:
    return "" if len(element) else element.text or ""


def _faults(root: etree._Element, limits: Limits) -> list[xsd.SchemaFault]:
    if sum(1 for _ in root.iter()) <= limits.max_explained_elements:
        from cap import explain  # brings xmlschema in, which only refused documents need

        if found := explain.faults(root):
            return found
    return xsd.faults(root)


def _holds_elements(path: str) -> bool:
    return path.rpartition("/")[2].partition("[")[0] in CONTAINERS


def _fewer(problems: list[Problem], more: int) -> list[Problem]:
    """At most `MOST_PROBLEMS` of them, errors before remarks, and a word on how many more there are; `more` of them
    are not in the list."""
    more += max(len(problems) - MOST_PROBLEMS, 0)
    if not more:
        return problems
    first = sorted(problems, key=lambda problem: (problem.level is not Level.ERROR, not problem.left_out))
    first = first[:MOST_PROBLEMS]
    return [*first, rules.problem("MORE", "/alert", f"{more} more problems are not listed")]


def _in_order(root: etree._Element, problems: list[Problem]) -> list[Problem]:
    """With a line each, sorted by it; those of one line stay in the order of the table."""
    placed = [
        problem if problem.line is not None else replace(problem, line=line_of(root, problem.path))
        for problem in problems
    ]
    return sorted(placed, key=lambda problem: (problem.rule == "MORE", problem.line or 0))
