"""The loop's own lateness is counted."""

import asyncio
import time

from gateway.operations.loop_lag import LoopLag


async def test_a_loop_that_was_held_is_counted_as_late() -> None:
    lag = LoopLag()
    task = asyncio.create_task(lag.run())
    await asyncio.sleep(0)
    time.sleep(0.4)  # noqa: ASYNC251 - it is what is measured
    await asyncio.sleep(0.01)
    task.cancel()
    counted = dict(lag.times.within())
    assert counted[float("inf")] == 1
    assert counted[0.2] == 0, "it was late by some 350 ms"
