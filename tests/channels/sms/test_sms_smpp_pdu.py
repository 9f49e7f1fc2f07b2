"""SMPP units: what is written is read again, in whatever pieces; no octets of a stranger break the reader."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from channels.sms.smpp import codec, pdu
from channels.sms.smpp.codec import Decoder
from channels.sms.smpp.pdu import CommandId, CommandStatus, ProtocolError

octet = st.integers(0, 255)
string = st.text(st.characters(min_codepoint=1, max_codepoint=255), max_size=16)
tlvs = st.lists(st.tuples(st.integers(0, 0xFFFF), st.binary(max_size=300)), max_size=4).map(tuple)
header = {"status": st.integers(0, 0xFFFFFFFF), "sequence": st.integers(0, 0xFFFFFFFF)}
bind_command = st.sampled_from([CommandId.BIND_TRANSCEIVER, CommandId.BIND_RECEIVER, CommandId.BIND_TRANSMITTER])
FIELDS = {
    "str": string,
    "int": octet,
    "bytes": st.binary(max_size=255),
    "Tlvs": tlvs,
    "Command": bind_command,
}


def values_of(kind: type[pdu.Pdu]) -> st.SearchStrategy[pdu.Pdu]:
    """Any value of a unit's type, by the types of its fields."""
    by_type = {str: string, int: octet, bytes: st.binary(max_size=255), pdu.Tlvs: tlvs, CommandId: bind_command}
    fields = {f.name: by_type[f.type] for f in structs.fields(kind)}
    return st.builds(kind, **{**fields, **header})


KINDS = [
    pdu.Bind,
    pdu.BindResponse,
    pdu.SubmitSm,
    pdu.DeliverSm,
    pdu.DataSm,
    pdu.SubmitSmResponse,
    pdu.DeliverSmResponse,
    pdu.DataSmResponse,
    pdu.EnquireLink,
    pdu.EnquireLinkResponse,
    pdu.Unbind,
    pdu.UnbindResponse,
    pdu.GenericNack,
]
any_pdu = st.one_of([values_of(kind) for kind in KINDS])


@given(any_pdu)
def test_what_is_written_is_read_again(value: pdu.Pdu) -> None:
    assert codec.decode(codec.encode(value)) == value


@given(st.lists(any_pdu, max_size=6), st.data())
def test_a_stream_gives_the_same_units_in_whatever_pieces_it_comes(sent: list[pdu.Pdu], data: st.DataObject) -> None:
    stream = b"".join(map(codec.encode, sent))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    decoder = Decoder()

    received = [
        unit
        for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)
        for unit in decoder.feed(stream[start:end])
    ]

    assert received == sent


@given(st.lists(st.binary(max_size=200), max_size=5))
def test_no_octets_raise_anything_but_a_protocol_error(pieces: list[bytes]) -> None:
    decoder = Decoder()
    try:
        for piece in pieces:
            decoder.feed(piece)
    except ProtocolError:
        pass


@given(st.sampled_from([*CommandId, *(c | pdu.RESPONSE for c in CommandId), pdu.GENERIC_NACK, 0x112]), st.binary())
def test_a_body_of_any_octets_gives_a_unit_with_the_sequence_to_answer(command: int, body: bytes) -> None:
    frame = codec.HEADER.pack(16 + len(body), command, 0, 77) + body

    [unit] = Decoder().feed(frame)

    assert unit.sequence == 77


@pytest.mark.parametrize("length", [0, 15, 65_537, 0xFFFFFFFF, 0x47455420])
def test_a_length_that_no_unit_has_ends_the_stream_but_loses_nothing_before_it(length: int) -> None:
    good = pdu.SubmitSmResponse(sequence=9, message_id="a1")

    with pytest.raises(ProtocolError) as caught:
        Decoder().feed(codec.encode(good) + length.to_bytes(4, "big") + b"HTTP")

    assert caught.value.before == (good,)


def test_a_unit_cut_short_inside_is_kept_unread_with_its_problem() -> None:
    frame = codec.HEADER.pack(20, CommandId.DELIVER_SM, 0, 5) + b"abcd"

    assert codec.decode(frame) == pdu.Unread(
        sequence=5, command=CommandId.DELIVER_SM, body=b"abcd", problem="no end of service_type"
    )


def test_unknown_commands_and_unknown_parameters_are_kept() -> None:
    unknown = codec.HEADER.pack(18, 0x10200, 0, 3) + b"hi"
    message = pdu.DeliverSm(sequence=1, tlvs=((0x1403, b"vendor"), (0x1403, b"twice")))

    assert Decoder().feed(unknown + codec.encode(message)) == [
        pdu.Unread(sequence=3, command=0x10200, body=b"hi"),
        message,
    ]


@pytest.mark.parametrize("body", [b"", b"abc", b"abc\0", b"abc\0\x00\x1e"])
def test_an_answer_is_read_without_its_nul_its_body_or_with_padding(body: bytes) -> None:
    frame = codec.HEADER.pack(16 + len(body), CommandId.SUBMIT_SM | pdu.RESPONSE, 0, 1) + body

    unit = codec.decode(frame)

    assert isinstance(unit, pdu.SubmitSmResponse)
    assert unit.message_id == body[:3].decode()


def test_the_octets_of_a_submit_are_those_of_the_standard() -> None:
    unit = pdu.SubmitSm(
        sequence=2,
        source_ton=5,
        source="PLP",
        destination_ton=1,
        destination_npi=1,
        destination="32477123456",
        registered_delivery=1,
        short_message=b"hi",
    )

    assert codec.encode(unit).hex(" ") == (
        "00 00 00 31 00 00 00 04 00 00 00 00 00 00 00 02 "
        "00 05 00 50 4c 50 00 01 01 33 32 34 37 37 31 32 33 34 35 36 00 "
        "00 00 00 00 00 01 00 00 00 02 68 69"
    )


def test_a_long_payload_stands_in_for_the_short_message() -> None:
    unit = pdu.DeliverSm(tlvs=((pdu.Tag.MESSAGE_PAYLOAD, b"x" * 300),))

    assert unit.user_data == b"x" * 300


@pytest.mark.parametrize(
    "value",
    [
        pdu.SubmitSm(short_message=b"x" * 256),
        pdu.SubmitSm(destination="a\0b"),
        pdu.SubmitSm(destination="9" * 65),
        pdu.SubmitSm(destination="€"),
        pdu.SubmitSm(tlvs=((pdu.Tag.MESSAGE_PAYLOAD, b"x" * 65_530),)),
        pdu.SubmitSm(tlvs=((pdu.Tag.MESSAGE_PAYLOAD, b"x" * 65_536),)),
        pdu.EnquireLink(sequence=1 << 32),
        pdu.SubmitSm(data_coding=256),
    ],
)
def test_a_value_that_its_field_cannot_hold_is_not_written(value: pdu.Pdu) -> None:
    with pytest.raises(ValueError):
        codec.encode(value)


def test_a_bind_never_shows_its_password() -> None:
    assert "s3cret" not in repr(pdu.Bind(system_id="plp", password="s3cret"))


def test_an_instant_is_written_in_utc_to_the_second_below() -> None:
    assert codec.absolute_time(1_795_437_296_999) == "261123123456000+"
    assert CommandStatus(0x58) is CommandStatus.THROTTLED
