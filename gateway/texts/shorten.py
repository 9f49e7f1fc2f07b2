"""Where to cut a text that is too long: at a sentence, else at a word, else between two letters. Pure.

What remains is always a beginning of the text, exactly as it was.
"""

import re
import unicodedata
from collections.abc import Callable, Sequence

MOST_CHARACTERS = 4_000
"""No more is looked at: whatever is shortened fits into less, and searching takes longer than the text is long."""
# A full stop, with what closes behind it, before a blank that no small letter follows. A row of them is tried once.
_SENTENCE_END = re.compile(r"(?<![.!?…])[.!?…]++[\"'”’»)\]]*+(?=\s|$)")
_WORD_END = re.compile(r"\S(?=\s|$)")
# Words whose full stop ends no sentence; the numbers and names behind them belong to them.
_ABBREVIATIONS = frozenset(
    {
        *("nr", "nrs", "tel", "art", "blz", "bv", "ca", "dhr", "mevr", "mw", "dr", "prof", "ing", "st", "str"),
        *("no", "mr", "mme", "mlle", "av", "bd", "ex", "hr", "fr", "z.b", "bzw", "usw", "p.ex"),
    }
)
_JOINED = "\u200d\ufe0e\ufe0f\u20e3"


def shorten(text: str, fits: Callable[[str], bool]) -> str:
    """The longest beginning for which `fits` holds; the whole text when it fits, "" when nothing does.

    Ends at a sentence unless that would lose more than half of what fits by words. `fits` is asked some
    20 times and should hold for the beginnings of whatever it holds for. Of a text that does not fit no more is kept
    than MOST_CHARACTERS.
    """
    if fits(text):
        return text
    text = text[:MOST_CHARACTERS]
    by_sentence = _longest(text, _sentence_ends(text), fits)
    by_word = _longest(text, [found.end() for found in _WORD_END.finditer(text)], fits)
    if by_sentence and 2 * len(by_sentence) >= len(by_word):
        return by_sentence
    return by_word or _longest(text, _character_ends(text), fits)


def ends_a_sentence(text: str) -> bool:
    """Whether a reader would take this for whole."""
    return bool(text) and text.rstrip("\"'”’»)]")[-1:] in (*".!?…",)


def _longest(text: str, ends: Sequence[int], fits: Callable[[str], bool]) -> str:
    low, high = 0, len(ends)  # what ends before `low` fits, what ends from `high` on does not
    while low < high:
        middle = (low + high) // 2
        if fits(text[: ends[middle]]):
            low = middle + 1
        else:
            high = middle
    return text[: ends[low - 1]] if low else ""


def _sentence_ends(text: str) -> list[int]:
    return [found.end() for found in _SENTENCE_END.finditer(text) if _is_end(text, found)]


def _is_end(text: str, found: re.Match[str]) -> bool:
    following = text[found.end() :].lstrip()[:1]
    if following.islower():
        return False
    before = text[: found.start()].rpartition(" ")[2].strip("(\"'«“").lower()
    return before not in _ABBREVIATIONS and not (len(before) == 1 and before.isalpha())


def _character_ends(text: str) -> list[int]:
    """Wherever a cut leaves no accent without its letter and no picture in pieces."""
    return [
        at
        for at in range(1, len(text))
        if not (
            unicodedata.category(text[at])[0] == "M"
            or text[at] in _JOINED
            or text[at - 1] == "\u200d"
            or "\U0001f3fb" <= text[at] <= "\U0001f3ff"
            or "\U0001f1e6" <= text[at] <= "\U0001f1ff"
        )
    ]
