"""Lines leave the process by a thread: whoever logs waits for nobody, and what is lost is counted and told."""

import json
import logging
import os
import threading
from collections.abc import Iterator

import pytest

from gateway.operations.log_writer import LogWriter
from gateway.operations.logs import JsonLines

LINE = "x" * 1_000


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    yield reader, writer
    for fd in (reader, writer):
        try:
            os.close(fd)
        except OSError:
            continue


def writer_to(fd: int, most_bytes: int = 100_000) -> LogWriter:
    made = LogWriter(fd, most_bytes)
    made.setFormatter(logging.Formatter("%(message)s"))
    return made


def say(writer: LogWriter, text: str) -> None:
    writer.handle(logging.makeLogRecord({"msg": text, "levelno": logging.INFO, "levelname": "INFO"}))


def read_all(fd: int) -> list[str]:
    with open(os.dup(fd), encoding="utf-8") as file:
        return file.read().splitlines()


def test_lines_come_out_whole_and_in_their_order(pipe: tuple[int, int]):
    reader, fd = pipe
    writer = writer_to(fd)
    for n in range(100):
        say(writer, f"line {n}")

    writer.flush()
    os.close(fd)

    assert read_all(reader) == [f"line {n}" for n in range(100)]
    assert writer.dropped == 0


def test_with_a_reader_that_stands_still_lines_are_dropped_at_the_bound_and_each_loss_is_told(pipe: tuple[int, int]):
    reader, fd = pipe
    writer = writer_to(fd)
    writer.setFormatter(JsonLines())
    for n in range(1_000):  # 1 MB and more; a pipe holds 64 KiB, the queue 100 kB
        say(writer, f"{n} {LINE}")
    dropped = writer.dropped
    got: list[str] = []
    reading = threading.Thread(target=lambda: got.extend(read_all(reader)))
    reading.start()
    writer.flush()
    say(writer, "and on it goes")
    writer.flush()
    writer.close()
    writer._thread.join(5)
    os.close(fd)
    reading.join(5)

    lines = [json.loads(line) for line in got]
    assert 700 < dropped < 1_000
    assert sum(line["message"].endswith(LINE) for line in lines) == 1_000 - dropped
    assert sum(line["lines"] for line in lines if line["action"] == "log-dropped") == dropped
    assert "and on it goes" in [line["message"] for line in lines]


def test_with_a_reader_that_has_gone_lines_are_counted_and_nothing_is_raised(pipe: tuple[int, int]):
    reader, fd = pipe
    os.close(reader)
    writer = writer_to(fd)
    for _ in range(50):
        say(writer, LINE)

    writer.flush()

    assert writer.dropped == 50


def test_a_record_that_cannot_be_written_down_is_counted(pipe: tuple[int, int]):
    _, fd = pipe
    writer = writer_to(fd)

    writer.handle(logging.makeLogRecord({"msg": "%d", "args": ("no number",)}))

    assert writer.dropped == 1


def test_the_end_waits_for_the_last_lines_and_not_for_a_reader_that_stands_still(pipe: tuple[int, int]):
    _, fd = pipe
    writer = writer_to(fd)
    for _ in range(200):
        say(writer, LINE)

    writer.flush()  # returns
    writer.close()
