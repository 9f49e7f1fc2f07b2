"""What in the settings is allowed and seldom meant: the causes for which peers refuse everybody, told before they do.

Nothing here stops a server: an operator may know better.
"""

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from channels.email.settings import SmtpSettings, Tls
from channels.sms.alphabet import in_alphabet
from channels.sms.smpp.settings import SmppSettings
from gateway.operations.help_files import read_document
from gateway.server_certificate import ServerCertificate
from gateway.settings import EmailSettings, Settings

_ALPHANUMERIC, _INTERNATIONAL, _NATIONAL = 5, 1, 2
_HERE = ("127.0.0.1", "::1", "localhost")
_MOST_LETTERS = 11  # GSM 03.38 in 7 octets of TS 23.040, 9.1.2.5
_MOST_DIGITS = 15  # E.164
_EXAMPLE = re.compile(r"(^|\.)(example|invalid|test|localhost|local)(\.(com|net|org|be|eu))?$")


def doubts(settings: Settings) -> list[str]:
    """What is doubtful about settings: a sentence each, beginning with the key that it is about."""
    return [
        *(text for name, s in settings.sms.carriers.items() if isinstance(s, SmppSettings) for text in _smsc(name, s)),
        *_email(settings.email),
        *_mails(settings),
        *_server(settings),
        *_help(settings),
        *_alarms(settings),
    ]


def certificate_doubts(certificate: ServerCertificate | None, settings: Settings, now_ms: int) -> list[str]:
    """The same about the door's certificate, as it was read."""
    if certificate is None:
        return []
    found = [f"server.tls_certificate: {text}." for text in filter(None, [certificate.warning(now_ms)])]
    host = urlsplit(settings.server.public_url).hostname
    if host and not certificate.speaks_for(host):
        found.append(f"server.tls_certificate: it does not name {host} (server.public_url): clients refuse it.")
    return found


def reminders(settings: Settings) -> list[str]:
    """What nobody can see from here, and has to be so at a peer."""
    if not settings.server.public_url or not any(isinstance(s, SmtpSettings) for s in settings.email.carriers.values()):
        return []
    return [
        "email.carriers: mails of news and notices carry List-Unsubscribe and List-Unsubscribe-Post. The relay's DKIM "
        "signature must cover both headers (h=), or their readers offer no one-click (RFC 8058, 4)."
    ]


# ---- SMS -----------------------------------------------------------------------------------------------------------


def _smsc(name: str, s: SmppSettings) -> Iterator[str]:
    key = f"sms.carriers.{name}"
    if _is_example(s.host):
        yield f"{key}.host: {s.host} is a name for examples: nobody answers there."
    yield from (f"{key}.{text}" for text in _sender(s))
    if not s.countries and s.destination_ton != _INTERNATIONAL:
        yield f"{key}.destination_ton: numbers leave in international form, which is type 1, not {s.destination_ton}."


def _sender(s: SmppSettings) -> Iterator[str]:
    sender, ton = s.source_address, s.source_ton
    digits = sender.removeprefix("+")
    if not sender:
        yield "source_address: an empty sender is refused by most SMSCs."
    elif sender.startswith("+") and digits.isdigit():
        yield f"source_address: {sender} is written without its plus sign: the type of number says that."
    elif digits.isdigit():
        if ton == _ALPHANUMERIC:
            yield f"source_ton: {sender} are digits: type 5 is for letters, 1 for international numbers, 3 for codes."
        if ton == _INTERNATIONAL and (sender.startswith("0") or len(sender) < 8):
            yield f"source_ton: {sender} is no international number (type 1): a short code is 3, a national number 2."
        if len(sender) > _MOST_DIGITS:
            yield f"source_address: {len(sender)} digits are more than any number has ({_MOST_DIGITS})."
    else:
        if ton != _ALPHANUMERIC:
            yield f"source_ton: {sender} are letters, which is type 5, not {ton}: SMSCs refuse every message for it."
        if len(sender) > _MOST_LETTERS:
            yield f"source_address: a sender of letters has {_MOST_LETTERS} at most; {sender} has {len(sender)}."
        if not in_alphabet(sender):
            yield f"source_address: {sender} has characters that the GSM alphabet lacks."


# ---- e-mail --------------------------------------------------------------------------------------------------------


def _email(email: EmailSettings) -> Iterator[str]:
    live = {name: s for name, s in email.carriers.items() if isinstance(s, SmtpSettings)}
    if not live:
        return
    sender_domain = email.sender_address.rpartition("@")[2]
    for key, domain in (
        ("sender_address", sender_domain),
        ("message_id_domain", email.message_id_domain),
        ("bounce_domain", email.bounce_domain),
    ):
        if _is_example(domain):
            yield f"email.{key}: {domain} is a name for examples: a live relay refuses it, or its readers do."
    if _organisation(sender_domain) != _organisation(email.bounce_domain):
        yield (
            f"email.bounce_domain: {email.bounce_domain} is of another organisation than the sender's {sender_domain}: "
            "SPF alone does not satisfy DMARC then, DKIM must."
        )
    if not email.bounces.enabled:
        yield "email.bounces.enabled: false, and there is a live relay: who cannot be reached by mail is never told of."
    for name, s in live.items():
        yield from (f"email.carriers.{name}.{text}" for text in _relay(s))


