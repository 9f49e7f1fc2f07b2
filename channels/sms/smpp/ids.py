"""Message ids: one normal form for what a submit is answered and what a receipt names, however an SMSC writes them.

Many answer in hexadecimal and report in decimal, or the reverse, or pad with zeros. Pure; knows no message.
"""

from enum import StrEnum
from functools import lru_cache

LONGEST_ID = 255
"""Characters that are kept of an id; a message_id has 64 at most (5.2.23), and careless SMSCs some more."""
_PADDED = (8, 10, 16, 20)  # digits that SMSCs pad to
_LONGEST = 64  # a message_id holds at most 65 octets (5.2.23); longer digits are no number worth converting


class IdBase(StrEnum):
    RAW = "raw"
    """Ids are compared as written."""
    HEX = "hex"
    DEC = "dec"
    AUTO = "auto"
    """Not known: compared as written, and other readings offered."""


def normal_id(raw: str, base: IdBase) -> str:
    """The id in its normal form: a decimal number without zeros in front where the base says so, else as written.

    An id that is no number of that base stays as written: some SMSCs mix UUIDs in.
    """
    text = raw[:LONGEST_ID].strip()
    if base is IdBase.HEX or base is IdBase.DEC:
        number = _number(text, 16 if base is IdBase.HEX else 10)
        return text if number is None else str(number)
    return text


@lru_cache(4096)  # a receipt that overtakes the answer to its message is asked for them twice
def other_readings(raw: str) -> tuple[str, ...]:
    """Every other form that the id may have had in the answer, the likeliest first, the id as written left out.

    Believe one only if the destination agrees: "10" is also the hexadecimal of another message.
    """
    text = raw.strip()
    readings = [text.lower(), text.upper(), text.lstrip("0").lower(), text.lstrip("0").upper()]
    for base in (10, 16):
        if (number := _number(text, base)) is not None:
            readings += [f"{number:d}", f"{number:x}", f"{number:X}"]
            readings += [
                form
                for width in _PADDED
                for form in (f"{number:0{width}d}", f"{number:0{width}x}", f"{number:0{width}X}")
                if len(form) == width
            ]
    return tuple(reading for reading in dict.fromkeys(readings) if reading and reading != text)


def _number(text: str, base: int) -> int | None:
    # int() also takes signs, blanks, underscores and other scripts' digits; an id with these is no number.
    digits = "0123456789" if base == 10 else "0123456789abcdefABCDEF"
    if not text or len(text) > _LONGEST or text.strip(digits):
        return None
    return int(text, base)
