"""Many rows as one parameter: the same values come out on both engines."""

import pytest
import sqlalchemy as sa

from store.engine.json_rows import json_rows, pack

CASES = {
    "nothing": [],
    "nulls": [(1, None, None), (2, "x", None), (3, None, 0.5)],
    "texts": [(1, "Zoë – Łódź 漢字 🚨", 0.0), (2, "'\"\\; DROP TABLE x --\n\t", 1.0), (3, "", 2.0)],
    "integers beyond 32 and 53 bits": [(2**63 - 1, "a", 0.0), (-(2**63), "b", 0.0), (2**53 + 1, "c", 0.0)],
    "ids of a campaign": [(70_000_123 << 24 | 5, "a", 0.0)],
    "floats": [(1, "a", 0.1), (2, "b", 1e-300), (3, "c", 1.7e308), (4, "d", -2.5)],
    "a whole number where a float is meant": [(1, "a", 3)],
    "digits that are text": [(1, "0032470", 0.0), (2, "1e5", 0.0), (3, "true", 0.0), (4, "null", 0.0)],
}


@pytest.mark.parametrize("rows", CASES.values(), ids=CASES.keys())
async def test_rows_come_out_as_they_went_in(database, rows):
    values = json_rows("values", number=int, word=str, real=float)

    async def work(tx):
        return await tx.rows(sa.select(values).order_by(values.c.number), {"values": pack(rows)})

    found = [tuple(row) for row in await database.write(work)]

    assert found == sorted(rows)
    assert [type(row[0]) for row in found] == [int] * len(rows)


async def test_five_thousand_rows_are_one_statement(database):
    values = json_rows("values", n=int)

    async def work(tx):
        return await tx.first(
            sa.select(sa.func.count(), sa.func.sum(values.c.n)), {"values": pack((n,) for n in range(5000))}
        )

    row = await database.write(work)

    assert (row[0], int(row[1])) == (5000, 5000 * 4999 // 2)


async def test_two_lists_in_one_statement_do_not_mix(database):
    left, right = json_rows("left", a=int, b=str), json_rows("right", a=int, b=str)
    statement = sa.select(left.c.b, right.c.b).join(right, left.c.a == right.c.a)

    async def work(tx):
        return await tx.rows(statement, {"left": pack([(1, "l1"), (2, "l2")]), "right": pack([(2, "r2"), (3, "r3")])})

    assert [tuple(row) for row in await database.write(work)] == [("l2", "r2")]


async def test_a_nul_and_half_a_character_are_shown_in_their_place_and_spoil_no_other_row(database):
    rows = json_rows("rows", id=int, text=str)
    values = [(1, "a\0b"), (2, "sound \\u0000 Zoë 🚨"), (3, "half \ud83d"), (4, None)]

    async with database.read() as conn:
        found = (await conn.execute(sa.select(rows).order_by(rows.c.id), {"rows": pack(values)})).all()

    assert [row.text for row in found] == ["a\u2400b", "sound \\u0000 Zoë 🚨", "half \ufffd", None]