def _relay(s: SmtpSettings) -> Iterator[str]:
    is_here = s.host in _HERE
    name = s.ehlo_name
    if not is_here and _is_example(s.host):
        yield f"host: {s.host} is a name for examples: nobody answers there."
    if name and re.fullmatch(r"[0-9.]+|[0-9a-fA-F:]*:[0-9a-fA-F:]*", name):
        yield f"ehlo_name: an address is written in brackets, [{name}]; relays refuse it as a name."
    elif name and not name.startswith("[") and ("." not in name or _is_example(name)):
        yield f"ehlo_name: {name} is no full name of a host: many relays refuse whoever calls himself so."
    elif not name and not is_here:
        yield "ehlo_name: it is left out, and the host's own name is used: give the name that the DNS has for it."
    if s.username and s.tls is Tls.NONE:
        yield "tls: none, and there is a password: it goes over the net in the clear."


def _mails(settings: Settings) -> Iterator[str]:
    if not any(isinstance(s, SmtpSettings) for s in settings.email.carriers.values()):
        return
    url = settings.server.public_url
    if not url:
        yield "server.public_url: it is left out: mails of news and notices carry no unsubscribe link."
    elif not url.startswith("https://"):
        yield f"server.public_url: {url} is no https address: mail programs offer no one-click for it (RFC 8058)."


# ---- help ----------------------------------------------------------------------------------------------------------


def _help(settings: Settings) -> Iterator[str]:
    """Who has to alert and cannot must know whom to call; a server that reaches nobody needs nobody to call."""
    carriers = (*settings.sms.carriers.values(), *settings.email.carriers.values())
    for purpose, line in (("alerts", settings.help.alerts), ("technical", settings.help.technical)):
        if not line.is_set and any(isinstance(s, SmppSettings | SmtpSettings) for s in carriers):
            yield f"help.{purpose}: no telephone number or mail address: problems and notices tell nobody whom to ask."
        if _is_example(line.mail.rpartition("@")[2]):
            yield f"help.{purpose}.mail: {line.mail} is an address for examples: nobody reads it."
    for name, document in settings.help.documents.items():
        if document.file:
            yield from (f"help.documents.{name}.file: {text}" for text in _unread(document.file))
        if _is_example(urlsplit(document.url).hostname or ""):
            yield f"help.documents.{name}.url: {document.url} is an address for examples: nothing is there."


def _unread(file: str) -> Iterator[str]:
    document = read_document(file)
    if isinstance(document, str):
        yield f"{document}: it is not offered."


# ---- alarms --------------------------------------------------------------------------------------------------------


def _alarms(settings: Settings) -> Iterator[str]:
    for key, given, section in (
        ("emails", settings.alarms.emails, settings.email),
        ("mobiles", settings.alarms.mobiles, settings.sms),
    ):
        if given and not section.carriers:
            yield f"alarms.{key}: they are told by carriers of that channel, and there are none."
    if settings.alarms.paths == ("email",):
        yield "alarms.mobiles: it is empty, as is webhook_url: when no mail leaves nobody hears of it."


# ---- the server ----------------------------------------------------------------------------------------------------


def _server(settings: Settings) -> Iterator[str]:
    url, bounces = settings.server.public_url, settings.email.bounces
    if url.endswith("/"):
        yield f"server.public_url: {url} ends with a slash, which every link would have twice."
    yield from _way_in(settings)
    if bounces.enabled and bounces.port == settings.server.port != 0 and bounces.host == settings.server.host:
        yield f"email.bounces.port: {bounces.port} is the server's own (server.port): it cannot listen there twice."


def _way_in(settings: Settings) -> Iterator[str]:
    """Who takes the TLS off, and whether that one is believed."""
    server = settings.server
    speaks_tls, is_https = bool(server.tls_certificate), server.public_url.startswith("https://")
    if speaks_tls and server.public_url and not is_https:
        yield f"server.public_url: {server.public_url} is no https address, and the door speaks nothing else."
    if not speaks_tls and not server.trusted_proxies and server.host not in _HERE:
        yield (
            f"server.host: {server.host} is reached from other machines, and keys go over the net in the clear: give "
            "server.tls_certificate, or put a proxy before the door and name it in server.trusted_proxies."
        )
    elif not speaks_tls and not server.trusted_proxies and is_https:
        yield (
            "server.trusted_proxies: it is empty, and a proxy must stand before the door, which speaks no TLS: all its "
            "clients count as one address, and share its limits."
        )


def _is_example(domain: str) -> bool:
    return _EXAMPLE.search(domain.lower()) is not None


def _organisation(domain: str) -> str:
    """Nearly: the last two labels."""
    return ".".join(domain.lower().split(".")[-2:])
