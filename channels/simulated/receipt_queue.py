"""Receipts to come, each at its time, given to a sink in batches and given again until it keeps them.

Knows no peer and no message. Times of the heap are the loop's, those written into receipts UTC.
"""

import asyncio
import heapq
from collections.abc import Callable

import msgspec

from channels.contract import Receipt, ReceiptSink, ReceiptsRefused

AT_ONCE = 500
_TICK_S = 0.02  # receipts gather for so long: a commit for each would be the store's whole day
_LONGEST_PAUSE_S = 5.0

_Entry = tuple[float, int, Receipt]


class ReceiptQueue:
    """Holds receipts, in memory only, from `put` until a sink has kept them."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._entries: list[_Entry] = []
        self._count = 0
        self._some = asyncio.Event()

    def put(self, at_s: float, receipt: Receipt) -> None:
        """To be handed over at that time of the loop, or when `deliver` runs again."""
        self._count += 1  # equal times keep their order, and the heap never compares receipts
        heapq.heappush(self._entries, (at_s, self._count, receipt))
        self._some.set()

    async def deliver(self, sink: ReceiptSink, is_open: Callable[[], bool]) -> None:
        """Until cancelled; nothing is handed over while `is_open()` is false."""
        while True:
            if not self._entries:
                self._some.clear()
                await self._some.wait()
            due = self._pop_due() if is_open() else []
            if due:
                await self._hand_over(due, sink)
            if len(due) < AT_ONCE:
                await asyncio.sleep(_TICK_S)

    def _pop_due(self) -> list[_Entry]:
        now_s = asyncio.get_running_loop().time()
        due: list[_Entry] = []
        while self._entries and self._entries[0][0] <= now_s and len(due) < AT_ONCE:
            due.append(heapq.heappop(self._entries))
        return due

    async def _hand_over(self, due: list[_Entry], sink: ReceiptSink) -> None:
        """Repeat until kept, as a peer does whose receipts are not acknowledged."""
        at_ms, pause_s, kept = self._now_ms(), _TICK_S, False
        batch = [msgspec.structs.replace(receipt, at_ms=at_ms) for _, _, receipt in due]
        try:
            while not kept:
                try:
                    await sink(batch)
                    kept = True
                except ReceiptsRefused:
                    await asyncio.sleep(pause_s)
                    pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        finally:
            if not kept:
                for entry in due:
                    heapq.heappush(self._entries, entry)
