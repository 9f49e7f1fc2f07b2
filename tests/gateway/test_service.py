"""The end of the process is bounded, even where nothing ends by itself."""

import logging
import socket
import threading
from pathlib import Path

import pytest

from gateway import service
from gateway.run import CannotStart
from gateway.service import LastResort
from gateway.settings import ServerSettings, Settings, StoreSettings


def test_what_does_not_end_by_itself_is_ended():
    ended = threading.Event()
    codes: list[int] = []

    def exit_now(code: int) -> None:
        codes.append(code)
        ended.set()

    with LastResort(exit_now) as last_resort:
        last_resort.within(0.01)
        assert ended.wait(10)

    assert codes == [1]


def test_what_ends_by_itself_is_left_alone():
    codes: list[int] = []
    with LastResort(codes.append) as last_resort:
        last_resort.within(0.2)
    for thread in threading.enumerate():
        if isinstance(thread, threading.Timer):
            thread.join(5)

    assert codes == []


def test_the_first_end_that_was_set_stays():
    ended = threading.Event()
    with LastResort(lambda _: ended.set()) as last_resort:
        last_resort.within(0.01)
        last_resort.within(3600)

        assert ended.wait(10)


async def test_a_start_that_fails_is_logged_as_one(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    store = StoreSettings(url=f"sqlite+aiosqlite:///{tmp_path}/tocsin.db")
    with socket.socket() as taken, LastResort() as last_resort, caplog.at_level(logging.ERROR):
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        settings = Settings(store=store, server=ServerSettings(port=taken.getsockname()[1]))
        with pytest.raises(CannotStart, match="cannot listen"):
            await service.run(settings, last_resort)

    assert [vars(record)["action"] for record in caplog.records] == ["start-failed"]
