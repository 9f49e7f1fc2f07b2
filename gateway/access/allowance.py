"""How many requests an account may make: so many a second, and some seconds' worth at once. Bounded memory; no I/O,
time is an argument."""

from collections import OrderedDict
from dataclasses import dataclass, field


@dataclass(slots=True)
class Allowance:
    """A token bucket for each account. With `per_s` 0 there is no limit."""

    per_s: float
    burst: float
    accounts: int = 4096
    """Remembered at most; beyond them the one that asked longest ago is forgotten, and has its burst again."""
    _left: OrderedDict[int, tuple[float, float]] = field(default_factory=OrderedDict, repr=False)
    """What was left, and when."""

    def take(self, account_id: int, now_s: float) -> float:
        """Takes one request; returns 0, or the seconds after which one more may be made, and takes nothing then."""
        if not self.per_s:
            return 0.0
        left, at_s = self._left.pop(account_id, (self.burst, now_s))
        left = min(self.burst, left + max(0.0, now_s - at_s) * self.per_s)
        wait_s = 0.0 if left >= 1.0 else (1.0 - left) / self.per_s
        self._left[account_id] = (left - 1.0 if not wait_s else left, now_s)
        if len(self._left) > self.accounts:
            self._left.popitem(last=False)
        return wait_s
