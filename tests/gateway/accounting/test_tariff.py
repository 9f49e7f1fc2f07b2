"""What a message costs."""

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.contract import Channel
from gateway.accounting.tariff import PRICE_LIST, NoPrice, Prices, Tariff, price


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


NOW = ms("2026-11-23T12:00:00+01:00")


@pytest.mark.parametrize(
    ("channel", "quantity", "millieuro"),
    [
        (Channel.SMS, 1, 55),
        (Channel.SMS, 3, 165),
        (Channel.VOICE, 1, 55),
        (Channel.VOICE, 2, 110),
        (Channel.EMAIL, 1, 0),
        (Channel.SMS, 0, 0),
    ],
)
def test_a_segment_and_a_started_minute_cost_55_millieuro_and_mail_is_free(channel, quantity, millieuro):
    assert price(channel, quantity, NOW) == millieuro


@given(st.lists(st.integers(0, 255), max_size=50), st.sampled_from(list(Channel)))
def test_the_price_of_a_campaign_is_the_sum_of_its_messages_to_the_millieuro(quantities, channel):
    assert sum(price(channel, each, NOW) for each in quantities) == price(channel, sum(quantities), NOW)


def test_the_price_is_promised_to_the_end_of_20_july_2028_in_belgium():
    assert not PRICE_LIST.lapsed(ms("2028-07-20T23:59:59.999+02:00"))
    assert PRICE_LIST.lapsed(ms("2028-07-21T00:00:00+02:00"))


def test_a_price_list_that_ran_out_stays_in_use_so_that_an_alert_does_not_fail():
    assert price(Channel.SMS, 2, ms("2029-01-01T00:00:00+00:00")) == 110


def test_there_is_no_price_before_the_first_list():
    with pytest.raises(NoPrice, match="2022-07-20"):
        price(Channel.SMS, 1, ms("2022-07-19T00:00:00+02:00"))


def test_a_negative_quantity_is_a_bug_of_the_caller():
    with pytest.raises(ValueError, match="negative"):
        price(Channel.SMS, -1, NOW)


def a_list(since: str, until: str, millieuro: int = 60) -> Prices:
    return Prices(
        since=datetime.fromisoformat(since),
        until=datetime.fromisoformat(until),
        sms_segment_millieuro=millieuro,
        voice_minute_millieuro=millieuro,
    )


def test_a_later_list_holds_from_its_first_instant():
    tariff = Tariff((*PRICE_LIST.versions, a_list("2028-07-21T00:00:00+02:00", "2030-01-01T00:00:00+00:00")))

    assert price(Channel.SMS, 1, ms("2028-07-20T23:59:59.999+02:00"), tariff=tariff) == 55
    assert price(Channel.SMS, 1, ms("2028-07-21T00:00:00+02:00"), tariff=tariff) == 60


def test_lists_that_overlap_or_are_out_of_order_are_refused():
    first = a_list("2026-01-01T00:00:00+00:00", "2027-01-01T00:00:00+00:00")
    second = a_list("2026-12-31T00:00:00+00:00", "2028-01-01T00:00:00+00:00")

    with pytest.raises(ValueError, match="overlap"):
        Tariff((first, second))
    with pytest.raises(ValueError, match="one price list"):
        Tariff(())


@pytest.mark.parametrize(
    ("since", "until", "millieuro", "reason"),
    [
        ("2026-01-01T00:00:00", "2027-01-01T00:00:00", 55, "offset"),
        ("2027-01-01T00:00:00+00:00", "2026-01-01T00:00:00+00:00", 55, "before"),
        ("2026-01-01T00:00:00+00:00", "2027-01-01T00:00:00+00:00", -1, "negative"),
    ],
)
def test_a_list_that_makes_no_sense_is_refused(since, until, millieuro, reason):
    with pytest.raises(ValueError, match=reason):
        a_list(since, until, millieuro)


def test_a_price_list_is_data_of_the_settings():
    tariff = msgspec.toml.decode(
        b"""
        [[versions]]
        since = 2026-01-01T00:00:00Z
        until = 2028-01-01T00:00:00Z
        sms_segment_millieuro = 70
        voice_minute_millieuro = 80
        """,
        type=Tariff,
    )

    at_ms = ms("2026-06-01T00:00:00+00:00")
    assert price(Channel.SMS, 2, at_ms, tariff=tariff) == 140
    assert price(Channel.VOICE, 1, at_ms, tariff=tariff) == 80
    assert tariff.at(at_ms).since == datetime(2026, 1, 1, tzinfo=UTC)
