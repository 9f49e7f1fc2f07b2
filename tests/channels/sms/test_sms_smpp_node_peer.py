"""Our client against an SMPP server by other people's hands (node's `smpp`): do both read the standard alike?"""

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from channels.contract import Accepted, ReceiptState
from channels.sms.segments import prepare
from channels.sms.smpp.ids import IdBase

PEER = Path(__file__).parents[2] / "peers" / "smpp"
ACCOUNT = {"password": "secret", "id_base_response": IdBase.HEX, "id_base_receipt": IdBase.DEC}
TEXTS = [
    "Alerte BIN: voiture suspecte, appelez le 112.",
    "àéèìòùñöäüßæøåÉÇ§¿¡£$¥@_ΔΦΓΛΩΠΨΣΘΞ \n{}[]\\~^|€",
    "Évacuation {rue} de l'église, " * 20,
    "a" * 152 + "€" + "b" * 200,
    "Внимание! Опасность. " * 12,
    "🔥👩‍🚒 " * 30,
]

pytestmark = pytest.mark.peer


class NodePeer:
    """The server's process and what it said."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.port = port
        self.said: list[dict[str, object]] = []
        self._process = process

    async def listen(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            self.said.append(json.loads(line))

    def about(self, key: str) -> list[dict[str, object]]:
        return [line for line in self.said if key in line]


@asynccontextmanager
async def node_peer(receipts: str) -> AsyncIterator[NodePeer]:
    node = shutil.which("node")
    if node is None or not (PEER / "node_modules" / "smpp").is_dir():
        reason = "node or its smpp package is missing: `make peers` installs them"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    process = await asyncio.create_subprocess_exec(
        node,
        str(PEER / "server.js"),
        json.dumps({"receipts": receipts}),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    listening = None
    try:
        async with asyncio.timeout(20):
            port = json.loads(await process.stdout.readline())["port"]
        peer = NodePeer(process, port)
        listening = asyncio.create_task(peer.listen())
        yield peer
    finally:
        process.stdin.close()
        async with asyncio.timeout(5):
            await process.wait()
            if listening is not None:
                await listening


async def test_node_reads_every_text_as_it_was_written(open_account, outgoing, until: Callable[..., object]) -> None:
    contents = [prepare(text, mode="exact") for text in TEXTS]
    async with node_peer("none") as peer:
        async with open_account(peer.port, **ACCOUNT) as account:
            outcomes = await account.send(
                *[outgoing(content, number=f"+3247700000{n}") for n, content in enumerate(contents)]
            )
            await until(lambda: len(peer.about("text")) == len(TEXTS))
        await until(lambda: peer.about("unbound"))

        heard = {line["destination"]: line for line in peer.about("text")}
        for n, (content, outcome) in enumerate(zip(contents, outcomes, strict=True)):
            line = heard[f"3247700000{n}"]
            assert line["text"] == content.text
            assert line["source"] == "PLP"
            assert len(line["ids"]) == content.units
            assert outcome == Accepted(tuple(str(int(one, 16)) for one in line["ids"]))


async def test_node_reads_the_validity_as_we_mean_it(open_account, outgoing, until) -> None:
    async with node_peer("none") as peer, open_account(peer.port, **ACCOUNT) as account:
        await account.send(outgoing(expires_ms=1_895_437_296_789))
        await until(lambda: peer.about("text"))

        assert peer.about("text")[0]["validity"] == 1_895_437_296_000


@pytest.mark.parametrize(("receipts", "each"), [("early", 1), ("late", 1), ("twice", 2)])
async def test_receipts_early_late_and_twice_find_their_reference_and_are_acknowledged(
    open_account, outgoing, until, receipts: str, each: int
) -> None:
    long = prepare("Voiture suspecte. " * 12)
    async with node_peer(receipts) as peer, open_account(peer.port, **ACCOUNT) as account:
        outcomes = await account.send(
            *[outgoing(long, number=f"+3247700{n:04}") for n in range(25)],
            *[outgoing(number=f"+3247701{n:04}") for n in range(25)],
        )
        refs = [ref for outcome in outcomes for ref in outcome.refs]
        expected = each * (25 * long.units + 25)
        await until(lambda: len(account.receipts) == expected, 10.0)
        await until(lambda: len(peer.about("acknowledged")) == expected, 10.0)

        assert len(set(refs)) == len(refs) == 25 * long.units + 25
        assert sorted(receipt.ref for receipt in account.receipts) == sorted(refs * each)
        assert {receipt.state for receipt in account.receipts} == {ReceiptState.DELIVERED}
        assert {line["status"] for line in peer.about("acknowledged")} == {0}
        by_ref: dict[str, str] = {}
        for n, outcome in enumerate(outcomes):
            number = f"+3247700{n:04}" if n < 25 else f"+3247701{n - 25:04}"
            by_ref.update(dict.fromkeys(outcome.refs, number))
        assert all(receipt.destination == by_ref[receipt.ref] for receipt in account.receipts)


async def test_node_refuses_a_wrong_password_and_we_say_so(open_account, until) -> None:
    async with node_peer("none") as peer, open_account(peer.port, up=False, password="wrong") as account:
        await until(lambda: "ESME_RINVPASWD" in account.carrier.status().detail)
