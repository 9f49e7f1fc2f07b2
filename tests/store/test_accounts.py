"""Accounts: one look-up gives all that the door needs; nobody takes over another's key."""

import pytest

from store.access.accounts import AccountRecord, KeyRecord, RightRow, find_key, put_account, revoke_key
from store.register.writing import RegisterTally, ZoneRecord, put_zone

KEY = KeyRecord("0123456789ab", "a" * 64)


def _account(code="cic", rights=(), keys=(KEY,), **more):
    defaults = {"name": "C", "type": "cic", "senders": "[]", "kind_rules": "[]"}
    return AccountRecord(code=code, rights=frozenset(rights), keys=tuple(keys), **(defaults | more))


async def _find(database, key_id=KEY.key_id):
    async with database.read() as conn:
        return await find_key(conn, key_id)


async def test_a_key_is_found_with_its_account_and_every_right(database):
    zone_id, _ = await database.write(lambda tx: put_zone(tx, ZoneRecord("5301", "Zone", 1, "{}")))
    rights = {RightRow("submit", zone_id, None), RightRow("read", None, None, "news", "email")}
    account_id, _ = await database.write(lambda tx: put_account(tx, _account(rights=rights)))

    key = await _find(database)

    assert (key.account_id, key.code, key.type, key.secret_sha256) == (account_id, "cic", "cic", "a" * 64)
    assert (key.revoked_ms, key.disabled_ms) == (None, None)
    assert set(key.rights) == rights


async def test_the_terms_of_its_senders_come_with_the_key_and_a_change_of_them_is_one(database):
    terms = '[{"sender":"a@example.org","signature":"require"}]'
    await database.write(lambda tx: put_account(tx, _account()))
    assert (await _find(database)).terms == "[]"

    _, tally = await database.write(lambda tx: put_account(tx, _account(terms=terms)))

    assert tally == RegisterTally(changed=1)
    assert (await _find(database)).terms == terms


async def test_a_key_without_rights_is_found_and_has_none(database):
    await database.write(lambda tx: put_account(tx, _account()))

    assert (await _find(database)).rights == ()


async def test_an_unknown_key_is_none(database):
    assert await _find(database, "nobody") is None


async def test_an_account_put_again_is_left_alone(database):
    record = _account(rights={RightRow("read", None, None)})
    await database.write(lambda tx: put_account(tx, record))

    _, tally = await database.write(lambda tx: put_account(tx, record))

    assert tally == RegisterTally(unchanged=1)


async def test_rights_become_exactly_those_of_the_record(database):
    await database.write(lambda tx: put_account(tx, _account(rights={RightRow("read", None, None)})))

    await database.write(lambda tx: put_account(tx, _account(rights={RightRow("stop", None, None)})))

    assert (await _find(database)).rights == (RightRow("stop", None, None),)


async def test_a_key_that_is_not_named_stays_and_one_with_a_new_secret_is_replaced(database):
    await database.write(lambda tx: put_account(tx, _account()))

    second = KeyRecord("second000000", "b" * 64)
    await database.write(lambda tx: put_account(tx, _account(keys=[second])))
    await database.write(lambda tx: put_account(tx, _account(keys=[KeyRecord(second.key_id, "c" * 64)])))

    assert (await _find(database)).secret_sha256 == "a" * 64
    assert (await _find(database, second.key_id)).secret_sha256 == "c" * 64


async def test_a_key_of_another_account_is_not_taken_over(database):
    await database.write(lambda tx: put_account(tx, _account()))

    with pytest.raises(ValueError, match="another account"):
        await database.write(lambda tx: put_account(tx, _account(code="thief")))

    assert (await _find(database)).code == "cic"


async def test_a_revoked_key_is_still_found_and_says_so(database):
    await database.write(lambda tx: put_account(tx, _account()))

    assert await database.write(lambda tx: revoke_key(tx, KEY.key_id))
    assert not await database.write(lambda tx: revoke_key(tx, KEY.key_id))

    assert (await _find(database)).revoked_ms is not None
