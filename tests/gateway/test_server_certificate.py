"""The door's certificate: what is wrong with it is said in plain words, and a renewal is taken up or told of."""

import ssl
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from typer.testing import CliRunner

from gateway.cli import app
from gateway.operations.settings_doubts import certificate_doubts
from gateway.operations.status import certificate_lines
from gateway.server_certificate import CertificateRefused, RenewedCertificate, read_server_certificate
from gateway.settings import ServerSettings, Settings
from store.engine.schema import migrate
from tests.cap.certificates import ec_key, rsa_key
from tests.gateway.http.server_certificates import DAY, HOST, NOW, NOW_MS, Files, files, pem_of


def refused(found: Files) -> CertificateRefused:
    with pytest.raises(CertificateRefused) as caught:
        read_server_certificate(str(found.certificate), str(found.key))
    return caught.value


@pytest.mark.parametrize("key", [ec_key(), rsa_key()], ids=["ec", "rsa"])
def test_a_certificate_and_its_key_make_a_context_of_tls_1_2_and_later(tmp_path: Path, key: Any):
    found = files(tmp_path, key=key)

    read = read_server_certificate(str(found.certificate), str(found.key))

    assert read is not None
    assert read.context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert read.end_ms == NOW_MS + 60 * 86_400_000
    assert read.warning(NOW_MS) == ""


def test_without_a_certificate_the_door_speaks_no_tls():
    assert read_server_certificate("", "") is None


def without_a_key(found: Files) -> None:
    found.key.unlink()


def without_a_certificate(found: Files) -> None:
    found.certificate.unlink()


def with_the_key_of_another(found: Files) -> None:
    found.key.write_bytes(pem_of(ec_key()))


def with_a_locked_key(found: Files) -> None:
    found.key.write_bytes(pem_of(ec_key(), b"secret"))


def with_no_key_at_all(found: Files) -> None:
    found.key.write_bytes(found.certificate.read_bytes())


def with_no_pem(found: Files) -> None:
    found.certificate.write_bytes(b"\x30\x82 DER or worse")


@pytest.mark.parametrize(
    ("spoil", "setting", "said"),
    [
        (without_a_key, "tls_key", "No such file"),
        (without_a_certificate, "tls_certificate", "No such file"),
        (with_the_key_of_another, "tls_key", "is not the key of the first certificate in"),
        (with_a_locked_key, "tls_key", "is locked with a password"),
        (with_no_key_at_all, "tls_key", "holds no private key in PEM"),
        (with_no_pem, "tls_certificate", "holds no certificate in PEM"),
    ],
)
def test_what_cannot_be_used_is_said_with_its_file_and_its_setting(tmp_path: Path, spoil: Any, setting: str, said: str):
    found = files(tmp_path)
    spoil(found)

    told = refused(found)

    assert told.setting == setting
    assert said in str(told)
    assert str(tmp_path) in str(told)


def test_a_key_that_is_too_short_is_refused(tmp_path: Path):
    told = refused(files(tmp_path, key=rsa.generate_private_key(public_exponent=65537, key_size=1024)))

    assert "KEY_TOO_SMALL" in str(told)


# ---- its end -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "end", "said"),
    [
        (NOW - 60 * DAY, NOW - DAY, "the certificate expired at"),
        (NOW + DAY, NOW + 90 * DAY, "is not valid before"),
        (NOW - 80 * DAY, NOW + 10 * DAY, "should have been renewed by now"),
        (NOW - 60 * DAY, NOW + 30 * DAY, ""),
        (NOW - 4 * DAY, NOW + 2 * DAY, ""),  # of six days, as some are
        (NOW - 5 * DAY, NOW + DAY, "should have been renewed by now"),
    ],
)
def test_its_end_is_doubtful_some_time_before_and_no_fault(tmp_path: Path, start: Any, end: Any, said: str):
    found = files(tmp_path, start=start, end=end)

    told = certificate_doubts(read_server_certificate(str(found.certificate), str(found.key)), Settings(), NOW_MS)

    assert len(told) == bool(said)
    assert all(text.startswith("server.tls_certificate: ") and said in text for text in told)
    [line] = certificate_lines(ServerSettings(**found.settings), NOW_MS)  # type: ignore[arg-type]
    assert line.well is not bool(said)


@pytest.mark.parametrize(
    ("name", "host", "named"),
    [
        (HOST, HOST, True),
        (HOST, "www." + HOST, False),
        ("*.example.org", HOST, True),
        ("*.example.org", "example.org", False),
        ("*.example.org", "a.b.example.org", False),
    ],
)
def test_a_certificate_for_another_host_is_doubted(tmp_path: Path, name: str, host: str, named: bool):
    found = files(tmp_path, name=name)
    settings = Settings(server=ServerSettings(public_url=f"https://{host}"))

    told = certificate_doubts(read_server_certificate(str(found.certificate), str(found.key)), settings, NOW_MS)

    said = f"server.tls_certificate: it does not name {host} (server.public_url): clients refuse it."
    assert told == ([] if named else [said])


