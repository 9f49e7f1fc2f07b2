"""What is allowed in the settings and seldom meant is told, and what is sound is not doubted."""

import copy
from pathlib import Path
from typing import Any

import pytest

from gateway.operations.settings_doubts import doubts, reminders
from gateway.settings import Settings, settings_of

SMSC = {
    "type": "smpp",
    "host": "smsc.operator.be",
    "system_id": "plp",
    "password": "env:P",
    "source_address": "PLP Dorp",
}
RELAY = {"type": "smtp", "host": "mail.police.be", "ehlo_name": "alerts.police.be"}
EMAIL = {
    "sender_address": "no-reply@alerts.police.be", "message_id_domain": "alerts.police.be",
    "bounce_domain": "bounces.police.be", "bounces": {"enabled": True},
}  # fmt: skip
TLS = {"tls_certificate": "/etc/tocsin/fullchain.pem", "tls_key": "/etc/tocsin/privkey.pem"}
HELP = {
    "alerts": {"name": "Centre de Crise National", "phone": "02 506 47 11"},
    "technical": {"name": "Helpdesk", "phone": "02 610 61 07", "mail": "bealert@telenetgroup.be"},
}
SOUND: dict[str, Any] = {
    "server": {"public_url": "https://alerts.police.be", "trusted_proxies": ["127.0.0.1"]},
    "sms": {"carriers": {"first": SMSC}},
    "email": EMAIL | {"carriers": {"relay": RELAY}},
    "help": HELP,
}


def read(tables: dict[str, Any]) -> Settings:
    return settings_of(copy.deepcopy(tables), {"P": "secret"})


def told(tables: dict[str, Any]) -> list[str]:
    return doubts(read(tables))


def smsc(**changed: object) -> dict[str, Any]:
    return SOUND | {"sms": {"carriers": {"first": SMSC | changed}}}


def email(relay: dict[str, Any] | None = None, **changed: Any) -> dict[str, Any]:
    return SOUND | {"email": EMAIL | changed | {"carriers": {"relay": RELAY | (relay or {})}}}


def test_of_sound_settings_nothing_is_doubted_and_what_nobody_can_see_from_here_is_a_reminder():
    assert told(SOUND) == []
    assert ["DKIM signature must cover both headers" in text for text in reminders(read(SOUND))] == [True]


def test_a_demonstration_without_live_carriers_is_not_doubted():
    assert told({}) == reminders(read({})) == []


@pytest.mark.parametrize("way_in", [TLS, {"trusted_proxies": ["10.1.0.7"]}])
def test_a_door_with_tls_or_a_proxy_may_be_reached_from_everywhere(way_in: dict[str, Any]):
    assert told({"server": {"host": "0.0.0.0", "public_url": "https://alerts.police.be"} | way_in}) == []


@pytest.mark.parametrize(
    ("tables", "about"),
    [
        (smsc(source_address="A" * 15), "source_address: a sender of letters has 11 at most"),
        (smsc(source_address="A" * 19), "has 19"),
        (smsc(source_address="32470123456"), "source_ton: 32470123456 are digits"),
        (smsc(source_address="8850"), "source_ton: 8850 are digits"),
        (smsc(source_address="PLP", source_ton=1), "source_ton: PLP are letters"),
        (smsc(source_address="8850", source_ton=1), "no international number"),
        (smsc(source_address="0470123456", source_ton=1), "no international number"),
        (smsc(source_address="+32470123456", source_ton=1), "without its plus sign"),
        (smsc(source_address="3247012345678901234", source_ton=1), "more than any number has"),
        (smsc(source_address=""), "an empty sender"),
        (smsc(source_address="PLP`x"), "GSM alphabet"),
        (smsc(destination_ton=2), "destination_ton"),
        (smsc(host="smsc.example.com"), "sms.carriers.first.host"),
        (email(sender_address="no-reply@alerts.example"), "email.sender_address"),
        (email(bounce_domain="bounces.example"), "email.bounce_domain: bounces.example is a name"),
        (email(message_id_domain="alerts.example.org"), "email.message_id_domain"),
        (email(bounce_domain="bounces.other.be"), "another organisation"),
        (email(bounces={"enabled": False}), "email.bounces.enabled"),
        (email({"ehlo_name": "localhost"}), "no full name of a host"),
        (email({"ehlo_name": "gateway"}), "no full name of a host"),
        (email({"ehlo_name": "192.0.2.1"}), "in brackets"),
        (email({"ehlo_name": ""}), "it is left out"),
        (email({"username": "u", "password": "env:P", "tls": "none"}), "in the clear"),
        (SOUND | {"server": {"public_url": "https://alerts.police.be/"}}, "ends with a slash"),
        (SOUND | {"server": {"public_url": "http://alerts.police.be"}}, "no https address"),
        (SOUND | {"server": {}}, "no unsubscribe link"),
        ({"server": {"public_url": "https://alerts.police.be"}}, "all its clients count as one address"),
        ({"server": {"host": "0.0.0.0"}}, "keys go over the net in the clear"),
        ({"server": {"public_url": "http://a.police.be"} | TLS}, "the door speaks nothing else"),
        (SOUND | {"server": {"port": 2424, "public_url": "https://a.be"}}, "cannot listen there twice"),
        (SOUND | {"alarms": {"emails": ["duty@police.be"]}}, "when no mail leaves nobody hears of it"),
        ({"alarms": {"mobiles": ["+32470123456"]}}, "carriers of that channel"),
    ],
)
def test_what_peers_refuse_everybody_for_is_told_before_they_do(tables: dict[str, Any], about: str):
    found = [text for text in told(tables) if about in text]

    assert len(found) == 1, told(tables)


@pytest.mark.parametrize("sender", [{"source_address": "32470123456", "source_ton": 1, "source_npi": 1},
                                    {"source_address": "8850", "source_ton": 3}])  # fmt: skip
def test_numbers_of_their_type_are_sound(sender: dict[str, Any]):
    assert told(smsc(**sender)) == []


# ---- help ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("purpose", ["alerts", "technical"])
def test_a_server_that_reaches_people_and_names_nobody_to_ask_is_doubted(purpose: str):
    without = {other: line for other, line in HELP.items() if other != purpose}

    [doubt] = told(SOUND | {"help": without})

    assert doubt.startswith(f"help.{purpose}: no telephone number or mail address")


def test_examples_and_documents_that_are_not_there_are_doubted(tmp_path: Path):
    documents = {
        "gone": {"file": str(tmp_path / "nothing.pdf")},
        "web": {"url": "https://alerts.example/manual.pdf"},
        "sound": {"url": "https://police.be/manual.pdf"},
    }
    line = {"phone": "02 000 00 00", "mail": "alerts@crisis.example"}

    found = told(SOUND | {"help": HELP | {"alerts": line, "documents": documents}})

    assert [text.partition(": ")[0] for text in found] == [
        "help.alerts.mail",
        "help.documents.gone.file",
        "help.documents.web.url",
    ]
