"""How much of something has been tried, on all nodes together: buckets that fill with time, one row each.

A bucket is the instant at which nothing will be missing from it (the generic cell rate algorithm): one statement takes
or refuses, however many ask at once.
"""

import sqlalchemy as sa

from store.engine.prepared_statement import Prepared
from store.engine.transaction import Transaction
from store.tables import sign_in_bucket, used_challenge

_begin = Prepared(sa.text("INSERT INTO sign_in_bucket (name, full_us) VALUES (:name, :full_us) ON CONFLICT DO NOTHING"))
_from_us = sa.case(
    (sign_in_bucket.c.full_us > sa.bindparam("now_us", type_=sa.BigInteger), sign_in_bucket.c.full_us),
    else_=sa.bindparam("now_us", type_=sa.BigInteger),
)
_take = Prepared(
    sa.update(sign_in_bucket)
    .where(
        sign_in_bucket.c.name == sa.bindparam("bucket"),
        _from_us + sa.bindparam("each_us", type_=sa.BigInteger) <= sa.bindparam("most_us", type_=sa.BigInteger),
    )
    .values(full_us=_from_us + sa.bindparam("each_us", type_=sa.BigInteger))
)
_look = Prepared(sa.select(sign_in_bucket.c.full_us).where(sign_in_bucket.c.name == sa.bindparam("bucket")))
_give_back = Prepared(
    sa.update(sign_in_bucket)
    .where(sign_in_bucket.c.name == sa.bindparam("bucket"))
    .values(full_us=sign_in_bucket.c.full_us - sa.bindparam("each_us", type_=sa.BigInteger))
)
_use = Prepared(
    sa.text("INSERT INTO used_challenge (challenge_sha256, ends_ms) VALUES (:sha256, :ends_ms) ON CONFLICT DO NOTHING")
)


async def take(tx: Transaction, name: str, most: int, window_s: int) -> float:
    """Takes one of `most` in a window; returns 0, or the seconds after which there will be one, and takes nothing."""
    each_us = window_s * 1_000_000 // most
    await tx.run(_begin, {"name": name, "full_us": tx.now_us})
    values = {"bucket": name, "now_us": tx.now_us, "each_us": each_us, "most_us": tx.now_us + window_s * 1_000_000}
    if await tx.run(_take, values):
        return 0.0
    row = await tx.first(_look, {"bucket": name})
    missing_us = (row.full_us if row else tx.now_us) + each_us - tx.now_us - window_s * 1_000_000
    return max(1.0, float(missing_us) / 1_000_000)


async def give_back(tx: Transaction, name: str, most: int, window_s: int) -> None:
    """Gives one back: it was no failed attempt."""
    await tx.run(_give_back, {"bucket": name, "each_us": window_s * 1_000_000 // most})


async def use_challenge(tx: Transaction, challenge_sha256: str, ends_ms: int) -> bool:
    """Whether a challenge is used for the first time, on whichever node."""
    return await tx.run(_use, {"sha256": challenge_sha256, "ends_ms": ends_ms}) == 1


async def forget(tx: Transaction) -> None:
    """Deletes buckets that are full again, and challenges whose time is over."""
    await tx.run(sa.delete(sign_in_bucket).where(sign_in_bucket.c.full_us <= tx.now_us))
    await tx.run(sa.delete(used_challenge).where(used_challenge.c.ends_ms < tx.now_ms))
