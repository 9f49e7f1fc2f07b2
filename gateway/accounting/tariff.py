"""What a message costs: a price list as data, and the multiplication. Pure; knows no zone, balance or VAT.

The figures of `PRICE_LIST` are those of the BE-Alert FAQ for neighbourhood watch networks, section "Coûts":
0.055 EUR without VAT for an SMS of 160 characters or a voice message of one minute, the same to foreign
numbers, fixed until 20 July 2028; e-mail is free. There is no setting for another list yet.
"""

from datetime import UTC, datetime
from itertools import pairwise

import msgspec

from channels.contract import Channel


class NoPrice(LookupError):
    """No price list was in force at that time: a price is never guessed."""


class Prices(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The prices of one stretch of time, in millieuro without VAT. One price for every country."""

    since: datetime
    """Aware; the first instant at which they hold."""
    until: datetime
    """Aware; the first instant at which nobody promises them any more, and prepaid lots lose their value."""
    sms_segment_millieuro: int
    voice_minute_millieuro: int
    """For every minute started, of calls that were answered."""
    email_millieuro: int = 0

    def __post_init__(self) -> None:
        if self.since.tzinfo is None or self.until.tzinfo is None:
            raise ValueError("prices hold from and until an instant with its offset")
        if self.since >= self.until:
            raise ValueError("prices must hold for some time: `since` comes before `until`")
        if min(self.sms_segment_millieuro, self.voice_minute_millieuro, self.email_millieuro) < 0:
            raise ValueError("a price is never negative")

    def of_one(self, channel: Channel) -> int:
        """The price of one segment, one started minute or one mail, in millieuro."""
        return {
            Channel.SMS: self.sms_segment_millieuro,
            Channel.VOICE: self.voice_minute_millieuro,
            Channel.EMAIL: self.email_millieuro,
        }[channel]


class Tariff(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Price lists in the order of their time, none overlapping another."""

    versions: tuple[Prices, ...]

    def __post_init__(self) -> None:
        if not self.versions:
            raise ValueError("a tariff holds one price list at least")
        if any(later.since < earlier.until for earlier, later in pairwise(self.versions)):
            raise ValueError("price lists stand in the order of their time and do not overlap")

    def at(self, at_ms: int) -> Prices:
        """The prices in force at `at_ms` (UTC), else the last ones that were.

        A list that has run out stays in use until the next one begins (`lapsed` tells): an alert must not
        fail because nobody typed the new prices. Raises NoPrice before the first list.
        """
        begun = [prices for prices in self.versions if prices.since <= _instant(at_ms)]
        if not begun:
            raise NoPrice(f"no price list was in force before {self.versions[0].since.isoformat()}")
        return begun[-1]

    def lapsed(self, at_ms: int) -> bool:
        """Whether the prices used at `at_ms` (UTC) have run out: something an operator has to see."""
        return self.at(at_ms).until <= _instant(at_ms)


PRICE_LIST = Tariff(
    (
        Prices(
            # The contract of six years that, says the FAQ, ends on 20 July 2028; Belgian time.
            since=datetime.fromisoformat("2022-07-20T00:00:00+02:00"),
            until=datetime.fromisoformat("2028-07-21T00:00:00+02:00"),
            sms_segment_millieuro=55,
            voice_minute_millieuro=55,
            email_millieuro=0,
        ),
    )
)


def price(channel: Channel, quantity: int, at_ms: int, *, tariff: Tariff = PRICE_LIST) -> int:
    """The price, in millieuro, of `quantity` SMS segments, started voice minutes or mails, at the prices of `at_ms`
    (UTC).

    Raises NoPrice before the first price list, ValueError for a negative quantity.
    """
    if quantity < 0:
        raise ValueError("nothing is ever sent a negative number of times")
    return tariff.at(at_ms).of_one(channel) * quantity


def _instant(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC)
