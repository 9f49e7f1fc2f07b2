"""A sender's text without what no channel can carry and no reader can see. Pure; changes no word."""

import re
import unicodedata

# Bidirectional embeddings and overrides: they can make a text read otherwise than it was written.
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_LINE_END = re.compile("\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_BLANK_LINES = re.compile(r"\n\s*\n")
_ENDS_ITSELF = ".!?:;,…"


def paragraphs(text: str) -> tuple[str, ...]:
    """Split at blank lines; lines within a paragraph are kept, blanks at their ends are not."""
    blocks = _BLANK_LINES.split(_fit(text).strip())
    return tuple(
        "\n".join(" ".join(line.split()) for line in block.splitlines() if line.strip())
        for block in blocks
        if block.strip()
    )


def one_line(text: str) -> str:
    """With single blanks for every break; a line without a full stop gets one, to stay apart from the next."""
    lines = [" ".join(line.split()) for line in _fit(text).splitlines() if line.strip()]
    return " ".join([*(closed(line) for line in lines[:-1]), *lines[-1:]])


def closed(text: str) -> str:
    """With a full stop where nothing else ends it."""
    return text if not text or text[-1] in _ENDS_ITSELF else f"{text}."


def says_something(text: str) -> bool:
    """Whether there is a letter or a digit in it: signs and pictures alone warn nobody."""
    return any(character.isalnum() for character in text)


def _fit(text: str) -> str:
    text = _LINE_END.sub("\n", text)
    return "".join(_shown(character) for character in text)


def _shown(character: str) -> str:
    if character in "\n\t":
        return character
    category = unicodedata.category(character)
    if category == "Cc":
        return " "
    # Half a character, no character, or nothing to see.
    return "" if category in {"Cs", "Cn"} or character in _BIDI else character
