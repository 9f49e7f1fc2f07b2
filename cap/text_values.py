"""Text of a CAP element -> value: times, lists and references (CAP-v1.2 3.2.1, 3.3.2).

Each function returns the value or raises `Unreadable`, which names the rule that the text broke.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from math import isfinite

from cap.model import Reference

XML_SPACE = " \t\r\n"

# Years with four plain digits and offsets below 14 hours; everything else takes the slow way.
_PLAIN_MOMENT = re.compile(
    r"[12][0-9]{3}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9][+-](?:0[0-9]|1[0-3]):[0-5][0-9]"
)
_MOMENT = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}T)([0-9]{2})(:[0-9]{2}:[0-9]{2})([+-])([0-9]{2}):([0-9]{2})")
_LETTER_ZONE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2} ?[A-Za-z]{1,5}")
_MOST_OFFSET_MIN = 14 * 60  # xs:dateTime

# 3.3.2 writes UTC as -00:00. Both spellings are the same instant; this zone remembers the other one for a remark.
_PLUS_ZERO = timezone(timedelta(0), "+00:00")

_ITEM = re.compile(r'[ \t\r\n]*+(?:"([^"]*+)"|([^" \t\r\n]++))(?=[ \t\r\n]|\Z)')
_WHOLE_NUMBER = re.compile(r"\+?[0-9]{1,18}")
_DECIMAL = re.compile(r"[+-]?(?:[0-9]++(?:\.[0-9]*+)?|\.[0-9]++)")

# 3.2.1 identifier and sender: no spaces, commas, < or &. Ours: nor anything that looks like nothing, because
# two identifiers that look alike must be alike (controls, no-break and zero-width spaces, direction marks, fillers,
# variation selectors, tags).
_UNSEEN = (
    r"\s\x00-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    r"\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e0fff"
)
FORBIDDEN_IN_NAME = re.compile(rf"[,<&{_UNSEEN}]")
MOST_NAME_CHARS = 255
_SEEN = re.compile(rf"[^{_UNSEEN}]")


class Unreadable(ValueError):
    """A text that has no value. `rule` is the id of the rule broken, `piece` the part of the text at fault."""

    def __init__(self, rule: str, text: str, piece: str) -> None:
        super().__init__(text)
        self.rule = rule
        self.text = text
        self.piece = piece


def moment(text: str) -> datetime:
    """An aware datetime with the offset as sent. `24:00:00` is the next day's midnight (xs:dateTime)."""
    text = text.strip(XML_SPACE)
    if not _PLAIN_MOMENT.fullmatch(text):
        return _odd_moment(text)
    try:
        value = datetime.fromisoformat(text)
    except ValueError as exc:
        raise Unreadable("DT-RANGE", f"there is no such date: {exc}", text) from exc
    return value.replace(tzinfo=_PLUS_ZERO) if text.endswith("+00:00") else value


def is_plus_zero(value: datetime | None) -> bool:
    """Whether `moment` read this from a text that ends in +00:00."""
    return value is not None and value.tzinfo is _PLUS_ZERO


def _odd_moment(text: str) -> datetime:
    form = _MOMENT.fullmatch(text)
    if form is None and _LETTER_ZONE.fullmatch(text):
        raise Unreadable("DT-Z", "the time zone is a letter, not an offset in digits", text)
    if form is None:
        raise Unreadable("DT-FORM", "not written YYYY-MM-DDThh:mm:ss+hh:mm", text)
    date, hour, rest, sign, offset_h, offset_min = form.groups()
    if int(offset_h) * 60 + int(offset_min) > _MOST_OFFSET_MIN or int(offset_min) > 59:
        raise Unreadable("DT-RANGE", "the offset is beyond 14:00", text)
    midnight = hour == "24" and rest == ":00:00"
    try:
        value = datetime.fromisoformat(f"{date}{'00' if midnight else hour}{rest}{sign}{offset_h}:{offset_min}")
        value += timedelta(days=midnight)
        value.astimezone(UTC)  # the first and last day of the calendar may not exist in UTC
    except (ValueError, OverflowError) as exc:
        raise Unreadable("DT-RANGE", f"there is no such date or time: {exc}", text) from exc
    return value


def references(text: str) -> tuple[Reference, ...]:
    """The messages that `references` names, in order: `sender,identifier,sent` triples between white space."""
    return tuple(_reference(triple) for triple in _words(text))


def _reference(triple: str) -> Reference:
    parts = triple.split(",")
    if len(parts) != 3:
        raise Unreadable("A-REFS-LEX", f"{len(parts)} parts between commas instead of sender,identifier,sent", triple)
    sender, identifier, sent = parts
    for name, part in (("sender", sender), ("identifier", identifier)):
        if not part or len(part) > MOST_NAME_CHARS or FORBIDDEN_IN_NAME.search(part):
            raise Unreadable(
                "A-REFS-LEX", f"the {name} inside the reference is empty or has forbidden characters", triple
            )
    try:
        return Reference(sender, identifier, moment(sent))
    except Unreadable as exc:
        raise Unreadable("A-REFS-LEX", f"the time inside the reference: {exc.text}", triple) from exc


def _words(text: str) -> list[str]:
    # str.split() takes every Unicode space for a break; only XML's four are.
    return text.split() if text.isascii() else [word for word in re.split(r"[ \t\r\n]+", text) if word]


def addresses(text: str) -> tuple[str, ...]:
    """Who a private message is for: items between white space, in double quotes if they hold spaces."""
    return _items(text, "A-ADDR-LEX")


def incidents(text: str) -> tuple[str, ...]:
    """The incidents that a message is about, written like `addresses`."""
    return _items(text, "A-INCID-LEX")


def _items(text: str, rule: str) -> tuple[str, ...]:
    items: list[str] = []
    end = 0
    text = text.rstrip(XML_SPACE)
    while end < len(text):
        item = _ITEM.match(text, end)
        if item is None:
            raise Unreadable(rule, "a double quote is not closed, or stands inside a word", text[end:].strip(XML_SPACE))
        value = item[2] or item[1]
        if not value.strip():
            raise Unreadable(rule, "an item in quotes is empty", item[0].strip(XML_SPACE))
        items.append(value)
        end = item.end()
    return tuple(items)


def size(text: str) -> int:
    """A number of bytes."""
    text = text.strip(XML_SPACE)
    if not _WHOLE_NUMBER.fullmatch(text):
        raise Unreadable("R-SIZE", "not a whole number of bytes from 0", text)
    return int(text)


def height(text: str) -> float:
    """Feet above mean sea level."""
    text = text.strip(XML_SPACE)
    if not _DECIMAL.fullmatch(text) or not isfinite(float(text)):
        raise Unreadable("G-ALT-LEX", "not a decimal number of feet", text)
    return float(text)


def is_blank(text: str) -> bool:
    """Whether a reader would see nothing: a zero-width space says as little as none."""
    return _SEEN.search(text) is None


def trimmed(text: str) -> str:
    """The text without XML white space around it, for the types that the schema collapses."""
    return text.strip(XML_SPACE)
