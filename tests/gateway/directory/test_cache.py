"""The snapshots in memory: what was committed before the call is in what it gives."""

import asyncio
import itertools

import pytest

from gateway.directory.cache import SnapshotCache
from store.register import MemberRecord, ZoneRecord, put_members, put_zone

_numbers = itertools.count(1)


async def _zone(database, code="5301", members=1):
    zone_id, _ = await database.write(lambda tx: put_zone(tx, ZoneRecord(code, "Zone", 1, "{}")))
    await _join(database, zone_id, *map(str, range(members)))
    return zone_id


async def _join(database, zone_id, *references):
    people = [MemberRecord(reference, "Someone", "nl") for reference in references]
    await database.write(lambda tx: put_members(tx, zone_id, people, lambda: f"p{next(_numbers)}"))


async def test_a_snapshot_is_kept_while_the_register_stands_still(database):
    cache, zone_id = SnapshotCache(database.read), await _zone(database)

    assert await cache.get(zone_id) is await cache.get(zone_id)


async def test_whoever_joined_before_the_call_is_in_the_snapshot(database):
    cache, zone_id = SnapshotCache(database.read), await _zone(database)
    before = await cache.get(zone_id)

    await _join(database, zone_id, "new")
    after = await cache.get(zone_id)

    assert (len(before), len(after)) == (1, 2)
    assert after.revision == before.revision + 1


async def test_many_who_ask_at_once_share_one_load(database):
    cache, zone_id = SnapshotCache(database.read), await _zone(database)

    found = await asyncio.gather(*(cache.get(zone_id) for _ in range(8)))

    assert len(set(map(id, found))) == 1


async def test_a_zone_that_does_not_exist_is_none(database):
    assert await SnapshotCache(database.read).get(99) is None


async def test_the_zones_used_longest_ago_are_dropped_beyond_the_bound(database):
    cache = SnapshotCache(database.read, max_members=5)
    one, two, three = [await _zone(database, code, members=2) for code in ("5301", "5302", "5303")]
    first, second = await cache.get(one), await cache.get(two)
    await cache.get(one)

    await cache.get(three)

    assert await cache.get(one) is first
    assert await cache.get(two) is not second


async def test_a_zone_larger_than_the_bound_is_still_served(database):
    cache = SnapshotCache(database.read, max_members=1)
    zone_id = await _zone(database, members=3)

    assert await cache.get(zone_id) is await cache.get(zone_id)


@pytest.mark.parametrize("members", [0, 1])
async def test_an_empty_zone_has_a_snapshot(database, members):
    cache, zone_id = SnapshotCache(database.read), await _zone(database, members=members)

    assert len(await cache.get(zone_id)) == members
