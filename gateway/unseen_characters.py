"""What nobody sees in a text and a terminal or a reader obeys, made visible: for screens, logs and JSON. Pure.

Whoever wrote a text is a stranger: a sender of an alert, a coordinator, a carrier. Its place decides what is harmless.
"""

import re

OBEYED = "\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\u202a-\u202e\u2066-\u2069"
"""Of a character class, and that of `cap.visible_text`: a test holds the two together. It is not taken from there, as a
command in an emergency does not wait for all of `cap`."""
SHOWN = f"[^{OBEYED}\t\n\r\x85\u2028\u2029]".encode("unicode_escape").decode()
"""A character of a line that is shown as it is, for patterns; a fault that quotes one does nothing either."""
_WRITTEN = r"[^\s!-/:-@\[-`{-~\xa1-\xbf\u2000-\u206f\ufeff]"
"""What stands for a letter or digit of any script, as Python and readers of the API's document understand it."""
SHOWN_LINE = rf"^{SHOWN}*{_WRITTEN}{SHOWN}*\Z"
"""The pattern of names that people give: a line that shows what it says, and says something."""
_IN_A_LINE = re.compile(f"[{OBEYED}\t\n\r\x85\u2028\u2029]")
_IN_JSON = re.compile(f"[{OBEYED}\x85\u2028\u2029]")
_PICTURES = {0x09: " ", 0x0A: "\u23ce", 0x0D: "", 0x7F: "\u2421"}
_SYMBOLS = 0x2400
"""Unicode has a picture for each control of C0."""


def visible(text: str) -> str:
    """One line in which every control can be seen and does nothing."""
    return text if text.isascii() and text.isprintable() else _IN_A_LINE.sub(_pictured, text)


def visible_json(text: str) -> str:
    """JSON with the same values, in which no such character stands as itself."""
    if text.isascii() and "\x7f" not in text:  # JSON escapes the others of C0
        return text
    return _IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _pictured(found: re.Match[str]) -> str:
    code = ord(found[0])
    if code in _PICTURES:
        return _PICTURES[code]
    return chr(_SYMBOLS + code) if code < 0x20 else f"<U+{code:04X}>"
