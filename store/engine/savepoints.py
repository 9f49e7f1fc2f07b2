"""Several that share a transaction: who cannot be worked on costs the others nothing."""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

from store.engine.error_meaning import translated
from store.engine.transaction import Transaction
from store.errors import StoreUnavailable

log = logging.getLogger(__name__)
S = TypeVar("S")
R = TypeVar("R")


async def together_or_apart(
    tx: Transaction,
    subjects: Mapping[int, Sequence[S]],
    work: Callable[[Sequence[S]], Awaitable[R]],
    action: str,
    left_alone: set[int],
) -> list[R]:
    """What `work` returns for all that the subjects have, at once; when that fails, for each subject by itself.

    Nothing is kept of those that fail: the log says so under this action, and they join `left_alone`. What is the
    store's trouble, or worth a repetition of the whole transaction, is raised."""
    if len(subjects) > 1:
        result, exc = await _tried(tx, work, [each for of in subjects.values() for each in of])
        if result is not None:
            return [result]
    results = []
    for subject, of in subjects.items():
        result, exc = await _tried(tx, work, of)
        if result is not None:
            results.append(result)
        else:
            left_alone.add(subject)
            log.error("failed, the others go on", exc_info=exc, extra={"action": action, "subject": subject})
    return results


async def _tried(
    tx: Transaction, work: Callable[[Sequence[S]], Awaitable[R]], what: Sequence[S]
) -> tuple[R, None] | tuple[None, Exception]:
    await tx.conn.exec_driver_sql("SAVEPOINT apart")
    try:
        result = await work(what)
    except Exception as exc:
        if isinstance(translated(exc), StoreUnavailable):
            raise
        # Where there is no way back, nothing of the transaction may be kept: that error is raised as well.
        await tx.conn.exec_driver_sql("ROLLBACK TO apart")
        await tx.conn.exec_driver_sql("RELEASE apart")
        return None, exc
    await tx.conn.exec_driver_sql("RELEASE apart")
    return result, None
