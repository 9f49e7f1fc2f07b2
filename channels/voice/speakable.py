"""Written text made into what a speech engine can say: numbers to call, plates, times, dates and addresses.

Pure. Knows four languages; in any other it only cleans. What it does not recognise it leaves to the engine.
"""

import re
import unicodedata
from collections.abc import Callable

import msgspec


class Spoken(msgspec.Struct, frozen=True):
    """The words of one language that stand for signs."""

    digits: tuple[str, ...]
    months: tuple[str, ...]
    date: str
    hour: str
    """What follows the hour; in German and Dutch also where one hour is meant."""
    one_hour: str
    dot: str


_SPOKEN = {
    "nl": Spoken(
        digits=("nul", "een", "twee", "drie", "vier", "vijf", "zes", "zeven", "acht", "negen"),
        months=(
            *("januari", "februari", "maart", "april", "mei", "juni"),
            *("juli", "augustus", "september", "oktober", "november", "december"),
        ),
        date="{day} {month} {year}",
        hour="uur",
        one_hour="uur",
        dot="punt",
    ),
    "fr": Spoken(
        digits=("zéro", "un", "deux", "trois", "quatre", "cinq", "six", "sept", "huit", "neuf"),
        months=(
            *("janvier", "février", "mars", "avril", "mai", "juin"),
            *("juillet", "août", "septembre", "octobre", "novembre", "décembre"),
        ),
        date="{day} {month} {year}",
        hour="heures",
        one_hour="heure",
        dot="point",
    ),
    "de": Spoken(
        digits=("null", "eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun"),
        months=(
            *("Januar", "Februar", "März", "April", "Mai", "Juni"),
            *("Juli", "August", "September", "Oktober", "November", "Dezember"),
        ),
        date="{day}. {month} {year}",
        hour="Uhr",
        one_hour="Uhr",
        dot="Punkt",
    ),
    "en": Spoken(
        digits=("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
        months=(
            *("January", "February", "March", "April", "May", "June"),
            *("July", "August", "September", "October", "November", "December"),
        ),
        date="{day} {month} {year}",
        hour="hours",
        one_hour="hours",
        dot="dot",
    ),
}

_URL = re.compile(r"(?:https?://(?:www\.)?|\bwww\.)([\w.-]*\w)\S*", re.IGNORECASE)
_DATE = re.compile(r"(?<![\w/.-])(\d{1,2})([/.-])(\d{1,2})\2(\d{4})(?![\w/]|[.-]\d)")
# A dot between hour and minutes could be a price: it needs the word behind it.
_TIME = re.compile(
    r"(?<![\w.,:])([01]?\d|2[0-3])(?:[:hu]([0-5]\d)(?:\s*(?:uur|u|h|heures?|Uhr)\b)?"
    r"|\.([0-5]\d)\s*(?:uur|u|h|heures?|Uhr)\b)(?![\w:])",
    re.IGNORECASE,
)
# Letters and digits in two or three groups, some of each: 1-ABC-123, AB-12-CD, ABC-123.
_PLATE = re.compile(r"(?<![\w-])(?=[A-Z-]*\d)(?=[\d-]*[A-Z])[A-Z\d]{1,3}(?:-[A-Z\d]{1,3}){1,2}(?![\w-])")
_PHONE = re.compile(r"(?<![\w+.,])(\+|0)(\d(?:[ ./\u00a0-]{0,2}(?:\(0\)[ ./-]?)?\d){6,13})(?!\w|[.,]\d)")
# The short numbers that cannot be taken for a quantity, unless something is being counted.
_SHORT = re.compile(
    r"(?<![\w.,+-])(?<!\d )(101|110|112|116|1712|1722|1733)"
    r"(?!\w|[.,-]\d| ?[%€°]| \d{3}\b| (?:k?m|meter|mètres?|Meter|euros?|Euro|kg)\b)"
)
_MARKUP = re.compile(r"[\[\]{}<>|\\^~`_*#]")  # engines read some of these as commands ("[[...]]", "<say-as>")
_UNSPEAKABLE = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "So", "Sk"})


def speakable(text: str, language: str) -> str:
    """The text as an engine should read it; `language` is a BCP 47 tag of which the first part counts.

    One line, no control characters, no signs that engines obey, no pictures. Never raises; may be empty.
    """
    spoken = _SPOKEN.get(primary(language))
    text = " ".join(_sentence(line) for line in _drop_unspeakable(text).splitlines() if line.strip())
    if spoken is not None:
        text = _expand(text, spoken)
    return " ".join(_MARKUP.sub(" ", text).split())


def primary(language: str) -> str:
    """The first part of a language tag: "nl" of "nl-BE"."""
    return language.partition("-")[0].lower()


def _expand(text: str, spoken: Spoken) -> str:
    """Addresses and dates first: what follows would take their digits for a telephone number."""
    steps: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...] = (
        (_URL, lambda found: _site(found, spoken)),
        (_DATE, lambda found: _date(found, spoken)),
        (_TIME, lambda found: _time(found, spoken)),
        (_PLATE, lambda found: _groups(found[0].split("-"), spoken)),
        (_PHONE, lambda found: _phone(found, spoken)),
        (_SHORT, lambda found: _groups([found[0]], spoken)),
    )
    for pattern, replace in steps:
        text = pattern.sub(replace, text)
    return text


def _drop_unspeakable(text: str) -> str:
    text = unicodedata.normalize("NFC", text)
    return "".join(
        character if character in "\n\r\t" or unicodedata.category(character) not in _UNSPEAKABLE else " "
        for character in text
    )


def _sentence(line: str) -> str:
    """A line of a written text is a breath of a spoken one."""
    line = line.strip()
    return line if line[-1] in ".!?:;,…" else f"{line}."


def _site(found: re.Match[str], spoken: Spoken) -> str:
    """The host only: nobody can note down a path by ear."""
    tail = found[0][-1] if found[0][-1] in ".,;:!?" else ""
    return f" {spoken.dot} ".join(found[1].split(".")) + tail


def _date(found: re.Match[str], spoken: Spoken) -> str:
    day, month = int(found[1]), int(found[3])
    if not (1 <= day <= 31 and 1 <= month <= 12):
        return found[0]
    return spoken.date.format(day=day, month=spoken.months[month - 1], year=found[4])


def _time(found: re.Match[str], spoken: Spoken) -> str:
    hour, minute = int(found[1]), int(found[2] or found[3])
    word = spoken.one_hour if hour <= 1 else spoken.hour
    return f"{hour} {word} {minute}" if minute else f"{hour} {word}"


def _phone(found: re.Match[str], spoken: Spoken) -> str:
    plus = "plus " if found[1] == "+" else ""
    written = found[2].replace("(0)", " ") if plus else found[1] + found[2]
    groups = re.findall(r"\d+", written)
    if len(groups) == 1:  # written in one piece: pairs, as people say them
        digits = groups[0]
        head = len(digits) % 2
        groups = [digits[:head], *(digits[at : at + 2] for at in range(head, len(digits), 2))]
    return plus + _groups([group for group in groups if group], spoken)


def _groups(groups: list[str], spoken: Spoken) -> str:
    """Each group letter by letter and digit by digit, with a comma between groups for a breath."""
    return ", ".join(
        " ".join(spoken.digits[int(sign)] if sign.isdecimal() else sign for sign in group) for group in groups
    )
