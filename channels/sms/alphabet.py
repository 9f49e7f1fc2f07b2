"""The GSM 7-bit default alphabet with its extension table, one septet an octet, as SMPP carries it.

Knows characters and octets; knows no message, no segment and no carrier.
"""

# 3GPP TS 23.038, 6.2.1: the position is the septet; 0x1B is the escape to the extension table.
_DEFAULT = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
# 3GPP TS 23.038, 6.2.1.1: two septets each.
_EXTENSION = {
    "\f": 0x0A,
    "^": 0x14,
    "{": 0x28,
    "}": 0x29,
    "\\": 0x2F,
    "[": 0x3C,
    "~": 0x3D,
    "]": 0x3E,
    "|": 0x40,
    "€": 0x65,
}
ESCAPE = 0x1B

SEPTETS: dict[str, bytes] = {
    **{character: bytes([code]) for code, character in enumerate(_DEFAULT) if code != ESCAPE},
    **{character: bytes([ESCAPE, code]) for character, code in _EXTENSION.items()},
}
"""What each character of the alphabet is on the wire: one octet, or two for the extension table."""

_CHARACTERS = dict(enumerate(_DEFAULT))
_EXTENDED = {code: character for character, code in _EXTENSION.items()}


def in_alphabet(text: str) -> bool:
    """Whether every character of the text has a place in the GSM alphabet."""
    return all(character in SEPTETS for character in text)


def encode(text: str) -> bytes:
    """The text in unpacked septets. Raises KeyError for a character outside the alphabet."""
    return b"".join([SEPTETS[character] for character in text])


def decode(octets: bytes) -> str:
    """The text of unpacked septets, as a handset shows them.

    TS 23.038, 6.2.1.1: an unknown extension is shown as the letter of the default table. An octet above 0x7F
    is no septet and becomes U+FFFD, so that this never raises on what a peer sent.
    """
    out: list[str] = []
    escaped = False
    for octet in octets:
        if escaped:
            out.append(_EXTENDED.get(octet) or _CHARACTERS.get(octet, "\ufffd"))
            escaped = False
        elif octet == ESCAPE:
            escaped = True
        else:
            out.append(_CHARACTERS.get(octet, "\ufffd"))
    return "".join(out)
