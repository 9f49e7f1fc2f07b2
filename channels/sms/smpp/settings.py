"""The settings of one SMPP account: every key, its unit, its default. Knows no file and no environment."""

import ssl
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Meta

from channels.sms.smpp import statuses
from channels.sms.smpp.ids import IdBase

Octet = Annotated[int, Meta(ge=0, le=255)]
Seconds = Annotated[float, Meta(gt=0, le=3600)]
Statuses = tuple[Annotated[int, Meta(ge=0, le=0xFFFFFFFF)], ...]


# 4.1.1, 4.4.1; the standard gives system_id 15, password 8 and system_type 12, but operators hand out longer ones.
_LONGEST = {"system_id": 64, "password": 64, "system_type": 64, "service_type": 5, "source_address": 20}


class SmppSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="smpp"):
    """One account at one SMSC (SMPP 3.4). The password is given resolved and is never shown."""

    host: str
    """Name or address of the SMSC."""
    port: Annotated[int, Meta(ge=1, le=65535)] = 2775
    system_id: str
    """The account's name."""
    password: str = ""
    """The account's secret, put in by whoever reads the environment; a file should not hold it."""
    system_type: str = ""
    """Only where the operator asks for one."""
    service_type: str = ""
    """Only where the operator asks for one."""

    source_address: str
    """The sender on the handset: a short code, a number, or up to 11 letters."""
    source_ton: Octet = 5
    """Type of number of the sender: 5 letters, 1 international number, 3 short code."""
    source_npi: Octet = 0
    """Numbering plan of the sender: 0 for letters, 1 for numbers."""
    destination_ton: Octet = 1
    """Type of number of recipients: 1, international, as E.164 is."""
    destination_npi: Octet = 1
    """Numbering plan of recipients: 1, E.164."""
    home_region: str = "BE"
    """Country (ISO 3166) in which a receipt's national number (0477...) is read."""

    bind_as: Literal["transceiver", "separate"] = "transceiver"
    """One connection for both directions, or a transmitter and a receiver for each bind."""
    binds: Annotated[int, Meta(ge=1, le=32)] = 2
    """Connections held at once."""
    window: Annotated[int, Meta(ge=1, le=10_000)] = 50
    """Segments sent and not yet answered, at most, on each bind: rate x round trip / binds, or less by contract."""
    rate_per_s: Annotated[float, Meta(gt=0, le=100_000)] = 500.0
    """Segments a second that the contract allows, over all binds."""

    default_alphabet: Literal["gsm", "latin1", "ascii"] = "gsm"
    """How the SMSC reads data_coding 0."""
    countries: tuple[Annotated[str, Meta(pattern=r"^\+[1-9][0-9]{0,5}\Z")], ...] = ()
    """Beginnings of the numbers that the contract covers ("+32"); none: all. Other numbers go by another carrier."""
    validity_period: bool = True
    """Whether the SMSC is told until when a message is worth delivering; false for one that refuses the field."""
    registered_delivery: Octet = 1
    """1 asks for a final receipt, 2 for failures only, 0 for none."""
    id_base_response: IdBase = IdBase.AUTO
    """How ids are written when a message is taken: raw, hex, dec, auto."""
    id_base_receipt: IdBase = IdBase.AUTO
    """How ids are written in receipts. Name both bases once known: auto must compare destinations."""
    receipt_zone: str = ""
    """Time zone (IANA name) of the dates in receipts; empty: the time of arrival is kept instead."""

    enquire_link_s: Seconds = 30.0
    """Silence from the peer after which it is asked whether it lives."""
    answer_timeout_s: Seconds = 30.0
    """Longest wait for an answer; then the message is in doubt."""
    timeouts_to_recycle: Annotated[int, Meta(ge=1)] = 3
    """Unanswered messages in a row after which the bind is closed and made again."""
    connect_timeout_s: Seconds = 10.0
    """Longest wait for a connection, and then for the answer to the bind."""
    drain_timeout_s: Seconds = 5.0
    """On stopping, and when the SMSC unbinds, longest wait for the answers still due."""
    reconnect_first_s: Seconds = 1.0
    """First pause before a bind is made again; it doubles, with jitter."""
    reconnect_longest_s: Seconds = 30.0
    """Longest such pause."""
    throttle_first_s: Seconds = 0.5
    """First rest when the SMSC asks for a slower pace; it doubles while it keeps asking."""
    throttle_longest_s: Seconds = 8.0
    """Longest such rest."""
    receipts_waiting: Annotated[int, Meta(ge=1)] = 10_000
    """Receipts that may wait for their commit; beyond it the SMSC is asked to repeat them later."""

    tls: bool = False
    tls_server_name: str = ""
    """Name on the SMSC's certificate, where it is not `host`."""
    tls_ca_file: str = ""
    """PEM file of the authority that signed it; empty: those of the system."""
    tls_certificate_file: str = ""
    """PEM file of our own certificate, where the SMSC asks for one."""
    tls_key_file: str = ""
    """PEM file of its key, where it is not in the same file."""

    permanent_statuses: Statuses = statuses.PERMANENT
    """Answers that are this SMSC's last word on a message or its recipient."""
    our_statuses: Statuses = statuses.OURS
    """Answers by which the SMSC refuses us, whoever the recipient is: the account rests, and people go another way."""
    temporary_statuses: Statuses = statuses.TEMPORARY
    """Answers after which the message may be tried again; any status in no list is one of these."""
    throttle_statuses: Statuses = statuses.THROTTLE
    """Answers by which the SMSC asks for a slower pace."""

    def __post_init__(self) -> None:
        for key, longest in _LONGEST.items():
            value = getattr(self, key)
            if len(value) > longest or not value.isascii() or "\0" in value:
                raise ValueError(f"{key}: at most {longest} ASCII characters")
        if self.receipt_zone:
            try:
                ZoneInfo(self.receipt_zone)
            except (LookupError, ValueError, OSError) as exc:
                raise ValueError(f"receipt_zone: no time zone {self.receipt_zone!r}") from exc

    def __repr__(self) -> str:
        return f"SmppSettings(host={self.host!r}, port={self.port}, system_id={self.system_id!r}, ...)"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        return [("host", self.host), ("port", self.port), ("system_id", self.system_id)]


def ssl_context(settings: SmppSettings) -> ssl.SSLContext | None:
    """The context that the settings ask for, or None without TLS. Reads files: for start-up. Raises OSError."""
    if not settings.tls:
        return None
    context = ssl.create_default_context(cafile=settings.tls_ca_file or None)
    if settings.tls_certificate_file:
        context.load_cert_chain(settings.tls_certificate_file, settings.tls_key_file or None)
    return context
