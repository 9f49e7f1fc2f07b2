"""What strangers wrote is shown in each place, and commands nothing there: a property for each sink."""

import csv
import io
import json
import logging
import re
import unicodedata
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser

import feedparser
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.markup import escape
from rich.table import Table

import cap
from cap.feed import FeedEntry, atom
from cap.geojson import to_geojson
from cap.rss import rss
from cap.visible_text import OBEYED as OF_CAP
from gateway.operations.logs import JsonLines
from gateway.operations.status_line import StatusLine
from gateway.operations.terminal_output import Terminal
from gateway.reports.tabular import cell
from gateway.unseen_characters import OBEYED, visible, visible_json
from tests.cap.documents import BASE

CONTROLS = "\x00\x07\x08\x09\x0a\x0b\x0c\x0d\x1b\x7f\x80\x85\x90\x9b\x9d\x9f\u2028\u2029\u202a\u202d\u202e\u2066\u2069"
HOSTILE = st.text(st.one_of(st.sampled_from(CONTROLS), st.characters(exclude_categories=["Cs"])), max_size=60)
FORGED = "\x1b[2J\x1b]0;owned\x07\u009b31mserver: fine\nserver: fine\u202eecnirp"


def commands(text: str, allowed: str = "") -> set[str]:
    """Controls, and what turns the direction of a text."""
    turning = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
    return {c for c in text if (unicodedata.category(c) == "Cc" or c in turning) and c not in allowed}


def test_the_two_lists_of_what_is_obeyed_are_one() -> None:
    assert OBEYED == OF_CAP


@given(HOSTILE)
@example(FORGED)
def test_a_line_of_the_terminal_stays_one_line_and_says_every_word(text: str) -> None:
    shown = visible(text)

    assert not commands(shown)
    assert "\n" not in shown
    assert "\u2028" not in shown
    plain = [c for c in text if not commands(c) and c not in "\u2028\u2029"]
    following = iter(shown)
    assert all(any(c == there for there in following) for c in plain), "every letter, in its order"
    assert visible(shown) == shown


@given(HOSTILE)
@example(FORGED)
def test_whatever_is_printed_on_the_terminal_commands_nothing(text: str) -> None:
    written = io.StringIO()
    terminal = Terminal(file=written, width=200, color_system=None, force_terminal=False)
    table = Table("x", title=escape(text))
    table.add_row(escape(text))

    terminal.print(escape(text), highlight=False)
    terminal.print(table)

    assert not commands(written.getvalue(), "\n")


def test_the_colours_of_our_own_stay() -> None:
    written = io.StringIO()

    Terminal(file=written, color_system="standard", force_terminal=True).print(f"[red]{escape(FORGED)}[/red]")

    assert re.findall("\x1b\\[[0-9;]*m", written.getvalue())
    assert not commands(re.sub("\x1b\\[[0-9;]*m", "", written.getvalue()), "\n")


def test_a_title_forges_no_line_of_status(capsys: pytest.CaptureFixture[str]) -> None:
    from gateway.cli.terminal import print_lines

    print_lines([StatusLine(True, f"campaign: {FORGED}")])

    assert capsys.readouterr().out.count("\n") == 1


@given(st.recursive(HOSTILE | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(HOSTILE, inner)))
def test_json_holds_the_same_values_and_shows_no_control(value: object) -> None:
    written = visible_json(json.dumps(value, ensure_ascii=False))

    assert json.loads(written) == value
    assert not commands(written)


@given(HOSTILE)
@example(FORGED)
def test_a_line_of_the_log_is_one_line_of_json(text: str) -> None:
    record = logging.LogRecord("x", logging.INFO, "f", 1, "said", (), None)
    record.title = text

    line = JsonLines().format(record)

    assert not commands(line)
    assert "\u2028" not in line
    assert json.loads(line)["message"] == "said"


@given(HOSTILE | st.sampled_from(["=cmd|' /C calc'!A0", "+1", "-1", "@sum(A1)", "\t=1", "\r=1", "\n=1"]))
def test_a_cell_of_a_spreadsheet_is_no_formula(text: str) -> None:
    written = io.StringIO()
    csv.writer(written).writerow([cell(text), "after"])
    [[read, after]] = list(csv.reader(io.StringIO(written.getvalue())))

    assert not read.lstrip().startswith(("=", "+", "-", "@"))
    assert after == "after"
    assert not commands(written.getvalue(), "\r\n")


# ---- feeds ---------------------------------------------------------------------------------------------------------

ALERT = cap.read(BASE.encode()).alert
WRITTEN = st.text(st.one_of(st.sampled_from("\x80\x85\x9b\u202e\u2066<>&\"'\n\t"), st.characters(
    exclude_categories=["Cs", "Cn"], min_codepoint=0x20, exclude_characters="\ufffe\uffff",
)), min_size=1, max_size=40).filter(lambda text: any(c.isalnum() for c in text))  # fmt: skip
"""What XML can hold."""


def entry(text: str) -> FeedEntry:
    assert ALERT is not None
    info = replace(ALERT.infos[0], headline=text, description=text, event=text, sender_name=text)
    area = replace(info.areas[0], description=text)
    made = replace(ALERT, scope=cap.Scope.PUBLIC, restriction="", infos=(replace(info, areas=(area,)),))
    return FeedEntry(made, "https://a.example/1.xml", datetime(2026, 1, 1, tzinfo=UTC))


class Shown(HTMLParser):
    """What a reader of feeds would show of HTML, and what it would run."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.words, self.tags = "", []

    def handle_data(self, data: str) -> None:
        self.words += data

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)


@given(WRITTEN)
@example("<script>alert(1)</script>")
@example('<img src=x onerror="alert(1)">')
@example("&lt;b&gt;")
def test_rss_is_shown_as_it_was_written_and_runs_nothing(text: str) -> None:
    made = rss([entry(text)], title="t", description="d", self_url="https://a.example/feed.rss",
               updated=datetime(2026, 1, 1, tzinfo=UTC))  # fmt: skip
    [item] = feedparser.parse(made, sanitize_html=False).entries

    for html in (item.title, item.summary):
        reader = Shown()
        reader.feed(html)
        reader.close()
        assert reader.tags == []
        assert not commands(reader.words, "\n\t")
    assert not commands(made.decode(), "\n\t")


@given(WRITTEN)
def test_atom_and_the_map_hold_no_control_and_every_word(text: str) -> None:
    made = atom([entry(text)], feed_id="urn:x", title="t", author="a", self_url="https://a.example/feed.atom",
                updated=datetime(2026, 1, 1, tzinfo=UTC))  # fmt: skip
    shown = to_geojson([entry(text).alert])

    assert not commands(made.decode(), "\n\t")
    assert not commands("".join(_strings(json.loads(shown))), "\n\t\r")
    words = "".join(_strings(json.loads(shown)))
    assert "".join(c for c in text if c.isalnum()) in "".join(c for c in words if c.isalnum())


def _strings(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [found for part in parts for found in _strings(part)]
