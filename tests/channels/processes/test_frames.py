"""Frames come out as they went in, however they are cut on the way; what is none is told so and does nothing else."""

import contextlib
import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.contract import (
    Accepted,
    CarrierState,
    CarrierStatus,
    Channel,
    InDoubt,
    Mode,
    NotSent,
    Outgoing,
    Permission,
    Receipt,
    ReceiptState,
    Refused,
    Throttled,
)
from channels.email.letter import Letter, prepare
from channels.email.limits import MailLimits
from channels.email.sender import MailSender
from channels.processes import frames
from channels.processes.frames import MOST_BYTES, FaultyFrame, FrameReader, encoded
from channels.sms import segments
from channels.voice import script

SENDER = MailSender(
    name="PLP",
    address="a@example.be",
    message_id_domain="example.be",
    bounce_domain="b.example.be",
    bounce_key=b"\x00\xff",
)
MAIL = prepare(
    Letter(subject="Alerte", paragraphs=("Été",), language="fr", date_ms=0, greeting="Bonjour {name}"), SENDER
)
STATUS = CarrierStatus("one", Channel.EMAIL, Mode.LIVE, CarrierState.UP, "", 3, 10, 0)
UP = [
    frames.Ready(),
    frames.Told(
        ((1, 0, Accepted(("id",))), (1, 1, Refused("x", "y")), (2, 0, NotSent("z", missed=True)), (2, 1, InDoubt("?")),
         (3, 0, Throttled(1.5))),
        (10,), (2,), 3,
    ),
    frames.State(0, STATUS, MailLimits(True, 5_000)),
    frames.Receipts(0, 1, (frames.reported(Receipt("one", "id", ReceiptState.DELIVERED, 1)),)),
    frames.Logged("x", 20, "é", 1.5, {"a": 1, "b": None}, ""),
    frames.Stopped(0),
    frames.AskedToEnd(),
    frames.CannotMake("why"),
]  # fmt: skip


def pieces(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    at = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[a:b] for a, b in itertools.pairwise(at)]


@given(st.lists(st.sampled_from(UP), max_size=8), st.lists(st.integers(0, 10_000), max_size=8))
def test_what_goes_up_comes_out_as_it_went_in(said: list[frames.Up], cuts: list[int]) -> None:
    reader = FrameReader(frames.up_decoder.decode)
    whole = b"".join(map(encoded, said))

    assert [frame for piece in pieces(whole, cuts) for frame in reader.feed(piece)] == said


@given(st.binary(max_size=300))
def test_whatever_octets_come_nothing_but_a_faulty_frame_is_raised(octets: bytes) -> None:
    for data in (octets, len(octets).to_bytes(4, "little") + octets):
        with contextlib.suppress(FaultyFrame):
            list(FrameReader(frames.up_decoder.decode).feed(data))


@given(st.sampled_from(UP), st.integers(0, 10_000), st.integers(0, 255))
def test_a_frame_with_one_octet_changed_is_a_frame_or_a_faulty_one(frame: frames.Up, at: int, octet: int) -> None:
    octets = bytearray(encoded(frame))
    octets[at % len(octets)] = octet
    reader = FrameReader(frames.up_decoder.decode)
    with contextlib.suppress(FaultyFrame):
        list(reader.feed(bytes(octets)))


def test_a_frame_that_is_too_long_is_refused_by_its_length_alone() -> None:
    with pytest.raises(FaultyFrame):
        list(FrameReader(frames.up_decoder.decode).feed((MOST_BYTES + 1).to_bytes(4, "little")))


@pytest.mark.parametrize("content", [MAIL, segments.prepare("Été 12€"), script.prepare("nl", "Brand in de straat.")])
def test_words_come_down_as_they_were(content) -> None:
    [frame] = FrameReader(frames.down_decoder.decode).feed(encoded(frames.keep(7, content)))

    assert frame.content == 7
    assert frames.kept_content(frame) == content


def test_words_of_no_channel_are_no_frame() -> None:
    with pytest.raises(TypeError):
        frames.keep(1, object())  # type: ignore[arg-type]
    with pytest.raises(FaultyFrame):
        frames.kept_content(frames.Keep(1))


def test_a_message_comes_down_as_it_was() -> None:
    permission, begun = Permission(5.0), []
    sent = frames.SentMessage("r1", "a@example.be", "Zoë", 7, (1.5, 2.5), 9_000, 3, "m1", 12)

    made = frames.outgoing(sent, MAIL, permission, begun.append)

    assert made == Outgoing("r1", "a@example.be", "Zoë", MAIL, (1.5, 2.5), 9_000, permission, "m1", 12, begun.append)
    assert frames.outgoing(sent, MAIL, None, begun.append).permission is None
    unnumbered = frames.SentMessage("r1", "a@example.be", "", 7, (1.5,), None, -1, "m1", 0)
    assert frames.outgoing(unnumbered, MAIL, None, begun.append).begins is None


def test_other_readings_of_an_id_are_known_above() -> None:
    told = Receipt("one", "ff", ReceiptState.FAILED, 5, readings=lambda ref: (ref.upper(),), destination="+32470")

    [frame] = FrameReader(frames.up_decoder.decode).feed(encoded(frames.Receipts(0, 1, (frames.reported(told),))))
    back = frames.receipt("one", frame.reported[0], lambda ref: (ref.upper(),))

    assert back.readings is not None
    assert back.readings(back.ref) == ("FF",)
    assert (back.carrier, back.ref, back.state, back.at_ms, back.destination) == ("one", "ff", told.state, 5, "+32470")
