"""The door never fills up with strangers: who waits and has no key gives way, and it is told."""

import asyncio
import contextlib
import resource

import pytest

from gateway.http.visitors import Visitors, room


class Guest:
    def __init__(self, waits: bool = True) -> None:
        self.waits = waits
        self.gone = False

    def send_away(self) -> None:
        self.gone = True


def test_a_newcomer_takes_the_place_of_the_stranger_who_has_waited_longest():
    visitors = Visitors(most=3)
    busy, first, second, late = Guest(waits=False), Guest(), Guest(), Guest()

    assert all(visitors.enter(guest, f"10.0.0.{n}", 0.0) for n, guest in enumerate([busy, first, second, late]))

    assert [guest.gone for guest in (busy, first, second, late)] == [False, True, False, False]


def test_who_has_shown_a_key_or_is_being_answered_keeps_their_place(caplog):
    visitors = Visitors(most=2)
    known, busy = Guest(), Guest(waits=False)
    visitors.enter(known, "10.0.0.1", 0.0)
    visitors.enter(busy, "10.0.0.2", 0.0)
    visitors.vouch(known)

    assert not visitors.enter(Guest(), "10.0.0.3", 1.0)
    assert not visitors.enter(Guest(), "10.0.0.3", 2.0)

    assert not known.gone
    assert not busy.gone
    [line] = [r for r in caplog.records if getattr(r, "action", "") == "door-full"]
    assert line.peer == "10.0.0.3"
    visitors.leave(busy)
    assert visitors.enter(Guest(), "10.0.0.3", 3.0)


def test_behind_many_who_are_busy_a_stranger_who_waits_is_found():
    visitors = Visitors(most=200)
    for _ in range(199):
        visitors.enter(Guest(waits=False), "10.0.0.1", 0.0)
    idle = Guest()
    visitors.enter(idle, "10.0.0.2", 0.0)

    tries = [visitors.enter(Guest(waits=False), "10.0.0.3", 1.0) for _ in range(6)]

    assert idle.gone
    assert tries.count(True) == 1
    assert visitors.inside == 200


def test_of_one_address_so_many_strangers_are_inside_and_its_own_give_way():
    visitors = Visitors(most=10, most_per_address=2)
    crowd = [Guest() for _ in range(5)]
    other = Guest()
    visitors.enter(other, "10.0.0.9", 0.0)

    for guest in crowd:
        assert visitors.enter(guest, "2001:db8::1", 0.0)

    assert [guest.gone for guest in crowd] == [True, True, True, False, False]
    assert not other.gone


def test_those_with_keys_are_not_counted_by_address():
    visitors = Visitors(most=10, most_per_address=2)
    for _ in range(5):
        guest = Guest(waits=False)
        assert visitors.enter(guest, "10.0.0.1", 0.0)
        visitors.vouch(guest)
    visitors.leave(guest)

    assert visitors.enter(Guest(), "10.0.0.1", 0.0)


def test_there_is_room_for_no_more_than_the_limit_of_open_files(monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 1024))

    assert 16 <= room(5_000) < 1024 - 64
    assert room(20) == 20


@pytest.mark.parametrize("strangers", [40])
async def test_idle_strangers_do_not_shut_anybody_out(door, strangers):
    """Real sockets: the house has room for ten."""
    door.door.visitors.most = 10
    host, port = "127.0.0.1", door.port
    held = [await asyncio.open_connection(host, port) for _ in range(strangers)]

    reader, writer = await asyncio.open_connection(host, port)
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    async with asyncio.timeout(5):
        answer = await reader.read()

    assert answer.startswith(b"HTTP/1.1 200")
    for _, other in (*held, (reader, writer)):
        other.close()
        with contextlib.suppress(ConnectionError):
            await other.wait_closed()
