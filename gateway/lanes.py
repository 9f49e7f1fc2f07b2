"""The carriers of the settings, each behind its gate, and the lanes in which they stand."""

from collections.abc import Callable, Mapping, Sequence

from channels.catalogue import CarrierSettings, make_carrier
from channels.contract import CarrierState, Channel, Mode
from channels.simulated.carrier import SimulatedSettings
from gateway.campaigns.planning import Rates
from gateway.dispatch.carriers import Gate, LaneCarriers
from gateway.dispatch.contents import Contents
from gateway.dispatch.lane import Lane, LaneRules
from gateway.identity import Identity
from gateway.media import MEDIA
from gateway.settings import EmailSettings, Settings, SmsSettings, VoiceSettings
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


def live_gates(settings: Settings, now_ms: Callable[[], int]) -> Gates:
    return {
        channel: [
            Gate(make_carrier(name, channel, Mode.LIVE, s, now_ms), _ceilings(settings, channel, name, s))
            for name, s in _section(settings, channel).carriers.items()
        ]
        for channel in Channel
    }


def simulated_gates(settings: Settings, now_ms: Callable[[], int]) -> Gates:
    given: Mapping[Channel, SimulatedSettings | None] = {
        Channel.SMS: settings.simulation.sms,
        Channel.EMAIL: settings.simulation.email,
        Channel.VOICE: settings.simulation.voice,
    }
    made: Gates = {}
    for channel in Channel:
        s = given[channel] or SimulatedSettings(
            name=f"simulated-{channel}", channel=channel, rate_per_s=_USUAL[channel]
        )
        carrier = make_carrier(s.name, channel, Mode.SIMULATION, s, now_ms)
        made[channel] = [Gate(carrier, _ceilings(settings, channel, s.name, s))]
    return made


_USUAL = {Channel.SMS: 500.0, Channel.EMAIL: 2500.0, Channel.VOICE: 10.0}
"""Units a second of the service (BE-Alert FAQ): what a simulation behaves like."""


def open_rates(settings: Settings, by_mode: Mapping[Mode, Gates]) -> Rates:
    """Asked for each preview: a carrier that is down or rests counts for nothing at that moment."""
    most = {Channel.VOICE: settings.voice.starts_per_minute / 60}

    def rates(mode: Mode) -> dict[Channel, float]:
        found: dict[Channel, float] = {}
        for channel, gates in by_mode[mode].items():
            # Its own ceiling stands last (`_ceilings`).
            up = [gate.ceilings[-1] for gate in gates if gate.carrier.status().state is CarrierState.UP]
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
