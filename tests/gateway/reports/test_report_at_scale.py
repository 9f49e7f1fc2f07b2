"""The account of a very large campaign is drawn up while the server goes on answering."""

import asyncio

import numpy as np
import pytest
import sqlalchemy as sa

from channels.contract import Channel
from gateway.directory.audience import Audience, Covered, Deliveries, Excluded, SkippedChannel
from gateway.reports.reading import draw_up
from store.engine.database import Database
from store.engine.transaction import Transaction
from tests.gateway.populated_store import House

N = 300_000
_ROWS = """
INSERT INTO delivery (id, channel, member_id, contact_id, address, language, units, price_millieuro, state, code,
                      charged)
WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < :last)
SELECT :base + i, 'sms', i + 1, i + 1, '+32' || i, 'nl', 1, 55, CASE WHEN i % 20 = 0 THEN 5 ELSE 4 END,
       CASE WHEN i % 20 = 0 THEN '550' END, 1 FROM n
"""


@pytest.mark.slow
async def test_a_report_of_hundreds_of_thousands_holds_the_event_loop_for_a_blink(database: Database):
    house = House(database)
    await house.zone("A")
    await house.account("cic")
    ids, none, small = np.arange(1, N + 1, dtype=np.int64), np.empty(0, np.int64), np.empty(0, np.uint8)
    audience = Audience(
        N,
        ("nl",),
        (Channel.SMS,),
        {Channel.SMS: Deliveries(ids, ids, ids, np.zeros(N, np.uint8))},
        Excluded(none, small),
        Covered(none, small, none, none, small),
        SkippedChannel(none, small, small),
    )
    [number] = await house.launch(1, house.campaign("A", 1, audience, "c1"))
    await database.write(lambda tx: fill(tx, number))
    longest_s = 0.0

    async def beat() -> None:
        nonlocal longest_s
        now = asyncio.get_running_loop().time
        while True:
            before_s = now()
            await asyncio.sleep(0.005)
            longest_s = max(longest_s, now() - before_s)

    heart = asyncio.create_task(beat())
    async with asyncio.timeout(60):
        report = await draw_up(database, number)
    heart.cancel()
    await asyncio.wait({heart})

    assert report.sums_close
    assert report.persons.of("reached") == N - N // 20
    assert report.persons.of("not_reached") == N // 20
    assert longest_s < 0.5  # a whole reading in one go takes seconds


async def fill(tx: Transaction, number: int) -> None:
    await tx.run(sa.text(_ROWS), {"base": number << 24, "last": N - 1})
    await tx.run(sa.text("UPDATE expansion SET expanded_upto = size"))
    counted = {"delivered": N - N // 20, "failed": N // 20, "charged": N * 55}
    await tx.run(
        sa.text(
            "UPDATE progress SET queued = 0, delivered = :delivered, failed = :failed, charged_millieuro = :charged"
        ),
        counted,
    )
