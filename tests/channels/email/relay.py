"""Makers for the tests of the SMTP carrier."""

import asyncio

from channels.contract import Outgoing
from channels.email.carrier import SmtpCarrier
from channels.email.letter import Letter, prepare
from channels.email.letter_form import PreparedMail
from channels.email.sender import MailSender
from channels.email.settings import SmtpSettings, Tls

SENDER = MailSender(
    name="PLP Dorp",
    address="no-reply@example.be",
    message_id_domain="example.be",
    bounce_domain="bounces.example.be",
    bounce_key=b"key",
)
LETTER = Letter(
    subject="Inbraak — Kerkstraat",
    paragraphs=("Er is ingebroken.", ".punt"),
    language="nl",
    date_ms=0,
    greeting="Beste {name},",
    closing="Kenmerk {reference}",
)
MAIL = prepare(LETTER, SENDER)


def settings(port: int, **changed: object) -> SmtpSettings:
    """Impatient ones, for one relay on this machine."""
    given: dict[str, object] = {
        "host": "127.0.0.1",
        "port": port,
        "tls": Tls.NONE,
        "ehlo_name": "gateway.invalid",
        "connections": 1,
        "connect_timeout_s": 3.0,
        "command_timeout_s": 0.4,
        "answer_timeout_s": 0.4,
        "drain_timeout_s": 0.4,
        "misconfigured_pause_s": 30.0,
    }
    return SmtpSettings(**(given | changed))  # type: ignore[arg-type]


def relay(port: int, **changed: object) -> SmtpCarrier:
    return SmtpCarrier("relay", settings(port, **changed))


def now() -> float:
    return asyncio.get_running_loop().time()


def mails(count: int, *, address: str = "p{}@example.be", mail: PreparedMail = MAIL) -> list[Outgoing]:
    return [
        Outgoing(f"c1.{number}", address.format(number), f"Persoon {number}", mail, (now(),)) for number in range(count)
    ]
