"""Every setting of the server on one screen: key, unit, default. `config/tocsin.toml` shows them all.

A TOML file; an unknown key is an error that names its path and line. Secrets are never in it: a secret's value is
`env:NAME` or `file:PATH`.
"""

import base64
import os
import re
import ssl
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_address, ip_interface, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec

from channels.email.address import MailboxRefused, normalise_mailbox
from channels.email.settings import Dialect, SmtpSettings
from channels.simulated.carrier import SimulatedSettings
from channels.sms.smpp.settings import SmppSettings
from gateway.help_lines import MOST_DOCUMENTS, DocumentName, HelpDocument, HelpLine
from gateway.input_faults import faults_of, line_of, lines_of
from gateway.value_faults import Fault

Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
Permits = Annotated[int, msgspec.Meta(ge=1, le=64)]
_LEAST_KEY = 16
"""Characters of the secret of the return paths' MAC."""
_MAPPED = IPv6Network("::ffff:0:0/96")
SECRETS = frozenset({"password", "bounce_key", "feed_key", "backup_key", "seal_key", "webhook_secret", "ping_url"})


class SettingsRefused(Exception):
    """The settings cannot be used; each line says what, where and why."""

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = tuple(lines)


class _Struct(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class ServerSettings(_Struct, frozen=True, kw_only=True):
    host: str = "127.0.0.1"
    port: Port = 8080
    """0: any free port, printed at the start."""
    public_url: str = ""
    """How the feed is reached from outside, without a final slash; empty: the door's own host and port. With https://
    every answer tells browsers to come back by https only (HSTS)."""
    tls_certificate: str = ""
    """Path of the certificate with its chain, in PEM: the door speaks TLS then. What is renewed is taken up within ten
    seconds; connections that stand keep theirs."""
    tls_key: str = ""
    """Path of its key, in PEM, without a password; both or none."""
    trusted_proxies: Annotated[tuple[str, ...], msgspec.Meta(max_length=64)] = ()
    """Addresses and networks of the proxies before the door. From these, and from nobody else, X-Forwarded-For is
    believed, read from the right: every limit by address, and the log, is about the client that it names."""
    max_document_bytes: Annotated[int, msgspec.Meta(ge=10_000, le=20_000_000)] = 1_048_576
    head_timeout_s: Annotated[float, msgspec.Meta(gt=0, le=75)] = 10.0
    """From its first octet, or from the connection for the first one, until the head of a request is whole. A TLS
    handshake may take as long again."""
    body_timeout_s: Annotated[float, msgspec.Meta(gt=0, le=600)] = 10.0
    stop_timeout_s: Annotated[float, msgspec.Meta(gt=0, le=3600)] = 20.0
    """From SIGTERM: what is in flight may be answered and settled until then."""
    max_watchers: Annotated[int, msgspec.Meta(ge=0)] = 2_000
    """Progress streams open at once."""
    max_watchers_per_account: Annotated[int, msgspec.Meta(ge=0)] = 200
    """Of one account, 0: no such limit; one more is refused with 429."""
    max_connections: Annotated[int, msgspec.Meta(ge=16, le=60_000)] = 5_000
    """Open at once, or as many as the limit of open files leaves. When there is no room strangers that wait give way to
    newcomers."""
    max_connections_per_address: Annotated[int, msgspec.Meta(ge=0)] = 500
    """Of one client address, by those who have shown no key; 0: no such limit. Connections of trusted proxies, which
    all their clients share, are not counted: the proxy keeps this limit for them."""
    processes: Literal[0, 1] = 0
    """1: everything in one process. 0: where the machine has two cores or more, the carriers of each channel that open
    sockets have a process of their own."""
    assets: str = ""
    """The folder of the files of other projects that browsers are served (config/assets.sh); empty: var/assets beside
    the program, where `make setup` puts them."""
    demonstration: bool = False
    """Whether simulated carriers may stand in for live ones. They reach nobody and say that they did."""


class StoreSettings(_Struct, frozen=True, kw_only=True):
    url: str = "sqlite+aiosqlite:///var/tocsin.db"
    """Or postgresql+asyncpg://user@host/database (a password by PGPASSWORD or a pgpass file)."""
    min_free_mib: Annotated[int, msgspec.Meta(ge=0)] = 200
    """Below this nothing is launched or claimed, so that answers and receipts still fit."""
    write_note: str = ""
    """Where it is noted what carriers begin to write, for after a kill; one a node. Empty: beside a store in a file,
    and nowhere with PostgreSQL."""


class LogSettings(_Struct, frozen=True, kw_only=True):
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"


class LaneSettings(_Struct, frozen=True, kw_only=True):
    """The settings that every channel has."""

    batches_at_once: Permits = 4
    """Permits of the channel's semaphore: batches that hand messages over at the same time."""
    lease_s: Annotated[float, msgspec.Meta(ge=2, le=50)] = 15.0
    """How long after its last sign of life a worker is thought dead. Below the minute after which a receipt may be
    matched by its destination alone (store/outbox/inbox.py): a frozen worker must have been heard first."""
    slot_guard_ms: Annotated[int, msgspec.Meta(ge=5, le=1000)] = 20
    """How late a message may leave its slot; what is later is given another slot."""


class SmsSettings(LaneSettings, frozen=True, kw_only=True):
    carriers: dict[str, SmppSettings | SimulatedSettings] = {}
    """In the order in which they are used."""


class BounceListener(_Struct, frozen=True, kw_only=True):
    """Where the relays hand in bounces."""

    enabled: bool = False
    host: str = "127.0.0.1"
    port: Port = 2424
    dialect: Dialect = Dialect.SMTP


class EmailSettings(LaneSettings, frozen=True, kw_only=True):
    sender_name: str = "Tocsin"
    """Where a zone's policy names no other."""
    sender_address: str = "no-reply@alerts.example"
    message_id_domain: str = "alerts.example"
    bounce_domain: str = "bounces.example"
    """The relays route this domain to the bounce listener."""
    bounce_key: str = ""
    """Secret of the return paths' MAC, 16 characters at least; empty: made at the first start and kept in the
    store."""
    bounces: BounceListener = BounceListener()
    carriers: dict[str, SmtpSettings | SimulatedSettings] = {}


class VoiceSettings(LaneSettings, frozen=True, kw_only=True):
    starts_per_minute: Annotated[int, msgspec.Meta(ge=1, le=600)] = 600
    """Of ALL trunks together, in any 60 s: a maximum, never a target (BE-Alert FAQ)."""
    slot_guard_ms: Annotated[int, msgspec.Meta(ge=5, le=1000)] = 400
    carriers: dict[str, SimulatedSettings] = {}


class SimulationSettings(_Struct, frozen=True, kw_only=True):
    """The carriers of simulated campaigns. They open no socket."""

    sms: SimulatedSettings | None = None
    email: SimulatedSettings | None = None
    voice: SimulatedSettings | None = None


class AlertSettings(_Struct, frozen=True, kw_only=True):
    park_s: Annotated[float, msgspec.Meta(ge=0, le=86_400)] = 600.0
    """How long an Update or Cancel waits for the alert that it names."""
    max_parked_per_account: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 50
    """How many of them may wait at once; one more is refused with 429."""
    feed_title: str = "Tocsin public alerts"
    feed_author: str = "Tocsin"
    answer_sender: Annotated[str, msgspec.Meta(pattern=r"^[^\s,<&\"]{1,255}\Z")] = "tocsin@alerts.example"
    """The <sender> of CAP answers (Accept: application/cap+xml), and of the feed's heartbeat."""
    feed_certificate: str = ""
    """Path of the certificate, in PEM, of the key that signs what is published."""
    feed_key: str = ""
    """Secret: that key, in PEM. Without both an alert is published as its sender signed it, or unsigned."""
    max_feed_watchers: Annotated[int, msgspec.Meta(ge=1)] = 1_000
    """Public streams open at once. They take nothing from those of coordinators."""
    max_feed_watchers_per_address: Annotated[int, msgspec.Meta(ge=0)] = 20
    """Of one client address, also behind a proxy of `server.trusted_proxies`; 0: no such limit."""
    keep_refused: Annotated[int, msgspec.Meta(ge=0, le=100_000)] = 200
    """Documents of one account that were refused and are kept, with their problems; 0: none."""
    keep_refused_mib: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 20
    """Of one account, compressed."""
    keep_refused_days: Annotated[int, msgspec.Meta(ge=1, le=3_650)] = 90
    zone_weight: Annotated[int, msgspec.Meta(ge=1, le=100)] = 1


class SignInSettings(_Struct, frozen=True, kw_only=True):
    """People who sign in, beside programs with keys. Only over https, or on this machine."""

    enabled: bool = True
    """false: nobody signs in; keys are good as ever."""
    session_h: Annotated[float, msgspec.Meta(ge=1, le=24)] = 12.0
    """A session ends so long after it was opened, whatever is done: one shift."""
    idle_min: Annotated[int, msgspec.Meta(ge=5, le=720)] = 60
    """A session in which nothing was done for so long is locked: a factor unlocks it, and nothing is lost."""
    fresh_min: Annotated[int, msgspec.Meta(ge=1, le=60)] = 10
    """What may do great harm asks for a factor that was shown so short a time ago."""
    seal_key: str = ""
    """Secret, 16 characters at least, under which TOTP secrets are sealed; empty: made at the first start and kept in
    the store. Another one makes every TOTP secret worthless: their owners need a passkey or a recovery code then."""


class LimitSettings(_Struct, frozen=True, kw_only=True):
    """The most that one request may hold; what is beyond is refused with the limit's name and value."""

    cap_elements: Annotated[int, msgspec.Meta(ge=100, le=200_000)] = 20_000
    """Of one CAP document, as the three that follow. Its bytes: `server.max_document_bytes`."""
    cap_infos: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 64
    cap_areas: Annotated[int, msgspec.Meta(ge=1, le=50_000)] = 4_000
    cap_points: Annotated[int, msgspec.Meta(ge=4, le=500_000)] = 50_000
    """Of all polygons, in all languages."""
    polygons: Annotated[int, msgspec.Meta(ge=1, le=5_000)] = 500
    points: Annotated[int, msgspec.Meta(ge=4, le=200_000)] = 50_000
    """Of all polygons together."""
    circles: Annotated[int, msgspec.Meta(ge=1, le=5_000)] = 100
    geocodes: Annotated[int, msgspec.Meta(ge=1, le=20_000)] = 2_000
    networks: Annotated[int, msgspec.Meta(ge=1, le=20_000)] = 1_000
    """And groups, together."""
    languages: Annotated[int, msgspec.Meta(ge=1, le=200)] = 20
    sms_characters: Annotated[int, msgspec.Meta(ge=160, le=10_000)] = 4_000
    subject_characters: Annotated[int, msgspec.Meta(ge=50, le=1_000)] = 300
    email_characters: Annotated[int, msgspec.Meta(ge=1_000, le=50_000)] = 20_000
    voice_characters: Annotated[int, msgspec.Meta(ge=500, le=10_000)] = 4_000
    requests_per_account: Annotated[int, msgspec.Meta(ge=0, le=100_000)] = 200
    """A second, ten seconds' worth of them at once; one more is refused with 429. 0: no such limit. Each node counts
    for itself."""
    at_once_per_account: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 8
    """Dry runs, and messages that are no alerts, of one account that are worked on or wait; one more is refused with
    429."""


class BackupSettings(_Struct, frozen=True, kw_only=True):
    """Backups of a store in a file; PostgreSQL is backed up by its own means."""

    folder: str = ""
    """Into which a running server puts backups by itself; empty: none. Better on another disk."""
    every_h: Annotated[float, msgspec.Meta(ge=0.01, le=24 * 31)] = 24.0
    """Between two of them. `tocsin status` warns when the last good one is older than twice this."""
    keep: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 7
    """Of those that the schedule has made; older ones are deleted."""
    backup_key: str = ""
    """env:NAME or file:PATH of a secret: backups are encrypted under it. Whoever loses it loses them."""


class RetentionSettings(_Struct, frozen=True, kw_only=True):
    """What goes when its time is over. Counters, money, sealed reports and the chain of the audit stay."""

    deliveries_days: Annotated[int, msgspec.Meta(ge=35, le=36_500)] = 400
    """After the seal of their campaign: each delivery with its address, its references and doubts."""
    receipts_days: Annotated[int, msgspec.Meta(ge=4, le=3_650)] = 35
    """Receipts that match no message. One that does goes a day later."""
    audit_days: Annotated[int, msgspec.Meta(ge=365, le=36_500)] = 3_650
    """Lines of the audit; their links stay."""


class PlatformDocument(HelpDocument, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A manual of the platform: an address, or a file of this machine."""

    file: str = ""
    """Path of a file that the server reads when it starts and hands to accounts with one of the roles."""


class HelpSettings(_Struct, frozen=True, kw_only=True):
    """Whom people ask, at any hour: told with every problem, in every notice, and to whoever cannot sign in."""

    alerts: HelpLine = HelpLine()
    """Supports who has to alert, or alerts in their stead."""
    technical: HelpLine = HelpLine()
    """For what is technical or administrative."""
    documents: Annotated[dict[DocumentName, PlatformDocument], msgspec.Meta(max_length=MOST_DOCUMENTS)] = {}


class AlarmSettings(_Struct, frozen=True, kw_only=True):
    """How those who operate the machine hear that something is not well: by the first path that works, and by the next
    one where nothing took it up."""

    emails: Annotated[tuple[str, ...], msgspec.Meta(max_length=20)] = ()
    mobiles: Annotated[tuple[str, ...], msgspec.Meta(max_length=20)] = ()
    """E.164, with the plus sign."""
    language: Literal["nl", "fr", "de", "en"] = "en"
    webhook_url: str = ""
    """https://; http:// on this machine alone."""
    webhook_secret: str = ""
    """Secret: whsec_ and base64 of 24 to 64 octets (Standard Webhooks)."""
    ping_url: str = ""
    """Secret, as whoever knows it can say that all is well: asked for (GET) as long as it is. Whoever is behind it
    raises the alarm when that ends. https://; http:// on this machine alone."""
    ping_every_s: Annotated[float, msgspec.Meta(ge=1, le=86_400)] = 60.0
    escalate_s: Annotated[float, msgspec.Meta(ge=1, le=86_400)] = 120.0
    """Until the next path is taken, where this one has not confirmed it."""
    queue_old_s: Annotated[float, msgspec.Meta(ge=10, le=86_400)] = 180.0
    """Nothing has left on a channel for this long although something waits, or nothing of an alert."""
    disk_low_mib: Annotated[int, msgspec.Meta(ge=0)] = 0
    """0: twice `store.min_free_mib`, so that there is an alarm while messages still leave."""
    balance_low_eur: Annotated[int, msgspec.Meta(ge=0)] = 50
    """Of a zone that has bought money; its administrators are told as well. 0: nobody is told."""

    @property
    def paths(self) -> tuple[str, ...]:
        """Those that are set up, in the order in which they are taken."""
        ways = (("email", self.emails), ("sms", self.mobiles), ("webhook", self.webhook_url))
        return tuple(name for name, given in ways if given)


class Settings(_Struct, frozen=True, kw_only=True):
    server: ServerSettings = ServerSettings()
    store: StoreSettings = StoreSettings()
    logs: LogSettings = LogSettings()
    backup: BackupSettings = BackupSettings()
    retention: RetentionSettings = RetentionSettings()
    alerts: AlertSettings = AlertSettings()
    alarms: AlarmSettings = AlarmSettings()
    limits: LimitSettings = LimitSettings()
    sign_in: SignInSettings = SignInSettings()
    sms: SmsSettings = SmsSettings()
    email: EmailSettings = EmailSettings()
    voice: VoiceSettings = VoiceSettings()
    simulation: SimulationSettings = SimulationSettings()
    help: HelpSettings = HelpSettings()

    @property
    def carrier_names(self) -> tuple[str, ...]:
        """Every carrier's name, in their order, those of simulated campaigns last. A name that two channels use stands
        for both carriers."""
        live = (name for section in (self.sms, self.email, self.voice) for name in section.carriers)
        simulated = (("sms", self.simulation.sms), ("email", self.simulation.email), ("voice", self.simulation.voice))
        return tuple(dict.fromkeys((*live, *(s.name if s else usual_simulated(channel) for channel, s in simulated))))


def usual_simulated(channel: str) -> str:
    """The name of a channel's carrier of simulated campaigns."""
    return f"simulated-{channel}"


def read_settings(path: Path | None, environ: Mapping[str, str] = os.environ) -> Settings:
    """The file's settings, or the defaults where `path` is None. Raises SettingsRefused with every fault."""
    if path is None:
        return Settings()
    try:
        document = path.read_text(encoding="utf-8")
        values = tomllib.loads(document)
    except OSError as exc:
        raise SettingsRefused([f"{path}: {exc.strerror or exc}"]) from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise SettingsRefused([f"{path}: {exc}"]) from exc
    settings, faults = _read(values, environ)
    if settings is None:
        lines = lines_of(document)
        placed = sorted((line_of(fault.path, lines), _told(fault)) for fault in faults)
        raise SettingsRefused([f"{path}:{line}: {text}" if line else f"{path}: {text}" for line, text in placed])
    return settings


def settings_of(values: dict[str, Any], environ: Mapping[str, str] = os.environ) -> Settings:
    """Settings from the tables of a TOML document. Raises SettingsRefused with every fault."""
    settings, faults = _read(values, environ)
    if settings is None:
        raise SettingsRefused(list(map(_told, faults)))
    return settings


def _told(fault: Fault) -> str:
    return f"{fault.text} - at {fault.path}"


def _read(values: dict[str, Any], environ: Mapping[str, str]) -> tuple[Settings | None, list[Fault]]:
    """The settings, or what is wrong with them."""
    _name_simulated(values)
    faults = [*_resolve_secrets(values, "$", environ), *faults_of(values, Settings)]
    if faults:
        return None, faults
    settings = msgspec.convert(values, Settings)
    faults = [*_simulated_among_live(settings), *_unreadable_files(values, "$"), *_server_faults(settings)]
    faults += [*_email_faults(settings.email), *_feed_faults(settings.alerts), *_backup_faults(settings.backup)]
    faults += _help_faults(settings.help)
    faults += _short_key("$.sign_in.seal_key", settings.sign_in.seal_key)
    faults += _alarm_faults(settings.alarms)
    return None if faults else settings, faults


def _simulated_among_live(settings: Settings) -> Iterator[Fault]:
    """A live campaign that a simulator carried would be reported as delivered."""
    for channel, section in (("sms", settings.sms), ("email", settings.email), ("voice", settings.voice)):
        for name, carrier in section.carriers.items():
            if isinstance(carrier, SimulatedSettings) and not settings.server.demonstration:
                text = (
                    "a simulated carrier reaches nobody: it may stand among live ones only with "
                    "server.demonstration = true"
                )
                yield Fault(f"$.{channel}.carriers.{name}", text)


def _unreadable_files(table: Mapping[str, Any], path: str) -> Iterator[Fault]:
    """Certificates and keys that the server would miss when it starts, or when a relay is first spoken to."""
    for key, value in table.items():
        here = f"{path}.{key}"
        if isinstance(value, dict):
            yield from _unreadable_files(value, here)
        elif key.endswith("_file") and value:
            try:
                Path(value).open("rb").close()
                if key.endswith("ca_file"):
                    ssl.create_default_context(cafile=value)
            except ssl.SSLError:
                yield Fault(here, f"{value} holds no certificate in PEM")
            except OSError as exc:
                yield Fault(here, f"{value}: {exc.strerror or exc}")


def _server_faults(settings: Settings) -> Iterator[Fault]:
    if not re.match(r"sqlite\+aiosqlite:///.|postgresql\+asyncpg://", settings.store.url):
        text = "a store is sqlite+aiosqlite:///FILE or postgresql+asyncpg://user@host/database"
        yield Fault("$.store.url", text)
    if settings.server.public_url and not re.match(r"https?://[^/]", settings.server.public_url):
        yield Fault("$.server.public_url", "it begins with http:// or https:// and a host")
    if bool(settings.server.tls_certificate) != bool(settings.server.tls_key):
        missing = "tls_key" if settings.server.tls_certificate else "tls_certificate"
        yield Fault(f"$.server.{missing}", "tls_certificate and tls_key belong together: give both, or none")
    yield from _proxy_faults(settings.server.trusted_proxies)


def _proxy_faults(entries: Sequence[str]) -> Iterator[Fault]:
    """What is no address or network, and what would have everybody say who they are."""
    every4, every6 = IPv4Network("0.0.0.0/0"), IPv6Network("::/0")
    networks4: list[IPv4Network] = []
    networks6: list[IPv6Network] = []
    for number, entry in enumerate(entries):
        here = f"$.server.trusted_proxies[{number}]"
        try:
            network = ip_network(entry, strict=False)
        except ValueError:
            yield Fault(here, f"{entry!r} is no address and no network: 192.0.2.7, 10.1.0.0/16, 2001:db8::/48")
            continue
        if network.network_address != ip_interface(entry).ip:
            yield Fault(here, f"{entry} is an address in a network: write {network}, or the address alone")
        if isinstance(network, IPv4Network):
            networks4.append(network)
        elif network.subnet_of(_MAPPED):
            yield Fault(here, f"{entry} is an IPv4 address written as IPv6: write it as IPv4")
        else:
            networks6.append(network)
    if every4 in collapse_addresses(networks4) or every6 in collapse_addresses(networks6):
        text = (
            "they are all addresses that there are: anybody could then say whose address the limits and the log are "
            "about; give those of the proxies alone"
        )
        yield Fault("$.server.trusted_proxies", text)


def _email_faults(email: EmailSettings) -> Iterator[Fault]:
    """What a relay or a reader would refuse of every mail."""
    address = normalise_mailbox(email.sender_address)
    if isinstance(address, MailboxRefused):
        yield Fault("$.email.sender_address", address.reason)
    for name in ("message_id_domain", "bounce_domain"):
        if isinstance(normalise_mailbox(f"x@{getattr(email, name)}"), MailboxRefused):
            yield Fault(f"$.email.{name}", "this is no domain")
    yield from _short_key("$.email.bounce_key", email.bounce_key)


def _alarm_faults(alarms: AlarmSettings) -> Iterator[Fault]:
    for number, address in enumerate(alarms.emails):
        found = normalise_mailbox(address)
        if isinstance(found, MailboxRefused):
            yield Fault(f"$.alarms.emails[{number}]", found.reason)
        elif found.address != address:
            yield Fault(f"$.alarms.emails[{number}]", f"write it as {found.address}")
    for number, mobile in enumerate(alarms.mobiles):
        if not re.fullmatch(r"\+[1-9][0-9]{7,14}", mobile):
            yield Fault(f"$.alarms.mobiles[{number}]", "a number begins with + and the country: +32470123456")
    for name in ("webhook_url", "ping_url"):
        if not _is_callable(getattr(alarms, name)):
            yield Fault(f"$.alarms.{name}", "it begins with https:// and a host; http:// is for this machine alone")
    if alarms.webhook_url and webhook_key(alarms.webhook_secret) is None:
        text = "a webhook is signed: whsec_ and base64 of 24 to 64 octets, as 'openssl rand -base64 32' makes them"
        yield Fault("$.alarms.webhook_secret", text)


def _is_callable(url: str) -> bool:
    """Whether it may be asked for: what leaves this machine leaves it encrypted."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return False
    return not url or (parts.scheme == "https" and bool(host)) or (parts.scheme == "http" and _is_here(host))


def _is_here(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def webhook_key(secret: str) -> bytes | None:
    """The key of Standard Webhooks; None where this is none."""
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except ValueError:
        return None
    return key if secret.startswith("whsec_") and 24 <= len(key) <= 64 else None


def _backup_faults(backup: BackupSettings) -> Iterator[Fault]:
    yield from _short_key("$.backup.backup_key", backup.backup_key)


def _short_key(path: str, key: str) -> Iterator[Fault]:
    if 0 < len(key) < _LEAST_KEY:
        yield Fault(path, f"the secret has fewer than {_LEAST_KEY} characters")


def _help_faults(given: HelpSettings) -> Iterator[Fault]:
    for name, document in given.documents.items():
        if bool(document.url) == bool(document.file):
            yield Fault(f"$.help.documents.{name}", "a document has either a url or a file")


def _feed_faults(alerts: AlertSettings) -> Iterator[Fault]:
    if not (alerts.feed_certificate or alerts.feed_key):
        return
    from gateway.feed.signing_key import read_feed_key  # a command does not wait for the cryptography of a server

    try:
        read_feed_key(alerts.feed_certificate, alerts.feed_key)
    except ValueError as exc:
        yield Fault("$.alerts", str(exc))


def _name_simulated(values: dict[str, Any]) -> None:
    """A simulated carrier's name, channel and mode are where it stands in the file."""
    for channel in ("sms", "email", "voice"):
        section = values.get(channel)
        carriers = section.get("carriers") if isinstance(section, dict) else None
        for name, carrier in carriers.items() if isinstance(carriers, dict) else ():
            if isinstance(carrier, dict) and carrier.get("type") == "simulated":
                carrier |= {"name": name, "channel": channel, "mode": "live"}
        simulation = values.get("simulation")
        simulated = simulation.get(channel) if isinstance(simulation, dict) else None
        if isinstance(simulated, dict):
            simulated |= {"type": "simulated", "name": usual_simulated(channel), "channel": channel}
            simulated |= {"mode": "simulation"}


def located(settings: Settings, file: Path | None) -> Settings:
    """With one absolute place of a store in a file, of the files for browsers and of documents, whoever reads these
    settings from wherever: a relative one is meant from the folder of the file of settings, without a file from the
    working folder."""
    home = Path.cwd() if file is None else file.absolute().parent
    if settings.server.assets:
        server = msgspec.structs.replace(settings.server, assets=str(home / settings.server.assets))
        settings = msgspec.structs.replace(settings, server=server)
    settings = msgspec.structs.replace(settings, help=_with_places(settings.help, home))
    scheme, found, place = settings.store.url.partition("sqlite+aiosqlite:///")
    if not found or scheme or place.startswith("/"):
        return settings
    store = msgspec.structs.replace(settings.store, url=f"{found}{home / place}")
    return msgspec.structs.replace(settings, store=store)


def _with_places(given: HelpSettings, home: Path) -> HelpSettings:
    documents = {
        name: msgspec.structs.replace(one, file=str(home / one.file)) if one.file else one
        for name, one in given.documents.items()
    }
    return msgspec.structs.replace(given, documents=documents)


def shown(settings: Settings) -> dict[str, Any]:
    """The settings in force as they may be told: without their secrets."""
    told: dict[str, Any] = _without_secrets(msgspec.to_builtins(settings))
    # PostgreSQL takes a password in its address, where it does not belong.
    told["store"]["url"] = re.sub(r"(?<=://)([^:/@]*):[^@]*@", r"\1:***@", settings.store.url)
    return told


def _without_secrets(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: "***" if k in SECRETS and v else _without_secrets(v) for k, v in value.items()}
    return [_without_secrets(v) for v in value] if isinstance(value, list | tuple) else value


def _resolve_secrets(table: dict[str, Any], path: str, environ: Mapping[str, str]) -> Iterator[Fault]:
    """Put the secrets where their names stand; yields those that cannot be had."""
    for key, value in table.items():
        here = f"{path}.{key}"
        if isinstance(value, dict):
            yield from _resolve_secrets(value, here, environ)
        elif key in SECRETS and value != "" and isinstance(value, str):
            try:
                table[key] = _secret(value, environ)
            except LookupError as exc:
                table[key] = ""  # its name is no value: nothing more is said of it
                yield Fault(here, str(exc.args[0]))


def _secret(value: str, environ: Mapping[str, str]) -> str:
    """Raises LookupError with a sentence."""
    scheme, _, name = value.partition(":")
    if scheme == "env":
        if name not in environ:
            raise LookupError(f"the environment has no {name}")
        return environ[name]
    if scheme == "file":
        try:
            return Path(name).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as exc:
            raise LookupError(f"{name}: {getattr(exc, 'strerror', None) or exc}") from exc
    raise LookupError("a secret stands in no settings file: use env:NAME or file:PATH")
