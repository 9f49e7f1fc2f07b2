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
_ENHANCED = re.compile(r"([245]\.[0-9]{1,3}\.[0-9]{1,3})(?: +|$)")  # RFC 3463


class NotSmtp(Exception):
    """What the peer sent is not a reply: nothing that it says from here on can be believed."""


class Reply(msgspec.Struct, frozen=True):
    """One reply, its lines joined with blanks."""

    code: int
    enhanced: str
    """RFC 3463, as in `5.1.1`; empty when the server gave none."""
    text: str
    """One printable line, at most 200 characters, without the codes."""

    @property
    def label(self) -> str:
        """The codes as people quote them: `550 5.1.1`."""
        return f"{self.code} {self.enhanced}" if self.enhanced else str(self.code)


class ReplyReader:
    """Bytes in, whole replies out."""

    def __init__(self) -> None:
        self._rest = b""
        self._lines: list[tuple[bytes, bytes]] = []
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
            match = _LINE.fullmatch(line.rstrip(b"\r"))
            if match is None or (self._lines and match[1] != self._lines[0][0]):
                raise NotSmtp
            self._lines.append((match[1], match[3] or b""))
            if match[2] != b"-":
                reply = _joined(self._lines)
                self._lines, self._octets = [], 0
                yield reply
        if self._octets + len(self._rest) > MAX_REPLY_OCTETS:
            raise NotSmtp


def _joined(lines: list[tuple[bytes, bytes]]) -> Reply:
    texts = [line.decode("utf-8", "replace") for _, line in lines]
    match = _ENHANCED.match(texts[0])
    enhanced = match[1] if match is not None else ""
    if enhanced:
        texts = [text.removeprefix(enhanced) for text in texts]
    text = " ".join(" ".join(texts).split())
    if not text.isprintable():
        text = "".join(character if character.isprintable() else "?" for character in text)
    return Reply(int(lines[0][0]), enhanced, text[:MAX_TEXT_CHARACTERS])
