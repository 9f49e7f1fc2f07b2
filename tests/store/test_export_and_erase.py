"""One person: found, shown all that is kept of them, and erased when nothing needs them any more."""

import json

import sqlalchemy as sa

from store.audit_line import Actor
from store.audit_reading import latest
from store.engine.database import Database
from store.register import export_and_erase
from store.register.writing import ContactRecord, MemberRecord, RegisterTally, put_members
from store.tables import campaign, contact, delivery, doubt, member, metadata, receipt_inbox, zone
from tests.store.makers import Made, a_campaign


async def of(database: Database, member_id: int) -> export_and_erase.RegisteredPerson:
    async with database.read() as conn:
        row = (await conn.execute(
            sa.select(zone.c.code, member.c.reference)
            .join(zone, zone.c.id == member.c.zone_id)
            .where(member.c.id == member_id)
        )).one()  # fmt: skip
        found = await export_and_erase.find(conn, row.code, row.reference)
    assert found is not None
    return found


async def told(database: Database, made: Made, person: export_and_erase.RegisteredPerson) -> tuple[str, ...]:
    """A carrier has answered about them, a receipt came, and an attempt is in doubt; what of it is personal."""
    mobile, mail = (made.town.people[0].addresses[c] for c in ("sms", "email"))
    first = made.ids["sms"][0]

    async def work(tx):  # type: ignore[no-untyped-def]
        words = f"<{mobile}>: unknown"
        await tx.run(sa.update(delivery).where(delivery.c.id == first).values(text=words))
        await tx.run(sa.insert(doubt).values(delivery_id=first, round=1, attempt=1, address=mobile, handed_ms=1))
        receipt = {"carrier": "a", "ref": "1", "state": "DELIVRD", "at_ms": 1, "received_ms": 1, "raw": f"to {mobile}"}
        await tx.run(sa.insert(receipt_inbox).values(receipt | {"destination": mobile}))

    await database.write(work)
    return (person.name, person.reference, mobile, mail)


async def seal(database: Database, made: Made) -> None:
    await database.write(
        lambda tx: tx.run(sa.update(campaign).where(campaign.c.id == made.id).values(sealed_ms=1, ended_ms=1))
    )


async def erased_all(database: Database) -> None:
    while await export_and_erase.erase_some(database):
        pass


async def everything_kept(database: Database) -> str:
    """Each cell of each table, as text."""
    found: list[str] = []
    async with database.read() as conn:
        for table in metadata.sorted_tables:
            found += [str(tuple(row)) for row in (await conn.execute(sa.select(table))).all()]
    return "\n".join(found)


async def test_a_person_is_found_by_a_part_of_name_or_address(database: Database) -> None:
    made = await a_campaign(database, 3)
    first, second = [await of(database, p.member_id) for p in made.town.people[:2]]

    async with database.read() as conn:
        by_name = await export_and_erase.named(conn, first.name)
        by_address = await export_and_erase.named(conn, made.town.people[1].addresses["sms"][2:])
        nobody = await export_and_erase.named(conn, "nobody at all")

    assert first in by_name
    assert by_address == [second]
    assert nobody == []


async def test_all_that_is_kept_of_a_person_is_shown_to_them_and_of_nobody_else(database: Database) -> None:
    made = await a_campaign(database, 3, channels=("sms", "email"))
    person = await of(database, made.town.people[0].member_id)
    secrets = await told(database, made, person)

    async with database.read() as conn:
        found = await export_and_erase.everything(conn, person)

    text = json.dumps(found, ensure_ascii=False)
    assert [secret for secret in secrets if secret not in text] == []
    assert [(m["campaign"], m["channel"]) for m in found["messages"]] == [
        (made.public_id, "sms"), (made.public_id, "email"),
    ]  # fmt: skip
    assert {c["type"] for c in found["contacts"]} == {"sms", "email", "voice"}
    other = made.town.people[1].addresses
    assert not [address for address in other.values() if address in text]


