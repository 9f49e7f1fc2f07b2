"""The rule about text that people read (CAP-v1.2 3.3.3): it is plain text. The check takes the alert."""

from __future__ import annotations

import re
from collections.abc import Iterator

from cap.model import Alert, Info
from cap.rules.row import Finding, Findings, Rule, warning

# What is still markup after XML was read: <b>, </p>, <br/>, &amp;, &nbsp;, &#233;
_MARKUP = re.compile(
    r"</?[A-Za-z][A-Za-z0-9]*+(?:[ \t\r\n/][^<>]*+)?>|&(?:[A-Za-z]{2,8}|#[0-9]{1,7}|#x[0-9A-Fa-f]{1,6});"
)


def _texts(alert: Alert) -> Iterator[tuple[str, str]]:
    yield "note", alert.note
    for number, info in enumerate(alert.infos, 1):
        for element, text in _info_texts(info):
            yield f"info[{number}]/{element}", text


def _info_texts(info: Info) -> Iterator[tuple[str, str]]:
    yield "event", info.event
    yield "audience", info.audience
    yield "senderName", info.sender_name
    yield "headline", info.headline
    yield "description", info.description
    yield "instruction", info.instruction
    yield "contact", info.contact
    for number, area in enumerate(info.areas, 1):
        yield f"area[{number}]/areaDesc", area.description


def _markup(alert: Alert) -> Findings:
    return [
        Finding(at, f"the text holds the markup {found[0]!r}", text)
        for at, text in _texts(alert)
        if ("<" in text or "&" in text) and (found := _MARKUP.search(text))
    ]


PROSE: tuple[Rule, ...] = (
    warning("I-HTML", "3.3.3", "Text is plain text.", "Remove tags and HTML entities.", _markup),
)
