"""Text of an alert without what no reader sees and some readers obey: for feeds, which programs of others show.

The alert itself is never changed. Controls of C0 and C1 may be commands to a terminal; embeddings, overrides and
isolates make a text read otherwise than it was written. Marks of direction stay: Arabic and Hebrew need them.
"""

import re

OBEYED = "\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\u202a-\u202e\u2066-\u2069"
"""Of a character class. Tab and line ends are not among them, nor is NEL, which is one."""
_OBEYED = re.compile(f"[{OBEYED}]")


def harmless(text: str) -> str:
    if text.isascii() and text.isprintable():
        return text
    return _OBEYED.sub("", text).replace("\x85", "\n")
