"""What the register may keep as a mailbox, and what it must refuse."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.email.address import Mailbox, MailboxRefused, normalise_mailbox


@pytest.mark.parametrize(
    ("raw", "address", "smtputf8"),
    [
        ("jan@example.be", "jan@example.be", False),
        ("  Jan.Peeters@Example.BE\t", "Jan.Peeters@example.be", False),
        ("o'neil+plp@mail.example.be", "o'neil+plp@mail.example.be", False),
        ("info@café.example", "info@xn--caf-dma.example", False),
        ("info@CAFÉ.example", "info@xn--caf-dma.example", False),
        ("info@XN--CAF-DMA.example", "info@xn--caf-dma.example", False),
        ("jérôme@example.be", "jérôme@example.be", True),
        ("je\u0301ro\u0302me@example.be", "jérôme@example.be", True),
        ("用户@例子.公司", "用户@xn--fsqu00a.xn--55qx5d", True),
    ],
)
def test_a_mailbox_has_one_normal_form(raw: str, address: str, smtputf8: bool) -> None:
    mailbox = normalise_mailbox(raw)

    assert mailbox == Mailbox(address, *address.rsplit("@", 1), smtputf8)


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "   ",
        "jan",
        "jan@",
        "@example.be",
        "jan@localhost",
        "jan@example.be, piet@example.be",
        "jan@example.be,piet@example.be",
        "jan@example.be;piet@example.be",
        "jan@evil.example@example.be",
        "Jan Peeters <jan@example.be>",
        "<jan@example.be>",
        "jan@example.be>\r\nRCPT TO:<piet@example.be",
        "jan@example.be\r\n",
        "jan@example.be\n",
        "jan\0@example.be",
        "jan\u2028@example.be",
        "jan\u0085@example.be",
        "jan\u200b@example.be",
        "jan\ud800@example.be",
        "jan peeters@example.be",
        '"jan peeters"@example.be',
        ".jan@example.be",
        "jan.@example.be",
        "ja..n@example.be",
        "jan@example..be",
        "jan@example.be.",
        "jan@-example.be",
        "jan@exa_mple.be",
        "jan@[127.0.0.1]",
        "jan@127.0.0.1",
        "jan@xn--zzzzzzzzz.example",
        "j" * 65 + "@example.be",
        "é" * 33 + "@example.be",
        "jan@" + "a" * 64 + ".be",
        "jan@" + "é" * 5000 + ".be",
    ],
)
def test_what_is_not_exactly_one_mailbox_is_refused_with_a_reason(raw: str) -> None:
    refused = normalise_mailbox(raw)

    assert isinstance(refused, MailboxRefused)
    assert refused.reason


def test_a_reason_never_repeats_the_address() -> None:
    refused = normalise_mailbox("very-private-name@exa mple.be")

    assert isinstance(refused, MailboxRefused)
    assert "private" not in refused.reason


@given(st.one_of(st.text(max_size=300), st.from_regex(r"[^@]{1,20}@[^@]{1,20}\.[a-z]{2,4}", fullmatch=True)))
def test_any_text_is_answered_and_what_passes_cannot_break_out_of_a_command(raw: str) -> None:
    answer = normalise_mailbox(raw)

    if isinstance(answer, Mailbox):
        assert answer.address.count("@") == 1
        assert not set(answer.address) & set('<>\r\n\0 \t,;"()\u2028\u2029\u0085')
        assert answer.address.encode()  # no lone surrogate
        assert answer.domain.isascii()
        assert answer.domain == answer.domain.lower()
        assert normalise_mailbox(answer.address) == answer


@given(st.characters(max_codepoint=0x17F))
def test_every_character_is_judged_alike_alone_and_beside_others(character: str) -> None:
    """ASCII is looked at in one go, anything else character by character."""
    alone = isinstance(normalise_mailbox(f"a{character}b@example.be"), Mailbox)
    beside = isinstance(normalise_mailbox(f"\u00e9a{character}b@example.be"), Mailbox)

    assert alone == beside
