"""How much of a core the hashing of passwords may take while messages leave: a share of the seconds that have just
passed. Pure, time is an argument."""

from collections import deque
from dataclasses import dataclass, field


@dataclass(slots=True)
class HashBudget:
    """At most `share` of a core in any `window_s`: less than a twentieth, which is what the whole process may take.

    A piece of work that alone is more than that runs with nothing else around it, and is followed by as long a rest as
    it takes to be that share."""

    share: float = 0.045
    window_s: float = 10.0
    usual_s: float = 0.1
    """What a piece of work is thought to cost before the first was done."""
    _spent: deque[tuple[float, float]] = field(default_factory=deque, repr=False)
    """(when it ended, what it cost), in their order."""

    def wait_s(self, now_s: float) -> float:
        """Seconds after which another piece of work, of the cost of the last one, may begin; 0: now."""
        self._forget(now_s)
        most_s = self.share * self.window_s
        next_s = self._spent[-1][1] if self._spent else self.usual_s
        over_s = sum(cost_s for _, cost_s in self._spent) + next_s - most_s
        if not self._spent or over_s <= 0:
            return 0.0
        until_s = now_s
        for ended_s, cost_s in self._spent:
            until_s = ended_s + max(self.window_s, cost_s / self.share)
            over_s -= cost_s
            if over_s <= 0:
                break
        return max(0.0, until_s - now_s)

    def spend(self, now_s: float, cost_s: float) -> None:
        self._spent.append((now_s, cost_s))

    def _forget(self, now_s: float) -> None:
        while self._spent and self._is_over(*self._spent[0], now_s):
            self._spent.popleft()

    def _is_over(self, ended_s: float, cost_s: float, now_s: float) -> bool:
        return now_s >= ended_s + max(self.window_s, cost_s / self.share)
