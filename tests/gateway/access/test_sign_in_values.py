"""The pure parts of signing in: whose page it is, what is enough, seals, codes, failures that are counted."""

import base64
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.access import failed_sign_ins, second_factor, totp
from gateway.access.failed_sign_ins import FailureTally
from gateway.access.passwords import NOBODYS, hash_of, is_right
from gateway.access.sealed_secret import BrokenSeal, seal, unseal
from gateway.access.sign_in_desk import recovery_sha256
from gateway.access.sign_in_site import sign_in_site
from gateway.settings import ServerSettings

KEY, OTHER = b"k" * 32, b"o" * 32


@pytest.mark.parametrize(
    ("told", "origin", "own"),
    [
        ("https://a.example", "https://a.example", True),
        ("https://a.example/", "https://A.example:443", True),
        ("https://a.example:8443/x", "https://a.example:8443", True),
        ("https://a.example", "https://a.example:8443", False),
        ("https://a.example", "http://a.example", False),
        ("https://a.example", "https://b.a.example", False),
        ("https://a.example", "https://a.example.evil.example", False),
        ("https://a.example", "https://a.example@evil.example", False),
        ("https://a.example", "https://evil.example/https://a.example", False),
        ("https://a.example", "null", False),
        ("https://a.example", "https://a.example:port", False),
        ("https://a.example", "", False),
        ("", "http://localhost:8080", True),
        ("", "http://127.0.0.1:9", True),
        ("", "https://localhost", False),
        ("", "http://localhost.evil.example", False),
    ],
)
def test_an_origin_is_this_sites_in_all_its_parts(told: str, origin: str, own: bool):
    assert sign_in_site(ServerSettings(public_url=told)).is_own(origin) is own


@pytest.mark.parametrize(
    ("server", "is_open", "cookie"),
    [
        (ServerSettings(), True, "tocsin"),
        (ServerSettings(public_url="https://a.example"), True, "__Host-tocsin"),
        (ServerSettings(tls_certificate="c", tls_key="k", host="0.0.0.0"), True, "__Host-tocsin"),
        (ServerSettings(public_url="http://a.example"), False, "tocsin"),
        (ServerSettings(host="192.0.2.1"), False, "tocsin"),
        (ServerSettings(public_url="http://localhost:8080"), True, "tocsin"),
    ],
)
def test_plain_http_is_for_this_machine_alone(server: ServerSettings, is_open: bool, cookie: str):
    site = sign_in_site(server)

    assert (site.is_open, site.cookie) == (is_open, cookie)


@pytest.mark.parametrize(
    ("factors", "actions", "enough"),
    [
        (("passkey",), {"launch"}, True),
        (("password", "totp"), {"operate"}, True),
        (("password", "recovery"), {"launch"}, True),
        (("password",), {"read"}, True),
        (("password",), set(), True),
        (("password",), {"read", "launch"}, False),
        (("password",), {"audit"}, False),
        (("password",), {"something new"}, False),
        (("invitation",), {"read"}, False),
        ((), set(), False),
    ],
)
def test_whoever_may_do_more_than_read_shows_more_than_a_password(
    factors: tuple[str, ...], actions: set[str], enough: bool
):
    assert second_factor.is_enough(factors, actions) is enough


@given(st.binary(min_size=1, max_size=64))
def test_a_seal_is_opened_under_its_key_for_its_owner_alone(secret: bytes):
    sealed = seal(KEY, "totp 1", secret)

    assert unseal(KEY, "totp 1", sealed) == secret
    for key, owner, text in (
        (OTHER, "totp 1", sealed),
        (KEY, "totp 2", sealed),
        (KEY, "totp 1", sealed[:-8] + "AAAAAAA="),
    ):
        with pytest.raises(BrokenSeal):
            unseal(key, owner, text)


def test_codes_are_those_of_the_standard():
    """RFC 6238, appendix B, the last six digits."""
    secret = b"12345678901234567890"
    for at_s, code in ((59, "287082"), (1111111109, "081804"), (1234567890, "005924"), (20000000000, "353130")):
        assert totp.step_of(secret, code, at_s * 1000) == at_s // 30
    assert base64.b32decode(totp.shown(secret)) == secret


@given(st.integers(10**9, 4 * 10**9), st.integers(-40, 40))
def test_every_clock_up_to_forty_seconds_off_works_at_every_instant(now_s: int, off_s: int):
    import pyotp

    secret = b"12345678901234567890"
    code = pyotp.TOTP(totp.shown(secret)).generate_otp((now_s + off_s) // 30)

    assert totp.step_of(secret, code, now_s * 1000) is not None


def test_a_password_is_right_however_a_keyboard_composes_it_and_none_is_right_for_nobody():
    hash_ = hash_of("cafe\u0301 sous la pluie")

    assert is_right(hash_, "caf\u00e9 sous la pluie")
    assert not is_right(hash_, "cafe sous la pluie")
    assert not is_right("", "cafe sous la pluie")


def test_what_is_compared_for_nobody_costs_what_a_hash_of_somebody_does():
    assert NOBODYS.rsplit("$", 2)[0] == hash_of("kaars gitaar vijver tram").rsplit("$", 2)[0]


@pytest.mark.parametrize("typed", ["ABCD-EFGH-JKLM-NPQR", "abcd efgh jklm npqr", "ABCDEFGHJKLMNPQR"])
def test_a_recovery_code_is_the_same_however_it_is_typed(typed: str):
    assert recovery_sha256(typed) == recovery_sha256("ABCDEFGHJKLMNPQR")


# ---- failures ------------------------------------------------------------------------------------------------------

EVENTS = st.lists(st.tuples(st.integers(0, 30), st.sampled_from(["", "a", "b"]), st.integers(0, 5_000)), max_size=200)


@given(EVENTS)
def test_each_failure_is_told_once_in_a_line_of_its_address_and_minute(found: list[tuple[int, str, int]]):
    tally, now_ms, told = FailureTally(), 0, []
    for place, account, passed_ms in found:
        now_ms += passed_ms
        tally.note(f"192.0.2.{place}", account, now_ms)
        told += tally.take(now_ms)
    told += tally.take(now_ms, all_of_them=True)

    assert sum(one.failures for one in told) == len(found) == tally.total
    by_address: dict[str, list[int]] = {}
    for one in told:
        by_address.setdefault(one.address, []).append(one.since_ms)
    for begun in by_address.values():
        assert all(b - a >= failed_sign_ins.WINDOW_MS for a, b in itertools.pairwise(begun))


def test_what_could_not_be_written_is_told_with_what_came_after():
    tally = FailureTally()
    tally.note("192.0.2.1", "a", 0)
    taken = tally.take(60_000)
    tally.note("192.0.2.1", "b", 60_001)
    tally.give_back(taken)

    [one] = tally.take(0, all_of_them=True)
    assert (one.failures, set(one.accounts)) == (2, {"a", "b"})


def test_addresses_without_end_are_counted_together():
    tally = FailureTally()
    for n in range(3_000):
        tally.note(f"10.{n // 256}.{n % 256}.1", "", 0)

    told = tally.take(0, all_of_them=True)
    assert (len(told), sum(one.failures for one in told)) == (1_001, 3_000)
