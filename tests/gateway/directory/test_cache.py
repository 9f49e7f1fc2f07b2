"""The snapshots in memory: what was committed before the call is in what it gives."""

import asyncio
import itertools

import pytest
import sqlalchemy as sa

from gateway.directory.cache import SnapshotCache
from gateway.directory.opt_outs import KIND_BITS
from gateway.kinds import Kind
from store.register.opt_outs import OptOut, add_opt_outs, end_opt_outs
from store.register.writing import (
    ContactRecord,
    MemberRecord,
    NetworkRecord,
    ZoneRecord,
    put_members,
    put_network,
    put_zone,
    remove_members,
)
from store.tables import address
from tests.gateway.directory.test_renewal import seen

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


async def test_an_opt_out_that_was_committed_before_the_call_counts(database):
    cache, zone_id = SnapshotCache(database.read), await _zone(database, members=3)
    await cache.get(zone_id)

    wanted = MemberRecord("1", "Someone", "nl", opt_outs="news")
    await database.write(lambda tx: put_members(tx, zone_id, [wanted], lambda: "never"))

    assert (await cache.get(zone_id)).opt_outs.tolist() == [0, KIND_BITS[Kind.NEWS], 0]


async def test_every_way_of_saying_and_taking_back_is_in_the_next_snapshot_as_in_a_whole_read(database):
    cache, zone_id = SnapshotCache(database.read), await _zone(database, members=0)
    network_id, _ = await database.write(lambda tx: put_network(tx, zone_id, NetworkRecord("N", "Net", None)))
    shared, own = ContactRecord("mobile", "+32470000001"), ContactRecord("mobile", "+32470000002")
    people = [
        MemberRecord("1", "An", "nl", contacts=(shared, own), networks=frozenset({(network_id, "member")})),
        MemberRecord("2", "Bart", "nl", contacts=(shared,)),
    ]
    await database.write(lambda tx: put_members(tx, zone_id, people, lambda: f"p{next(_numbers)}"))
    async with database.read() as conn:
        addresses = {row.value: row.id for row in await conn.execute(sa.select(address))}
    member_id = int((await cache.get(zone_id)).member_id[0])
    said = (
        OptOut("news", member_id=member_id),
        OptOut("*", "voice", member_id=member_id),
        OptOut("info", member_id=member_id, network_id=network_id),
        OptOut("news", "sms", address_id=addresses["+32470000001"]),
        OptOut("*", address_id=addresses["+32470000002"]),
    )

    for change in (add_opt_outs, end_opt_outs):
        for one in said:
            before = await cache.get(zone_id)
            assert await database.write(lambda tx, c=change, o=one: c(tx, zone_id, [o], "click")) == 1

            whole, renewed = await SnapshotCache(database.read).get(zone_id), await cache.get(zone_id)
            assert seen(renewed) == seen(whole) != seen(before)
            assert renewed.networks.territories is before.networks.territories
    assert not any(best.detours for best in renewed.best.values())


async def test_whoever_left_before_the_call_is_not_in_the_snapshot(database):
    cache, zone_id = SnapshotCache(database.read), await _zone(database, members=3)
    before = await cache.get(zone_id)

    await database.write(lambda tx: remove_members(tx, zone_id, ["0"]))

    assert (await cache.get(zone_id)).member_id.tolist() == before.member_id.tolist()[1:]


async def test_a_change_of_one_member_does_not_read_the_networks_of_the_zone_again(database):
    cache, zone_id = SnapshotCache(database.read), await _zone(database)
    await database.write(lambda tx: put_network(tx, zone_id, NetworkRecord("N", "Net", None)))
    before = await cache.get(zone_id)

    await _join(database, zone_id, "new")
    after = await cache.get(zone_id)

    assert after.networks.territories is before.networks.territories
    assert len(after) == 2


async def test_what_is_asked_for_during_an_import_is_what_was_committed_so_far(database):
    cache, zone_id, done = SnapshotCache(database.read), await _zone(database, members=0), asyncio.Event()
    written = 0

    async def write() -> None:
        nonlocal written
        for turn in range(30):
            people = [
                MemberRecord(
                    str(n), f"Turn {turn}", "nl", contacts=(ContactRecord("mobile", f"+3247000{turn % 4}{n}"),)
                )
                for n in range(turn % 3, turn % 3 + 6)
            ]
            await database.write(lambda tx, some=people: put_members(tx, zone_id, some, lambda: f"p{next(_numbers)}"))
            written += 1
        done.set()

    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        tasks.create_task(write())
        while not done.is_set():
            least = written
            assert (await cache.get(zone_id)).revision >= least

    whole = await SnapshotCache(database.read).get(zone_id)
    assert seen(await cache.get(zone_id)) == seen(whole)


async def test_zones_are_loaded_and_brought_up_to_date_before_anybody_asks(database):
    cache, zone_ids = SnapshotCache(database.read), [await _zone(database, code) for code in ("5301", "5302")]

    while await cache.keep_ready():
        pass
    before = [cache.peek(zone_id) for zone_id in zone_ids]
    await _join(database, zone_ids[0], "new")
    await cache.keep_ready()

    assert [len(snapshot) for snapshot in before] == [1, 1]
    assert [len(cache.peek(zone_id)) for zone_id in zone_ids] == [2, 1]


async def test_no_zone_is_loaded_ahead_of_need_beyond_the_bound(database):
    cache = SnapshotCache(database.read, max_members=3)
    small, large = await _zone(database, "5301", members=2), await _zone(database, "5302", members=2)

    while await cache.keep_ready():
        pass

    assert (len(cache.peek(small)), cache.peek(large)) == (2, None)
