"""One person of a register: all that is kept of them, and how it goes.

An erasure closes a person at once: no launch finds them any more. Their name and addresses go when nothing that was
launched before can need them: when every campaign of the zone from before is sealed, and no alert of it is in force. It
then walks every table that may hold them, and leaves ids: sums, sealed reports and the chain of the audit stay whole.
"""

import re
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from store import audit
from store.audit_line import SERVER, Actor
from store.engine.database import Database
from store.engine.json_rows import json_rows, pack
from store.engine.transaction import AnyRow, Transaction
from store.engine.turns import Turn
from store.outbox.delivery_ids import end_id, first_id
from store.register import writing as register
from store.register.revisions import mark, move
from store.tables import (
    ERASED,
    address,
    alert,
    alert_zone,
    campaign,
    contact,
    delivery,
    doubt,
    erasure,
    group_member,
    member,
    member_group,
    membership,
    network,
    opt_out,
    receipt_inbox,
    zone,
)

_MOST_CAMPAIGNS = 20
"""Looked through in one step of an erasure."""


class RegisteredPerson(msgspec.Struct, frozen=True):
    id: int
    zone_id: int
    zone: str
    public_id: str
    reference: str
    name: str
    language: str
    lat_e7: int | None
    lon_e7: int | None
    refnis: int | None
    postcode: int | None
    removed_ms: int | None


_columns = ("public_id", "reference", "name", "language", "lat_e7", "lon_e7", "refnis", "postcode", "removed_ms")
_person = sa.select(member.c.id, member.c.zone_id, zone.c.code, *(member.c[name] for name in _columns)).join(
    zone, zone.c.id == member.c.zone_id
)


async def find(conn: AsyncConnection, zone_code: str, reference: str) -> RegisteredPerson | None:
    """The person of a zone's own reference, also one who was removed; None where there is none."""
    row = (await conn.execute(_person.where(zone.c.code == zone_code, member.c.reference == reference))).first()
    return None if row is None else RegisteredPerson(*tuple(row))


async def named(conn: AsyncConnection, words: str, most: int = 10) -> list[RegisteredPerson]:
    """Persons whose name or address holds these words, for whoever does not know the reference."""
    within_address = sa.or_(contact.c.value.ilike(_like(words)), contact.c.value.like(_like(_as_kept(words))))
    with_address = sa.select(contact.c.member_id).where(contact.c.until_ms.is_(None), within_address)
    wanted = sa.or_(member.c.name.ilike(_like(words)), member.c.id.in_(with_address))
    rows = await conn.execute(_person.where(wanted, member.c.removed_ms.is_(None)).order_by(member.c.id).limit(most))
    return [RegisteredPerson(*tuple(row)) for row in rows.all()]


async def note_found(tx: Transaction, found: Sequence[RegisteredPerson], words: str, by: Actor) -> None:
    """A line of the audit for each person who was found, with the words apart; one where nobody was."""
    for person in found:
        about = f"member {person.id}"
        await audit.note(tx, "member-find", about, by, zone_id=person.zone_id, apart={"words": words})
    if not found:
        await audit.note(tx, "member-find", "nobody", by)


def _like(words: str) -> str:
    return f"%{words}%"


def _as_kept(words: str) -> str:
    """A part of a number as people write it (0470/12.34), as it stands in an address (+3247012...)."""
    digits = re.sub(r"[ ./()-]", "", words)
    return digits.removeprefix("0") if digits.isdigit() else words


async def remove(tx: Transaction, person: RegisteredPerson, by: Actor = SERVER) -> bool:
    """Takes a person out of the register and closes their contacts; False when that was so already."""
    removed = await register.remove_members(tx, person.zone_id, [person.reference]) == 1
    if removed:
        await audit.note(tx, "member-remove", f"member {person.id}", by, zone_id=person.zone_id)
    return removed


async def ask_erasure(tx: Transaction, person: RegisteredPerson, by: Actor = SERVER) -> bool:
    """Closes a person now, to be erased as soon as nothing needs what is kept of them. False: that was asked before."""
    await remove(tx, person, by)
    if await tx.first(sa.select(erasure.c.member_id).where(erasure.c.member_id == person.id)) is not None:
        return False
    mark_of_it = register.tombstone(person.zone_id, person.reference)
    await tx.run(
        sa.insert(erasure).values(
            member_id=person.id, zone_id=person.zone_id, asked_ms=tx.now_ms, reference_sha256=mark_of_it
        )
    )
    await audit.note(tx, "member-erase", f"member {person.id}", by, zone_id=person.zone_id)
    return True


