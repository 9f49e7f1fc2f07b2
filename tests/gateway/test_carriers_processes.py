"""Which carriers live in a process of their own: those that open sockets, where the machine has two cores and nobody
says otherwise."""

import os
from collections.abc import Collection

import msgspec
import pytest

from channels.begun import begun_bytes
from channels.contract import Channel, Mode
from channels.email.settings import SmtpSettings, Tls
from channels.processes.remote import RemoteCarrier
from channels.simulated.carrier import SimulatedCarrier, SimulatedSettings
from channels.sms.smpp.settings import SmppSettings
from gateway.lanes import carriers_processes, live_gates
from gateway.settings import EmailSettings, ServerSettings, Settings, SmsSettings, VoiceSettings

SMSC = SmppSettings(host="127.0.0.1", system_id="x", source_address="X")
RELAY = SmtpSettings(host="127.0.0.1", tls=Tls.NONE)


def simulated(channel: Channel) -> SimulatedSettings:
    return SimulatedSettings(name=f"sim-{channel}", channel=channel, mode=Mode.LIVE)


SETTINGS = Settings(
    server=ServerSettings(demonstration=True),
    sms=SmsSettings(carriers={"smsc": SMSC, "sim-sms": simulated(Channel.SMS)}),
    email=EmailSettings(carriers={"relay": RELAY}),
    voice=VoiceSettings(carriers={"sim-voice": simulated(Channel.VOICE)}),
)


def made(settings: Settings) -> tuple[Collection[str], dict[str, type]]:
    """Names of the processes; of each carrier what it is here."""
    processes = carriers_processes(settings, begun_bytes(10), (), lambda: 0)
    gates = live_gates(settings, lambda: 0, processes)
    names = {process.name for process in processes.values()}
    return names, {gate.name: type(gate.carrier) for by_channel in gates.values() for gate in by_channel}


def cores(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(count)))


def test_with_two_cores_each_channel_that_opens_sockets_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    cores(monkeypatch, 2)
    names, kinds = made(SETTINGS)

    assert names == {"tocsin-sms", "tocsin-email"}
    assert (kinds["smsc"], kinds["relay"]) == (RemoteCarrier, RemoteCarrier)
    assert (kinds["sim-sms"], kinds["sim-voice"]) == (SimulatedCarrier, SimulatedCarrier)


def test_with_one_core_or_where_the_settings_say_so_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    cores(monkeypatch, 1)
    names, kinds = made(SETTINGS)
    assert (names, RemoteCarrier in kinds.values()) == (set(), False)

    cores(monkeypatch, 8)
    one = msgspec.structs.replace(SETTINGS, server=msgspec.structs.replace(SETTINGS.server, processes=1))
    names, kinds = made(one)
    assert (names, RemoteCarrier in kinds.values()) == (set(), False)
