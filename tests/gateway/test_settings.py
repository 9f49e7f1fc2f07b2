"""The settings: every fault at once with its line and path; no secret in the file; nothing that would fail at night."""

import base64
from pathlib import Path
from typing import Any

import pytest

from gateway.settings import Settings, SettingsRefused, located, read_settings, settings_of, shown

SMPP = {"type": "smpp", "host": "smsc.example", "system_id": "t", "source_address": "1789"}


def refused(values: dict[str, object], **environ: str) -> list[str]:
    with pytest.raises(SettingsRefused) as caught:
        settings_of(values, environ)  # type: ignore[arg-type]
    return list(caught.value.lines)


def test_every_fault_of_a_file_is_told_in_the_order_of_its_lines(tmp_path: Path):
    file = tmp_path / "tocsin.toml"
    file.write_text(
        """[server]
prot = 8080
body_timeout_s = "ten"
[logs]
level = "LOUD"
[sms.carriers.first]
type = "smpp"
host = "smsc.example"
password = "hunter2hunter2"
window = 0
[email.carriers.relay]
type = "smpt"
"""
    )

    with pytest.raises(SettingsRefused) as caught:
        read_settings(file, {})

    told = [line.removeprefix(f"{file}:") for line in caught.value.lines]
    assert [line.partition(":")[0] for line in told] == ["2", "3", "5", "6", "6", "9", "10", "12"]
    assert "is `port` meant? - at $.server.prot" in told[0]
    assert "$.sms.carriers.first" in told[3]
    assert "use env:NAME or file:PATH - at $.sms.carriers.first.password" in told[5]
    assert "one of smtp, simulated is wanted" in told[7]
    assert "hunter2" not in str(caught.value)


def test_a_file_that_is_no_toml_is_one_fault_with_its_line(tmp_path: Path):
    file = tmp_path / "tocsin.toml"
    file.write_text("[server\nport = 1\n")

    with pytest.raises(SettingsRefused, match="line 1"):
        read_settings(file)


def test_a_fault_of_a_carrier_names_the_carrier():
    assert refused({"sms": {"carriers": {"north": SMPP | {"port": "x"}}}}) == [
        "a whole number is wanted, and there is text here - at $.sms.carriers.north.port"
    ]
    assert refused({"sms": {"carriers": {"north": SMPP | {"service_type": "too long"}}}}) == [
        "service_type: at most 5 ASCII characters - at $.sms.carriers.north"
    ]


def test_every_secret_that_cannot_be_had_is_told(tmp_path: Path):
    carriers = {"a": SMPP | {"password": "env:NOT_THERE"}, "b": SMPP | {"password": f"file:{tmp_path}/none"}}

    assert refused({"sms": {"carriers": carriers}}) == [
        "the environment has no NOT_THERE - at $.sms.carriers.a.password",
        f"{tmp_path}/none: No such file or directory - at $.sms.carriers.b.password",
    ]


def test_secrets_come_from_the_environment_or_a_file(tmp_path: Path):
    (tmp_path / "secret").write_text("from a file\n")
    carriers = {"a": SMPP | {"password": "env:THERE"}, "b": SMPP | {"password": f"file:{tmp_path}/secret"}}

    read = settings_of({"sms": {"carriers": carriers}}, {"THERE": "from outside"}).sms.carriers

    assert [read[name].password for name in "ab"] == ["from outside", "from a file"]  # type: ignore[union-attr]


UNFIT = {
    "a simulated carrier among live ones": (
        {"voice": {"carriers": {"trunk": {"type": "simulated"}}}},
        "$.voice.carriers.trunk",
    ),
    "a sender that no relay takes": ({"email": {"sender_address": "no-reply"}}, "$.email.sender_address"),
    "a domain that is none": ({"email": {"bounce_domain": "a b"}}, "$.email.bounce_domain"),
    "a store of another sort": ({"store": {"url": "mysql://localhost/x"}}, "$.store.url"),
    "an address that is none": ({"server": {"public_url": "alerts.example"}}, "$.server.public_url"),
    "a certificate without its key": ({"server": {"tls_certificate": "/etc/tls.pem"}}, "$.server.tls_key"),
    "a key without its certificate": ({"server": {"tls_key": "/etc/tls.key"}}, "$.server.tls_certificate"),
    "a proxy that is no address": ({"server": {"trusted_proxies": ["proxy.example"]}}, "$.server.trusted_proxies[0]"),
    "an address in a network": ({"server": {"trusted_proxies": ["::1", "10.1.2.3/8"]}}, "$.server.trusted_proxies[1]"),
    "an IPv4 proxy in IPv6": ({"server": {"trusted_proxies": ["::ffff:10.1.0.0/112"]}}, "$.server.trusted_proxies[0]"),
    "a certificate that is not there": (
        {"sms": {"carriers": {"a": SMPP | {"tls_ca_file": "/nowhere/ca.pem"}}}},
        "$.sms.carriers.a.tls_ca_file",
    ),
    "a log level that is none": ({"logs": {"level": "debug"}}, "$.logs.level"),
    "no time at all for a body": ({"server": {"body_timeout_s": 0}}, "$.server.body_timeout_s"),
}