# ---- what is kept ------------------------------------------------------------------------------------------------


async def everything(conn: AsyncConnection, person: RegisteredPerson) -> dict[str, Any]:
    """All that the store holds of a person, for them to read; instants as milliseconds UTC."""
    mine = contact.c.member_id == person.id
    contacts = await _rows(
        conn,
        sa.select(contact.c.type, contact.c.value, contact.c.from_ms, contact.c.until_ms)
        .where(mine)
        .order_by(contact.c.from_ms, contact.c.id),
    )
    networks = await _rows(
        conn,
        sa.select(network.c.code, network.c.name, membership.c.role)
        .join(network, network.c.id == membership.c.network_id)
        .where(membership.c.member_id == person.id),
    )
    groups = await _rows(
        conn,
        sa.select(member_group.c.code, member_group.c.name)
        .join(member_group, member_group.c.id == group_member.c.group_id)
        .where(group_member.c.member_id == person.id),
    )
    of_addresses = sa.select(contact.c.address_id).where(mine)
    wishes = await _rows(
        conn,
        sa.select(opt_out.c.kind, opt_out.c.channel, opt_out.c.source, opt_out.c.from_ms, opt_out.c.until_ms).where(
            sa.or_(opt_out.c.member_id == person.id, opt_out.c.address_id.in_(of_addresses))
        ),
    )
    values = sorted({row["value"] for row in contacts})
    receipts = await _rows(
        conn,
        sa.select(
            *(receipt_inbox.c[name] for name in ("carrier", "destination", "state", "received_ms", "text"))
        ).where(receipt_inbox.c.destination.in_(values)),
    )
    messages = [line async for page in _messages(conn, person) for line in page]
    return {
        "person": msgspec.to_builtins(person),
        "contacts": contacts,
        "networks": networks,
        "groups": groups,
        "opt_outs": wishes,
        "messages": messages,
        "receipts": receipts,
    }


async def _messages(conn: AsyncConnection, person: RegisteredPerson) -> AsyncIterator[list[dict[str, Any]]]:
    """What was sent to them, campaign by campaign."""
    found = await conn.execute(
        sa.select(campaign.c.id, campaign.c.public_id, campaign.c.title, campaign.c.kind)
        .where(campaign.c.zone_id == person.zone_id)
        .order_by(campaign.c.id)
    )
    for row in found.all():
        told = {"campaign": row.public_id, "title": row.title, "kind": row.kind}
        columns = ("channel", "address", "language", "state", "sent_ms", "code", "text")
        lines = await _rows(conn, sa.select(*(delivery.c[name] for name in columns)).where(*_of(row.id, person.id)))
        if lines:
            yield [told | line for line in lines]


def _of(campaign_id: int, member_id: int) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        delivery.c.id >= first_id(campaign_id),
        delivery.c.id < end_id(campaign_id),
        delivery.c.member_id == member_id,
    )


async def _rows(conn: AsyncConnection, statement: sa.Select[Any]) -> list[dict[str, Any]]:
    return [dict(row) for row in (await conn.execute(statement)).mappings().all()]


# ---- erasing -----------------------------------------------------------------------------------------------------

_open_erasures = (
    sa.select(erasure.c.member_id, erasure.c.asked_ms, erasure.c.upto, erasure.c.zone_id)
    .where(erasure.c.done_ms.is_(None))
    .order_by(erasure.c.asked_ms)
)


async def erase_some(database: Database) -> bool:
    """Takes one step of the erasures that were asked for; returns whether another one would find work now."""
    now_ms = database.clock.now_ms()
    async with database.read() as conn:
        asked = (await conn.execute(_open_erasures.limit(50))).all()
        waits: dict[int, bool] = {}
        for row in asked:
            if row.zone_id not in waits:
                waits[row.zone_id] = await _is_needed(conn, row.zone_id, row.asked_ms, now_ms)
            if not waits[row.zone_id]:
                break
        else:
            return False
        found, upto, last = await _traces(conn, row)
    await database.write(lambda tx: _wipe(tx, row, found, upto, last=last), turn=Turn.LAST)
    return True


