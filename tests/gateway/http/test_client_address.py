"""Whose request it is: nobody gains an address by what they claim, and every honest chain is read to its end."""

from ipaddress import IPv4Address, ip_address

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.http.client_address import MOST_HOPS, Network, client_address, is_trusted, is_trusted_peer, networks

TRUSTED = networks(["127.0.0.1", "10.1.0.0/16", "2001:db8:aa::/48"])
PROXY = "10.1.0.7"

proxies = st.sampled_from(["127.0.0.1", "10.1.0.7", "10.1.255.1", "2001:db8:aa::1", "::ffff:10.1.2.3"])
strangers = st.ip_addresses().filter(lambda a: not is_trusted(_plain(a), TRUSTED)).map(str)
garbage = st.text(st.characters(codec="utf-8", exclude_characters=","), max_size=80)


def _plain(address: object) -> IPv4Address:
    return getattr(address, "ipv4_mapped", None) or address  # type: ignore[return-value]


def canonical(address: str) -> str:
    return str(_plain(ip_address(address)))


@st.composite
def written(draw: st.DrawFn, address: str) -> str:
    """As one proxy or another writes it."""
    forms = [address, f"  {address}\t"]
    port = draw(st.integers(0, 65535))
    forms += [f"[{address}]", f"[{address}]:{port}"] if ":" in address else [f"{address}:{port}"]
    return draw(st.sampled_from(forms))


@st.composite
def headers(draw: st.DrawFn, entries: list[str]) -> list[str]:
    """The entries, in one header or spread over several."""
    values: list[list[str]] = [[]]
    for entry in entries:
        if values[-1] and draw(st.booleans()):
            values.append([])
        values[-1].append(entry)
    return [",".join(value) for value in values if value]


@given(strangers, st.lists(garbage | proxies | strangers, max_size=5))
def test_of_a_peer_that_is_no_proxy_no_header_is_believed(peer: str, claimed: list[str]):
    assert client_address(peer, claimed, TRUSTED) == canonical(peer)


@given(st.data())
def test_the_client_is_who_the_farthest_trusted_hop_spoke_with_whatever_is_claimed_left_of_it(data: st.DataObject):
    client = data.draw(strangers)
    hops = data.draw(st.lists(proxies, max_size=MOST_HOPS - 1))
    claimed = data.draw(st.lists(garbage | proxies | strangers, max_size=5))
    entries = [*claimed, *(data.draw(written(address)) for address in [client, *hops])]

    found = client_address(data.draw(proxies), data.draw(headers(entries)), TRUSTED)

    assert found == canonical(client)


@given(proxies, st.lists(st.text(max_size=200), max_size=8))
@example(PROXY, ["203.0.113.9, unknown"])
@example(PROXY, ["203.0.113.9,"])
@example(PROXY, ["203.0.113.9", ""])
@example(PROXY, ["fe80::1%eth0"])
@example(PROXY, ["1.2.3.4:123456"])
@example(PROXY, ["[192.0.2.1]"])
@example(PROXY, ["[2001:db8::1]x"])
@example(PROXY, ["1.2.3.4/24"])
@example(PROXY, ["٣.٣.٣.٣"])
def test_whatever_a_header_holds_an_address_comes_of_it_in_its_canonical_form(peer: str, values: list[str]):
    found = client_address(peer, values, TRUSTED)

    assert found == canonical(found)
    assert found == canonical(peer) or found in {canonical(a) for v in values for e in v.split(",") for a in _in(e)}


def _in(entry: str) -> list[str]:
    """The address that an entry may mean, by other means than those that are tested."""
    text = entry.strip(" \t")
    host = text[1 : text.index("]")] if text.startswith("[") and "]" in text else text
    host = host.partition(":")[0] if host.count(":") == 1 else host
    try:
        return [str(ip_address(host))]
    except ValueError:
        return []


@pytest.mark.parametrize(
    "said", ["unknown", "_hidden", "203.0.113.9:http", "fe80::1%1", "", "1.2.3.4 5.6.7.8", '"2001:db8::1"']
)
def test_what_a_trusted_proxy_says_and_is_no_address_is_laid_to_the_proxy(said: str):
    assert client_address("127.0.0.1", [f"203.0.113.9, {said}, {PROXY}"], TRUSTED) == PROXY


def test_a_chain_of_trusted_addresses_alone_ends_with_its_first():
    assert client_address("127.0.0.1", ["10.1.0.9, 10.1.0.8"], TRUSTED) == "10.1.0.9"


@pytest.mark.parametrize("values", [["127.0.0.1," * 900], ["127.0.0.1"] * 64, ["x" * 8190], ["," * 8190]])
def test_however_long_or_often_repeated_a_header_is_a_few_entries_of_it_are_read(values: list[str]):
    assert client_address(PROXY, ["203.0.113.9", *values], TRUSTED) in {PROXY, "127.0.0.1"}


def test_an_entry_beyond_the_hops_that_are_read_is_not_believed():
    hops = ["10.1.0.8"] * MOST_HOPS

    assert client_address(PROXY, [", ".join(["203.0.113.9", *hops])], TRUSTED) == "10.1.0.8"
    assert client_address(PROXY, [", ".join(["203.0.113.9", *hops[1:]])], TRUSTED) == "203.0.113.9"


@pytest.mark.parametrize(
    ("peer", "trusted", "is_proxy"),
    [
        ("10.1.0.7", TRUSTED, True),
        ("::ffff:10.1.0.7", TRUSTED, True),
        ("10.2.0.7", TRUSTED, False),
        ("fe80::1%eth0", networks(["fe80::/64"]), True),
        ("", TRUSTED, False),
        ("127.0.0.1", (), False),
    ],
)
def test_a_peer_is_a_proxy_by_its_address(peer: str, trusted: tuple[Network, ...], is_proxy: bool):
    assert is_trusted_peer(peer, trusted) is is_proxy


def test_a_peer_without_an_address_stays_what_it_is():
    assert client_address("", ["203.0.113.9"], TRUSTED) == ""
