"""Receipts are committed several at a time, and no peer that waits for our word waits for more of them to come."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from channels.contract import Receipt
from channels.sms.smpp import receipt_intake
from channels.sms.smpp.pdu import CommandStatus, DeliverSm
from channels.sms.smpp.receipt_intake import ReceiptIntake
from channels.sms.smpp.receipts import ReceiptDialect


class Peer:
    """A session of an SMSC that has at most `window` receipts without an answer."""

    def __init__(self, intake: ReceiptIntake, window: int, receipts: int) -> None:
        self.intake, self.window, self.left = intake, window, receipts
        self.unanswered = 0
        self.answered: list[CommandStatus] = []
        self.done = asyncio.Event()

    def send(self) -> None:
        while self.left and self.unanswered < self.window:
            self.left -= 1
            self.unanswered += 1
            text = f"id:{self.left} stat:DELIVRD".encode()
            self.intake.arrived(self, DeliverSm(esm_class=4, source="32470000000", short_message=text))  # type: ignore[arg-type]

    def acknowledge(self, pdu: DeliverSm, status: CommandStatus) -> None:
        self.unanswered -= 1
        self.answered.append(status)

    def flush(self) -> None:
        asyncio.get_running_loop().call_soon(self.send)
        if not self.left and not self.unanswered:
            self.done.set()


class Desk:
    """Keeps receipts, and how many came with each commit."""

    def __init__(self) -> None:
        self.commits: list[int] = []
        self.committed = asyncio.Condition()

    async def __call__(self, receipts: Sequence[Receipt]) -> None:
        async with self.committed:
            self.commits.append(len(receipts))
            self.committed.notify_all()

    async def has(self, *, commits: int = 0, receipts: int = 0) -> None:
        async with self.committed:
            await self.committed.wait_for(lambda: len(self.commits) >= commits and sum(self.commits) >= receipts)


@pytest.fixture
async def intake() -> ReceiptIntake:
    return ReceiptIntake("first", ReceiptDialect(), limit=1000, timeout_s=10.0, wall_ms=lambda: 0)


@pytest.fixture
async def desk(intake: ReceiptIntake) -> AsyncIterator[Desk]:
    desk = Desk()
    task = asyncio.create_task(intake.work(desk))
    yield desk
    task.cancel()


@pytest.mark.parametrize("window", [1, 2, 10, 500])
async def test_a_peer_that_waits_for_our_word_has_it_without_delay(
    intake: ReceiptIntake, desk: Desk, window: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer = Peer(intake, window, receipts=window * 20)
    monkeypatch.setattr(receipt_intake, "_TRY_S", 3600.0)

    async with asyncio.timeout(30):
        peer.send()
        await desk.has(commits=2)
        # Now it is known what it does; whoever were made to wait from here on would wait for ever.
        monkeypatch.setattr(receipt_intake, "_GATHER_S", 3600.0)
        await peer.done.wait()

    assert peer.answered == [CommandStatus.OK] * window * 20
    assert len(desk.commits) == 20, "all that it may have open go together"


async def test_what_comes_one_by_one_and_waits_for_nothing_is_committed_together(
    intake: ReceiptIntake, desk: Desk
) -> None:
    peer = Peer(intake, 1000, receipts=0)
    for _ in range(100):
        peer.left = 1
        peer.send()
        await asyncio.sleep(0.002)
    async with asyncio.timeout(30):
        await desk.has(receipts=100)

    assert len(desk.commits) < 50


async def test_when_fewer_come_than_before_none_waits_for_the_others(intake: ReceiptIntake, desk: Desk) -> None:
    busy = Peer(intake, 50, receipts=200)
    busy.send()
    async with asyncio.timeout(30):
        await busy.done.wait()
        for _ in range(3):
            lonely = Peer(intake, 1, receipts=1)
            lonely.send()
            await lonely.done.wait()

    assert desk.commits[-3:] == [1, 1, 1]
