"""The settings of an account: strict, complete by default, and silent about the password."""

import msgspec
import pytest

from channels.sms.smpp.ids import IdBase
from channels.sms.smpp.settings import SmppSettings, ssl_context

LEAST = {"type": "smpp", "host": "smsc.example", "system_id": "plp", "source_address": "PLP"}


def test_host_account_and_sender_are_all_that_must_be_said() -> None:
    settings = msgspec.convert(LEAST, SmppSettings)

    assert (settings.port, settings.rate_per_s, settings.id_base_receipt) == (2775, 500.0, IdBase.AUTO)
    assert ssl_context(settings) is None


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("widow", 10, "unknown field `widow`"),
        ("window", 0, ">= 1"),
        ("window", "10", "Expected `int`"),
        ("rate_per_s", 0, "> 0"),
        ("binds", 100, "<= 32"),
        ("id_base_receipt", "octal", "octal"),
        ("default_alphabet", "utf8", "utf8"),
        ("source_address", "A sender that is far too long", "at most 20"),
        ("service_type", "TOOLONG", "at most 5"),
        ("system_id", "a\0b", "system_id"),
        ("password", "é", "password"),
        ("receipt_zone", "Europe/Atlantis", "Atlantis"),
        ("permanent_statuses", [-1], ">= 0"),
    ],
)
def test_what_is_wrong_is_named(key: str, value: object, message: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=message):
        msgspec.convert({**LEAST, key: value}, SmppSettings)


def test_the_password_is_never_shown() -> None:
    settings = msgspec.convert({**LEAST, "password": "s3cret"}, SmppSettings)

    assert settings.password == "s3cret"
    assert "s3cret" not in repr(settings) + str(settings) + f"{settings!r}" + str(settings.__rich_repr__())


def test_tls_with_a_file_that_is_not_there_is_an_error_at_start() -> None:
    settings = msgspec.convert({**LEAST, "tls": True, "tls_ca_file": "/nonexistent.pem"}, SmppSettings)

    with pytest.raises(OSError, match="No such file"):
        ssl_context(settings)
