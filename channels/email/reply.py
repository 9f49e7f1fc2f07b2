"""Replies of an SMTP server, read from bytes as they come, in pieces or several at once.

Pure. Knows the grammar of RFC 5321 4.2, not what a reply means for a message.
"""

import re
from collections.abc import Iterator

import msgspec

MAX_REPLY_OCTETS = 32_768
"""More than any real reply; a server that sends more without an end is not one."""
MAX_TEXT_CHARACTERS = 200

_LINE = re.compile(rb"([2-5][0-9]{2})(?:([ -])(.*))?", re.DOTALL)
_ENHANCED = re.compile(rb"([245]\.[0-9]{1,3}\.[0-9]{1,3})(?: +|$)")  # RFC 3463


class NotSmtp(Exception):
    """What the peer sent is not a reply: nothing that it says from here on can be believed."""


class Reply(msgspec.Struct, frozen=True):
    """One reply. Its words are worked out when asked for: of four a mail, one is read."""

    code: int
    lines: tuple[bytes, ...]
    """What stands behind the code, line by line."""

    @property
    def enhanced(self) -> str:
        """RFC 3463, as in `5.1.1`; empty when the server gave none."""
        match = _ENHANCED.match(self.lines[0])
        return match[1].decode("ascii") if match is not None else ""

    @property
    def text(self) -> str:
        """One printable line, at most 200 characters, without the codes."""
        enhanced = self.enhanced.encode()
        joined = b" ".join(line.removeprefix(enhanced) for line in self.lines).decode("utf-8", "replace")
        text = " ".join(joined.split())
        if not text.isprintable():
            text = "".join(character if character.isprintable() else "?" for character in text)
        return text[:MAX_TEXT_CHARACTERS]

    @property
    def label(self) -> str:
        """The codes as people quote them: `550 5.1.1`."""
        return f"{self.code} {self.enhanced}" if self.enhanced else str(self.code)


class ReplyReader:
    """Bytes in, whole replies out."""

    def __init__(self) -> None:
        self._rest = b""
        self._code = b""
        self._lines: list[bytes] = []
        self._octets = 0

    @property
    def is_between_replies(self) -> bool:
        return not self._rest and not self._lines

    def feed(self, data: bytes) -> Iterator[Reply]:
        """The replies that `data` completes, one by one. Raises NotSmtp, after those that came before it."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._octets += len(line)
            if self._octets > MAX_REPLY_OCTETS:
                raise NotSmtp
            match = _LINE.fullmatch(line.removesuffix(b"\r"))
            if match is None or (self._lines and match[1] != self._code):
                raise NotSmtp
            self._code = match[1]
            self._lines.append(match[3] or b"")
            if match[2] != b"-":
                reply = Reply(int(self._code), tuple(self._lines))
                self._lines, self._octets = [], 0
                yield reply
        if self._octets + len(self._rest) > MAX_REPLY_OCTETS:
            raise NotSmtp
