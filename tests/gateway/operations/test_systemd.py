"""A supervisor hears that the server is ready, lives, and stops."""

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.operations.systemd import Supervisor, supervisor_of


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(tmp_path / "notify"))
        heard.settimeout(5)
        yield heard


def test_who_is_told_stands_in_the_environment():
    environ = {"NOTIFY_SOCKET": "@systemd", "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}

    assert supervisor_of(environ) == Supervisor("@systemd", 30.0)
    assert supervisor_of({}) == Supervisor()


@pytest.mark.parametrize("usec", ["", "0", "-5", "soon"])
def test_without_a_watchdog_no_sign_of_life_is_owed(usec: str):
    assert supervisor_of({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": usec}).watchdog_s is None


def test_the_watchdog_of_another_process_is_not_ours():
    environ = {"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "1000", "WATCHDOG_PID": str(os.getpid() + 1)}

    assert supervisor_of(environ).watchdog_s is None


def test_states_are_told_in_one_datagram(listener: socket.socket):
    Supervisor(listener.getsockname()).tell("READY=1", "STATUS=well")

    assert listener.recv(100) == b"READY=1\nSTATUS=well"


@pytest.mark.parametrize("address", ["", "/nowhere/at/all", "@nobody-listens-here"])
def test_nobody_who_listens_is_no_reason_to_fail(address: str):
    Supervisor(address).tell("READY=1")


async def test_signs_of_life_go_on_until_the_end(listener: socket.socket):
    alive = asyncio.create_task(Supervisor(listener.getsockname(), 0.03).live())
    heard = [await asyncio.to_thread(listener.recv, 100) for _ in range(3)]
    alive.cancel()

    assert heard == [b"WATCHDOG=1"] * 3