async def test_an_erasure_closes_at_once_waits_for_what_may_need_the_address_and_leaves_nothing(
    database: Database,
) -> None:
    made = await a_campaign(database, 3, channels=("sms", "email"))
    person = await of(database, made.town.people[0].member_id)
    secrets = await told(database, made, person)

    asked = [
        await database.write(lambda tx: export_and_erase.ask_erasure(tx, person, Actor(via="cli", login="me")))
        for _ in range(2)
    ]
    await erased_all(database)
    async with database.read() as conn:
        waits = await export_and_erase.waiting(conn)
        opened = sa.select(contact.c.id).where(contact.c.until_ms.is_(None), contact.c.member_id == person.id)
        assert (await conn.execute(opened)).all() == []
    assert (asked, waits) == ([True, False], 1)
    assert (await of(database, person.id)).name == person.name, "a message to them may still be under way"

    await seal(database, made)
    await erased_all(database)

    kept = await everything_kept(database)
    assert [secret for secret in secrets if secret in kept] == []
    async with database.read() as conn:
        assert await export_and_erase.waiting(conn) == 0
        rows = (await conn.execute(sa.select(delivery.c.address).where(delivery.c.channel == "sms"))).scalars().all()
        assert sorted(rows)[0] == "", "the delivery is still counted"
        assert len(rows) == 3
        assert {line.action for line in await latest(conn, 20)} >= {"member-erase", "member-erased"}


async def test_an_address_that_others_have_too_stays_theirs(database: Database) -> None:
    made = await a_campaign(database, 2)
    person, other = [await of(database, p.member_id) for p in made.town.people]
    shared = made.town.people[0].addresses["sms"]

    async def share(tx):  # type: ignore[no-untyped-def]
        both = sa.select(contact.c.address_id).where(contact.c.value == shared).scalar_subquery()
        await tx.run(
            sa.update(contact)
            .where(contact.c.member_id == other.id, contact.c.type == "sms")
            .values(address_id=both, value=shared)
        )
        await export_and_erase.ask_erasure(tx, person)

    await database.write(share)
    await seal(database, made)
    await erased_all(database)

    async with database.read() as conn:
        found = await export_and_erase.named(conn, shared)
    assert [each.id for each in found] == [other.id]


async def test_no_file_brings_an_erased_person_back_and_others_are_loaded(database: Database) -> None:
    made = await a_campaign(database, 2)
    person = await of(database, made.town.people[0].member_id)
    await database.write(lambda tx: export_and_erase.ask_erasure(tx, person))
    again = MemberRecord(person.reference, person.name, "nl", contacts=(ContactRecord("mobile", "+32470999999"),))
    new = MemberRecord("new", "Somebody", "nl")

    async def load() -> RegisterTally:
        names = iter(("x1", "x2"))
        return await database.write(lambda tx: put_members(tx, person.zone_id, [again, new], lambda: next(names)))

    while_asked = await load()
    await seal(database, made)
    await erased_all(database)
    afterwards = await load()

    assert (while_asked, afterwards) == (RegisterTally(new=1, erased=1), RegisterTally(unchanged=1, erased=1))
    assert person.name not in await everything_kept(database)


async def test_the_erasures_of_another_zone_do_not_wait_for_this_one(database: Database) -> None:
    running, over = await a_campaign(database, 1), await a_campaign(database, 1)
    await seal(database, over)
    waits, goes = [await of(database, m.town.people[0].member_id) for m in (running, over)]
    for person in (waits, goes):
        await database.write(lambda tx, person=person: export_and_erase.ask_erasure(tx, person))  # type: ignore[misc]

    await erased_all(database)

    assert (await of(database, waits.id)).name == waits.name
    async with database.read() as conn:
        assert (await conn.execute(sa.select(member.c.name).where(member.c.id == goes.id))).scalar() == ""
