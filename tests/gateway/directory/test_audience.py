"""The frozen audience: what goes in comes out, and its sums can be told to be wrong."""

import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.contract import Channel
from gateway.directory.audience import (
    CHANNELS,
    Audience,
    AudienceUnreadable,
    Covered,
    Deliveries,
    Excluded,
    SkippedChannel,
    decode,
)
from gateway.directory.columns import ColumnBroken, pack, unpack
from gateway.directory.reasons import ExclusionReason

_ids = st.integers(0, 2**62)


def _column(draw, values, length, dtype):
    return np.array(draw(st.lists(values, min_size=length, max_size=length)), dtype=dtype)


@st.composite
def audiences(draw):
    channels = tuple(c for c in CHANNELS if draw(st.booleans()))

    def table(kind, *columns):
        length = draw(st.integers(0, 6))
        return kind(*(_column(draw, values, length, dtype) for values, dtype in columns))

    wide, reason = (_ids, np.int64), (st.sampled_from(ExclusionReason), np.uint8)
    channel = (st.integers(0, 2), np.uint8)
    language = (st.integers(0, 1), np.uint8)
    return Audience(
        resolved=draw(st.integers(0, 99)),
        languages=("nl", "fr-BE"),
        channels=channels,
        deliveries={c: table(Deliveries, wide, wide, wide, language) for c in channels},
        excluded=table(Excluded, wide, reason),
        covered=table(Covered, wide, channel, wide, wide, reason),
        skipped=table(SkippedChannel, wide, channel, reason),
    )


@given(audiences())
def test_a_blob_gives_back_the_audience_that_was_frozen(audience):
    again = decode(audience.encode())

    assert (again.resolved, again.languages, again.channels) == (
        audience.resolved,
        audience.languages,
        audience.channels,
    )
    for mine, other in zip(audience._columns(), again._columns(), strict=True):
        assert mine.tolist() == other.tolist()
        assert mine.dtype == other.dtype


@given(audiences())
def test_the_same_audience_always_gives_the_same_bytes(audience):
    assert audience.encode() == decode(audience.encode()).encode()


@given(st.lists(st.integers(-(2**62), 2**62)))
def test_any_column_of_integers_survives_packing(values):
    column, data = pack(np.array(values, dtype=np.int64))

    assert unpack(column, memoryview(data)).tolist() == values


def test_ids_that_lie_together_take_little_room():
    column, data = pack(np.arange(10**12, 10**12 + 50_000, 3))

    assert column.width == 1
    assert len(data) == 16_667


def _an_audience(resolved=1):
    one, none = np.array([7]), np.empty(0, np.int64)
    small, nothing = np.array([0], np.uint8), np.empty(0, np.uint8)
    return Audience(
        resolved=resolved,
        languages=("nl",),
        channels=(Channel.SMS,),
        deliveries={Channel.SMS: Deliveries(one, one, one, small)},
        excluded=Excluded(none, nothing),
        covered=Covered(none, nothing, none, none, nothing),
        skipped=SkippedChannel(none, nothing, nothing),
    )


def test_a_version_that_this_program_does_not_know_is_refused():
    blob = bytearray(_an_audience().encode())
    blob[4] = 2

    with pytest.raises(AudienceUnreadable, match="version 2"):
        decode(bytes(blob))


@pytest.mark.parametrize("cut", [0, 3, 9, 20, -1])
def test_a_blob_that_was_cut_is_refused(cut):
    with pytest.raises(AudienceUnreadable):
        decode(_an_audience().encode()[:cut])


def test_a_blob_with_more_in_it_than_its_head_says_is_refused():
    with pytest.raises(AudienceUnreadable):
        decode(_an_audience().encode() + b"x")


def test_a_body_that_would_swell_beyond_its_head_is_refused():
    blob = _an_audience().encode()
    head_end = 10 + int.from_bytes(blob[6:10], "little")

    with pytest.raises(AudienceUnreadable):
        decode(blob[:head_end] + zlib.compress(b"\0" * 10_000_000))


def test_something_else_is_not_an_audience():
    with pytest.raises(AudienceUnreadable, match="not an audience"):
        decode(b"PK\x03\x04 something else altogether")


def test_a_column_that_lies_about_its_length_is_refused():
    column, data = pack(np.arange(5))

    with pytest.raises(ColumnBroken):
        unpack(column, memoryview(data[:-1]))


def test_the_sums_of_a_sound_audience_close_and_a_lost_person_opens_them():
    sound, short = _an_audience().counts(), _an_audience(resolved=2).counts()

    assert sound.persons_close()
    assert sound.contacts_close()
    assert not short.persons_close()
    assert not short.contacts_close()


@pytest.mark.parametrize("reason", ExclusionReason)
def test_every_reason_has_a_sentence(reason):
    assert reason.sentence.endswith(".")
