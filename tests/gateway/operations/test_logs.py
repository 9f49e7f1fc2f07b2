"""A log line tells what happened, and neither secrets nor whose telephone it was."""

import json
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.operations.logs import JsonLines, configure, scrubbed, shortened


def the_line(message: str, *args: object, **extra: Any) -> dict[str, Any]:
    record = logging.LogRecord("gateway.test", logging.WARNING, "file", 1, message, args, None)
    vars(record).update(extra)
    found: dict[str, Any] = json.loads(JsonLines().format(record))
    return found


def test_a_line_is_one_json_object_with_its_action_and_what_was_given_along():
    line = the_line("sent %d", 3, action="sent", batch=7, carrier="smpp-1")

    assert line["message"] == "sent 3"
    assert (line["action"], line["batch"], line["carrier"], line["level"]) == ("sent", 7, "smpp-1", "warning")
    assert line["at"].endswith("Z")


def test_a_line_without_an_action_word_says_so():
    assert the_line("hello")["action"] == "log"


def test_a_line_break_in_a_message_does_not_make_a_second_line():
    record = logging.LogRecord("x", logging.INFO, "f", 1, 'a\n{"level":"error"}', (), None)

    assert "\n" not in JsonLines().format(record)


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("key tocsin_ab12_SECRETsecretSECRET was refused", "SECRETsecretSECRET"),
        ("Authorization: Bearer tocsin_ab12_SECRETsecret", "SECRETsecret"),
        ("Authorization: Bearer eyJhbGciOi.SECRET", "SECRET"),
        ("smpp://user:hunter2@carrier.example", "hunter2"),
        ("refused +32475123456: absent", "475123"),
        ("RCPT TO:<jan.peeters@example.org>", "an.peeters"),
    ],
)
def test_secrets_and_addresses_do_not_reach_a_log(text: str, hidden: str):
    assert hidden not in scrubbed(text)
    assert hidden not in json.dumps(the_line("%s", text, note=text, notes=[text]))


def test_a_field_whose_name_is_that_of_a_secret_is_never_written():
    assert the_line("connecting", password="hunter2", api_token="abc")["password"] == "…"
    assert the_line("connecting", password="hunter2", api_token="abc")["api_token"] == "…"


def test_a_traceback_is_scrubbed_too():
    try:
        raise ValueError("no such mailbox: jan.peeters@example.org")
    except ValueError:
        record = logging.LogRecord("x", logging.ERROR, "f", 1, "failed", (), sys.exc_info())
    line = JsonLines().format(record)

    assert "ValueError" in line
    assert "peeters" not in line


def test_a_shortened_address_can_still_be_recognised():
    assert shortened("+32475123456") == "+3247…56"
    assert shortened("jan.peeters@example.org") == "j…@example.org"
    assert shortened("112") == "…"


@given(st.text(max_size=300))
def test_any_text_can_be_scrubbed_twice_as_well_as_once(text: str):
    assert scrubbed(scrubbed(text)) == scrubbed(text)


@pytest.fixture
def configured(tmp_path: Path) -> Iterator[Callable[[str], Callable[[], list[str]]]]:
    """Set the process's loggers up as a server does, and back; gives what reads the lines."""
    touched = [logging.getLogger(name) for name in ("", "mail.log", "aiosqlite")]
    levels, kept = [logger.level for logger in touched], touched[0].handlers[:]
    raises, touched[0].handlers[:] = logging.raiseExceptions, []

    with (tmp_path / "log").open("wb") as file:

        def configure_(level: str) -> Callable[[], list[str]]:
            writer = configure(level, file.fileno())

            def lines() -> list[str]:
                writer.flush()
                return (tmp_path / "log").read_text().splitlines()

            return lines

        yield configure_
        for handler in touched[0].handlers:
            handler.flush()
            handler.close()
    touched[0].handlers[:], logging.raiseExceptions = kept, raises
    for logger, level in zip(touched, levels, strict=True):
        logger.setLevel(level)


def test_the_handler_writes_lines(configured: Callable[[str], Callable[[], list[str]]]):
    lines = configured("INFO")

    logging.getLogger("gateway.any").info("hello", extra={"action": "greet"})

    assert [json.loads(line)["action"] for line in lines()] == ["greet"]


@pytest.mark.parametrize(("level", "heard"), [("DEBUG", ["warning"]), ("INFO", ["warning"]), ("ERROR", [])])
def test_of_the_server_for_bounces_only_warnings_are_heard(
    configured: Callable[[str], Callable[[], list[str]]], level: str, heard: list[str]
):
    lines = configured(level)

    logging.getLogger("mail.log").info("peer: EHLO")
    logging.getLogger("mail.log").warning("peer: unhappy")

    assert [json.loads(line)["level"] for line in lines()] == heard
