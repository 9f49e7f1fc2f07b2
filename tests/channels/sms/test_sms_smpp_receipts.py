"""Receipts in the forms that SMSCs really send, and ids that are written in two ways."""

from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.contract import Receipt, ReceiptState
from channels.sms.smpp.ids import IdBase, normal_id, other_readings
from channels.sms.smpp.pdu import DataSm, DeliverSm, Tag
from channels.sms.smpp.receipts import ReceiptDialect, read_receipt

NOW = 1_795_437_296_000  # 2026-11-23 12:34:56 UTC
WHOLE = "id:47 sub:001 dlvrd:001 submit date:2611231233 done date:2611231234 stat:DELIVRD err:000 text:Alerte PLP"
PENDING, DELIVERED, FAILED, EXPIRED = (
    ReceiptState.PENDING,
    ReceiptState.DELIVERED,
    ReceiptState.FAILED,
    ReceiptState.EXPIRED,
)


def receipt(
    text: str = "", esm_class: int = 0x04, reading: ReceiptDialect | None = None, **fields: object
) -> Receipt | None:
    unit = DeliverSm(
        source="32477123456", source_ton=1, esm_class=esm_class, short_message=text.encode("latin-1"), **fields
    )
    return read_receipt(unit, carrier="a", arrived_ms=NOW, reading=reading or ReceiptDialect())


def the(value: Receipt | None) -> Receipt:
    assert value is not None
    return value


def test_the_receipt_of_the_standard_is_read_whole() -> None:
    got = the(receipt(WHOLE, reading=ReceiptDialect(base=IdBase.DEC, zone=ZoneInfo("UTC"))))

    assert (got.carrier, got.ref, got.state, got.destination) == ("a", "47", DELIVERED, "+32477123456")
    assert (got.at_ms, got.code, got.text, got.raw) == (NOW - 56_000, "000", "DELIVRD", WHOLE)
    assert not got.echoed


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("id:1 stat:DELIVRD", DELIVERED),
        ("id:1 stat:DELIVERED err:0", DELIVERED),
        ("ID:1 SUB:001 DLVRD:001 STAT:DELIVRD ERR:000 TEXT:", DELIVERED),
        ("id:1 sub:001 dlvrd:000 submit date:0 done date:0 stat:FAILED err:0x1F Text:abc", FAILED),
        ("id:1 stat:UNDELIV err:001", FAILED),
        ("id:1 stat:UNDELIVERABLE", FAILED),
        ("id:1 stat:REJECTD", FAILED),
        ("id:1 stat:DELETED", FAILED),
        ("id:1 stat:SKIPPED", FAILED),
        ("id:1 stat:EXPIRED", EXPIRED),
        ("id:1 stat:ENROUTE", PENDING),
        ("id:1 stat:ACCEPTD", PENDING),
        ("id:1 stat:ACCEPTED", PENDING),
        ("id:1 stat:SCHEDULED", PENDING),
        ("id:1 stat:UNKNOWN", PENDING),
        ("id:1 stat:BUFFERD", PENDING),
        ("id:1 stat:WHATEVER", PENDING),
        ("id:1", PENDING),
        ("id: 1  stat: DELIVRD  err: 000", DELIVERED),
        ("id:1\nstat:DELIVRD\nerr:000", DELIVERED),
        ("id:1 done_date:2611231234 stat:DELIVRD", DELIVERED),
    ],
)
def test_every_word_for_a_state_and_what_is_unknown_is_never_delivered(text: str, state: ReceiptState) -> None:
    got = the(receipt(text))

    assert (got.ref, got.state) == ("1", state)


@given(
    st.text("0123456789aBx-:", min_size=1, max_size=12),
    st.text("0123456789", max_size=12),
    st.sampled_from(["DELIVRD", "UNDELIV", "ENROUTE", "x"]),
    st.text("0123456789", max_size=3),
    st.sampled_from(["text:", "Text:id:9 stat:DELIVRD", ""]),
)
def test_the_standard_form_and_its_shouted_cousin_say_the_same(
    message_id: str, date: str, word: str, error: str, end: str
) -> None:
    text = f"id:{message_id} sub:001 dlvrd:001 submit date:{date} done date:{date} stat:{word} err:{error} {end}"
    shouted = text.replace("id:", "ID:", 1)

    plain, loud = the(receipt(text.strip())), the(receipt(shouted.strip()))

    assert (plain.ref, plain.state, plain.at_ms, plain.code) == (loud.ref, loud.state, loud.at_ms, loud.code)
    assert plain.ref == message_id


