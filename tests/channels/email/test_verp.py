"""Only a bounce of a message that we sent may speak for that message."""

from hypothesis import given
from hypothesis import strategies as st

from channels.email.verp import reference_of, return_path

KEY = b"0123456789abcdef"
DOMAIN = "bounces.example.be"
references = st.from_regex(r"[a-z0-9.-]{1,64}", fullmatch=True)


@given(references)
def test_a_return_path_gives_back_its_reference(reference: str) -> None:
    address = return_path(reference, DOMAIN, KEY)

    assert reference_of(address, DOMAIN, KEY) == reference
    assert reference_of(address.upper(), DOMAIN, KEY) == reference


@given(references, references)
def test_the_mac_of_one_reference_proves_no_other(one: str, other: str) -> None:
    mac = return_path(one, DOMAIN, KEY).rpartition("@")[0].rpartition(".")[2]

    proven = reference_of(f"bounce+{other}.{mac}@{DOMAIN}", DOMAIN, KEY)

    assert proven == (other if one == other else None)


def test_another_key_another_domain_and_other_addresses_prove_nothing() -> None:
    address = return_path("g1.c7.42", DOMAIN, KEY)

    assert reference_of(address, DOMAIN, b"another key") is None
    assert reference_of(address, "elsewhere.example", KEY) is None
    for stranger in ("", "bounce", "postmaster@" + DOMAIN, f"bounce+@{DOMAIN}", f"bounce+.@{DOMAIN}", "é@é"):
        assert reference_of(stranger, DOMAIN, KEY) is None


def test_a_reference_of_forty_characters_keeps_the_local_part_within_rfc_5321() -> None:
    assert len(return_path("r" * 40, DOMAIN, KEY).rpartition("@")[0]) <= 64


@given(st.text(max_size=100))
def test_no_text_makes_the_reader_fail(text: str) -> None:
    assert reference_of(text, DOMAIN, KEY) is None
