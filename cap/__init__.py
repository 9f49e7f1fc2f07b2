"""CAP 1.2 alerts as values: no I/O, no clock, no people, no network.

The principle that every rule is held to: a valid alert is never lost. A document is refused only where the standard's
MUST is broken in a way that leaves open what the alert says, to whom, or who says it. What is optional, or a part (a
file, a digest, a second language, one polygon among good ones), warns and is left out (`cap.droppable_parts`). What
only we would like is a policy: it warns, and refuses where a sender's terms or a profile say so. A Cancel ends what it
names whatever its times and infos say; so does an Update, also one that has expired when it arrives.

>>> from datetime import UTC, datetime
>>> import cap
>>> info = cap.Info(
...     language="nl-BE",
...     categories=(cap.Category.SECURITY,),
...     event="Verdachte personen",
...     urgency=cap.Urgency.IMMEDIATE,
...     severity=cap.Severity.MODERATE,
...     certainty=cap.Certainty.OBSERVED,
...     expires=datetime(2026, 4, 17, 23, 0, tzinfo=UTC),
...     areas=(cap.Area("Kerkstraat", circles=(cap.Circle(51.05, 3.72, 0.5),)),),
... )
>>> alert = cap.Alert(
...     identifier="zone-a.17",
...     sender="dispatch@zone-a.example",
...     sent=datetime(2026, 4, 17, 21, 40, tzinfo=UTC),
...     status=cap.Status.ACTUAL,
...     msg_type=cap.MsgType.ALERT,
...     scope=cap.Scope.PUBLIC,
...     infos=(info,),
... )
>>> cap.check(alert)
[]
>>> document = cap.write(alert)
>>> reading = cap.read(document)
>>> reading.accepted, reading.alert == alert
(True, True)
>>> broken = cap.read(document.replace(b"-00:00</sent>", b"Z</sent>"))
>>> broken.accepted
False
>>> for problem in broken.problems:
...     print(problem.rule, problem.path, problem.line, problem.remedy)
DT-Z /alert/sent 5 Write -00:00 for UTC instead of Z.

    read(document: bytes, limits=DEFAULT_LIMITS, terms=ReadingTerms(), *, terms_of=None) -> Reading
        `.accepted`, `.alert` (an Alert, or None), `.version` and `.problems`: everything wrong with the document, each
        with its rule, level, path, line, section, text, value and remedy, its cause and the facts in its sentence, and
        whether the part was left out. Raises nothing for any bytes. The sender's terms may allow CAP 1.0 and 1.1, ask
        for profiles, and have policies of ours refuse; `terms_of(sender)` finds them while the document is read.
    check(alert: Alert, profiles: Sequence[Profile] = ()) -> list[Problem]
        The rules about values alone, for an alert composed here. Paths, no lines.
    write(alert: Alert) -> bytes
        The document, always the same bytes. Raises ValueError for what XML or CAP cannot say.
    atom(entries, *, feed_id, title, self_url, updated, author, full=False) -> bytes
        An Atom feed of FeedEntry(alert, url, updated, language="", document=b"").
    RULES
        The table of all rules: id, level, section, statement, remedy.

What not everybody needs is imported by name:

    cap.signing   verify(document, trust, at) -> Verification; sign(document, key, certificate); SignaturePolicy
    cap.trust     Trust(pinned, authorities, names): whose signatures are believed
    cap.thread    place(alert, named, members) -> Placement: what an Update, Cancel, Ack or Error does
    cap.answer    heading(document), ack(...), error(...): answers in CAP's own words
    cap.edxl      unwrap(document) -> Envelope | None: EDXL-DE 1.0 and 2.0
    cap.profile   profile("be-plp" | "google" | "ipaws") -> Profile, for ReadingTerms
    cap.translations   translated(problem, "fr" | "nl" | "de") -> Problem; language_of(accept_language)
    cap.json_form to_json(alert), from_json(text); cap.geojson: to_geojson(alerts)
    cap.feed      bounded(entries, make), active(entries, at); cap.rss: rss(entries, ...)
    cap.forward   forwarded(alert): without enclosed files
    cap.edition   edition(document, sender, identifier, sign): the bytes in which an alert is published

The model: Alert > Info > Resource and Area (with polygons, Circle and geocodes), Reference, ValuePair, and the closed
lists Status, MsgType, Scope, Category, ResponseType, Urgency, Severity, Certainty. Times are aware and keep the offset
that was sent. `Alert.infos_by_language()` and `Alert.reference` are the only behaviour.

What a rejected document is told is made by xmlschema, loaded at the first one (0.1 s): `cap.explain.ready()` does it
ahead. From the shell: `python -m cap check|explain|sign|verify|convert`.
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
from cap.terms import ReadingTerms
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
    "ReadingTerms",
    "Reference",
    "Resource",
    "ResponseType",
    "Ring",
    "Rule",
    "Scope",
    "Severity",
    "Status",
    "Urgency",
    "ValuePair",
    "atom",
    "check",
    "read",
    "write",
]
