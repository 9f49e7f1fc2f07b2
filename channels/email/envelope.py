"""The commands of one SMTP transaction for one recipient, as far as the relay offers extensions.

Pure. The last gate: nothing that could end a line or a path passes, whoever asked.
"""

import re

import msgspec

from channels.contract import Outgoing, Refused
from channels.email.letter_form import PreparedMail
from channels.email.verp import return_path

_UNSAFE = re.compile(r"[\x00-\x20\x7f-\x9f<>\u2028\u2029\ud800-\udfff]")
_REFERENCE = re.compile(r"[a-z0-9.-]{1,64}")
_NOT_XTEXT = re.compile(r"[^!-~]|[+=]")  # RFC 3461 4
_NOT_UTF8_XTEXT = re.compile(r"[\x00-\x20\x7f+=\\]")  # RFC 6533 3


class Offers(msgspec.Struct, frozen=True, kw_only=True):
    """What the relay's EHLO reply offers."""

    pipelining: bool = False
    eight_bit: bool = False
    smtputf8: bool = False
    dsn: bool = False
    size: bool = False
    most_octets: int = 0
    """Of a message (RFC 1870); 0: it is not said."""


class MailEnvelope(msgspec.Struct, frozen=True):
    """Bytes in the order in which they leave; the body ends with its final dot."""

    mail: bytes
    rcpt: bytes
    body: bytes


def envelope(outgoing: Outgoing, offers: Offers) -> MailEnvelope | Refused:
    """The transaction that brings `outgoing` to this relay, or why it cannot take it."""
    mail, address, reference = outgoing.content, outgoing.address, outgoing.reference
    message = outgoing.message or reference  # a second copy is the same mail in all that its reader has
    if not isinstance(mail, PreparedMail):
        return Refused("local", "the content is not an e-mail")
    if _UNSAFE.search(address) is not None or not all(map(_REFERENCE.fullmatch, (reference, message))):
        return Refused("local", "the address or the reference cannot stand in a command")
    ascii_only = address.isascii()
    if not ascii_only and not offers.smtputf8:  # RFC 6531 3.5: X.6.7
        return Refused("local 5.6.7", "the relay does not take addresses with other than ASCII letters")
    sender = mail.sender
    body = mail.fill(
        address=address,
        name=outgoing.name,
        reference=message,
        message_id=f"{message}@{sender.message_id_domain}",
        eight_bit=offers.eight_bit,
    )
    path = return_path(reference, sender.bounce_domain, sender.bounce_key)
    return MailEnvelope(
        f"MAIL FROM:<{path}>{_mail_options(offers, len(body), ascii_only, reference)}\r\n".encode("ascii"),
        f"RCPT TO:<{address}>{_rcpt_options(offers, address)}\r\n".encode(),
        body + b".\r\n",
    )


def _mail_options(offers: Offers, octets: int, ascii_only: bool, reference: str) -> str:
    options = f" SIZE={octets}" if offers.size else ""
    if offers.eight_bit:
        options += " BODY=8BITMIME"
    if not ascii_only:
        options += " SMTPUTF8"
    return options + f" RET=HDRS ENVID={reference}" if offers.dsn else options


def _rcpt_options(offers: Offers, address: str) -> str:
    if not offers.dsn:
        return ""
    if address.isascii():
        original = "rfc822;" + _NOT_XTEXT.sub(lambda match: f"+{ord(match[0]):02X}", address)
    else:
        original = "utf-8;" + _NOT_UTF8_XTEXT.sub(lambda match: rf"\x{{{ord(match[0]):X}}}", address)
    return f" NOTIFY=FAILURE,DELAY ORCPT={original}"
