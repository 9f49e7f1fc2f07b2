"""Who did what: lines that show when one was changed, and from which what is personal can go."""

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from store import audit
from store.audit import GENESIS, Head, read_head
from store.audit_reading import latest
from store.engine.database import Database
from store.tables import audit as lines
from store.tables import audit_detail, audit_link, meta


async def noted(database: Database, count: int = 3) -> None:
    for number in range(count):
        apart = {"by": f"somebody {number}"}
        await database.write(lambda tx, n=number, apart=apart: audit.note(
            tx, "hold", f"zone {n}", detail={"n": n}, apart=apart
        ))  # fmt: skip


async def verdict(database: Database, expected: Head | None = None) -> audit.ChainVerdict:
    async with database.read() as conn:
        return await audit.verify(conn, expected)


async def test_lines_are_chained_in_the_order_in_which_they_are_found_and_once(database: Database) -> None:
    await noted(database)
    before = await verdict(database)

    linked = [await database.write(audit.link) for _ in range(2)]
    after = await verdict(database)

    assert (before.links, before.waiting, before.head) == (0, 3, Head(0, GENESIS))
    assert linked == [3, 0]
    assert (after.links, after.waiting, after.gone, after.erased, after.faults) == (3, 0, 0, 0, ())


async def test_what_was_committed_late_is_chained_late(database: Database) -> None:
    await noted(database, 2)
    await database.write(audit.link)
    # Its id was given before those of the two, and its transaction ended after them.
    await database.write(lambda tx: tx.run(sa.insert(lines).values(id=-5, at_ms=1, action="stop", subject="c")))

    assert await database.write(audit.link) == 1
    assert (await verdict(database)).faults == ()


CHANGES = {
    "a line": sa.update(lines).where(lines.c.id == 2).values(subject="zone 9"),
    "its time": sa.update(lines).where(lines.c.id == 2).values(at_ms=1),
    "what stands beside it": sa.update(audit_detail).where(audit_detail.c.audit_id == 2).values(detail='{"by":"me"}'),
    "a link": sa.update(audit_link).where(audit_link.c.no == 2).values(line_sha256="0" * 64),
    "a hash": sa.update(audit_link).where(audit_link.c.no == 2).values(hash="0" * 64),
    "a link is gone": sa.delete(audit_link).where(audit_link.c.no == 2),
    "the last link is gone": sa.delete(audit_link).where(audit_link.c.no == 3),
    "the head": sa.update(meta).where(meta.c.key == audit.HEAD).values(value=f"2:{GENESIS}"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
async def test_whatever_is_changed_is_found(database: Database, change: sa.Executable) -> None:
    await noted(database)
    await database.write(audit.link)

    await database.write(lambda tx: tx.run(change))

    assert (await verdict(database)).faults


async def test_a_line_out_of_the_middle_is_missed_and_one_whose_time_is_over_is_not(database: Database) -> None:
    await noted(database)
    await database.write(audit.link)

    async def take(number: int) -> None:
        async def work(tx):  # type: ignore[no-untyped-def]
            await tx.run(sa.delete(audit_detail).where(audit_detail.c.audit_id == number))
            await tx.run(sa.delete(lines).where(lines.c.id == number))

        await database.write(work)

    await take(1)
    oldest = await verdict(database)
    await take(3)
    middle = await verdict(database)

    assert (oldest.gone, oldest.faults) == (1, ())
    assert middle.faults == ("link 3: its line 3 is gone, and older ones are there",)


async def test_the_chain_written_anew_is_shown_by_a_head_that_was_kept_elsewhere(database: Database) -> None:
    await noted(database)
    await database.write(audit.link)
    kept = (await verdict(database)).head

    async def anew(tx):  # type: ignore[no-untyped-def]
        await tx.run(sa.update(lines).where(lines.c.id == 2).values(subject="zone 9"))
        await tx.run(sa.delete(audit_link))
        await tx.run(sa.delete(meta).where(meta.c.key == audit.HEAD))
        await audit.link(tx)

    await database.write(anew)

    assert (await verdict(database)).faults == ()
    assert (await verdict(database, kept)).faults == ("link 3: it is not the one that was kept elsewhere",)
    beyond = await verdict(database, Head(99, kept.hash))
    assert "before the one that was kept elsewhere" in beyond.faults[0]


async def test_what_is_personal_goes_and_the_chain_holds(database: Database) -> None:
    await noted(database)
    await database.write(audit.link)

    erased = await database.write(lambda tx: audit.erase_apart(tx, "zone 1"))
    found = await verdict(database)
    async with database.read() as conn:
        told = await latest(conn, 10)

    assert (erased, found.erased, found.faults) == (1, 1, ())
    assert [line.apart for line in told] == [{"by": "somebody 2"}, None, {"by": "somebody 0"}]
    assert [line.erased for line in told] == [False, True, False]
    assert [line.detail for line in told] == [{"n": 2}, {"n": 1}, {"n": 0}]


async def test_two_who_link_at_once_chain_each_line_once(database: Database) -> None:
    import asyncio

    await noted(database, 20)

    await asyncio.gather(*(database.write(lambda tx: audit.link(tx, 7)) for _ in range(6)))

    assert ((found := await verdict(database)).links, found.faults) == (20, ())


@given(st.integers(0, 10**12), st.binary(min_size=32, max_size=32))
def test_a_head_is_read_as_it_is_printed(number: int, digest: bytes) -> None:
    head = Head(number, digest.hex())

    assert read_head(f" {head}\n") == head


@pytest.mark.parametrize("text", ["", "5", "5:", "x:" + "0" * 64, "5:" + "g" * 64, "5:" + "0" * 63, "-1:" + "0" * 64])
def test_what_is_no_head_is_said_so(text: str) -> None:
    with pytest.raises(ValueError, match="is no head"):
        read_head(text)
