"""`tocsin break-glass` at the terminal: the sheet is printed once, and a used code is told until another is issued."""

import asyncio
import json
import re
from pathlib import Path

import pytest

from gateway.access.break_glass_code import code_sha256
from store.access import break_glass
from store.access.break_glass import BreakGlassUse
from store.audit_line import Actor
from store.engine.database import open_database
from tests.gateway.command_line import CommandLine

SEED = '{"type": "zone", "code": "5301", "name": "Zone", "convention": 1}\n'


@pytest.fixture
def tocsin(tmp_path: Path) -> CommandLine:
    line = CommandLine(tmp_path, '[server]\npublic_url = "https://alert.example"\n')
    (tmp_path / "seed.jsonl").write_text(SEED)
    line.said("load", str(tmp_path / "seed.jsonl"))
    return line


def code_on(sheet: str) -> str:
    [code] = re.findall(r"^ *((?:[0-9A-Z]{4}-){5}[0-9A-Z]{4})$", sheet, re.MULTILINE)
    return code


def use(url: str, code: str) -> bool:
    async def go() -> bool:
        async with open_database(url) as database:
            used = await database.write(
                lambda tx: break_glass.use(
                    tx, "5301", code_sha256(code), "", name="A", reason="storm", mode="live", by=Actor(via="http")
                )
            )
            return isinstance(used, BreakGlassUse)

    return asyncio.run(go())


def test_the_sheet_opens_the_zone_and_the_one_before_no_more(tocsin: CommandLine) -> None:
    first, second = (tocsin.said("break-glass", "issue", "5301") for _ in range(2))

    assert "https://alert.example" in second
    assert code_on(first).encode() not in tocsin.store.read_bytes()
    assert not use(tocsin.url, code_on(first))
    assert use(tocsin.url, code_on(second))


def test_a_used_code_is_told_with_an_exit_code_until_another_is_issued(tocsin: CommandLine) -> None:
    code = code_on(tocsin.said("break-glass", "issue", "5301"))
    good = tocsin.said("break-glass", "list")
    use(tocsin.url, code)

    told = tocsin.ask("break-glass", "list")
    as_json = tocsin.ask("break-glass", "list", "--json")

    assert "zone 5301: good" in good
    assert told.exit_code == as_json.exit_code == 1
    assert "! zone 5301: USED" in told.stdout
    [one] = json.loads(as_json.stdout)
    assert (one["state"], one["uses"]) == ("used", 1)
    tocsin.said("break-glass", "issue", "5301")
    assert "codes used: 1" in tocsin.said("break-glass", "list")


def test_for_a_zone_that_there_is_not_nothing_is_issued(tocsin: CommandLine) -> None:
    assert "there is no zone 'nowhere'" in tocsin.refused("break-glass", "issue", "nowhere")
    assert tocsin.said("break-glass", "list") == ""