async def _is_needed(conn: AsyncConnection, zone_id: int, asked_ms: int, now_ms: int) -> bool:
    """Whether anything that was launched before may still need the zone's addresses of then."""
    unsealed = sa.select(campaign.c.id).where(
        campaign.c.zone_id == zone_id, campaign.c.created_ms <= asked_ms, campaign.c.sealed_ms.is_(None)
    )
    live = (
        sa.select(alert.c.id)
        .join(alert_zone, alert_zone.c.alert_id == alert.c.id)
        .where(
            alert_zone.c.zone_id == zone_id,
            alert.c.state == "active",
            alert.c.received_ms <= asked_ms,
            alert.c.expires_ms > now_ms,
        )
    )
    return any([(await conn.execute(s.limit(1))).first() is not None for s in (unsealed, live)])


async def _traces(conn: AsyncConnection, row: AnyRow) -> tuple[list[int], int, bool]:
    """(ids of deliveries to them in the next campaigns, the last campaign looked through, whether it was the last)."""
    wanted = (
        sa.select(campaign.c.id)
        .where(campaign.c.zone_id == row.zone_id, campaign.c.id > row.upto, campaign.c.created_ms <= row.asked_ms)
        .order_by(campaign.c.id)
        .limit(_MOST_CAMPAIGNS)
    )
    ids = list((await conn.execute(wanted)).scalars())
    found: list[int] = []
    for campaign_id in ids:
        found += (await conn.execute(sa.select(delivery.c.id).where(*_of(campaign_id, row.member_id)))).scalars()
    return found, ids[-1] if ids else row.upto, len(ids) < _MOST_CAMPAIGNS


_given = json_rows("given", id=int)


async def _wipe(tx: Transaction, row: AnyRow, deliveries: Sequence[int], upto: int, *, last: bool) -> None:
    """Of these deliveries the address goes, and what a carrier wrote; with the last step the person themselves."""
    if deliveries:
        values = {"given": pack((id_,) for id_ in deliveries)}
        in_given = sa.select(_given.c.id)
        await tx.run(sa.update(delivery).where(delivery.c.id.in_(in_given)).values(address="", text=None), values)
        await tx.run(sa.update(doubt).where(doubt.c.delivery_id.in_(in_given)).values(address=""), values)
    await tx.run(sa.update(erasure).where(erasure.c.member_id == row.member_id).values(upto=upto))
    if last:
        await _wipe_person(tx, row.member_id, row.zone_id)
        await tx.run(sa.update(erasure).where(erasure.c.member_id == row.member_id).values(done_ms=tx.now_ms))
        await audit.erase_apart(tx, f"member {row.member_id}")
        await audit.note(tx, "member-erased", f"member {row.member_id}", zone_id=row.zone_id)


async def _wipe_person(tx: Transaction, member_id: int, zone_id: int) -> None:
    contacts = await tx.rows(sa.select(contact.c.id, contact.c.address_id, contact.c.value).where(
        contact.c.member_id == member_id, contact.c.value != ERASED
    ))  # fmt: skip
    for value in {each.value for each in contacts}:
        await tx.run(sa.delete(receipt_inbox).where(receipt_inbox.c.destination == value))
    for address_id in {each.address_id for each in contacts}:
        others = sa.select(contact.c.id).where(contact.c.address_id == address_id, contact.c.member_id != member_id)
        if await tx.first(others.limit(1)) is None:
            hidden = f"{ERASED}-{address_id}"
            await tx.run(sa.update(address).where(address.c.id == address_id).values(value=hidden))
    await tx.run(sa.update(contact).where(contact.c.member_id == member_id).values(value=ERASED))
    for table in (membership, group_member):
        await tx.run(sa.delete(table).where(table.c.member_id == member_id))
    revision = await move(tx, zone_id)
    await tx.run(
        sa.update(member)
        .where(member.c.id == member_id)
        .values(
            name="", reference=sa.literal(f"{ERASED}-") + member.c.public_id,
            lon_e7=None, lat_e7=None, refnis=None, postcode=None,
        )
    )  # fmt: skip
    await mark(tx, revision, [member_id])


async def waiting(conn: AsyncConnection) -> int:
    """The number of erasures that were asked for and are not done."""
    return int((await conn.execute(sa.select(sa.func.count()).where(erasure.c.done_ms.is_(None)))).scalar_one())
