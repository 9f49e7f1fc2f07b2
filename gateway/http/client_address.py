"""Whose request it is: the address of the client, also when trusted proxies stand between.

`X-Forwarded-For` alone is read: every proxy writes it or can be told to, nginx has no directive that writes `Forwarded`
(RFC 7239), and a door that believed both would believe whichever one its proxy lets through. Pure and bounded: of what
a client claims, no more than the last few entries are looked at, and those only that trusted hops have added.
"""

from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

FORWARDED_FOR = "X-Forwarded-For"
MOST_HOPS = 16
"""Entries that are read; more trusted proxies than these stand nowhere in a row."""
_LONGEST = 64
"""Characters of an entry: an IPv6 address in brackets with its port has 53 at most."""


def client_address(peer: str, forwarded_for: Sequence[str], trusted: Sequence[Network]) -> str:
    """The nearest address that is no trusted proxy's, in its canonical form.

    `peer` is the other end of the connection; `forwarded_for` the values of the header, in the order of their coming.
    Each proxy adds at the right whom it speaks with, so entries count from there, and only as long as the one who
    wrote them is trusted. Where one is no address, or all are trusted, it is the farthest trusted hop. A peer that is
    no IP address is returned as it is.
    """
    found = _parsed(peer.partition("%")[0])
    if found is None:
        return peer
    entries = _from_the_right(forwarded_for)
    for _ in range(MOST_HOPS):
        if not is_trusted(found, trusted):
            break
        said = _parsed_entry(next(entries, ""))
        if said is None:
            break
        found = said
    return str(found)


def is_trusted_peer(peer: str, trusted: Sequence[Network]) -> bool:
    """Whether the other end of a connection is a trusted proxy."""
    found = _parsed(peer.partition("%")[0])
    return found is not None and is_trusted(found, trusted)


def is_trusted(address: Address, trusted: Sequence[Network]) -> bool:
    return any(address in network for network in trusted)


def networks(entries: Sequence[str]) -> tuple[Network, ...]:
    """The networks of `server.trusted_proxies`. Raises ValueError for what is none."""
    return tuple(map(ip_network, entries))


def _from_the_right(values: Sequence[str]) -> Iterator[str]:
    """Entry after entry, from the last of the last header; one that is too long is cut, and is no address then."""
    for value in reversed(values):
        end = len(value)
        while end >= 0:
            start = value.rfind(",", 0, end) + 1
            yield value[start : min(end, start + 2 * _LONGEST)].strip(" \t")
            end = start - 1


def _parsed_entry(text: str) -> Address | None:
    """An address alone, in brackets, or with a port: 192.0.2.1, 192.0.2.1:80, 2001:db8::1, [2001:db8::1],
    [2001:db8::1]:80."""
    if len(text) > _LONGEST:
        return None
    if text.startswith("["):
        inside, closed, port = text[1:].partition("]")
        is_whole = bool(closed) and (not port or _is_port(port))
        return _parsed(inside) if is_whole and ":" in inside else None
    if text.count(":") == 1:
        text, _, port = text.partition(":")
        return _parsed(text) if _is_port(f":{port}") else None
    return _parsed(text)


def _is_port(text: str) -> bool:
    digits = text[1:]
    return text[:1] == ":" and 1 <= len(digits) <= 5 and digits.isascii() and digits.isdigit()


def _parsed(text: str) -> Address | None:
    """An IPv4 address in IPv6's clothes is an IPv4 address; one with a zone (fe80::1%eth0) means something on one
    machine only, and is none."""
    if "%" in text:
        return None
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return address.ipv4_mapped or address if isinstance(address, IPv6Address) else address
