"""How many failed attempts an address has made of late. Bounded memory; no I/O, time is an argument."""

import ipaddress
from collections import OrderedDict
from dataclasses import dataclass, field


@dataclass(slots=True)
class Failures:
    """At most `most` failures an address within `window_s`; then it waits for the window to end."""

    most: int = 20
    window_s: float = 60.0
    addresses: int = 4096
    """Remembered at most; beyond them the one that failed longest ago is forgotten."""
    _counted: OrderedDict[str, tuple[float, int]] = field(default_factory=OrderedDict, repr=False)

    def note(self, address: str, now_s: float) -> None:
        key = household(address)
        since, n = self._counted.pop(key, (now_s, 0))
        if now_s - since >= self.window_s:
            since, n = now_s, 0
        self._counted[key] = (since, n + 1)
        while len(self._counted) > self.addresses:
            self._counted.popitem(last=False)

    def forgive(self, address: str) -> None:
        """What was noted beforehand did not fail after all."""
        key = household(address)
        since, n = self._counted.get(key, (0.0, 0))
        if n:
            self._counted[key] = (since, n - 1)

    def wait_s(self, address: str, now_s: float) -> float:
        """Seconds that this address has to wait; 0 when it may try."""
        since, n = self._counted.get(household(address), (now_s, 0))
        left = since + self.window_s - now_s
        return left if n >= self.most and left > 0 else 0.0


def household(address: str) -> str:
    """Who counts as one: one IPv6 customer has a /64 and all its addresses: they count as one."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 4 or parsed.ipv4_mapped:
        return address
    return str(ipaddress.ip_network((parsed, 64), strict=False))
