"""What the SMTP sink has got: one mail, the bounce that answers it, and mails as JSON lines.

Knows no socket.
"""

import asyncio
import json
import re
from email import message_from_bytes
from email import policy as policies
from email.header import decode_header, make_header
from email.message import EmailMessage
from typing import TextIO

import msgspec

_VERP = re.compile(r"bounce\+(.+)\.[0-9a-f]{16}@")
_FLUSH_S = 0.5
_MOST_SUBJECTS = 1000


class Mail(msgspec.Struct, frozen=True):
    """One message as it came; everything that costs time is worked out when asked for."""

    arrived_ns: int
    """CLOCK_REALTIME, when its final dot was read."""
    mail_from: str
    rcpt: str
    options: str
    """The parameters of MAIL and RCPT, as they came."""
    raw: bytes
    """Dots unstuffed."""
    answered: bool
    """False when the sink closed or kept silent after the dot."""

    @property
    def token(self) -> str:
        match = _VERP.match(self.mail_from)
        return match[1] if match is not None else ""

    @property
    def message(self) -> EmailMessage:
        return message_from_bytes(self.raw, EmailMessage, policy=policies.SMTP)

    @property
    def subject(self) -> str:
        return _decoded(_header(self.raw, b"subject"))

    @property
    def message_id(self) -> str:
        return _header(self.raw, b"message-id").strip().decode("utf-8", "replace")

    @property
    def text(self) -> str:
        part = self.message.get_body(("plain",))
        return str(part.get_content()).replace("\r\n", "\n") if part is not None else ""


def _header(raw: bytes, name: bytes) -> bytes:
    head = raw[: raw.find(b"\r\n\r\n") + 2]
    match = re.search(rb"(?im)^" + name + rb":((?:[^\r\n]|\r\n[ \t])*)", head)
    return match[1] if match is not None else b""


def _decoded(raw: bytes) -> str:
    unfolded = raw.replace(b"\r\n", b"").strip().decode("utf-8", "replace")
    return str(make_header(decode_header(unfolded)))


def failure_report(mail: Mail, *, action: str = "failed", status: str = "5.1.1") -> bytes:
    """What a mail server sends to the return path of `mail` (RFC 3461 6, RFC 3464)."""
    return (
        "From: MAILER-DAEMON@sink.invalid\r\n"
        f"To: {mail.mail_from}\r\n"
        "Subject: Undelivered Mail Returned to Sender\r\n"
        "Auto-Submitted: auto-replied\r\n"
        "MIME-Version: 1.0\r\n"
        'Content-Type: multipart/report; report-type=delivery-status; boundary="report"\r\n\r\n'
        "--report\r\nContent-Type: text/plain\r\n\r\nThis is the mail system.\r\n\r\n"
        "--report\r\nContent-Type: message/delivery-status\r\n\r\n"
        "Reporting-MTA: dns; sink.invalid\r\n\r\n"
        f"Original-Recipient: rfc822;{mail.rcpt}\r\n"
        f"Final-Recipient: rfc822;{mail.rcpt}\r\n"
        f"Action: {action}\r\nStatus: {status}\r\n"
        "Diagnostic-Code: smtp; 550 5.1.1 no such user\r\n\r\n"
        "--report\r\nContent-Type: text/rfc822-headers\r\n\r\n"
        f"Message-ID: {mail.message_id}\r\n\r\n--report--\r\n"
    ).encode()


class Dump:
    """Mails as JSON lines, written in batches so that the sink stays fast."""

    def __init__(self, file: TextIO, *, bodies: bool) -> None:
        self._file = file
        self._bodies = bodies
        self._waiting: list[Mail] = []
        self._subjects: dict[bytes, str] = {}

    def keep(self, mail: Mail) -> None:
        self._waiting.append(mail)

    async def flush_often(self) -> None:
        while True:
            await asyncio.sleep(_FLUSH_S)
            self.flush()

    def flush(self) -> None:
        mails, self._waiting = self._waiting, []
        self._file.writelines(json.dumps(self._record(mail), ensure_ascii=False) + "\n" for mail in mails)
        self._file.flush()

    def _record(self, mail: Mail) -> dict[str, object]:
        record: dict[str, object] = {
            "arrived_ns": mail.arrived_ns,
            "mail_from": mail.mail_from,
            "rcpt": mail.rcpt,
            "subject": self._subject(mail),
            "message_id": mail.message_id,
            "token": mail.token,
            "answered": mail.answered,
        }
        if not self._bodies:
            return record
        names = (b"list-unsubscribe", b"list-unsubscribe-post")
        return record | {"text": mail.text, "leaving": [_decoded(_header(mail.raw, name)) for name in names]}

    def _subject(self, mail: Mail) -> str:
        """A campaign has one subject: decoded once."""
        raw = _header(mail.raw, b"subject")
        if raw not in self._subjects:
            if len(self._subjects) > _MOST_SUBJECTS:
                self._subjects.clear()
            self._subjects[raw] = _decoded(raw)
        return self._subjects[raw]
