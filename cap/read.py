"""Bytes -> an `Alert`, or every reason why it is none. No I/O, no clock, no person: the same bytes, the same answer.

In order: closed parser and limits (`parse`), namespace and root, schema (`xsd`), values (`build`), rules.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from lxml import etree

from cap import build, parse, rules, signature, versions, xsd
from cap.limits import DEFAULT, Limits, excess
from cap.locate import line_of, path_of, source_line
from cap.model import Alert
from cap.names import ALERT, CAP_12, CONTAINERS, XMLDSIG
from cap.problem import Level, Problem
from cap.terms import USUAL, Terms

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
    def accepted(self) -> bool:
        """Whether there is an alert and no problem of level error."""
        return self.alert is not None and not any(problem.level is Level.ERROR for problem in self.problems)


def read(document: bytes, limits: Limits = DEFAULT, terms: Terms = USUAL) -> Reading:
    """Read one CAP 1.2 document, or an older one where the sender's terms allow it. Raises nothing for any bytes.

    About 60 us for an alert of 1.6 kB; 16 ms for one with 41,009 polygon points. A refused document costs more:
    up to 33 ms for its list of faults, and 0.1 s once, for loading what makes that list (`cap.explain.ready`
    does it ahead).
    """
    root = parse.tree(document, limits)
    if isinstance(root, parse.Refused):
        return Reading(None, (rules.problem(root.rule, root.path, root.text, line=root.line, value=root.value),))
    if root.tag != ALERT:
        return _other(document, root, limits, terms)
    return _read(root, limits, terms)


def _read(root: etree._Element, limits: Limits, terms: Terms) -> Reading:
    valid = xsd.is_valid(root)
    alert, faults = build.draft(root)
    problems = _unreadable(faults) + _signatures(root)
    unreadable = {problem.path for problem in problems}
    problems += [problem for problem in rules.check(alert, terms.profiles) if problem.path not in unreadable]
    if not valid:
        problems = _schema_faults(root, problems, limits) + problems
    if problems:
        problems = _in_order(root, _relaxed(_fewer(problems), terms))
    voided = any(rules.BY_ID[fault.reason.rule].level is Level.ERROR for fault in faults)
    return Reading(alert if valid and not voided else None, tuple(problems))


def _other(document: bytes, root: etree._Element, limits: Limits, terms: Terms) -> Reading:
    """What is not CAP 1.2: an older version, if it may be one, or the one problem of a stranger."""
    version = versions.version_of(root)
    if version is None or version not in terms.versions:
        return Reading(None, (_stranger(root, version),), version or "1.2")
    line = source_line(root)
    versions.modernise(root)
    # The limits of a document are counted by the names of 1.2.
    if found := excess(document, root, limits):
        element, text = found
        return Reading(None, (rules.problem("XML-LIMIT", path_of(element), text, line=source_line(element)),), version)
    reading = _read(root, limits, terms)
    remark = rules.problem("NS-OLD", "/alert", f"this is CAP {version}, read as 1.2", line=line)
    return Reading(reading.alert, (remark, *reading.problems), version)


def _relaxed(problems: list[Problem], terms: Terms) -> list[Problem]:
    if not terms.relaxed:
        return problems
    return [
        replace(problem, level=Level.WARNING)
        if problem.rule in terms.relaxed and problem.level is Level.ERROR
        else problem
        for problem in problems
    ]


def _stranger(root: etree._Element, version: str | None) -> Problem:
    """The one problem of a document that is no alert that may be read."""
    name = etree.QName(root)
    if name.namespace == CAP_12:
        return rules.problem("ROOT", "/", f"the document element is {name.localname}", line=source_line(root))
    if version:
        text = f"this is CAP {version}, which is not read from this sender"
    else:
        text = f"the document element is {name.localname} in {name.namespace or 'no namespace'}"
    return rules.problem("NS", "/", text, line=source_line(root), value=name.namespace or "")


def _unreadable(faults: list[build.Fault]) -> list[Problem]:
    return [
        rules.problem(reason.rule, path_of(element), reason.text, line=source_line(element), value=reason.piece)
        for element, reason in faults[:MOST_PROBLEMS]
    ]


def _signatures(root: etree._Element) -> list[Problem]:
    return [
        rules.problem(rule, path_of(element), text, line=source_line(element))
        for rule, element, text in signature.findings(root)[:MOST_PROBLEMS]
    ]


def _schema_faults(root: etree._Element, known: list[Problem], limits: Limits) -> list[Problem]:
    """The schema's faults, but not of a text for which a rule has already given the reason."""
    said = {problem.path for problem in known if problem.level is Level.ERROR and not _holds_elements(problem.path)}
    problems: dict[tuple[str, str], Problem] = {}
    for element, text, value in _faults(root, limits):
        path = path_of(element)
        name = etree.QName(element)
        if name.namespace not in _OF_CAP:
            text = f"{name.localname} is in {name.namespace or 'no namespace'}, and not in that of CAP 1.2"
        elif path in said and not len(element):
            continue
        problems[path, text] = rules.problem("XSD", path, text, line=source_line(element), value=value)
    return list(problems.values())


def _faults(root: etree._Element, limits: Limits) -> list[xsd.SchemaFault]:
    if sum(1 for _ in root.iter()) <= limits.max_explained_elements:
        from cap import explain  # brings xmlschema in, which only refused documents need

        if found := explain.faults(root):
            return found
    return xsd.faults(root)


def _holds_elements(path: str) -> bool:
    return path.rpartition("/")[2].partition("[")[0] in CONTAINERS


def _fewer(problems: list[Problem]) -> list[Problem]:
    """At most `MOST_PROBLEMS` of them, errors before remarks, and a word on how many more there are."""
    if len(problems) <= MOST_PROBLEMS:
        return problems
    first = sorted(problems, key=lambda problem: problem.level is not Level.ERROR)[:MOST_PROBLEMS]
    return [*first, rules.problem("MORE", "/alert", f"{len(problems) - MOST_PROBLEMS} more problems are not listed")]


def _in_order(root: etree._Element, problems: list[Problem]) -> list[Problem]:
    """With a line each, sorted by it; those of one line stay in the order of the table."""
    placed = [
        problem if problem.line is not None else replace(problem, line=line_of(root, problem.path))
        for problem in problems
    ]
    return sorted(placed, key=lambda problem: (problem.rule == "MORE", problem.line or 0))
