"""A zone with its people, an alert, a campaign of n deliveries, a worker: what the tests of the outbox begin with.

Campaigns are made by the store's own launch and expansion; the register by plain inserts.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from store.campaigns import campaign_steps, launching
from store.campaigns.launching import Launch
from store.engine.database import Database
from store.engine.transaction import AnyRow, Transaction
from store.engine.turns import Turn
from store.outbox import batches, expansion, fence, inbox
from store.outbox.ceilings import Ceiling
from store.outbox.expansion import AudienceEntry
from store.outbox.fence import Fence, Grant, OpenCarrier
from store.outbox.records import Batch, NewAlert, NewCampaign, NewText, Settlement
from store.outbox.resending import Resending
from store.states import BatchState, DeliveryEvent, DeliveryState
from store.tables import account, address, batch, contact, delivery, member, receipt_inbox, zone

_numbers = itertools.count(1)

HOUR_MS = 3_600_000
LEASE_MS = 60_000
AT_ONCE = Resending(wait_ms=0, most_attempts=3)
"""In doubt is sent again at the next claim."""
PATIENT = Resending(wait_ms=HOUR_MS, most_attempts=3)
WIDE = Ceiling("wide", count=100_000, window_s=1.0, guard_s=0.0)
WIDE_CARRIER = OpenCarrier("c1", (WIDE,), 100_000)
HORIZON_MS = 250


@dataclass(frozen=True, slots=True)
class Person:
    member_id: int
    contacts: dict[str, int]
    addresses: dict[str, str]


@dataclass(frozen=True, slots=True)
class Town:
    zone_id: int
    account_id: int
    people: tuple[Person, ...]


@dataclass(frozen=True, slots=True)
class Made:
    """A campaign and the ids of its deliveries by channel, in order."""

    id: int
    public_id: str
    town: Town
    ids: dict[str, tuple[int, ...]]
    entries: dict[str, tuple[AudienceEntry, ...]]


async def a_zone(database: Database) -> int:
    return await database.write(_zone)


async def an_account(database: Database) -> int:
    return await database.write(_account)


async def _zone(tx: Transaction) -> int:
    n = next(_numbers)
    values = {"code": f"zone{n}", "name": f"Zone {n}", "convention": 1, "policy": "{}"}
    return (await _ids(tx, zone, [values]))[0]


async def _account(tx: Transaction) -> int:
    n = next(_numbers)
    return (await _ids(tx, account, [{"code": f"account{n}", "name": f"Account {n}", "type": "cic"}]))[0]


async def a_town(database: Database, people: int = 10) -> Town:
    """A zone, an account and persons who each have a mobile, a mailbox and a landline."""

    async def work(tx: Transaction) -> Town:
        zone_id, account_id = await _zone(tx), await _account(tx)
        return Town(zone_id, account_id, await _people(tx, zone_id, people) if people else ())

    return await database.write(work)


async def _people(tx: Transaction, zone_id: int, people: int) -> tuple[Person, ...]:
    ids = [next(_numbers) for _ in range(people)]
    members = await _ids(tx, member, [
        {"zone_id": zone_id, "public_id": f"m{n}", "reference": f"r{n}", "name": f"Zoë {n}", "language": "nl"}
        for n in ids
    ])  # fmt: skip
    wanted = [
        (m, channel, value)
        for n, m in zip(ids, members, strict=True)
        for channel, value in (("sms", f"+3247{n:07}"), ("email", f"p{n}@example.org"), ("voice", f"+322{n:06}"))
    ]
    addresses = await _ids(tx, address, [{"value": value} for _, _, value in wanted])
    contacts = await _ids(tx, contact, [
        {"member_id": m, "address_id": a, "type": channel, "value": value, "from_ms": 0}
        for (m, channel, value), a in zip(wanted, addresses, strict=True)
    ])  # fmt: skip
    made: dict[int, Person] = {m: Person(m, {}, {}) for m in members}
    for (m, channel, value), contact_id in zip(wanted, contacts, strict=True):
        made[m].contacts[channel] = contact_id
        made[m].addresses[channel] = value
    return tuple(made.values())


async def _ids(tx: Transaction, table: sa.Table, rows: Sequence[dict[str, Any]]) -> list[int]:
    statement = sa.insert(table).returning(table.c.id, sort_by_parameter_order=True)
    return [row.id for row in (await tx.conn.execute(statement, rows)).all()]


# ---- alerts and campaigns --------------------------------------------------------------------------------


def an_alert(account_id: int, **changes: Any) -> NewAlert:
    n = next(_numbers)
    values: dict[str, Any] = {
        "public_id": f"alert{n}", "sender": "cic@police.example", "identifier": f"id-{n}", "sent_ms": 1,
        "status": "Actual", "msg_type": "Alert", "scope": "Public", "document": b"<alert/>", "sha256": "00",
        "account_id": account_id, "expires_ms": None, "thread_id": None, "state": "active", "note": "",
        "references": (),
    }  # fmt: skip
    return NewAlert(**values | changes)


def a_new_campaign(
    town: Town,
    now_ms: int,
    *,
    channels: Sequence[str] = ("sms",),
    people: int | None = None,
    units: int = 1,
    price_millieuro: int = 55,
    **changes: Any,
) -> NewCampaign:
    n = next(_numbers)
    size = len(town.people) if people is None else people
    values: dict[str, Any] = {
        "public_id": f"campaign{n}", "zone_id": town.zone_id, "account_id": town.account_id, "purpose": "alert",
        "title": "Water", "kind": "alert", "mode": "live", "state": "running", "priority": 0,
        "crash_policy": "resend", "weight": 1, "starts_ms": now_ms, "expires_ms": now_ms + HOUR_MS,
        "horizon_ms": HOUR_MS, "targets": "{}", "counts": "{}",
        "reserved_millieuro": size * len(channels) * price_millieuro,
        "texts": tuple(NewText(c, "nl", "{}", units, price_millieuro) for c in channels),
        "audience": b"blob", "sizes": tuple((c, size) for c in channels),
    }  # fmt: skip
    return NewCampaign(**values | changes)


def entries(town: Town, channel: str, people: int, first_seq: int = 0) -> tuple[AudienceEntry, ...]:
    return tuple(
        AudienceEntry(first_seq + n, person.member_id, person.contacts[channel], "nl")
        for n, person in enumerate(town.people[:people])
    )


async def now_ms(database: Database) -> int:
    async def work(tx: Transaction) -> int:
        return tx.now_ms

    return await database.write(work)


async def a_campaign(
    database: Database,
    town: Town | int = 10,
    *,
    channels: Sequence[str] = ("sms",),
    people: int | None = None,
    batch_size: int = 500,
    expand: bool = True,
    alert: NewAlert | None = None,
    **changes: Any,
) -> Made:
    """Launched and, unless told otherwise, expanded. `starts_in_ms`, `lasts_ms`: relative to the store's clock."""
    people_of = await a_town(database, town) if isinstance(town, int) else town
    return await database.write(
        lambda tx: _campaign(
            tx, people_of, channels=channels, people=len(people_of.people) if people is None else people,
            batch_size=batch_size if expand else 0, alert=alert, changes=changes,
        )
    )  # fmt: skip


