"""Which text somebody gets."""

import pytest

from gateway.texts.language import choose, primary

FALLBACK = ("nl", "fr", "de", "en")


@pytest.mark.parametrize(
    ("wanted", "available", "chosen"),
    [
        ("fr", ("nl", "fr"), "fr"),
        ("fr-BE", ("nl", "fr"), "fr"),
        ("FR", ("nl", "fr"), "fr"),
        ("tr", ("fr", "nl"), "nl"),
        ("nl", ("fr", "de"), "de"),
        ("nl", ("en", "fr"), "fr"),
        ("nl", ("it", "es"), "it"),
        ("", ("de", "nl"), "de"),
    ],
)
def test_somebody_is_told_in_his_language_else_by_the_zones_order_else_in_any(wanted, available, chosen):
    assert choose(wanted, available, default="de", fallback=FALLBACK) == chosen


def test_without_any_text_there_is_nothing_to_choose():
    with pytest.raises(ValueError, match="no text"):
        choose("nl", (), default="nl", fallback=FALLBACK)


def test_the_first_part_of_a_tag_names_the_language():
    assert [primary(tag) for tag in ("nl-BE", "EN", " de ", "")] == ["nl", "en", "de", ""]
