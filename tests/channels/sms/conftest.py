"""An SMPP account over real sockets: the carrier, running, and the receipts that it hands on."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field

import pytest

from channels.contract import Outcome, Outgoing, Receipt, ReceiptSink
from channels.sms.segments import SmsText, prepare
from channels.sms.smpp.carrier import SmppCarrier
from channels.sms.smpp.settings import SmppSettings
from tests.channels.conformance import answers


@dataclass
class Account:
    """A running carrier and what came of it."""

    carrier: SmppCarrier
    receipts: list[Receipt] = field(default_factory=list)

    async def keep(self, receipts: Sequence[Receipt]) -> None:
        self.receipts.extend(receipts)

    async def send(self, *group: Outgoing, within_s: float = 5.0) -> list[Outcome]:
        """The outcomes in the order of the group; exactly one each."""
        outcomes: dict[int, Outcome] = {}
        async with asyncio.timeout(within_s):
            async for index, outcome in answers(self.carrier, group):
                assert index not in outcomes
                outcomes[index] = outcome
        return [outcomes[index] for index in range(len(group))]


async def eventually(condition: Callable[[], object], within_s: float = 5.0) -> None:
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 - a test looks at what has no event
            await asyncio.sleep(0.005)


def an_outgoing(
    content: SmsText | str = "Alerte",
    number: str = "+32477123456",
    due: Sequence[float] | float | None = None,
    expires_ms: int | None = None,
) -> Outgoing:
    """A message due now, or at that event-loop time, unless told."""
    text = prepare(content) if isinstance(content, str) else content
    if due is None or isinstance(due, float):
        due = [due or asyncio.get_running_loop().time()] * text.units
    return Outgoing(
        reference=f"t.{number[1:]}", address=number, name="", content=text, due=tuple(due), expires_ms=expires_ms
    )


OpenAccount = Callable[..., AbstractAsyncContextManager[Account]]


@pytest.fixture
def open_account() -> OpenAccount:
    @asynccontextmanager
    async def open_account(
        port: int, *, sink: ReceiptSink | None = None, up: bool = True, **settings: object
    ) -> AsyncIterator[Account]:
        """A carrier for the SMSC at that port, bound; unbound and closed at the end."""
        defaults = {"binds": 1, "reconnect_first_s": 0.02, "reconnect_longest_s": 0.1, "drain_timeout_s": 1.0}
        known = SmppSettings(
            host="127.0.0.1", port=port, system_id="plp", source_address="PLP", **{**defaults, **settings}
        )
        account = Account(SmppCarrier("sms-a", known))
        task = asyncio.create_task(account.carrier.run(sink or account.keep))
        try:
            if up:
                binds = known.binds
                await eventually(lambda: account.carrier.room == binds * known.window)
            yield account
        finally:
            task.cancel()
            async with asyncio.timeout(10):
                await asyncio.gather(task, return_exceptions=True)
            if not task.cancelled():
                task.result()

    return open_account


@pytest.fixture
def outgoing() -> Callable[..., Outgoing]:
    return an_outgoing


@pytest.fixture
def until() -> Callable[..., object]:
    return eventually
