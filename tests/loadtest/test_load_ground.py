"""Whoever waits for a run of minutes is told how far it is."""

import asyncio
import re
from pathlib import Path

import aiohttp
import pytest

from loadtest.ground import Ground


async def test_what_takes_long_is_told_when_it_begins_while_it_lasts_and_when_it_is_over(tmp_path: Path) -> None:
    told: list[str] = []
    again = asyncio.Event()

    def tell(words: str) -> None:
        told.append(words)
        if len(told) == 3:
            again.set()

    async with aiohttp.ClientSession() as session, asyncio.timeout(20):
        ground = Ground(tmp_path, session, tell)
        async with ground.telling("a register", every_s=0.01):
            await again.wait()

    assert told[0] == "a register ..."
    assert all(re.fullmatch(r"a register: \d+ s so far", words) for words in told[1:-1])
    assert re.fullmatch(r"a register: took \d+\.\d s", told[-1])


async def test_what_breaks_off_is_not_told_as_over(tmp_path: Path) -> None:
    told: list[str] = []
    async with aiohttp.ClientSession() as session:
        with pytest.raises(OSError, match="no sink"):
            async with Ground(tmp_path, session, told.append).telling("a campaign"):
                raise OSError("no sink")

    assert told == ["a campaign ..."]