def test_the_words_of_the_message_itself_are_not_believed() -> None:
    got = the(receipt("id:1 stat:UNDELIV err:001 text:id:2 stat:DELIVRD err:000"))

    assert (got.ref, got.state, got.code) == ("1", FAILED, "001")


@pytest.mark.parametrize(
    ("number", "state"),
    [(1, PENDING), (2, DELIVERED), (3, EXPIRED), (4, FAILED), (5, FAILED), (6, PENDING), (7, PENDING), (8, FAILED)],
)
def test_the_optional_parameters_alone_are_a_receipt(number: int, state: ReceiptState) -> None:
    tlvs = (
        (Tag.RECEIPTED_MESSAGE_ID, b"6ba7b810-9dad\0"),
        (Tag.MESSAGE_STATE, bytes([number])),
        (Tag.NETWORK_ERROR_CODE, b"\x03\x00\x1b"),
        (0x1403, b"vendor"),
    )

    got = the(receipt(esm_class=0, tlvs=tlvs))

    assert (got.ref, got.state, got.code) == ("6ba7b810-9dad", state, "27")


def test_the_id_of_the_optional_parameter_wins() -> None:
    assert the(receipt(WHOLE, tlvs=((Tag.RECEIPTED_MESSAGE_ID, b"2F"),))).ref == "2F"


@pytest.mark.parametrize(
    ("word", "number", "state"),
    [
        ("DELIVRD", 5, FAILED),
        ("UNDELIV", 2, FAILED),
        ("ENROUTE", 2, PENDING),
        ("DELIVRD", 1, PENDING),
        ("DELIVRD", 2, DELIVERED),
    ],
)
def test_a_receipt_at_odds_with_itself_promises_the_less(word: str, number: int, state: ReceiptState) -> None:
    assert the(receipt(f"id:1 stat:{word}", tlvs=((Tag.MESSAGE_STATE, bytes([number])),))).state is state


def test_an_intermediate_notification_is_never_final() -> None:
    assert the(receipt("id:1 stat:DELIVRD", esm_class=0x20)).state is PENDING


def test_a_receipt_may_come_in_the_payload_in_data_sm_or_without_its_flag() -> None:
    payload = ((Tag.MESSAGE_PAYLOAD, WHOLE.encode()),)
    data_sm = DataSm(source="32477123456", source_ton=1, esm_class=0x04, tlvs=payload)

    assert the(receipt(tlvs=payload)).ref == "47"
    assert the(read_receipt(data_sm, carrier="a", arrived_ms=NOW, reading=ReceiptDialect())).state is DELIVERED
    assert the(receipt(WHOLE, esm_class=0)).ref == "47"


def test_a_receipt_in_ucs2_or_the_gsm_alphabet_is_read() -> None:
    ucs2 = DeliverSm(esm_class=4, data_coding=8, short_message=WHOLE.encode("utf-16-be"))
    gsm = DeliverSm(esm_class=4, short_message=b"id:a\x11b stat:DELIVRD")

    assert the(read_receipt(ucs2, carrier="a", arrived_ms=NOW, reading=ReceiptDialect())).ref == "47"
    assert the(read_receipt(gsm, carrier="a", arrived_ms=NOW, reading=ReceiptDialect())).ref == "a_b"


@pytest.mark.parametrize("text", ["STOP", "id:1 please", "my id:1 stat:DELIVRD", ""])
def test_what_a_person_answers_is_no_receipt(text: str) -> None:
    assert receipt(text, esm_class=0) is None


def test_an_acknowledgement_typed_on_a_handset_is_no_receipt() -> None:
    assert receipt(WHOLE, esm_class=0x10) is None


@pytest.mark.parametrize("text", ["stat:DELIVRD err:000", "id: stat:DELIVRD", f"id:{'9' * 256} stat:DELIVRD", "", "ok"])
def test_a_flagged_receipt_without_a_possible_id_is_kept_for_a_person_to_read(text: str) -> None:
    got = receipt(tlvs=((Tag.MESSAGE_PAYLOAD, text.encode()),))

    assert (got.ref, got.readings, got.raw) == ("", None, text[:1000] or " ")


