"""Rules about the alert element (CAP-v1.2 3.2.1). Checks take the alert."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from cap.model import DEFAULT_LANGUAGE, Alert, Area, Info, MsgType, Scope, Status
from cap.rules.row import NOTHING, Findings, Rule, RuleFinding, error, information, warning
from cap.text_values import FORBIDDEN_IN_NAME, MOST_NAME_CHARS, is_blank, is_plus_zero


def _name(element: str, value: str) -> Findings:
    if not value:
        return (RuleFinding(element, f"the {element} is empty"),)
    if len(value) > MOST_NAME_CHARS:
        return (
            RuleFinding(element, f"the {element} has {len(value)} characters; the limit is {MOST_NAME_CHARS}", value),
        )
    bad = FORBIDDEN_IN_NAME.search(value)
    if bad:
        return (
            RuleFinding(element, f"the {element} has the character {bad[0]!r} at position {bad.start() + 1}", value),
        )
    return NOTHING


def _identifier(alert: Alert) -> Findings:
    return _name("identifier", alert.identifier)


def _sender(alert: Alert) -> Findings:
    return _name("sender", alert.sender)


def _exercise_note(alert: Alert) -> Findings:
    if alert.status is Status.EXERCISE and not alert.note.strip():
        return (RuleFinding("note", "an exercise without a note that says which one"),)
    return NOTHING


def _error_note(alert: Alert) -> Findings:
    if alert.msg_type is MsgType.ERROR and not alert.note.strip():
        return (RuleFinding("note", "an Error without a note that says why"),)
    return NOTHING


def _references_required(alert: Alert) -> Findings:
    if alert.references or alert.msg_type is MsgType.ALERT or alert.msg_type is None:
        return NOTHING
    return (RuleFinding("references", f"{alert.msg_type} names no earlier message"),)


def _references_self(alert: Alert) -> Findings:
    if alert.references and alert.sent and alert.reference in alert.references:
        return (RuleFinding("references", "the message refers to itself", alert.identifier),)
    return NOTHING


def _references_future(alert: Alert) -> Findings:
    if not alert.references or not alert.sent:
        return NOTHING
    later = [reference for reference in alert.references if reference.sent > alert.sent]
    return [RuleFinding("references", "a reference was sent after this message", item.identifier) for item in later]


def _references_twice(alert: Alert) -> Findings:
    if len(set(alert.references)) == len(alert.references):
        return NOTHING
    return (RuleFinding("references", "the same message is named more than once"),)


def _restriction_required(alert: Alert) -> Findings:
    if alert.scope is Scope.RESTRICTED and is_blank(alert.restriction):
        return (RuleFinding("restriction", "a Restricted alert that does not say to whom"),)
    return NOTHING


def _restriction_idle(alert: Alert) -> Findings:
    if alert.restriction.strip() and alert.scope is not Scope.RESTRICTED and alert.scope:
        return (RuleFinding("restriction", f"a restriction on a {alert.scope} alert has no effect", alert.restriction),)
    return NOTHING


def _addresses_required(alert: Alert) -> Findings:
    if alert.scope is Scope.PRIVATE and not alert.addresses:
        return (RuleFinding("addresses", "a Private alert without an address"),)
    return NOTHING


def _info_required(alert: Alert) -> Findings:
    if alert.infos or alert.status is not Status.ACTUAL or alert.msg_type not in (MsgType.ALERT, MsgType.UPDATE):
        return NOTHING
    return (RuleFinding("info", f"an Actual {alert.msg_type} that says nothing"),)


def _utc_sign(alert: Alert) -> Findings:
    findings = [RuleFinding("sent", "UTC is written +00:00")] if is_plus_zero(alert.sent) else []
    for number, info in enumerate(alert.infos, 1):
        for name, value in (("effective", info.effective), ("onset", info.onset), ("expires", info.expires)):
            if is_plus_zero(value):
                findings.append(RuleFinding(f"info[{number}]/{name}", "UTC is written +00:00"))
    return findings


def _places(areas: Iterable[Area]) -> frozenset[object]:
    return frozenset(place for area in areas for place in (*area.polygons, *area.circles, *area.geocodes))


_FACETS: tuple[tuple[str, Callable[[Info], object]], ...] = (
    ("category", lambda info: frozenset(info.categories)),
    ("eventCode", lambda info: frozenset(info.event_codes)),
    ("urgency, severity or certainty", lambda info: (info.urgency, info.severity, info.certainty)),
    ("times", lambda info: (info.onset, info.expires)),
)


def _language_parity(alert: Alert) -> Findings:
    if len(alert.infos) < 2:
        return NOTHING
    (first, reference), *others = alert.infos_by_language().items()
    findings = []
    facets = (
        *_FACETS,
        ("effective", lambda info: info.effective or alert.sent),
        ("areas", lambda info: _places(alert.areas_of(info))),
    )
    for facet, of in facets:
        expected = {of(info) for info in reference}
        for language, infos in others:
            if {of(info) for info in infos} != expected:
                at = f"info[{next(n for n, info in enumerate(alert.infos, 1) if info is infos[0])}]"
                findings.append(
                    RuleFinding(at, f"{facet} of the {language} text differ from those of the {first} text")
                )
    return findings


def _language_area(alert: Alert) -> Findings:
    if len(alert.infos) < 2:
        return NOTHING
    first = next(iter(alert.infos_by_language()))
    return [
        RuleFinding(f"info[{number}]", f"the {info.language or DEFAULT_LANGUAGE} text has no area of its own", first)
        for number, info in enumerate(alert.infos, 1)
        if not info.areas and alert.areas_of(info)
    ]


ALERT: tuple[Rule, ...] = (
    error(
        "A-ID-CHARS",
        "3.2.1 identifier",
        "An identifier has no spaces, commas, < or &, and is not empty.",
        "Use letters, digits, dots, hyphens and colons.",
        _identifier,
    ),
    error(
        "A-SENDER-CHARS",
        "3.2.1 sender",
        "A sender has no spaces, commas, < or &, and is not empty.",
        "Use a domain name or an address, as in cic@police.example.",
        _sender,
    ),
    warning(
        "A-EXER-NOTE",
        "3.2.1 status",
        "An exercise is named in the note.",
        "Write the exercise's name in <note>.",
        _exercise_note,
    ),
    warning(
        "A-ERR-NOTE", "3.2.1 msgType", "An Error says why in the note.", "Write the reason in <note>.", _error_note
    ),
    error(
        "A-REFS-REQ",
        "3.2.1 msgType",
        "Update, Cancel, Ack and Error name the messages they are about.",
        "Add <references> with sender,identifier,sent of each.",
        _references_required,
    ),
    warning(
        "A-REFS-SELF",
        "policy",
        "A message does not refer to itself.",
        "Give the message an identifier of its own.",
        _references_self,
    ),
    warning(
        "A-REFS-FUTURE",
        "policy",
        "What is referred to was sent before.",
        "Check <sent> and the times in <references>.",
        _references_future,
    ),
    warning("A-REFS-DUP", "policy", "No message is named twice.", "Name each earlier message once.", _references_twice),
    error(
        "A-SCOPE-RESTR",
        "3.2.1 restriction",
        "A Restricted alert says who may have it.",
        "Fill <restriction>.",
        _restriction_required,
    ),
    warning(
        "A-RESTR-SCOPE",
        "3.2.1 restriction",
        "A restriction goes with scope Restricted.",
        "Set <scope> to Restricted, or leave <restriction> out.",
        _restriction_idle,
    ),
    error(
        "A-SCOPE-ADDR", "3.2.1 addresses", "A Private alert has addresses.", "Fill <addresses>.", _addresses_required
    ),
    information("DT-UTC", "3.3.2", "UTC is written -00:00.", "Write -00:00; +00:00 is read as the same.", _utc_sign),
    warning("I-REQ", "policy", "An Actual Alert or Update says what happens.", "Add an <info>.", _info_required),
    warning(
        "I-LANG-PARITY",
        "policy",
        "Every language says the same.",
        "Give the infos of all languages the same category, eventCode, urgency, severity, certainty, times and areas.",
        _language_parity,
    ),
    information(
        "I-LANG-AREA",
        "policy",
        "A text in another language without an area is about the areas of the first language.",
        "Repeat the areas in every language, for receivers that read one language only.",
        _language_area,
    ),
)
