"""The false SMSC as a process of its own: its first line, its dump, its counts, its options."""

import asyncio
import json
import signal
import sys
from pathlib import Path

import pytest

from channels.contract import Accepted, Refused, Throttled
from loadtest.sinks.smsc import SmscOptions, SmscSink


async def test_it_says_its_port_keeps_a_dump_and_counts_until_it_is_ended(
    open_account, outgoing, tmp_path: Path
) -> None:
    dump = tmp_path / "arrivals.jsonl"
    options = ["--port", "0", "--dump", str(dump), "--refuse-suffix", "9", "--id-form", "hex"]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "loadtest.sinks.smsc", *options, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    async with asyncio.timeout(20):
        port = json.loads(await process.stdout.readline())["port"]

        async with open_account(port) as account:
            outcomes = await account.send(*[outgoing("é" * 200, number=f"+3247700000{n}") for n in range(10)])
        process.send_signal(signal.SIGTERM)
        counts = json.loads(await process.stdout.readline())
        assert await process.wait() == 0

    assert [type(outcome) for outcome in outcomes] == [Accepted] * 9 + [Refused]
    lines = [json.loads(line) for line in dump.read_text().splitlines()]
    whole = [line for line in lines if line["text"] is not None]
    assert len(lines) == counts["submits"] == sum(counts["seconds"].values()) == 20
    assert {line["text"] for line in whole} == {"é" * 200}
    assert {line["system_id"] for line in lines} == {"plp"}
    assert tuple(line["id"] for line in lines if line["destination"] == "32477000000") == outcomes[0].refs


@pytest.mark.parametrize("limit", [5, 20])
async def test_beyond_its_rate_it_asks_for_a_slower_pace(open_account, outgoing, limit: int) -> None:
    async with SmscSink(SmscOptions(max_rate_per_s=limit)) as smsc, open_account(smsc.port) as account:
        outcomes = await account.send(*[outgoing(number=f"+324770000{n:02}") for n in range(40)])

        assert sum(isinstance(outcome, Accepted) for outcome in outcomes) == limit
        assert sum(isinstance(outcome, Throttled) for outcome in outcomes) == 40 - limit
