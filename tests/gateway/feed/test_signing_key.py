"""The feed's key: what is wrong with it is said before the server starts, and it is never shown."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from typer.testing import CliRunner

from gateway.cli import app
from gateway.feed.signing_key import FeedKey, read_feed_key
from gateway.run import warn_of_certificate
from gateway.settings import SettingsRefused, settings_of
from tests.cap.certificates import NOW, YEAR, certificate, ec_key, rsa_key


def pem_of(key: Any, password: bytes = b"") -> bytes:
    how = BestAvailableEncryption(password) if password else NoEncryption()
    return bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how))


def kept(folder: Path, key: Any, of: Any = None) -> dict[str, str]:
    """The key and the certificate of `of` in files, as the settings name them."""
    (folder / "feed.crt").write_bytes(certificate(of or key).public_bytes(Encoding.PEM))
    (folder / "feed.pem").write_bytes(pem_of(key))
    return {"feed_certificate": str(folder / "feed.crt"), "feed_key": f"file:{folder / 'feed.pem'}"}


@pytest.mark.parametrize("make", [ec_key, rsa_key])
def test_a_key_and_its_certificate_are_read_and_the_key_is_not_shown(tmp_path: Path, make: Any):
    alerts = settings_of({"alerts": kept(tmp_path, make())}).alerts

    found = read_feed_key(alerts.feed_certificate, alerts.feed_key)

    assert found is not None
    assert found.key.public_key() == found.certificate.public_key()
    assert "PrivateKey" not in repr(found)


def test_without_either_nothing_is_signed():
    assert read_feed_key("", "") is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"feed_key": ""}, "belong together"),
        ({"feed_certificate": ""}, "belong together"),
        ({"feed_certificate": "/nowhere/feed.crt"}, "No such file"),
        ({"feed_key": "file:/nowhere/feed.pem"}, r"No such file .* at \$.alerts.feed_key"),
        ({"feed_key": "secret"}, "a secret stands in no settings file"),
    ],
)
def test_what_is_missing_is_named(tmp_path: Path, changes: dict[str, str], said: str):
    with pytest.raises(SettingsRefused, match=said):
        settings_of({"alerts": kept(tmp_path, ec_key()) | changes})


@pytest.mark.parametrize(
    ("key", "of", "said"),
    [
        (ec_key(), ec_key(), "not that of the feed_certificate"),
        (rsa.generate_private_key(65537, 1024), None, "none of RSA from 2048"),
        (dsa.generate_private_key(2048), None, "none of RSA from 2048"),
    ],
)
def test_a_key_that_is_of_no_use_is_refused(tmp_path: Path, key: Any, of: Any, said: str):
    with pytest.raises(SettingsRefused, match=said):
        settings_of({"alerts": kept(tmp_path, key, of)})


def test_a_key_behind_a_password_and_a_certificate_that_is_none_are_refused(tmp_path: Path):
    given = kept(tmp_path, ec_key())
    (tmp_path / "feed.pem").write_bytes(pem_of(ec_key(), b"secret"))
    with pytest.raises(SettingsRefused, match="without a password"):
        settings_of({"alerts": dict(given)})

    (tmp_path / "feed.crt").write_bytes(b"no certificate")
    with pytest.raises(SettingsRefused, match="holds no certificate"):
        settings_of({"alerts": dict(given)})


def until(days: float, *, starting: float = -365) -> FeedKey:
    """A key whose certificate ends so many days after NOW."""
    key = ec_key()
    start, end = NOW + timedelta(days=starting), NOW + timedelta(days=days)
    return FeedKey(certificate(key, start=start, end=end), key)


NOW_MS = int(NOW.timestamp() * 1000)


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (until(31), ""),
        (until(30), ""),
        (until(29.9), "expires at 2026-06-10"),
        (until(0), "expires at 2026-05-11"),
        (until(-0.1), "expired at 2026-05-11"),
        (until(90, starting=1), "is not valid before 2026-05-12"),
    ],
    ids=["31 days", "30 days", "less than 30 days", "the last second", "over", "not yet"],
)
def test_a_certificate_that_ends_within_30_days_is_warned_of_at_the_start(caplog: Any, key: FeedKey, said: str):
    warn_of_certificate(key, NOW_MS)

    assert [said in record.why for record in caplog.records] == ([True] if said else [])
    assert {record.levelname for record in caplog.records} == ({"WARNING"} if said else set())


def test_without_a_certificate_there_is_nothing_to_warn_of(caplog: Any):
    warn_of_certificate(None, NOW_MS)

    assert caplog.records == []


def test_check_config_tells_of_an_expired_certificate_and_finds_the_settings_sound(tmp_path: Path):
    key = ec_key()
    (tmp_path / "feed.crt").write_bytes(certificate(key, start=NOW - YEAR, end=NOW).public_bytes(Encoding.PEM))
    (tmp_path / "feed.pem").write_bytes(pem_of(key))
    file = tmp_path / "tocsin.toml"
    file.write_text(f'[alerts]\nfeed_certificate = "{tmp_path}/feed.crt"\nfeed_key = "file:{tmp_path}/feed.pem"\n')

    result = CliRunner().invoke(app, ["check-config", "-c", str(file)])

    assert result.exit_code == 0
    assert "The feed_certificate expired at 2026-05-11T20:00:00+00:00" in result.output
    assert "The settings are sound" in result.output
