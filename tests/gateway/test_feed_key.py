"""The feed's key: what is wrong with it is said before the server starts, and it is never shown."""

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

from gateway.feed_key import read_feed_key
from gateway.settings import SettingsRefused, settings_of
from tests.cap.certificates import certificate, ec_key, rsa_key


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
