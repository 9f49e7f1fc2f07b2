"""What one relay can take, by what it said when it was last connected to."""

import msgspec

from channels.contract import Content, Fit

_PERSONAL_OCTETS = 500
"""What a copy has besides the words that all have: its addressee, its references."""


class MailLimits(msgspec.Struct, frozen=True, tag="mail"):
    """`channels.contract.CarrierLimits` of a relay. One that never answered counts as without any."""

    ascii_addresses: bool = False
    """It lacks SMTPUTF8 (RFC 6531)."""
    most_octets: int = 0
    """Of a message (RFC 1870); 0: it is not said."""

    @property
    def chooses_by_address(self) -> bool:
        return self.ascii_addresses

    def fit(self, address: str, content: Content) -> Fit:
        if self.ascii_addresses and not address.isascii():
            return Fit.NOT
        if self.most_octets and getattr(content, "octets", 0) + _PERSONAL_OCTETS > self.most_octets:
            return Fit.NOT
        return Fit.WHOLE
