"""How a text is written for an SMSC, by the alphabet that it reads where nothing else is said (data_coding 0).

An SMSC whose default is not GSM turns Latin-1 or ASCII into it, so a text of the GSM alphabet keeps its cuts. What the
alphabet lacks goes as UCS-2 if that takes no more segments than were counted, priced and given slots; else in letters
that a person reads as the same words, where the text's mode allows it.
"""

from dataclasses import dataclass

from channels.contract import Fit
from channels.sms import alphabet
from channels.sms.segments import SmsText, split_gsm, split_ucs2
from channels.sms.transliteration import LetterMode, legible

DEFAULT_ALPHABET, UCS2 = 0, 8  # data_coding (5.2.19)
_CODECS = {"latin1": "latin-1", "ascii": "ascii"}


@dataclass(frozen=True, slots=True)
class WrittenText:
    fit: Fit
    coding: int = DEFAULT_ALPHABET
    segments: tuple[bytes, ...] = ()
    """The octets of each part, without the concatenation header; as many as the text was counted to take."""


NOT_AT_ALL = WrittenText(Fit.NOT)


def write(text: SmsText, default_alphabet: str) -> WrittenText:
    if text.encoding == "ucs2":
        return WrittenText(Fit.WHOLE, UCS2, text.segments)
    if default_alphabet == "gsm":
        return WrittenText(Fit.WHOLE, DEFAULT_ALPHABET, text.segments)
    codec = _CODECS[default_alphabet]
    if (segments := _encoded(text.segments, codec)) is not None:
        return WrittenText(Fit.WHOLE, DEFAULT_ALPHABET, segments)
    wide = split_ucs2(text.text)
    if len(wide) == text.units:
        return WrittenText(Fit.WHOLE, UCS2, wide)
    plain = legible(text.text, codec) if text.mode is LetterMode.GSM else None
    segments = _encoded(split_gsm(plain), codec) if plain is not None else None
    if segments is None or len(segments) != text.units:
        return NOT_AT_ALL
    return WrittenText(Fit.LEGIBLE, DEFAULT_ALPHABET, segments)


def adapted(text: str, mode: LetterMode, alphabets: frozenset[str]) -> str | None:
    """The text in letters that one of these alphabets has, where the mode allows it; None where it does not, or where
    that is impossible: then UCS-2 is left."""
    if mode is not LetterMode.GSM:
        return None
    found = (legible(text, _CODECS[name]) for name in sorted(alphabets, reverse=True) if name in _CODECS)
    return next((plain for plain in found if plain is not None), None)


def _encoded(segments: tuple[bytes, ...], codec: str) -> tuple[bytes, ...] | None:
    try:
        return tuple(alphabet.decode(segment).encode(codec) for segment in segments)
    except UnicodeEncodeError:
        return None
