"""Telephone numbers as registers hold them: what is understood, and what is refused rather than guessed."""

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.sms.numbers import Phone, PhoneKind, PhoneRefused, RefusalReason, normalise_phone

MOBILE = Phone("+32477123456", PhoneKind.MOBILE)


@pytest.mark.parametrize(
    "raw",
    [
        "0477123456",
        "0477 12 34 56",
        "0477/12.34.56",
        "0477-12-34-56",
        "+32477123456",
        "+32 (0)477 12 34 56",
        "+32 477 12 34 56",
        "0032 477 12 34 56",
        "32477123456",
        "477123456",
        "０４７７１２３４５６",
        "tel:+32-477-12-34-56",
        "Tel: 0477 12 34 56",
        "GSM: 0477123456",
        "0477\u00a012\u00a034\u00a056",
        "0477–12–34–56",
        "\u200e0477123456",
        "  0477 12 34 56  ",
        "0477-12-34-56 (gsm mama)",
        "0477 12 34 56 papa",
        "0477123456, bureau",
        "0477123456 - Élodie",
    ],
)
def test_the_many_ways_to_write_a_belgian_mobile(raw: str) -> None:
    assert normalise_phone(raw) == MOBILE


@pytest.mark.parametrize(
    ("raw", "e164", "kind"),
    [
        ("02 555 12 12", "+3225551212", PhoneKind.LANDLINE),
        ("0456 00 00 00", "+32456000000", PhoneKind.MOBILE),
        ("+33 6 12 34 56 78", "+33612345678", PhoneKind.MOBILE),
        ("0033612345678", "+33612345678", PhoneKind.MOBILE),
        ("+44 7911 123456", "+447911123456", PhoneKind.MOBILE),
        ("+1 202 555 0123", "+12025550123", PhoneKind.EITHER),
        ("+352 621 123 456", "+352621123456", PhoneKind.MOBILE),
        ("0469 12 34 56", "+32469123456", PhoneKind.MOBILE),
        ("+320455123456", "+32455123456", PhoneKind.MOBILE),
        ("04 222 33 44", "+3242223344", PhoneKind.LANDLINE),
        ("+352 26 12 34", "+352261234", PhoneKind.LANDLINE),
        ("+262 692 12 34 56", "+262692123456", PhoneKind.MOBILE),
        ("+590 690 12 34 56", "+590690123456", PhoneKind.MOBILE),
        ("+44 (0)7911 123456", "+447911123456", PhoneKind.MOBILE),
        ("+49 (0)151 23456789", "+4915123456789", PhoneKind.MOBILE),
        ("0032(0)477/123456", "+32477123456", PhoneKind.MOBILE),
        ("00 32 477 12 34 56", "+32477123456", PhoneKind.MOBILE),
        ("+31 97 012345678", "+3197012345678", PhoneKind.MOBILE),
        ("+883 5100 12345678", "+883510012345678", PhoneKind.VOIP),
    ],
)
def test_other_numbers_are_read_by_their_plan(raw: str, e164: str, kind: PhoneKind) -> None:
    assert normalise_phone(raw) == Phone(e164, kind)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("", RefusalReason.EMPTY),
        ("  ", RefusalReason.EMPTY),
        ("pas de gsm", RefusalReason.EMPTY),
        ("0477123456/0477123457", RefusalReason.SEVERAL),
        ("0477123456;0477123457", RefusalReason.SEVERAL),
        ("0477123456, 0477123457", RefusalReason.SEVERAL),
        ("0477 12 34 56 of 0477 12 34 57", RefusalReason.SEVERAL),
        ("+32477123456+32477123457", RefusalReason.SEVERAL),
        ("04771234560477123457", RefusalReason.INVALID),
        ("0477 MAMA 56", RefusalReason.LETTERS),
        ("1-800-FLOWERS", RefusalReason.INVALID),
        ("0477123456 ext 3", RefusalReason.EXTENSION),
        ("02 555 12 12 x5", RefusalReason.EXTENSION),
        ("112", RefusalReason.INVALID),
        ("1771", RefusalReason.INVALID),
        ("04771234", RefusalReason.INVALID),
        ("0477*12*34*56", RefusalReason.INVALID),
        ("0477 12 34 5", RefusalReason.INVALID),
        ("+32 477 12 34 567", RefusalReason.INVALID),
        ("+352 621 12 34 5", RefusalReason.INVALID),
        ("+32 77 123456789", RefusalReason.INVALID),
        ("477123456.0", RefusalReason.INVALID),
        ("'0477123456", RefusalReason.INVALID),
        ("4.77123456E8", RefusalReason.LETTERS),
        ("0900 12345", RefusalReason.PREMIUM),
        ("078 15 15 15", RefusalReason.SPECIAL),
        ("0800 12345", RefusalReason.SPECIAL),
        ("+44 70 1234 5678", RefusalReason.PREMIUM),
        ("+44 7012 345678", RefusalReason.PREMIUM),
        ("0044 7000 123456", RefusalReason.PREMIUM),
        ("+44 7640 123456", RefusalReason.SPECIAL),
        ("+44 845 123 4567", RefusalReason.PREMIUM),
        ("+44 909 012 3456", RefusalReason.PREMIUM),
        ("+44 800 123 4567", RefusalReason.SPECIAL),
        ("someone@example.org", RefusalReason.EMPTY),
    ],
)
def test_what_is_doubtful_is_refused_with_a_reason(raw: str, reason: RefusalReason) -> None:
    result = normalise_phone(raw)

    assert isinstance(result, PhoneRefused)
    assert result.reason is reason
    assert result.text.endswith(".")


def test_a_landline_takes_no_sms() -> None:
    landline = normalise_phone("02 555 12 12")

    assert isinstance(landline, Phone)
    assert not landline.takes_sms
    assert MOBILE.takes_sms


def test_the_home_region_reads_national_numbers() -> None:
    assert normalise_phone("06 12 34 56 78", region="FR") == Phone("+33612345678", PhoneKind.MOBILE)


@given(st.text())
def test_no_field_raises_and_what_is_accepted_is_e164(raw: str) -> None:
    result = normalise_phone(raw)

    if isinstance(result, Phone):
        assert normalise_phone(result.e164) == result


@given(st.integers(450_000_000, 499_999_999), st.sampled_from(["0{}", "+32{}", "0032{}", "+32 (0){}"]))
def test_the_fast_path_agrees_with_the_numbering_plan(subscriber: int, form: str) -> None:
    raw = form.format(subscriber)

    slow = phonenumbers.parse(raw, "BE")

    result = normalise_phone(raw)
    if phonenumbers.is_valid_number(slow):
        e164 = phonenumbers.format_number(slow, phonenumbers.PhoneNumberFormat.E164)
        assert result == Phone(e164, PhoneKind.MOBILE)


@given(st.integers(450_000_000, 499_999_999), st.integers(450_000_000, 499_999_999), st.sampled_from("/;,&| \n"))
def test_two_numbers_in_one_field_are_never_made_one(first: int, second: int, separator: str) -> None:
    assert isinstance(normalise_phone(f"0{first}{separator}0{second}"), PhoneRefused)


LANDLINES = st.integers(0, 99_999_999) | st.integers(60_000_000, 69_999_999) | st.integers(78_000_000, 90_999_999)


@given(LANDLINES, st.sampled_from(["+32{}", " +32{} "]))
def test_a_landline_read_by_its_digits_alone_is_what_libphonenumber_says(digits: int, form: str) -> None:
    plain = f"{digits:08}"

    # With a blank inside the long way is taken.
    assert normalise_phone(form.format(plain)) == normalise_phone(form.format(" " + plain))
