"""A gateway process that ends itself with SIGKILL at a named point, or whose wall clock is stepped under it.

    python -m tests.acceptance.dying_server --config FILE [--point NAME] [--nth N] [--clock-offset-s S]
        [--clock-step-s S] [--go FILE] [--children-die FOLDER]

It is the product's own `serve` with ONE function wrapped: the product has no hook for this. SIGUSR1 steps the clock.
With `--go` the process makes itself ready and touches nothing before that file is there: the next life of a gateway
then begins within half a second of the end of the last one.
"""

import argparse
import asyncio
import functools
import inspect
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Point:
    """`name` of `owner`; the process dies before that call or once it has returned."""

    owner: Any
    name: str
    after: bool
    counts: Callable[..., bool] = lambda *_, **__: True
    """Which calls are counted."""


def points() -> dict[str, Point]:
    from gateway.campaigns import message_desk
    from gateway.campaigns.alert_desk import AlertDesk
    from gateway.dispatch.expander import Expander
    from gateway.dispatch.receipts import ReceiptDesk
    from gateway.dispatch.sending import Sending
    from gateway.reports import sealing
    from store.campaigns import campaign_steps, launching
    from store.outbox import batches, expansion, inbox, recovery, resending

    def with_results(_tx: object, _held: object, settlements: object) -> bool:
        return bool(settlements)

    return {
        # In one transaction, not committed: the alert's row is there, its campaign's is not.
        "launch-between-the-rows": Point(launching, "_file_campaign", after=False),
        "launch-before-the-answer": Point(AlertDesk, "_write", after=True),
        "message-not-committed": Point(message_desk, "launch", after=True),
        # Rows of a chunk are inserted and their batches are not; nothing of it is committed.
        "expansion-in-a-chunk": Point(expansion, "_make_batches", after=False),
        "expansion-between-chunks": Point(Expander, "_expand", after=True),
        # The cursor is committed, no byte of what it allows has left.
        "cursor-committed": Point(Sending, "_launch", after=False),
        # Carriers have answered, and the store does not know it yet.
        "before-a-settle": Point(batches, "settle", after=False, counts=with_results),
        "settle-not-committed": Point(batches, "settle", after=True, counts=with_results),
        # What waits for its answer and what is free stand in batches of their own; not committed.
        "in-a-split": Point(batches, "split", after=True),
        # Receipts in the house have told of some in doubt, and the others are about to be sent again; not committed.
        "inbox-heard": Point(resending, "hear_first", after=True),
        "receipts-not-committed": Point(inbox, "record", after=True),
        "receipts-not-acknowledged": Point(ReceiptDesk, "__call__", after=True),
        "in-recovery": Point(recovery, "_take_back", after=True),
        "seal-not-committed": Point(campaign_steps, "seal", after=True),
        "sealed": Point(sealing, "_seal", after=True),
    }


def arm(point: Point, nth: int) -> None:
    """The `nth` call that counts is the last thing this process does."""
    original = inspect.getattr_static(point.owner, point.name)
    left = nth

    def is_last(*args: Any, **kwargs: Any) -> bool:
        nonlocal left
        left -= point.counts(*args, **kwargs)
        return left == 0

    @functools.wraps(original)
    async def wrapped(*args: Any, **kwargs: Any) -> Any:
        last = is_last(*args, **kwargs)
        if last and not point.after:
            _die()
        result = await original(*args, **kwargs)
        if last:
            _die()
        return result

    @functools.wraps(original)
    def wrapped_plain(*args: Any, **kwargs: Any) -> Any:
        last = is_last(*args, **kwargs)
        if last and not point.after:
            _die()
        result = original(*args, **kwargs)
        if last:
            _die()
        return result

    setattr(point.owner, point.name, wrapped if inspect.iscoroutinefunction(original) else wrapped_plain)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def step_clock(offset_s: float, step_s: float) -> None:
    """Must come before the product is imported: its parts take `time.time_ns` as a default."""
    true_ns, off_ns = time.time_ns, int(offset_s * 1e9)

    def step(*_: object) -> None:
        nonlocal off_ns
        off_ns += int(step_s * 1e9)

    time.time_ns = lambda: true_ns() + off_ns
    signal.signal(signal.SIGUSR1, step)


def let_children_die(folder: Path) -> None:
    """Carriers' processes are `dying_child`, each with the points that the file of its name has."""
    from channels.processes import supervisor

    true_module = supervisor.MODULE
    assert true_module == "channels.processes.child"
    supervisor.MODULE = "tests.acceptance.dying_child"
    true_arguments = supervisor.arguments

    def arguments(name: str, *more: int) -> list[str]:
        return [str(folder / name), *true_arguments(name, *more)]

    supervisor.arguments = arguments


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.acceptance.dying_server")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--point", default="")
    parser.add_argument("--nth", type=int, default=1)
    parser.add_argument("--clock-offset-s", type=float, default=0.0)
    parser.add_argument("--clock-step-s", type=float, default=0.0)
    parser.add_argument("--go", type=Path)
    parser.add_argument("--children-die", type=Path, help="a folder with a file of points for each carriers' process")
    options = parser.parse_args()
    if options.clock_offset_s or options.clock_step_s:
        step_clock(options.clock_offset_s, options.clock_step_s)

    import uvloop

    from gateway.operations.logs import configure
    from gateway.run import serve
    from gateway.settings import read_settings

    settings = read_settings(options.config)
    configure(settings.logs.level)
    if options.children_die:
        let_children_die(options.children_die)
    if options.point:
        arm(points()[options.point], options.nth)
    while options.go and not options.go.exists():
        time.sleep(0.005)

    async def run() -> None:
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        await serve(settings, stop)

    uvloop.run(run())


if __name__ == "__main__":
    main()
