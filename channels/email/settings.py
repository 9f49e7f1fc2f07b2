"""What an operator says about one SMTP relay."""

from enum import StrEnum
from typing import Annotated

import msgspec


class Tls(StrEnum):
    NONE = "none"
    OPPORTUNISTIC = "opportunistic"
    """STARTTLS where offered; a password is still never sent in the clear."""
    REQUIRED = "required"
    """Encrypted, whoever answers."""
    VERIFY = "verify"
    """Encrypted, and the certificate names the host."""


Count = Annotated[int, msgspec.Meta(ge=1, le=100_000)]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=3600)]


class SmtpSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="smtp"):
    """One relay. Times are seconds."""

    host: str
    port: Annotated[int, msgspec.Meta(ge=1, le=65_535)] = 587
    tls: Tls = Tls.VERIFY
    implicit_tls: bool = False
    """TLS from the first byte (port 465) instead of STARTTLS."""
    ca_file: str = ""
    """PEM of the authorities to believe, for `tls = "verify"`; empty: those of the system."""
    username: str = ""
    password: str = ""
    """The secret itself, already taken from its file or environment variable."""
    ehlo_name: str = ""
    """What the gateway calls itself; empty: the host's name."""
    rate_per_s: Annotated[float, msgspec.Meta(gt=0, le=100_000)] = 2500.0
    """The contract, in mails: the slots keep to it, and the carrier itself never starts more in any second."""
    connections: Annotated[int, msgspec.Meta(ge=1, le=512)] = 16
    max_messages_per_connection: Count = 1000
    connect_timeout_s: Seconds = 10.0
    command_timeout_s: Seconds = 60.0
    answer_timeout_s: Seconds = 300.0
    """From the final dot to its reply (RFC 5321 4.5.3.2.6 asks for 10 minutes, relays for much less)."""
    queue_timeout_s: Seconds = 1.0
    """How long a mail that is due may wait for a free connection before another carrier may have it."""
    keep_alive_s: Seconds = 30.0
    """An idle connection is asked NOOP this often, so that an alert starts at once."""
    backoff_max_s: Seconds = 60.0
    """Longest pause between two attempts to connect, and after a relay asked for a slower pace."""
    misconfigured_pause_s: Seconds = 60.0
    """How long a relay that refuses our sender or password is left alone."""
    drain_timeout_s: Seconds = 5.0
    """How long mails in flight may still be answered when the carrier is stopped."""

    def __repr__(self) -> str:
        return f"SmtpSettings({self.host!r}, {self.port}, tls={self.tls.value!r})"


class Dialect(StrEnum):
    SMTP = "smtp"
    LMTP = "lmtp"