async def _campaign(
    tx: Transaction,
    town: Town,
    *,
    channels: Sequence[str],
    people: int,
    batch_size: int,
    alert: NewAlert | None,
    changes: dict[str, Any],
) -> Made:
    options = dict(changes)
    ends = options.pop("ends", ())
    for relative, absolute in (("starts_in_ms", "starts_ms"), ("lasts_ms", "expires_ms")):
        if relative in options:
            options[absolute] = tx.now_ms + options.pop(relative)
    new = a_new_campaign(town, tx.now_ms, channels=channels, people=people, **options)
    decision = Launch(account_id=town.account_id, alert=alert, campaigns=(new,), ends=ends)
    (campaign_id,) = (await launching.launch(tx, decision)).campaign_ids
    made = Made(
        campaign_id,
        new.public_id,
        town,
        {c: tuple(campaign_id << 24 | (n * people + i) for i in range(people)) for n, c in enumerate(channels)},
        {c: entries(town, c, people, n * people) for n, c in enumerate(channels)},
    )
    if batch_size and new.state != "preparing":
        for channel in channels:
            await expansion.expand(tx, made.id, channel, made.entries[channel], batch_size=batch_size)
    return made


async def expand_all(database: Database, made: Made, channel: str = "sms", *, batch_size: int = 500) -> int:
    lines = made.entries[channel]
    return await database.write(
        lambda tx: expansion.expand(tx, made.id, channel, lines, batch_size=batch_size), turn=Turn.LAST
    )


# ---- a worker --------------------------------------------------------------------------------------------


async def claim(
    database: Database,
    channel: str = "sms",
    *,
    mode: str = "live",
    node: str = "n1",
    lease_ms: int = LEASE_MS,
    resending: Resending = AT_ONCE,
) -> Batch | None:
    return await database.write(lambda tx: batches.claim(tx, channel, mode, node, lease_ms, resending))