@pytest.mark.parametrize(
    "word",
    [
        "DELIVERY_FAILED", "DELIVERY FAILED", "DeliveryFailed", "DeliveryImpossible", "DELIVERY_TIMEOUT",
        "DeliveredToNetwork", "DELIVERED_TO_SMSC", "DELIV", "DELIVERYPENDING", "NOT DELIVRD", "UNDELIVRD", "DELIVRD?NO",
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "form",
    [
        "id:A1 stat:{} err:000",
        "id:A1 sub:001 dlvrd:000 submit date:2601011200 done date:2601011200 stat:{} err:000 text:x",
        "id:A1 stat:{}",
    ],
)
def test_a_word_that_only_begins_like_delivered_never_says_so(word: str, form: str) -> None:
    assert receipt(form.format(word)).state is not ReceiptState.DELIVERED


@pytest.mark.parametrize("word", ["DELIVRD", "DELIVERED", "delivrd", "Delivered", "DELIVRD,", '"DELIVRD"'])
@pytest.mark.parametrize("form", ["id:A1 stat:{} err:000", "id:A1 stat:{} nwc:20801 err:000", "id:A1 err:0 stat:{}"])
def test_the_words_of_delivered(word: str, form: str) -> None:
    assert receipt(form.format(word)).state is ReceiptState.DELIVERED


PLAIN = "id:A1 sub:001 dlvrd:001 submit date:2601011200 done date:2601011200 stat:DELIVRD err:000 text:x"
HEADER = bytes.fromhex("050003840101")


@pytest.mark.parametrize(
    ("octets", "esm_class", "coding"),
    [
        (HEADER + PLAIN.encode(), 0x44, 0),
        (PLAIN.encode(), 0x44, 0),  # flagged as having a header, and without one
        (b"\0" + PLAIN.encode(), 0x04, 0),
        (b" \r\n" + PLAIN.encode(), 0x04, 0),
        (PLAIN.encode("utf-16-be"), 0x04, 8),
        (b"\xfe\xff" + PLAIN.encode("utf-16-be"), 0x04, 8),
        (b"\xff\xfe" + PLAIN.encode("utf-16-le"), 0x04, 8),
        (HEADER + PLAIN.encode("utf-16-be"), 0x44, 8),
    ],
)
def test_a_receipt_is_read_behind_whatever_stands_before_its_text(octets: bytes, esm_class: int, coding: int) -> None:
    for blank in (b"", b" ", b"\0"):
        got = read_receipt(
            DeliverSm(
                short_message=blank, tlvs=((Tag.MESSAGE_PAYLOAD, octets),), esm_class=esm_class, data_coding=coding
            ),
            carrier="a", arrived_ms=0, reading=ReceiptDialect(),
        )  # fmt: skip
        assert (got.ref, got.state) == ("A1", ReceiptState.DELIVERED)


@pytest.mark.parametrize(
    "text",
    ["id:A1 sub:001 dlvrd:001 stat:DELIVRD err:000", "id:A1 stat:DELIVRD err:000 text:", " id:A1 dlvrd:1 stat:DELIVRD"],
)
def test_a_receipt_without_its_flag_and_without_dates_is_one(text: str) -> None:
    assert receipt(text, esm_class=0).ref == "A1"


@pytest.mark.parametrize(
    ("date", "zone", "at_ms"),
    [
        ("2611231334", "Europe/Brussels", NOW - 56_000),
        ("261123133400", "Europe/Brussels", NOW - 56_000),
        ("20261123133400", "Europe/Brussels", NOW - 56_000),
        ("0000000000", "UTC", NOW),
        ("2611240000", "UTC", NOW),  # tomorrow
        ("2501010000", "UTC", NOW),
        ("9999999999", "UTC", NOW),
        ("", "UTC", NOW),
        ("2611231334", None, NOW),
    ],
)
def test_only_a_believable_date_replaces_the_time_of_arrival(date: str, zone: str | None, at_ms: int) -> None:
    reading = ReceiptDialect(zone=ZoneInfo(zone) if zone else None)

    assert the(receipt(f"id:1 done date:{date} stat:DELIVRD", reading=reading)).at_ms == at_ms


@pytest.mark.parametrize(
    ("source", "ton", "destination"),
    [
        ("32477123456", 1, "+32477123456"),
        ("+32477123456", 0, "+32477123456"),
        ("0032477123456", 0, "+32477123456"),
        ("32477123456", 0, "+32477123456"),
        ("0477123456", 2, "+32477123456"),
        ("PLP", 5, None),
        ("1771", 3, None),
        ("", 0, None),
    ],
)
def test_the_destination_is_e164_or_unknown(source: str, ton: int, destination: str | None) -> None:
    unit = DeliverSm(source=source, source_ton=ton, esm_class=4, short_message=b"id:1 stat:DELIVRD")
    reading = ReceiptDialect(national=lambda number: "+32" + number[1:])

    assert the(read_receipt(unit, carrier="a", arrived_ms=NOW, reading=reading)).destination == destination


def test_a_peer_that_does_not_swap_the_addresses_is_understood() -> None:
    unit = DeliverSm(
        source="3280", destination="32477123456", destination_ton=1, esm_class=4, short_message=b"id:1 stat:DELIVRD"
    )

    got = the(read_receipt(unit, carrier="a", arrived_ms=NOW, reading=ReceiptDialect(source="+3280")))

    assert got.destination == "+32477123456"


@pytest.mark.parametrize(
    ("answer", "answer_base", "reported", "reported_base"),
    [
        ("2F", IdBase.HEX, "47", IdBase.DEC),
        ("0000002f", IdBase.HEX, "0000000047", IdBase.DEC),
        ("47", IdBase.DEC, "2f", IdBase.HEX),
        ("6BA7-B810", IdBase.RAW, "6BA7-B810", IdBase.RAW),
        ("6BA7-B810", IdBase.HEX, "6BA7-B810", IdBase.DEC),
        (" 47 ", IdBase.RAW, "47", IdBase.RAW),
    ],
)
def test_an_id_has_one_normal_form_on_both_sides(
    answer: str, answer_base: IdBase, reported: str, reported_base: IdBase
) -> None:
    assert normal_id(answer, answer_base) == normal_id(reported, reported_base)


@given(
    st.integers(1, (1 << 64) - 1),
    st.sampled_from(["d", "x", "X", "010d", "08x", "016X", "020d"]),
    st.sampled_from(["d", "x", "X", "010d", "08x", "016X", "020d"]),
)
def test_without_knowing_the_base_the_true_id_is_among_the_readings(number: int, answer: str, reported: str) -> None:
    answered = normal_id(format(number, answer), IdBase.AUTO)
    got = the(receipt(f"id:{number:{reported}} stat:DELIVRD"))

    assert answered in (got.ref, *got.readings(got.ref))


def test_case_alone_is_an_alternative_not_a_match() -> None:
    got = the(receipt("id:aB-1 stat:DELIVRD"))

    assert got.ref == "aB-1"
    assert got.readings(got.ref) == ("ab-1", "AB-1")


def test_a_known_base_offers_no_alternatives() -> None:
    assert the(receipt("id:10 stat:DELIVRD", reading=ReceiptDialect(base=IdBase.DEC))).readings is None


@given(st.text(max_size=70))
def test_no_id_breaks_the_readings(raw: str) -> None:
    assert raw.strip() not in other_readings(raw)
    for base in IdBase:
        normal_id(raw, base)


@given(
    st.binary(max_size=255),
    st.integers(0, 255),
    st.sampled_from([0, 8, 3, 245]),
    st.lists(st.tuples(st.sampled_from([*Tag]), st.binary(max_size=80)), max_size=4).map(tuple),
)
def test_no_octets_of_a_stranger_break_the_reader(
    message: bytes, esm_class: int, coding: int, tlvs: tuple[tuple[int, bytes], ...]
) -> None:
    unit = DeliverSm(esm_class=esm_class, data_coding=coding, short_message=message, tlvs=tlvs)

    got = read_receipt(unit, carrier="a", arrived_ms=NOW, reading=ReceiptDialect(zone=ZoneInfo("UTC")))

    assert got is None or len(got.raw) <= 1_000
