"""What one SMPP account can take: the countries of its contract, and the letters that its SMSC has."""

from functools import lru_cache

import msgspec

from channels.contract import Content, Fit
from channels.sms.segments import SmsText
from channels.sms.smpp.writing import write


class SmsLimits(msgspec.Struct, frozen=True, tag="sms"):
    """`channels.contract.CarrierLimits` of an account."""

    countries: tuple[str, ...] = ()
    """Beginnings of E.164 numbers; empty: all."""
    default_alphabet: str = "gsm"

    @property
    def chooses_by_address(self) -> bool:
        return bool(self.countries)

    def fit(self, address: str, content: Content) -> Fit:
        if self.countries and not address.startswith(self.countries):
            return Fit.NOT
        return _fit(content, self.default_alphabet) if isinstance(content, SmsText) else Fit.NOT


@lru_cache(64)
def _fit(content: SmsText, default_alphabet: str) -> Fit:
    """There are few texts, each for many people."""
    return write(content, default_alphabet).fit