def test_status_tells_of_files_that_cannot_be_used_and_of_none_where_there_is_no_tls(tmp_path: Path):
    found = files(tmp_path)
    with_the_key_of_another(found)

    [line] = certificate_lines(ServerSettings(**found.settings), NOW_MS)  # type: ignore[arg-type]

    assert not line.well
    assert "is not the key of" in line.text
    assert certificate_lines(ServerSettings(), NOW_MS) == []


# ---- renewal -------------------------------------------------------------------------------------------------------


def test_what_was_renewed_is_taken_up_at_the_next_look(tmp_path: Path):
    found = files(tmp_path)
    renewing = RenewedCertificate(str(found.certificate), str(found.key))
    first = renewing.current
    renewing.look(NOW_MS)
    assert renewing.current is first, "nothing has changed"

    files(tmp_path, end=NOW + 90 * DAY)
    renewing.look(NOW_MS)

    assert renewing.current.end_ms == NOW_MS + 90 * 86_400_000
    assert renewing.context() is renewing.current.context


def test_a_broken_renewal_is_told_once_and_ends_when_its_other_half_comes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    """As some tools write: the certificate first, and its key a moment later."""
    (tmp_path / "new").mkdir()
    found, new = files(tmp_path), files(tmp_path / "new", end=NOW + 90 * DAY)
    renewing = RenewedCertificate(str(found.certificate), str(found.key))
    first = renewing.current

    found.certificate.write_bytes(new.certificate.read_bytes())
    for _ in range(3):
        renewing.look(NOW_MS)
    kept = renewing.current
    found.key.write_bytes(new.key.read_bytes())
    renewing.look(NOW_MS)

    assert kept is first
    assert renewing.current.end_ms == NOW_MS + 90 * 86_400_000
    told = [r for r in caplog.records if getattr(r, "action", "") == "certificate-refused"]
    assert [r.levelname for r in told] == ["ERROR"]
    assert "is not the key of" in told[0].why  # type: ignore[attr-defined]


@pytest.mark.parametrize("spoil", [without_a_key, without_a_certificate, with_no_pem, with_a_locked_key])
def test_whatever_is_wrong_with_a_renewal_the_certificate_in_use_stays(tmp_path: Path, spoil: Any):
    found = files(tmp_path)
    renewing = RenewedCertificate(str(found.certificate), str(found.key))
    first = renewing.current

    spoil(found)
    renewing.look(NOW_MS)

    assert renewing.current is first


def test_a_renewal_that_has_expired_is_none(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    found = files(tmp_path)
    renewing = RenewedCertificate(str(found.certificate), str(found.key))
    first = renewing.current

    files(tmp_path, start=NOW - 9 * DAY, end=NOW - DAY)
    renewing.look(NOW_MS)

    assert renewing.current is first
    assert "expired" in caplog.records[-1].why  # type: ignore[attr-defined]


def test_a_certificate_in_a_link_that_is_turned_is_renewed(tmp_path: Path):
    """As certbot does it: the names in the settings are links."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        files(tmp_path / name, end=NOW + (60 if name == "one" else 90) * DAY)
    link = tmp_path / "live"
    link.symlink_to("one")
    renewing = RenewedCertificate(str(link / "fullchain.pem"), str(link / "privkey.pem"))

    (tmp_path / "next").symlink_to("two")
    (tmp_path / "next").rename(link)
    renewing.look(NOW_MS)

    assert renewing.current.end_ms == NOW_MS + 90 * 86_400_000


# ---- the commands --------------------------------------------------------------------------------------------------


def settings_file(folder: Path, found: Files) -> Path:
    file = folder / "tocsin.toml"
    lines = [f'{key} = "{value}"\n' for key, value in found.settings.items()]
    file.write_text("[server]\n" + "".join(lines) + f'[store]\nurl = "sqlite+aiosqlite:///{folder}/tocsin.db"\n')
    return file


def test_check_config_refuses_files_that_cannot_be_used(tmp_path: Path):
    found = files(tmp_path)
    with_the_key_of_another(found)

    result = CliRunner().invoke(app, ["check-config", "-c", str(settings_file(tmp_path, found))])

    assert result.exit_code == 2
    assert "is not the key of the first certificate" in result.output
    assert "$.server.tls_key" in result.output


def test_check_config_tells_of_an_end_and_finds_the_settings_sound(tmp_path: Path):
    found = files(tmp_path, start=NOW - 80 * DAY, end=NOW + 5 * DAY)

    result = CliRunner().invoke(app, ["check-config", "-c", str(settings_file(tmp_path, found))])

    assert result.exit_code == 0, result.output
    assert "doubtful: server.tls_certificate: the certificate expires at" in result.output


async def test_a_broken_renewal_does_not_take_the_brake_away(tmp_path: Path):
    """`hold` reads the same settings, and has nothing to do with certificates."""
    found = files(tmp_path)
    file = settings_file(tmp_path, found)
    await migrate(f"sqlite+aiosqlite:///{tmp_path}/tocsin.db")
    without_a_certificate(found)

    result = CliRunner().invoke(app, ["hold", "all", "--reason", "wrong text", "-c", str(file)])

    assert result.exit_code == 0, result.output
