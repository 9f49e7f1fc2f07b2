"""What the live carriers of a channel can take: asked before a message is priced, and shown as it will leave."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np

from channels.contract import Carrier, Channel, Content, Fit
from channels.sms.segments import SmsText
from channels.sms.smpp.writing import adapted, write
from gateway.directory.audience import Audience
from gateway.directory.columns import Int64
from gateway.errors import Reason
from gateway.media import prepare
from gateway.texts.content import SmsContent, TextContent

Addresses = Callable[[Sequence[int]], Awaitable[Sequence[str]]]
"""The addresses behind contact versions."""


async def _none(_: Sequence[int]) -> Sequence[str]:
    return ()


@dataclass(frozen=True, slots=True)
class Outlets:
    carriers: Mapping[Channel, Collection[Carrier]] = field(default_factory=dict)
    """Live ones."""
    alphabets: frozenset[str] = frozenset()
    """How the SMSCs among them read what they are given; empty: as GSM."""
    addresses: Addresses = _none

    def adapted(self, channel: Channel, language: str, content: TextContent) -> tuple[TextContent, Reason | None]:
        """An SMS text that some SMSC can write: as it is where one can; else in letters that it has, where the mode of
        the zone allows that; else in UCS-2. With it what the sender should know."""
        if not isinstance(content, SmsContent) or not self.alphabets or "gsm" in self.alphabets:
            return content, None
        ready = prepare(channel, language, content)
        if not isinstance(ready, SmsText) or any(write(ready, name).fit is Fit.WHOLE for name in self.alphabets):
            return content, None
        plain = adapted(ready.text, content.mode, self.alphabets)
        if plain is not None:
            lost = "".join(dict.fromkeys(c for c in ready.text if c not in plain))
            text = f"No SMSC of this gateway can write {lost}: the text goes out in letters that it has."
            return msgspec.structs.replace(content, text=plain), _letters(text, language)
        wide = msgspec.structs.replace(content, ucs2=True)
        units = prepare(channel, language, wide).units
        text = f"No SMSC of this gateway has all letters of this text: it goes out as UCS-2, in {units} segments."
        return wide, _letters(text, language)

    async def left_out(self, audience: Audience, contents: Mapping[tuple[Channel, str], Content]) -> tuple[Reason, ...]:
        """What no carrier takes, told by channel: a country that no contract covers, an address that no relay can
        write, a mail that is too large for each. Addresses are read only where every carrier chooses among them."""
        found = []
        for channel in audience.channels:
            count = 0
            deliveries = audience.deliveries[channel]
            for number, language in enumerate(audience.languages):
                content = contents.get((channel, language))
                if content is not None:
                    ids = deliveries.contact_id[np.flatnonzero(deliveries.language == number)]
                    count += await self._unfit(channel, content, ids)
            if count:
                text = f"{count} addresses of {channel} are taken by no carrier: these messages will fail."
                remedy = "Ask the operator for a carrier that covers them."
                found.append(Reason("CARRIER-NONE", text, level="warning", value=channel, remedy=remedy))
        return tuple(found)

    async def _unfit(self, channel: Channel, content: Content, contact_ids: Int64) -> int:
        carriers = self.carriers.get(channel, ())
        able = [x for c in carriers if (x := c.limits).chooses_by_address or x.fit("", content) is not Fit.NOT]
        if not carriers or not all(limits.chooses_by_address for limits in able):
            return 0
        if not able:
            return len(contact_ids)
        addresses = await self.addresses(contact_ids.tolist())
        return sum(all(limits.fit(address, content) is Fit.NOT for limits in able) for address in addresses)


def _letters(text: str, language: str) -> Reason:
    return Reason("SMS-LETTERS", text, level="warning", value=language)