@pytest.mark.parametrize("what", UNFIT)
def test_what_would_fail_only_at_night_is_told_before(what: str):
    values, path = UNFIT[what]

    [line] = refused(values)  # type: ignore[arg-type]

    assert line.endswith(f" - at {path}")


@pytest.mark.parametrize(
    "everybody",
    [["0.0.0.0/0"], ["::/0"], ["0.0.0.0/1", "128.0.0.0/1"], ["10.0.0.0/8", "8000::/1", "::/2", "4000::/2"]],
)
def test_to_trust_everybody_is_refused_and_why_is_said(everybody: list[str]):
    [line] = refused({"server": {"trusted_proxies": everybody}})

    assert "anybody could then say whose address the limits and the log are about" in line
    assert line.endswith(" - at $.server.trusted_proxies")


def test_a_bounce_key_that_can_be_guessed_is_refused():
    assert refused({"email": {"bounce_key": "env:K"}}, K="short") == [
        "the secret has fewer than 16 characters - at $.email.bounce_key"
    ]


def test_an_empty_file_is_the_defaults(tmp_path: Path):
    (tmp_path / "empty.toml").write_text("")

    assert read_settings(tmp_path / "empty.toml") == Settings()


# ---- help ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("document", [{}, {"url": "https://police.be/m.pdf", "file": "m.pdf"}])
def test_a_document_is_an_address_or_a_file_and_not_both(document):
    with pytest.raises(SettingsRefused, match=r"either a url or a file - at \$\.help\.documents\.manual"):
        settings_of({"help": {"documents": {"manual": document}}})


def test_a_document_is_found_from_the_folder_of_the_settings(tmp_path):
    read = settings_of({"help": {"documents": {"manual": {"file": "m.pdf"}, "web": {"url": "https://a.be"}}}})

    documents = located(read, tmp_path / "tocsin.toml").help.documents

    assert (documents["manual"].file, documents["web"].file) == (str(tmp_path / "m.pdf"), "")


def test_what_a_fault_of_help_quotes_is_visible_text():
    with pytest.raises(SettingsRefused) as refused:
        settings_of({"help": {"alerts": {"name": "a\x1b[2J"}}})

    assert str(refused.value).isprintable()


# ---- alarms --------------------------------------------------------------------------------------------------------

HOOK = "whsec_" + base64.b64encode(bytes(32)).decode()


@pytest.mark.parametrize(
    ("alarms", "path"),
    [
        ({"emails": ["nobody"]}, "$.alarms.emails[0]"),
        ({"emails": ["Duty@EXAMPLE.org"]}, "$.alarms.emails[0]"),
        ({"mobiles": ["0470123456"]}, "$.alarms.mobiles[0]"),
        ({"webhook_url": "http://hook.police.be", "webhook_secret": "env:HOOK"}, "$.alarms.webhook_url"),
        ({"webhook_url": "https://", "webhook_secret": "env:HOOK"}, "$.alarms.webhook_url"),
        ({"webhook_url": "http://127.0.0.1.police.be/", "webhook_secret": "env:HOOK"}, "$.alarms.webhook_url"),
        ({"webhook_url": "https://hook.police.be"}, "$.alarms.webhook_secret"),
        ({"webhook_url": "https://hook.police.be", "webhook_secret": "env:SHORT"}, "$.alarms.webhook_secret"),
        ({"ping_url": "https://ping.police.be/secret"}, "$.alarms.ping_url"),
        ({"ping_url": "env:FTP"}, "$.alarms.ping_url"),
    ],
)
def test_whoever_is_told_of_alarms_can_be_told(alarms: dict[str, Any], path: str):
    environ = {"HOOK": HOOK, "SHORT": "whsec_c2hvcnQ=", "FTP": "ftp://ping.police.be"}
    assert [line for line in refused({"alarms": alarms}, **environ) if f"at {path}" in line]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9:8000", "[::1]:80", "localhost"])
def test_on_this_machine_a_webhook_may_be_http_and_no_secret_is_shown(host: str):
    given = {"webhook_url": f"http://{host}/", "webhook_secret": "env:HOOK", "ping_url": "env:PING"}
    settings = settings_of({"alarms": given}, {"HOOK": HOOK, "PING": "https://ping.police.be/uuid"})
    assert settings.alarms.paths == ("webhook",)
    assert HOOK not in str(shown(settings))
    assert "uuid" not in str(shown(settings))
