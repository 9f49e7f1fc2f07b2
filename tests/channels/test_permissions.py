"""The alarm that tells when permissions to send have ended, however often they are moved on."""

import asyncio

from channels.contract import Permission
from channels.permissions import Ends, has_ended
from tests.channels.conformance import now, until
from tests.channels.loops import on_both_loops


class Watch:
    """Permissions that something waits under, and those found to have ended."""

    def __init__(self) -> None:
        self.waiting: list[Permission] = []
        self.ended: list[Permission] = []
        self.looks = 0
        self.ends = Ends(self.look)

    def put(self, permission: Permission) -> None:
        self.waiting.append(permission)
        self.ends.watch(permission)

    def look(self, at: float) -> float:
        self.looks += 1
        self.ended += [permission for permission in self.waiting if has_ended(permission, at)]
        self.waiting = [permission for permission in self.waiting if not has_ended(permission, at)]
        return min((permission.not_after for permission in self.waiting), default=float("inf"))


def test_no_permission_never_ends_and_the_instant_itself_is_too_late() -> None:
    assert not has_ended(None, 1e12)
    assert not has_ended(Permission(10.0), 9.99)
    assert has_ended(Permission(10.0), 10.0)


@on_both_loops
async def test_each_permission_is_found_when_it_ends_in_whatever_order_they_came() -> None:
    watch = Watch()
    late, early = Permission(now() + 0.2), Permission(now() + 0.05)
    watch.put(late)
    watch.put(early)

    await until(lambda: watch.ended)
    assert watch.ended == [early]
    assert now() >= early.not_after
    await until(lambda: len(watch.ended) == 2)
    assert now() >= late.not_after


@on_both_loops
async def test_a_permission_that_is_moved_on_ends_later_and_is_looked_at_seldom() -> None:
    watch = Watch()
    permission = Permission(now() + 0.1)
    watch.put(permission)
    began = now()
    for _ in range(20):
        permission.renew(now() + 0.1)
        watch.ends.watch(permission)
        await asyncio.sleep(0.01)

    await until(lambda: watch.ended)
    assert now() - began > 0.25
    assert watch.looks < 10


@on_both_loops
async def test_nothing_rings_once_it_is_closed() -> None:
    watch = Watch()
    watch.put(Permission(now() + 0.02))
    watch.ends.watch(None)
    watch.ends.close()
    await asyncio.sleep(0.06)

    assert watch.looks == 0
