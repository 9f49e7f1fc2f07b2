"""Refused documents: kept once an account and body, counted when they come again, and within bounds."""

import zlib

from store.campaigns import refused_documents
from store.campaigns.refused_documents import NewRefused, RefusedQuota, forget, keep, latest, pack
from tests.store.makers import an_account

WIDE = RefusedQuota(1_000, 10_000_000)


def refused(account_id, name, at_ms=1_000, *, body=None, sender="cic@x.example", code="invalid-cap", status=422):
    body = name.encode() if body is None else body
    return NewRefused(
        public_id=f"{account_id}-{name}-{at_ms}",
        account_id=account_id,
        sender=sender,
        identifier=name,
        at_ms=at_ms,
        status=status,
        code=code,
        title="The alert breaks rules.",
        problems='[{"rule":"XSD","text":"x"}]',
        sha256=name,
        size=len(body),
        document=pack(body),
    )


async def put(database, *new, keeping=WIDE):
    await database.write(lambda tx: keep(tx, new, keeping))


async def listed(database, **wanted):
    async with database.read() as conn:
        return await latest(conn, **wanted)


async def test_what_is_kept_comes_back_with_its_bytes_the_latest_first(database):
    account_id = await an_account(database)
    await put(database, refused(account_id, "a", 1_000, body=b"\x00<a/>\xff"), refused(account_id, "b", 2_000))

    second, first = await listed(database)

    assert (first.identifier, first.first_ms, first.times, first.status, first.size) == ("a", 1_000, 1, 422, 6)
    assert (second.identifier, second.problems) == ("b", '[{"rule":"XSD","text":"x"}]')
    async with database.read() as conn:
        assert await refused_documents.body_of(conn, first.id) == b"\x00<a/>\xff"
        assert await refused_documents.body_of(conn, 999_999) is None
        assert await refused_documents.by_public_id(conn, first.public_id) == first


async def test_the_same_bytes_again_are_counted_and_have_the_verdict_of_the_last_time(database):
    account_id = await an_account(database)
    await put(database, refused(account_id, "a", 1_000))
    await put(database, refused(account_id, "a", 5_000, code="identifier-taken", status=409))

    (kept,) = await listed(database)

    assert (kept.times, kept.first_ms, kept.last_ms) == (2, 1_000, 5_000)
    assert (kept.code, kept.status, kept.public_id) == ("identifier-taken", 409, f"{account_id}-a-1000")


async def test_of_each_account_only_so_many_and_so_much_are_kept(database):
    one, other = await an_account(database), await an_account(database)
    await put(
        database,
        *(refused(one, str(n), n) for n in range(10)),
        refused(other, "theirs", 0),
        keeping=RefusedQuota(3, 10_000),
    )

    assert [kept.identifier for kept in await listed(database, account_id=one)] == ["9", "8", "7"]
    assert [kept.identifier for kept in await listed(database, account_id=other)] == ["theirs"]

    noise = [zlib.crc32(bytes([n])).to_bytes(4, "big") * 1 for n in range(4)]
    await put(database, *(refused(one, f"n{n}", 20 + n, body=noise[n]) for n in range(4)), keeping=RefusedQuota(9, 30))
    assert [kept.identifier for kept in await listed(database, account_id=one)] == ["n3", "n2"]


async def test_a_document_larger_than_all_that_may_be_kept_is_the_only_one(database):
    account_id = await an_account(database)
    await put(database, refused(account_id, "a", 1), refused(account_id, "b", 2), keeping=RefusedQuota(9, 1))

    assert [kept.identifier for kept in await listed(database)] == ["b"]


async def test_pages_and_filters_show_each_once(database):
    one, other = await an_account(database), await an_account(database)
    await put(database, *(refused(one, f"{n}", 1_000 + n // 2) for n in range(7)), refused(other, "x", sender="else@y"))

    seen, last = [], None
    while page := await listed(database, account_id=one, before=last, most=2):
        seen += [kept.identifier for kept in page]
        last = page[-1]

    assert seen == ["6", "5", "4", "3", "2", "1", "0"]
    assert [kept.identifier for kept in await listed(database, sender="else@y")] == ["x"]
    assert len(await listed(database, since_ms=1_002)) == 3


async def test_what_has_not_come_for_long_is_forgotten(database):
    account_id = await an_account(database)
    await put(database, refused(account_id, "old", 1_000), refused(account_id, "again", 1_000))
    await put(database, refused(account_id, "again", 9_000))

    async with database.read() as conn:
        assert await refused_documents.any_before(conn, 5_000)
    assert await database.write(lambda tx: forget(tx, 5_000)) == 1
    assert [kept.identifier for kept in await listed(database)] == ["again"]
    async with database.read() as conn:
        assert not await refused_documents.any_before(conn, 5_000)
