"""Paper codes: long enough that nobody guesses one, and read however they were typed."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.access.break_glass_code import code_sha256, new_code, sheet

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def test_a_code_is_of_120_bits_in_groups_that_are_read_aloud() -> None:
    codes = {new_code() for _ in range(500)}

    assert len(codes) == 500
    assert {tuple(map(len, code.split("-"))) for code in codes} == {(4,) * 6}
    assert set("".join(codes)) == {*ALPHABET, "-"}
    assert len(ALPHABET) == 32, "24 letters of five bits"


LOOK = {"0": "0oO", "1": "1iIlL"}


@given(st.text(ALPHABET, min_size=24, max_size=24), st.data())
def test_it_is_read_in_small_letters_with_other_gaps_and_with_letters_that_look_alike(
    code: str, data: st.DataObject
) -> None:
    typed = "".join(
        data.draw(st.sampled_from(LOOK.get(letter, letter + letter.lower())))
        + data.draw(st.sampled_from(("", " ", "-", ".")))
        for letter in code
    )

    assert code_sha256(typed) == code_sha256(code)


@given(st.text(max_size=100))
def test_whatever_is_typed_has_a_hash_and_another_code_another(typed: str) -> None:
    assert len(code_sha256(typed)) == 64
    assert code_sha256(new_code()) != code_sha256(typed)


def test_the_sheet_has_the_zone_the_code_and_four_languages_in_lines_that_fit() -> None:
    code = new_code()
    text = sheet("5301", code, "2026-11-28", "https://alert.example")

    lines = text.splitlines()
    assert [line.strip() for line in lines if code in line] == [code]
    assert any("5301" in line and "2026-11-28" in line for line in lines)
    assert [line for line in lines if line.endswith(":") and " " not in line] == [
        "Nederlands:", "Français:", "Deutsch:", "English:",
    ]  # fmt: skip
    assert text.count("https://alert.example/sign-in") == 4
    assert max(map(len, lines)) <= 78
    assert "the gateway" in sheet("5301", code, "2026-11-28", "")