async def must_claim(database: Database, channel: str = "sms", **options: Any) -> Batch:
    held = await claim(database, channel, **options)
    assert held is not None, "there is a batch to claim"
    return held


async def advance(
    database: Database,
    held: Batch,
    n: int | None = None,
    *,
    skip: int = 0,
    again: Sequence[int] = (),
    carriers: Sequence[OpenCarrier] = (WIDE_CARRIER,),
    horizon_ms: int = HORIZON_MS,
    lease_ms: int = LEASE_MS,
) -> Grant | Fence:
    """Ask the fence for the next `n` rows beyond the first `skip`."""
    ahead = held.rows[skip:] if n is None else held.rows[skip : skip + n]
    return await database.write(
        lambda tx: fence.advance(
            tx, held, again=again, ahead=ahead, carriers=carriers, horizon_ms=horizon_ms, lease_ms=lease_ms
        )
    )


async def settle(database: Database, held: Batch, settlements: Sequence[Settlement]) -> None:
    await database.write(lambda tx: batches.settle(tx, held, settlements))


async def give_back(
    database: Database,
    held: Batch,
    settlements: Sequence[Settlement] = (),
    *,
    retry_in_ms: int = 0,
    resending: Resending = AT_ONCE,
    rest_in_ms: int | None = None,
) -> BatchState | None:
    async def work(tx: Transaction) -> BatchState | None:
        return await batches.give_back(
            tx,
            held,
            settlements,
            retry_ms=tx.now_ms + retry_in_ms,
            resending=resending,
            rest_ms=None if rest_in_ms is None else tx.now_ms + rest_in_ms,
        )

    return await database.write(work)


async def tick(database: Database) -> int:
    return await database.write(campaign_steps.tick)


def accepted(ids: Sequence[int], carrier: str = "c1", *, parts: int = 1) -> list[Settlement]:
    return [
        Settlement(i, DeliveryEvent.ACCEPTED, carrier, tuple(f"{carrier}-{i}-{p}" for p in range(1, parts + 1)))
        for i in ids
    ]


def happened(ids: Sequence[int], event: DeliveryEvent, carrier: str = "c1") -> list[Settlement]:
    return [Settlement(i, event, carrier) for i in ids]


def ids_of(held: Batch) -> list[int]:
    return [row.id for row in held.rows]


async def sent(
    database: Database,
    channel: str = "sms",
    *,
    answer: Callable[[Sequence[int]], list[Settlement]] = accepted,
    **options: Any,
) -> Batch:
    """Claim the next batch, advance over all of it, settle as `answer` says and give it back."""
    held = await must_claim(database, channel, **options)
    grant = await advance(database, held)
    assert isinstance(grant, Grant)
    assert grant.slots.messages == len(held.rows)
    await give_back(database, held, answer(ids_of(held)))
    return held


# ---- reading ---------------------------------------------------------------------------------------------


async def rows_of(database: Database, made: Made) -> list[AnyRow]:
    statement = sa.select(delivery).where(delivery.c.id.between(made.id << 24, (made.id << 24) + (1 << 24) - 1))
    async with database.read() as conn:
        return list((await conn.execute(statement.order_by(delivery.c.id))).all())


async def words_of(database: Database, made: Made) -> list[str]:
    """The states of a campaign's deliveries, in order."""
    return [DeliveryState(row.state).word for row in await rows_of(database, made)]


async def batch_row(database: Database, batch_id: int) -> AnyRow:
    async with database.read() as conn:
        return (await conn.execute(sa.select(batch).where(batch.c.id == batch_id))).one()


async def batches_of(database: Database, made: Made) -> list[AnyRow]:
    async with database.read() as conn:
        return list(
            (await conn.execute(sa.select(batch).where(batch.c.campaign_id == made.id).order_by("first"))).all()
        )


async def look_again(database: Database, *, settled_ms: int = inbox.SETTLED_MS, most: int = 200) -> int:
    """Everything that waits in the inbox is due, and tried: how many of it are matched now."""
    kept = receipt_inbox.c

    async def work(tx: Transaction) -> int:
        waits = sa.select(sa.func.count()).where(kept.matched_ms.is_(None))
        before = (await tx.rows(waits))[0][0]
        await tx.run(sa.update(receipt_inbox).where(kept.matched_ms.is_(None)).values(due_ms=0))
        await inbox.try_due(tx, since_ms=-1, most=most, settled_ms=settled_ms)
        return int(before - (await tx.rows(waits))[0][0])

    return await database.write(work)
