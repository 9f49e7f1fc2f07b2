"""One rule for instants and one for money, wherever they stand."""

from datetime import UTC, datetime

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from gateway.http.wording import spoken
from gateway.instants import rfc3339
from gateway.reports.amounts import eur


class Inner(msgspec.Struct):
    sent_ms: int | None
    price_millieuro: int | None
    ms: int = 5


class Outer(msgspec.Struct):
    inner: tuple[Inner, ...]
    by_reason: dict[str, int]


def test_instants_and_money_are_said_at_any_depth():
    said = spoken(Outer((Inner(0, 55), Inner(None, None)), {"opted_out": 3}))

    assert said["inner"] == [
        {"sent": "1970-01-01T00:00:00.000Z", "price_millieuro": 55, "price_eur": "0.055", "ms": 5},
        {"sent": None, "price_millieuro": None, "price_eur": None, "ms": 5},
    ]
    assert said["by_reason"] == {"opted_out": 3}


@given(st.integers(0, 253_402_300_799_999))
def test_an_instant_survives_being_said(at_ms: int):
    back = datetime.fromisoformat(rfc3339(at_ms))

    assert back.tzinfo is not None
    assert (back - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() == at_ms / 1000


@given(st.integers(-(10**15), 10**15))
def test_money_survives_being_said(millieuro: int):
    whole, _, part = eur(millieuro).partition(".")

    assert len(part) == 3
    assert int(whole + part) == millieuro
