"""An API key: who is asking, quickly; and nothing for those who guess."""

import asyncio
import itertools

import pytest

from gateway.access.attempts import Failures
from gateway.access.keys import KEY, Keyring, Stranger, TooManyFailures, hashed, keys_of, new_key
from gateway.directory.senders import KindRule, write_kind_rules
from gateway.kinds import Kind
from store.access import accounts
from store.access.accounts import AccountRecord, KeyRecord, KeyRow, RightRow
from store.engine.database import Database
from store.errors import store_is_away

SECRET = "s3cretS3cretS3cretS3cret_-x"
GOOD = f"Bearer tocsin_ab12_{SECRET}"
PEER = "192.0.2.1"


class Book:
    """The keys of a test, counting how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.rows = {"ab12": a_key()}

    async def find(self, key_id: str) -> KeyRow | None:
        self.asked += 1
        await asyncio.sleep(0)  # others have their turn meanwhile, as with a store
        return self.rows.get(key_id)


def a_key(**changes: object) -> KeyRow:
    values: dict[str, object] = {
        "key_id": "ab12", "secret_sha256": hashed(SECRET), "revoked_ms": None, "account_id": 7, "code": "cic",
        "name": "CIC", "type": "cic", "senders": '["cic@example.org"]', "kind_rules": "[]", "disabled_ms": None,
        "rights": (RightRow("submit", 1, None),),
    }  # fmt: skip
    return KeyRow(**(values | changes))  # type: ignore[arg-type]


class Watch:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def book() -> Book:
    return Book()


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def keyring(book: Book, watch: Watch) -> Keyring:
    return Keyring(book.find, now_s=watch)


async def test_a_good_key_is_its_account_with_its_rights(keyring: Keyring):
    caller = await keyring.caller(GOOD, PEER)

    assert (caller.account_id, caller.code, caller.senders) == (7, "cic", ("cic@example.org",))
    assert caller.may_in("submit", 1)
    assert not caller.may_in("submit", 2)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Basic dXNlcjpwYXNz",
        "Bearer tocsin_ab12",
        "Bearer tocsin_ab12_short",
        f"Bearer tocsin_ab12_{SECRET}x",
        f"Bearer tocsin_nobody_{SECRET}",
        f"Bearer tocsin_ab12_{'é' * 20}",
        f"Bearer tocsin_{'a' * 9000}_{SECRET}",
        "Bearer tocsin_ab12_" + "a" * 9000,
    ],
)
async def test_anything_else_is_refused_in_the_same_words(keyring: Keyring, header: str):
    with pytest.raises(Stranger) as refused:
        await keyring.caller(header, PEER)

    assert (refused.value.status, refused.value.code) == (401, "bad-key")
    assert 'error="invalid_token"' in refused.value.challenge


async def test_no_key_at_all_is_a_challenge_and_no_failed_attempt(keyring: Keyring):
    for _ in range(50):
        with pytest.raises(Stranger) as refused:
            await keyring.caller(None, PEER)
    assert refused.value.code == "no-key"
    assert await keyring.caller(GOOD, PEER)


@pytest.mark.parametrize("changes", [{"revoked_ms": 1}, {"disabled_ms": 1}])
async def test_a_revoked_key_and_a_disabled_account_are_refused(keyring: Keyring, book: Book, changes: dict[str, int]):
    book.rows["ab12"] = a_key(**changes)

    with pytest.raises(Stranger):
        await keyring.caller(GOOD, PEER)


async def test_a_key_is_looked_up_once_in_five_seconds(keyring: Keyring, book: Book, watch: Watch):
    for _ in range(100):
        await keyring.caller(GOOD, PEER)
    assert book.asked == 1

    watch.now_s += 5.0
    await keyring.caller(GOOD, PEER)
    assert book.asked == 2


async def test_a_revocation_bites_within_five_seconds(keyring: Keyring, book: Book, watch: Watch):
    await keyring.caller(GOOD, PEER)
    book.rows["ab12"] = a_key(revoked_ms=1)

    watch.now_s += 5.0
    with pytest.raises(Stranger):
        await keyring.caller(GOOD, PEER)
    with pytest.raises(Stranger):
        await keyring.caller(GOOD, PEER)


async def test_a_wrong_secret_for_a_remembered_key_is_refused(keyring: Keyring):
    await keyring.caller(GOOD, PEER)

    with pytest.raises(Stranger):
        await keyring.caller(GOOD + "x", PEER)
    assert await keyring.caller(GOOD, PEER)


async def test_who_fails_too_often_waits(keyring: Keyring, watch: Watch):
    for _ in range(20):
        with pytest.raises(Stranger):
            await keyring.caller(f"Bearer tocsin_zz_{SECRET}", PEER)

    with pytest.raises(TooManyFailures) as refused:
        await keyring.caller(f"Bearer tocsin_zz_{SECRET}", PEER)

    assert refused.value.status == 429
    assert 0 < refused.value.retry_after_s <= 60
    assert await keyring.caller(GOOD, "192.0.2.2")
    watch.now_s += 60
    assert await keyring.caller(GOOD, PEER)


async def test_a_dispatch_centre_is_not_locked_out_by_who_guesses_behind_the_same_proxy(keyring: Keyring, watch: Watch):
    await keyring.caller(GOOD, PEER)
    for _ in range(20):
        with pytest.raises(Stranger):
            await keyring.caller(f"Bearer tocsin_zz_{SECRET}", PEER)

    watch.now_s += 6
    assert await keyring.caller(GOOD, PEER)


async def test_a_good_key_is_let_in_after_a_restart_whatever_was_guessed_from_its_address(keyring: Keyring):
    for _ in range(20):
        with pytest.raises(Stranger):
            await keyring.caller(f"Bearer tocsin_zz_{SECRET}", PEER)

    assert await keyring.caller(GOOD, PEER)


def test_the_memory_of_failures_is_bounded_and_a_whole_ipv6_network_is_one_address():
    failures = Failures(most=3, addresses=10)
    for n in range(1000):
        failures.note(f"10.0.{n // 256}.{n % 256}", 1.0)
    assert len(failures._counted) == 10

    for host in range(3):
        failures.note(f"2001:db8::{host}", 1.0)
    assert failures.wait_s("2001:db8::ffff", 1.0) > 0
    assert failures.wait_s("2001:db8:0:1::1", 1.0) == 0


async def test_the_memory_of_keys_is_bounded(book: Book, watch: Watch):
    keyring = Keyring(book.find, now_s=watch, most_kept=3)
    for n in range(10):
        book.rows[f"k{n}"] = a_key(key_id=f"k{n}")
        await keyring.caller(f"Bearer tocsin_k{n}_{SECRET}", PEER)

    assert len(keyring._kept) == 3


async def test_neither_a_secret_nor_its_hash_is_in_a_repr(keyring: Keyring):
    await keyring.caller(GOOD, PEER)

    assert SECRET not in repr(keyring)
    assert hashed(SECRET) not in repr(keyring)


async def test_the_store_knows_keys_accounts_and_rights(database: Database):
    rules = write_kind_rules((KindRule(Kind.ALERT, urgency=("Immediate",)),))
    ids = itertools.count()
    record = AccountRecord(
        "cic", "CIC", "cic", '["cic@example.org"]', rules,
        frozenset({RightRow("read", None, None), RightRow("submit", None, None, "alert", "sms")}),
        (KeyRecord("ab12", hashed(SECRET)),),
    )  # fmt: skip
    await database.write(lambda tx: accounts.put_account(tx, record))
    keyring = Keyring(keys_of(database), now_s=lambda: 10.0 * next(ids))

    caller = await keyring.caller(GOOD, PEER)
    assert caller.zone_ids("read") is None
    assert caller.channels("submit", 3, "alert", "live") == {"sms"}
    assert caller.kind_rules[0].kind is Kind.ALERT

    await database.write(lambda tx: accounts.revoke_key(tx, "ab12"))
    with pytest.raises(Stranger):
        await keyring.caller(GOOD, PEER)


# ---- what goes on: a stream asks whether its key is still good ------------------------------------------------------


async def test_a_thousand_who_ask_at_once_whether_a_key_is_still_good_cost_one_look_up(
    keyring: Keyring, book: Book, watch: Watch
):
    for turn in range(1, 4):
        callers = await asyncio.gather(*(keyring.still(GOOD) for _ in range(1000)))
        assert {caller.code for caller in callers if caller is not None} == {"cic"}
        assert None not in callers
        assert book.asked == turn
        watch.now_s += 4.5


async def test_a_key_that_is_still_good_is_looked_up_before_its_life_is_over(
    keyring: Keyring, book: Book, watch: Watch
):
    await keyring.caller(GOOD, PEER)
    watch.now_s += 3.9
    book.rows["ab12"] = a_key(rights=())
    before = await keyring.still(GOOD)
    watch.now_s += 0.2
    after = await keyring.still(GOOD)

    assert before is not None
    assert after is not None
    assert before.may_in("submit", 1)
    assert not after.may_in("submit", 1)


@pytest.mark.parametrize("changes", [{"revoked_ms": 1}, {"disabled_ms": 1}, {"expires_ms": 1}])
async def test_a_key_that_is_good_no_more_is_no_failed_attempt_of_its_stream(
    keyring: Keyring, book: Book, watch: Watch, changes: dict[str, int]
):
    await keyring.caller(GOOD, PEER)
    book.rows["ab12"] = a_key(**changes)
    watch.now_s += 4.5

    assert [await keyring.still(GOOD) for _ in range(50)] == [None] * 50
    assert keyring.failures.wait_s(PEER, watch.now_s) == 0


@pytest.mark.parametrize("header", ["", "Bearer tocsin_ab12", f"Bearer tocsin_ab12_{SECRET}x"])
async def test_what_never_was_a_key_is_not_still_good(keyring: Keyring, header: str):
    assert await keyring.still(header) is None


async def test_a_store_that_is_away_is_not_asked_again_by_every_stream(watch: Watch):
    asked = 0

    async def find(key_id: str) -> KeyRow | None:
        nonlocal asked
        asked += 1
        raise ConnectionRefusedError("the database")

    keyring = Keyring(find, now_s=watch)
    told = await asyncio.gather(*(keyring.still(GOOD) for _ in range(1000)), return_exceptions=True)

    assert all(isinstance(one, Exception) and store_is_away(one) for one in told)
    assert asked == 1


# ---- keys that only simulate ---------------------------------------------------------------------------------------


async def test_a_test_key_has_no_right_to_anything_live_whatever_its_account_has(book: Book, watch: Watch):
    rights = (
        RightRow("launch", 1, None),
        RightRow("launch", 2, None, mode="live"),
        RightRow("read", None, None, "news", "sms", "simulation"),
    )
    book.rows = {"test-ab12": a_key(key_id="test-ab12", rights=rights)}

    caller = await Keyring(book.find, now_s=watch).caller(f"Bearer tocsin_test-ab12_{SECRET}", PEER)

    assert caller.simulates_only
    assert {right.mode for right in caller.rights} == {"simulation"}
    assert caller.reach("launch", 1, "news", "sms", "simulation") is None
    assert caller.reach("launch", 1, "news", "sms", "live") == frozenset()
    assert not caller.may_in("launch", 2)
    assert caller.whole_zones("launch") == frozenset()


@pytest.mark.parametrize("test", [True, False])
def test_a_new_key_is_presented_as_it_is_kept(test: bool):
    made = new_key(test=test)
    found = KEY.fullmatch(made.token)

    assert found is not None
    assert (found[1], hashed(found[2])) == (made.key_id, made.secret_sha256)
    assert made.token.startswith("tocsin_test-") is test
    assert made.key_id.startswith("test-") is test


@pytest.mark.parametrize("changes", [{"joined_ms": None}, {"ended_ms": 1}, {"disabled_ms": 1}])
async def test_a_key_of_an_account_that_may_not_come_in_is_not_good(
    book: Book, watch: Watch, changes: dict[str, object]
):
    book.rows = {"ab12": a_key(**changes)}

    with pytest.raises(Stranger):
        await Keyring(book.find, now_s=watch).caller(GOOD, PEER)
