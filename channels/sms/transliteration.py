"""What each mode of writing may alter in a text so that it costs fewer segments.

`exact` alters nothing that is seen, `typographic` keeps the meaning and every letter, `gsm` also takes the
accents that the GSM alphabet lacks. Pure; knows no segment and no price.
"""

import re
import unicodedata
from collections.abc import Callable
from enum import StrEnum

from anyascii import anyascii

from channels.sms.alphabet import SEPTETS, in_alphabet


class LetterMode(StrEnum):
    EXACT = "exact"
    TYPOGRAPHIC = "typographic"
    GSM = "gsm"


# Meaning kept: quotes, dashes, ellipsis, spaces, tab, line separators.
_TYPOGRAPHIC = {
    **dict.fromkeys("‘’‚‛′‹›`´ʼ", "'"),
    **dict.fromkeys("“”„‟″«»", '"'),
    **dict.fromkeys("‐‑‒–—―−", "-"),
    **dict.fromkeys("\t\u00a0\u1680\u202f\u205f\u3000", " "),
    **{chr(space): " " for space in range(0x2000, 0x200B)},
    **dict.fromkeys("\u2028\u2029", "\n"),
    "…": "...",
}
# What NFD cannot take apart and anyascii would spell otherwise than a reader expects ("25 deg", "TM").
_OWN = {
    "œ": "oe",
    "Œ": "OE",
    "ĳ": "ij",
    "Ĳ": "IJ",
    "°": "o",
    "º": "o",
    "ª": "a",
    "²": "2",
    "³": "3",
    "½": "1/2",
    "¼": "1/4",
    "¾": "3/4",
    "×": "x",
    "•": "-",
    "·": "-",
    "→": "->",
    "©": "(c)",
    "®": "(R)",
    "™": "(TM)",
}
# Seen by nobody, and one of them makes a text of 160 septets three segments of UCS-2.
_INVISIBLE = re.compile("[\u200b\u2060\ufeff\u00ad]")
# A joiner is kept where it shapes something: emoji families, Persian, Indic. Elsewhere it is stray.
_STRAY_JOINER = re.compile("(?<![\u0600-\U0010ffff])[\u200c\u200d]|[\u200c\u200d](?![\u0600-\U0010ffff])")
_LINE_END = re.compile("\r\n?")
_LETTER_MODIFIER = re.compile("[\u0300-\u036f]")

Changes = tuple[tuple[str, str], ...]
"""(character, what stands in its place), each once, in the order of the text."""


def clean(text: str) -> str:
    """What every mode does first, and nobody sees: NFC, invisible characters out, one kind of line end."""
    text = unicodedata.normalize("NFC", _LINE_END.sub("\n", text))
    before = None
    while before != text:  # a joiner can become stray when its neighbour goes
        before, text = text, _STRAY_JOINER.sub("", _INVISIBLE.sub("", text))
    return unicodedata.normalize("NFC", text)


def letter(text: str, mode: LetterMode) -> tuple[str, Changes]:
    """The clean text as the mode writes it, and what was altered.

    `gsm` strips only where that makes the whole text fit the GSM alphabet: a text that stays UCS-2 for its
    Greek, its Cyrillic or an emoji would lose its accents for nothing.
    """
    if mode is LetterMode.EXACT:
        return text, ()
    typographic, changes = _replace(text, _TYPOGRAPHIC.get)
    if mode is LetterMode.TYPOGRAPHIC or in_alphabet(typographic):
        return typographic, changes
    stripped, more = _replace(typographic, _plain)
    return (stripped, changes + more) if in_alphabet(stripped) else (typographic, changes)


def legible(text: str, codec: str) -> str | None:
    """The text in the letters of a codec ("latin-1", "ascii") that the GSM alphabet has, too, as a person reads it:
    "10 EUR" for "10 €". None where some character has no such spelling."""
    out = []
    for character in text:
        spelt = character if _has(character, codec) else _spelt(character)
        if not all(_has(each, codec) for each in spelt):
            return None
        out.append(spelt)
    return "".join(out)


def _has(character: str, codec: str) -> bool:
    if character not in SEPTETS:
        return False
    try:
        character.encode(codec)
    except UnicodeEncodeError:
        return False
    return True


def _spelt(character: str) -> str:
    """By our own table, the letter under the accent, or anyascii; never a letter of another script."""
    if character in _OWN:
        return _OWN[character]
    if unicodedata.category(character)[0] == "L" and not unicodedata.name(character, "").startswith("LATIN "):
        return character
    letter_alone = unicodedata.normalize("NFD", character)[0]
    return letter_alone if letter_alone.isascii() else anyascii(character) or character


def outside(text: str) -> tuple[str, ...]:
    """The characters that the GSM alphabet lacks, each once: what makes a text UCS-2."""
    return tuple(dict.fromkeys(character for character in text if character not in SEPTETS))


def _replace(text: str, replacement: Callable[[str], str | None]) -> tuple[str, Changes]:
    changes: dict[str, str] = {}
    out = []
    for character in text:
        other = replacement(character)
        if other is None:
            out.append(character)
        else:
            changes[character] = other
            out.append(other)
    return "".join(out), tuple(changes.items())


def _plain(character: str) -> str | None:
    """The GSM spelling of a character: own table, the letter under the accent, anyascii; Latin only."""
    if character in SEPTETS:
        return None
    if character in _OWN:
        return _OWN[character]
    if _LETTER_MODIFIER.match(character):
        return ""
    if not unicodedata.name(character, "").startswith("LATIN "):
        return None
    letter_alone = unicodedata.normalize("NFD", character)[0]
    return letter_alone if letter_alone in SEPTETS else anyascii(character)
