"""A letter with its holes, and how they are filled for each person in a few microseconds. Pure."""

import html
from enum import IntEnum

import msgspec

from channels.email import unsubscribe
from channels.email.escaping import phrase, quoted_name, shown_name
from channels.email.sender import MailSender


class Slot(IntEnum):
    """What differs from person to person."""

    TO = 0
    MESSAGE_ID = 1
    REFERENCE = 2
    TOKEN = 3
    NAME_PLAIN = 4
    NAME_HTML = 5
    NAME_QUOTED = 6
    NAME_HTML_QUOTED = 7


class LetterForm(msgspec.Struct, frozen=True):
    """A dot-stuffed message in pieces; `slots` are the pieces to fill in."""

    parts: tuple[bytes, ...]
    slots: tuple[tuple[int, Slot], ...]
    spaced: tuple[int, ...]
    """Slots with a blank before them that belongs to the name."""
    at_line_start: tuple[int, ...]
    """Slots whose value may need a dot before its dot (RFC 5321 4.5.2)."""


class PreparedMail(msgspec.Struct, frozen=True):
    """A letter ready for every addressee (`contract.Content`)."""

    sender: MailSender
    eight_bit: LetterForm
    quoted: LetterForm
    has_token: bool = False
    """Whether its unsubscribe link has a token: making one costs some microseconds."""

    @property
    def units(self) -> int:
        return 1

    @property
    def octets(self) -> int:
        """Of one copy in its longer form, without what differs from person to person: some hundred octets more."""
        return sum(map(len, self.quoted.parts))

    def fill(self, *, address: str, name: str, reference: str, message_id: str, eight_bit: bool) -> bytes:
        """The message as it follows DATA: CRLF, dot-stuffed, ended by CRLF and without the final dot.

        `address` is a normalised mailbox and `reference` [a-z0-9.-]{1,64}; `name` may be anything.
        `message_id` stands without its angle brackets. `eight_bit` asks for 8BITMIME, else everything but a
        non-ASCII address is ASCII.
        """
        name = shown_name(name)
        form = self.eight_bit if eight_bit else self.quoted
        token = unsubscribe.token(reference, self.sender.bounce_key) if self.has_token else ""
        values = _values(name, address, reference, message_id, token, eight_bit)
        parts = list(form.parts)
        for index, slot in form.slots:
            parts[index] = values[slot]
        if name:
            for index in form.spaced:
                parts[index] = b" " + parts[index]
        for index in form.at_line_start:
            if (parts[index] or parts[index + 1]).startswith(b"."):
                parts[index] = b"." + parts[index]
        return b"".join(parts)


def _values(name: str, address: str, reference: str, message_id: str, token: str, eight_bit: bool) -> tuple[bytes, ...]:
    """One value a slot, in the order of `Slot`; those of the other form are left empty."""
    path = b"<" + address.encode() + b">"
    to = phrase(name) + b"\r\n " + path if name else path
    escaped = html.escape(name)
    if eight_bit:
        return (to, message_id.encode(), reference.encode(), token.encode(), name.encode(), escaped.encode(), b"", b"")
    coded = quoted_name(name)
    hypertext = coded if escaped == name else quoted_name(escaped)
    return (to, message_id.encode(), reference.encode(), token.encode(), b"", b"", coded, hypertext)
