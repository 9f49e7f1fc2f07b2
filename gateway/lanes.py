"""The carriers of the settings, each behind its gate, and the lanes in which they stand."""

import logging
import os
from collections.abc import Callable, Mapping, Sequence

from channels.begun import BegunBytes
from channels.catalogue import CarrierSettings, make_carrier
from channels.contract import CarrierState, Channel, Mode
from channels.processes.supervisor import CarriersProcess
from channels.simulated.carrier import SimulatedSettings
from gateway.campaigns.planning import Rates
from gateway.dispatch.carriers import Gate, LaneCarriers, guard_s
from gateway.dispatch.contents import Contents
from gateway.dispatch.lane import Lane, LaneRules
from gateway.identity import Identity
from gateway.media import MEDIA
from gateway.settings import EmailSettings, Settings, SmsSettings, VoiceSettings, usual_simulated
from store.engine.database import Database
from store.outbox.ceilings import Ceiling

_VOICE = "voice"
"""The one ceiling above all trunks."""

Gates = dict[Channel, list[Gate]]


def _section(settings: Settings, channel: Channel) -> SmsSettings | EmailSettings | VoiceSettings:
    match channel:
        case Channel.SMS:
            return settings.sms
        case Channel.EMAIL:
            return settings.email
        case Channel.VOICE:
            return settings.voice


def carriers_processes(
    settings: Settings, begun: BegunBytes, locks: Sequence[int], now_ms: Callable[[], int]
) -> dict[Channel, CarriersProcess]:
    """One for each channel with carriers that open sockets, where the settings and the machine say so. `locks`:
    descriptors that a process holds as long as it lives."""
    if settings.server.processes == 1 or len(os.sched_getaffinity(0)) < 2:
        return {}
    level = logging.getLevelNamesMapping()[settings.logs.level]
    return {
        channel: CarriersProcess(f"tocsin-{channel}", begun, now_ms, locks, level)
        for channel in Channel
        if any(not isinstance(s, SimulatedSettings) for s in _section(settings, channel).carriers.values())
    }


def live_gates(settings: Settings, now_ms: Callable[[], int], processes: Mapping[Channel, CarriersProcess]) -> Gates:
    """Raises as `make_carrier`."""
    made: Gates = {}
    for channel in Channel:
        made[channel] = []
        for name, s in _section(settings, channel).carriers.items():
            ceilings, process = _ceilings(settings, channel, name, s), processes.get(channel)
            if process is None or isinstance(s, SimulatedSettings):
                made[channel].append(Gate(make_carrier(name, channel, Mode.LIVE, s, now_ms), ceilings))
            else:
                carrier = process.add(name, channel, Mode.LIVE, s, guard_s(ceilings))
                made[channel].append(Gate(carrier, ceilings, slots_there=carrier.slots))
    return made


def simulated_gates(settings: Settings, now_ms: Callable[[], int]) -> Gates:
    given: Mapping[Channel, SimulatedSettings | None] = {
        Channel.SMS: settings.simulation.sms,
        Channel.EMAIL: settings.simulation.email,
        Channel.VOICE: settings.simulation.voice,
    }
    made: Gates = {}
    for channel in Channel:
        s = given[channel] or SimulatedSettings(
            name=usual_simulated(channel), channel=channel, rate_per_s=_USUAL[channel]
        )
        carrier = make_carrier(s.name, channel, Mode.SIMULATION, s, now_ms)
        made[channel] = [Gate(carrier, _ceilings(settings, channel, s.name, s))]
    return made


_USUAL = {Channel.SMS: 500.0, Channel.EMAIL: 2500.0, Channel.VOICE: 10.0}
"""Units a second of the service (BE-Alert FAQ): what a simulation behaves like."""


def open_rates(settings: Settings, by_mode: Mapping[Mode, Gates]) -> Rates:
    """Asked for each preview: a carrier that is down, rests or is held counts for nothing at that moment."""
    most = {Channel.VOICE: settings.voice.starts_per_minute / 60}

    def rates(mode: Mode) -> dict[Channel, float]:
        found: dict[Channel, float] = {}
        for channel, gates in by_mode[mode].items():
            # Its own ceiling stands last (`_ceilings`).
            up = [g.ceilings[-1] for g in gates if not g.is_held and g.carrier.status().state is CarrierState.UP]
            if up:
                rate = sum(ceiling.count / ceiling.window_s for ceiling in up)
                found[channel] = min(rate, most.get(channel, rate))
        return found

    return rates


def _ceilings(settings: Settings, channel: Channel, name: str, carrier: CarrierSettings) -> tuple[Ceiling, ...]:
    guard_s = _section(settings, channel).slot_guard_ms / 1000
    own = Ceiling(f"{channel}:{name}", carrier.rate_per_s, 1.0, min(guard_s, 0.05))
    if channel is not Channel.VOICE:
        return (own,)
    return (Ceiling(_VOICE, settings.voice.starts_per_minute, 60.0, guard_s), own)


def make_lane(
    channel: Channel,
    mode: Mode,
    gates: Sequence[Gate],
    settings: Settings,
    database: Database,
    identity: Identity,
    contents: Contents,
    room_on_disk: Callable[[], bool],
) -> Lane:
    medium, section = MEDIA[channel], _section(settings, channel)
    return Lane(
        channel=channel,
        mode=mode,
        database=database,
        carriers=LaneCarriers(gates, most_messages=2 * medium.batch_size),
        rules=LaneRules(
            batches_at_once=section.batches_at_once,
            lease_ms=int(section.lease_s * 1000),
            retry_delays_ms=medium.retry_delays_ms,
            most_attempts=medium.most_attempts,
            most_resends=min(medium.most_attempts, 3),
            resend_wait_ms=medium.resend_wait_ms,
        ),
        generation=identity.generation,
        node=identity.node,
        prepare=contents,
        room_on_disk=room_on_disk,
        note=identity.note,
    )
