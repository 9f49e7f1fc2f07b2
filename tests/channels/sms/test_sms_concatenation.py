"""The header of long messages, and references that keep two long messages to one number apart."""

from hypothesis import given
from hypothesis import strategies as st

from channels.sms.concatenation import PartOf, References, header, read_header, rolling_reference


@given(st.integers(0, 255), st.integers(1, 255), st.data())
def test_a_header_reads_as_it_was_written(reference: int, total: int, data: st.DataObject) -> None:
    part = data.draw(st.integers(1, total))

    assert read_header(header(reference, total, part) + b"rest") == (PartOf(reference, total, part), b"rest")


def test_a_sixteen_bit_reference_and_other_elements_are_read() -> None:
    user_data = b"\x0a\x05\x02\x00\x00\x08\x04\x12\x34\x03\x02" + b"text"

    assert read_header(user_data) == (PartOf(0x1234, 3, 2), b"text")


@given(st.binary())
def test_no_user_data_breaks_the_reader(user_data: bytes) -> None:
    place, rest = read_header(user_data)

    assert user_data.endswith(rest)
    assert place is None or 1 <= place.part <= place.total


@given(st.text(), st.text(), st.integers(0, 10_000))
def test_256_consecutive_references_of_a_destination_differ(carrier: str, number: str, first: int) -> None:
    taken = {rolling_reference(carrier, number, ordinal) for ordinal in range(first, first + 256)}

    assert taken == set(range(256))


def test_a_number_gets_no_reference_twice_within_256_long_messages_whoever_else_is_served() -> None:
    references = References("a", start=200)
    others = [f"+3247{n:07}" for n in range(3_000)]
    last: dict[int, int] = {}

    for turn in range(600):
        reference = references.take("+32477000001")
        assert turn - last.get(reference, -256) >= 256
        last[reference] = turn
        references.take(others[turn % len(others)])


def test_two_processes_may_start_apart() -> None:
    assert References("a", start=0).take("+32477000001") != References("a", start=7).take("+32477000001")
