"""CAP 1.2 alerts as values: no I/O, no clock, no people, no network.

    read(document: bytes, limits: Limits = DEFAULT_LIMITS, terms: Terms = Terms()) -> Reading
        `.accepted`, `.alert` (an Alert, or None), `.version` and `.problems`: everything wrong with the document, each
        with its rule, level, path, line, section, text, value and remedy. Raises nothing for any bytes. The sender's
        terms may allow CAP 1.0 and 1.1, and relax policies that are ours.
    check(alert: Alert) -> list[Problem]
        The rules about values alone, for an alert composed here. Paths, no lines.
    write(alert: Alert) -> bytes
        The document, always the same bytes. Raises ValueError for what XML or CAP cannot say.
    atom(entries, *, feed_id, title, self_url, updated, author) -> bytes
        A thin Atom feed of FeedEntry(alert, url, updated, language="").
    RULES
        The table of all rules: id, level, section, statement, remedy.

The model: Alert > Info > Resource and Area (with polygons, Circle and geocodes), Reference, ValuePair, and the closed
lists Status, MsgType, Scope, Category, ResponseType, Urgency, Severity, Certainty. Times are aware and keep the offset
that was sent. `Alert.infos_by_language()` and `Alert.reference` are the only behaviour.

What a rejected document is told is made by xmlschema, loaded at the first one (0.1 s): `cap.explain.ready()` does it
ahead. From the shell: `python -m cap check [--json] FILE...`, which is `cap.__main__.main(argv) -> int`.
"""

from cap.feed import FeedEntry, atom
from cap.limits import DEFAULT as DEFAULT_LIMITS
from cap.limits import Limits
from cap.model import (
    DEFAULT_LANGUAGE,
    Alert,
    Area,
    Category,
    Certainty,
    Circle,
    Info,
    MsgType,
    Point,
    Reference,
    Resource,
    ResponseType,
    Ring,
    Scope,
    Severity,
    Status,
    Urgency,
    ValuePair,
)
from cap.problem import Level, Problem
from cap.read import Reading, read
from cap.rules import RULES, Rule, check
from cap.terms import Terms
from cap.write import write

__all__ = [
    "DEFAULT_LANGUAGE",
    "DEFAULT_LIMITS",
    "RULES",
    "Alert",
    "Area",
    "Category",
    "Certainty",
    "Circle",
    "FeedEntry",
    "Info",
    "Level",
    "Limits",
    "MsgType",
    "Point",
    "Problem",
    "Reading",
    "Reference",
    "Resource",
    "ResponseType",
    "Ring",
    "Rule",
    "Scope",
    "Severity",
    "Status",
    "Terms",
    "Urgency",
    "ValuePair",
    "atom",
    "check",
    "read",
    "write",
]
