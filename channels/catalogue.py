"""From settings to a carrier: the one list to extend when there is a new way out."""

from collections.abc import Callable

from channels.contract import Carrier, Channel, Mode
from channels.email.carrier import SmtpCarrier
from channels.email.settings import SmtpSettings
from channels.simulated.carrier import SimulatedCarrier, SimulatedSettings
from channels.sms.smpp.carrier import SmppCarrier
from channels.sms.smpp.settings import SmppSettings

CarrierSettings = SmppSettings | SmtpSettings | SimulatedSettings


class WrongChannel(ValueError):
    """A carrier stands under a channel that it cannot carry."""


def make_carrier(
    name: str, channel: Channel, mode: Mode, settings: CarrierSettings, now_ms: Callable[[], int]
) -> Carrier:
    """Opens nothing yet: `Carrier.run` does. Raises WrongChannel; OSError for a certificate that cannot be read.

    In simulation mode only simulated carriers are made: a simulated lane holds nothing that could reach anybody.
    """
    match settings:
        case SimulatedSettings():
            if settings.channel is not channel or settings.mode is not mode:
                simulates = f"{settings.channel} in mode {settings.mode}"
                raise WrongChannel(f"{name}: simulates {simulates}, not {channel} in mode {mode}")
            return SimulatedCarrier(settings, now_ms)
        case SmppSettings() if channel is Channel.SMS and mode is Mode.LIVE:
            return SmppCarrier(name, settings, wall_ms=now_ms)
        case SmtpSettings() if channel is Channel.EMAIL and mode is Mode.LIVE:
            return SmtpCarrier(name, settings, mode=mode, now_ms=now_ms)
    raise WrongChannel(f"{name}: a carrier of type {type(settings).__name__} carries no {channel} in mode {mode}")
