"""A mailbox as a person typed it, made into the one form that may stand in an SMTP command.

Pure. Knows syntax only: whether the mailbox exists, and whether a relay can carry it, is learnt elsewhere.
"""

import re
import unicodedata

import idna
import msgspec

MAX_LOCAL_OCTETS = 64  # RFC 5321 4.5.3.1.1
MAX_DOMAIN_OCTETS = 253  # RFC 1035: 255 on the wire is 253 in text
MAX_ADDRESS_OCTETS = 254  # RFC 5321 4.5.3.1.3: a path is 256 with its angle brackets

_ATEXT = r"A-Za-z0-9!#$%&'*+/=?^_`{|}~\u00A0-\U0010FFFF-"  # RFC 5322 3.2.3, widened by RFC 6532 3.2
_DOT_ATOM = re.compile(rf"[{_ATEXT}]+(?:\.[{_ATEXT}]+)*")
_PLAIN = re.compile(r"[!-;=?-~]+")
"""ASCII without anything that is forbidden: all but a few addresses, and no look at each character."""
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


class Mailbox(msgspec.Struct, frozen=True):
    """One mailbox in normal form; two spellings of one mailbox give equal values."""

    address: str
    """`local@domain`, safe inside `MAIL FROM:<...>` and `RCPT TO:<...>`."""
    local: str
    """Case kept (RFC 5321 2.4), NFC when not ASCII."""
    domain: str
    """Lower case, IDNA 2008 A-labels."""
    smtputf8: bool
    """True when the local part is not ASCII: only a relay that offers SMTPUTF8 can take it."""


class MailboxRefused(msgspec.Struct, frozen=True):
    """Not one usable mailbox; `reason` is a sentence for the person who typed it, without the address."""

    reason: str


def normalise_mailbox(raw: str) -> Mailbox | MailboxRefused:
    """The mailbox that `raw` (blanks around it are allowed) names. Never raises.

    A display name, a quoted local part, a domain literal and a domain without a dot are refused: no register
    of residents holds them for a good reason, and each has been used to smuggle a second address.
    """
    text = raw.strip(" \t")
    if not text:
        return MailboxRefused("the address is empty")
    if len(text) > MAX_ADDRESS_OCTETS:  # before anything that is not linear in the length
        return MailboxRefused("the address is too long")
    if not _PLAIN.fullmatch(text) and any(_is_forbidden(character) for character in text):
        return MailboxRefused("the address holds a blank, a control character or an angle bracket")
    local, at, domain = text.rpartition("@")
    if not at or not local or not domain:
        return MailboxRefused("the address is not of the form name@domain")
    if "@" in local or "," in text or ";" in text:
        return MailboxRefused("one address only")
    return _assembled(local, domain)


def _assembled(local: str, domain: str) -> Mailbox | MailboxRefused:
    if not local.isascii():
        local = unicodedata.normalize("NFC", local)  # RFC 6530 10.1: one spelling of an accented name
    if _DOT_ATOM.fullmatch(local) is None:
        return MailboxRefused("the part before the @ is not plain letters, digits, dots and signs")
    host = _a_labels(domain)
    if host is None:
        return MailboxRefused("the domain is not a valid domain name")
    address = f"{local}@{host}"
    octets = len(local.encode())
    if octets > MAX_LOCAL_OCTETS or octets + 1 + len(host) > MAX_ADDRESS_OCTETS:
        return MailboxRefused("the address is too long")
    return Mailbox(address=address, local=local, domain=host, smtputf8=not local.isascii())


def _is_forbidden(character: str) -> bool:
    """Whatever could end a line, a path or a word, in ASCII or in a look-alike of it."""
    return character in "<>" or unicodedata.category(character)[0] in "CZ"


def _a_labels(domain: str) -> str | None:
    try:
        host = domain.lower() if domain.isascii() else idna.encode(domain, uts46=True).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        return None
    labels = host.split(".")
    if len(host) > MAX_DOMAIN_OCTETS or len(labels) < 2 or not all(_LABEL.fullmatch(label) for label in labels):
        return None
    if labels[-1].isdigit():  # an IPv4 address, never a top-level domain (RFC 3696 2)
        return None
    return host if all(map(_is_sound, labels)) else None


def _is_sound(label: str) -> bool:
    """A label that claims to be an A-label must be one, or two spellings would name one domain."""
    if not label.startswith("xn--"):
        return True
    try:
        return idna.encode(idna.decode(label)).decode("ascii") == label
    except (idna.IDNAError, UnicodeError):
        return False
