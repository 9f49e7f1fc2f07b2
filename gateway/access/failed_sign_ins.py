"""Sign-ins that failed, counted by the address they came from: a line of the audit an address and minute, however many
they are. Bounded memory; time is an argument."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from gateway.access.attempts import household

WINDOW_MS = 60_000
_MOST_ADDRESSES = 1_000
_MOST_ACCOUNTS = 20
ELSEWHERE = "elsewhere"
"""Addresses beyond those that are counted apart."""


class FailedSignIns(msgspec.Struct, frozen=True):
    """Of one address, in one window."""

    address: str
    since_ms: int
    failures: int
    accounts: tuple[str, ...]
    """Codes of accounts that there are, some of them."""


@dataclass(slots=True)
class _Counted:
    since_ms: int
    failures: int = 0
    accounts: dict[str, None] = field(default_factory=dict)


@dataclass(slots=True)
class FailureTally:
    total: int = 0
    """Since the start."""
    _open: dict[str, _Counted] = field(default_factory=dict, repr=False)

    def note(self, address: str, account: str, now_ms: int) -> None:
        """`account`: the code of one that there is, else empty."""
        self.total += 1
        key = household(address)
        if key not in self._open and len(self._open) >= _MOST_ADDRESSES:
            key = ELSEWHERE
        counted = self._open.setdefault(key, _Counted(now_ms))
        counted.failures += 1
        if account and len(counted.accounts) < _MOST_ACCOUNTS:
            counted.accounts[account] = None

    def take(self, now_ms: int, *, all_of_them: bool = False) -> list[FailedSignIns]:
        """Those whose window is over, or all; they are counted anew."""
        over = [key for key, one in self._open.items() if all_of_them or now_ms - one.since_ms >= WINDOW_MS]
        return [_told(key, self._open.pop(key)) for key in over]

    def give_back(self, taken: Iterable[FailedSignIns]) -> None:
        """Those that could not be written down."""
        for one in taken:
            counted = self._open.setdefault(one.address, _Counted(one.since_ms))
            counted.failures += one.failures
            counted.accounts |= dict.fromkeys(one.accounts)


def _told(address: str, one: _Counted) -> FailedSignIns:
    return FailedSignIns(address, one.since_ms, one.failures, tuple(one.accounts))
