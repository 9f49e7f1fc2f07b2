"""The rule about text that people read (CAP-v1.2 3.3.3): it is plain text. The check takes the alert."""

from __future__ import annotations

import re

from cap.model import Alert
from cap.rules.row import Findings, Rule, RuleFinding, warning

# What is still markup after XML was read: <b>, </p>, <br/>, <!--, &amp;, &nbsp;, &#233;
_MARKUP = re.compile(
    r"</?[A-Za-z][A-Za-z0-9]*+(?:[ \t\r\n/][^<>]*+)?>|<!--|&(?:[A-Za-z]{2,8}|#[0-9]{1,7}|#x[0-9A-Fa-f]{1,6});"
)


def _markup(alert: Alert) -> Findings:
    findings = _found("", ("note", alert.note))
    for number, info in enumerate(alert.infos, 1):
        findings += _found(
            f"info[{number}]/",
            ("event", info.event),
            ("audience", info.audience),
            ("senderName", info.sender_name),
            ("headline", info.headline),
            ("description", info.description),
            ("instruction", info.instruction),
            ("contact", info.contact),
        )
        for place, resource in enumerate(info.resources, 1):
            findings += _found(f"info[{number}]/resource[{place}]/", ("resourceDesc", resource.description))
        for place, area in enumerate(info.areas, 1):
            findings += _found(f"info[{number}]/area[{place}]/", ("areaDesc", area.description))
    return findings


def _found(parent: str, *texts: tuple[str, str]) -> list[RuleFinding]:
    return [
        RuleFinding(parent + element, f"the text holds the markup {found[0]!r}", text)
        for element, text in texts
        if ("<" in text or "&" in text) and (found := _MARKUP.search(text))
    ]


PROSE: tuple[Rule, ...] = (
    warning("I-HTML", "3.3.3", "Text is plain text.", "Remove tags and HTML entities.", _markup),
)
