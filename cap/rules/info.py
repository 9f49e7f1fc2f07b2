"""Rules about info elements (CAP-v1.2 3.2.2). Checks take the alert and one of its infos."""

from __future__ import annotations

import re
from collections.abc import Iterator

from cap.model import Alert, Info, ResponseType, Scope, ValuePair
from cap.rules.row import NOTHING, Findings, Rule, RuleFinding, error, information, warning
from cap.text_values import is_blank

HEADLINE_CHARS = 160

_LANGUAGE = re.compile(r"[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*")
# An absolute reference that a telephone can open; javascript: and file: are absolute too.
_WEB = re.compile(r"https?://(?:[^\s/?#@:\[\]]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?(?:[/?#]\S*)?", re.IGNORECASE)

_DOTTED = re.compile(r"(?:[A-Za-z]\.){2,}[A-Za-z]?")
_ACRONYMS = frozenset(
    {
        "SAME", "FIPS", "FIPS6", "ZIP", "UGC", "VTEC", "HASC", "EMMA_ID",
        "NIS5", "NIS", "INS", "REFNIS", "PLP", "BIN", "NUTS", "NUTS1", "NUTS2", "NUTS3",
    }
)  # fmt: skip


def _pairs(info: Info) -> Iterator[tuple[str, ValuePair]]:
    """Every pair of an info and of its areas, with the place of each."""
    for number, pair in enumerate(info.event_codes, 1):
        yield f"eventCode[{number}]", pair
    for number, pair in enumerate(info.parameters, 1):
        yield f"parameter[{number}]", pair
    for place, area in enumerate(info.areas, 1):
        for number, pair in enumerate(area.geocodes, 1):
            yield f"area[{place}]/geocode[{number}]", pair


def _language(alert: Alert, info: Info) -> Findings:
    if info.language and not _LANGUAGE.fullmatch(info.language):
        return (RuleFinding("language", "not a language tag", info.language),)
    return NOTHING


def _language_absent(alert: Alert, info: Info) -> Findings:
    if info.language:
        return NOTHING
    return (RuleFinding("language", "without a language the text counts as American English"),)


def _event(alert: Alert, info: Info) -> Findings:
    if not is_blank(info.event):
        return NOTHING
    told = next((name for name in ("headline", "description") if not is_blank(getattr(info, name))), "")
    return (RuleFinding("event", "the event is blank", cause="told" if told else "", facts=(told,)),)


def _assess(alert: Alert, info: Info) -> Findings:
    if ResponseType.ASSESS in info.response_types and alert.scope is Scope.PUBLIC:
        number = info.response_types.index(ResponseType.ASSESS) + 1
        return (RuleFinding(f"responseType[{number}]", "Assess in a Public alert", "Assess"),)
    return NOTHING


def _value_names(alert: Alert, info: Info) -> Findings:
    return [
        RuleFinding(f"{at}/valueName", "the valueName is blank", pair.value)
        for at, pair in _pairs(info)
        if not pair.name.strip()
    ]


def _value_name_case(alert: Alert, info: Info) -> Findings:
    return [
        RuleFinding(f"{at}/valueName", "an acronym is written in capitals without periods", pair.name)
        for at, pair in _pairs(info)
        if ("." in pair.name and _DOTTED.fullmatch(pair.name))
        or (not pair.name.isupper() and pair.name.upper() in _ACRONYMS)
    ]


def _expires_absent(alert: Alert, info: Info) -> Findings:
    if info.expires is None:
        return (RuleFinding("expires", "without a time of expiry the recipient's policy sets one"),)
    return NOTHING


def _time_order(alert: Alert, info: Info) -> Findings:
    if info.expires is None:
        return NOTHING
    effective = info.effective or alert.sent
    if effective and effective > info.expires:
        return (RuleFinding("expires", "it expires before it takes effect", info.expires.isoformat()),)
    return NOTHING


def _late_onset(alert: Alert, info: Info) -> Findings:
    """The message expires, not the event: what is foretold for tomorrow may be said until tonight."""
    if info.onset and info.expires and info.onset > info.expires:
        return (RuleFinding("onset", "it begins after the message expires", info.onset.isoformat()),)
    return NOTHING


def _headline(alert: Alert, info: Info) -> Findings:
    if len(info.headline) > HEADLINE_CHARS:
        return (RuleFinding("headline", f"the headline has {len(info.headline)} characters", info.headline),)
    return NOTHING


def _web(alert: Alert, info: Info) -> Findings:
    if info.web and not _WEB.fullmatch(info.web):
        return (RuleFinding("web", "not a full http or https address", info.web),)
    return NOTHING


INFO: tuple[Rule, ...] = (
    error(
        "I-LANG",
        "3.2.2 language",
        "A language is written as in RFC 3066.",
        "Write nl-BE, fr-BE or de-BE, with a hyphen.",
        _language,
    ),
    warning(
        "I-LANG-ABSENT",
        "3.2.2 language",
        "A language is named.",
        "Add <language>, or the text counts as en-US.",
        _language_absent,
    ),
    error("I-EVENT", "3.2.2 event", "The event is not blank.", "Say in a word or two what happens.", _event),
    warning(
        "I-RESP-ASSESS",
        "3.2.2 responseType",
        "Assess is not for the public.",
        "Use Monitor, or another scope.",
        _assess,
    ),
    warning("I-VN", "3.2.2", "A valueName is not blank.", "Name the list that the value is from.", _value_names),
    warning(
        "I-VN-CASE",
        "3.2.2",
        "A valueName that is an acronym is in capitals without periods.",
        "Write SAME, not S.A.M.E. or same.",
        _value_name_case,
    ),
    information("I-EXPIRES", "3.2.2 expires", "An info says until when it holds.", "Add <expires>.", _expires_absent),
    warning(
        "I-TIME-ORDER",
        "policy",
        "An info takes effect before it expires.",
        "Check effective, expires and sent.",
        _time_order,
    ),
    information(
        "I-ONSET-LATE",
        "3.2.2 onset",
        "What is foretold may begin after its message expires.",
        "Send an Update before it begins, or a later <expires>.",
        _late_onset,
    ),
    warning(
        "I-HEADLINE-160",
        "3.2.2 headline",
        "A headline has at most 160 characters.",
        "Shorten it: a text message shows no more, or costs more.",
        _headline,
    ),
    warning("I-WEB-ABS", "3.2.2 web", "A web address is absolute.", "Write it in full, with https://.", _web),
)
