"""Which public alerts are in force at an instant, and until when that stays so. Pure; time is an argument."""

from dataclasses import dataclass

import cap

_FOREVER_MS = 1 << 62


@dataclass(frozen=True, slots=True)
class Item:
    """One alert in force."""

    id: int
    public_id: str
    alert: cap.Alert | None
    """None for what cannot be read: only its own address has it."""
    document: bytes
    etag: str
    published_ms: int
    expires_ms: int | None
    ends: cap.Alert | None = None
    """Of a Cancel: the published alert that it ends."""


@dataclass(frozen=True, slots=True)
class View:
    """The feed from one instant until the next at which something of it expires."""

    revision: int
    items: tuple[Item, ...]
    """Newest first."""
    in_force: int
    """With those that are too many to be in `items`."""
    changed_ms: int
    """When it last came to be otherwise, UTC; 0: never."""
    at_ms: int
    until_ms: int
    by_id: dict[str, Item]

    @classmethod
    def of(cls, revision: int, items: tuple[Item, ...], in_force: int, changed_ms: int, now_ms: int) -> "View":
        instants = [at_ms for item in items for at_ms in _expiries(item)]
        past = [at_ms for at_ms in instants if at_ms <= now_ms]
        return cls(
            revision=revision,
            items=items,
            in_force=in_force,
            changed_ms=max([changed_ms, *past]),
            at_ms=now_ms,
            until_ms=min((at_ms for at_ms in instants if at_ms > now_ms), default=_FOREVER_MS),
            by_id={item.public_id: item for item in items},
        )

    def at(self, now_ms: int) -> "View":
        """The view at a later instant: itself while nothing has expired."""
        if now_ms < self.until_ms:
            return self
        left = tuple(item for item in self.items if item.expires_ms is None or item.expires_ms > now_ms)
        gone = [item.expires_ms for item in self.items if item.expires_ms is not None and item.expires_ms <= now_ms]
        changed_ms = max([self.changed_ms, *gone])
        return View.of(self.revision, left, self.in_force - len(gone), changed_ms, now_ms)


def _expiries(item: Item) -> list[int]:
    found = [round(i.expires.timestamp() * 1000) for i in item.alert.infos if i.expires] if item.alert else []
    return found if item.expires_ms is None else [*found, item.expires_ms]
