"""Alerts as they are read: by their triple, by id, by what they refer to."""

from collections.abc import Sequence

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from store.campaigns import threads
from store.engine.json_rows import json_rows, pack
from store.engine.prepared_statement import Prepared
from store.engine.transaction import AnyRow, Transaction, rows_of
from store.tables import alert, alert_reference, alert_zone, campaign, zone


class FiledAlert(msgspec.Struct, frozen=True):
    id: int
    public_id: str
    sender: str
    identifier: str
    sent_ms: int
    status: str
    msg_type: str
    scope: str
    document: bytes
    sha256: str
    account_id: int
    received_ms: int
    expires_ms: int | None
    thread_id: int
    state: str
    note: str


_alerts = sa.select(*(alert.c[name] for name in FiledAlert.__struct_fields__))
_by_key = Prepared(
    _alerts.where(alert.c.sender == sa.bindparam("sender"), alert.c.identifier == sa.bindparam("identifier"))
)
_by_public_id = Prepared(_alerts.where(alert.c.public_id == sa.bindparam("public_id")))


def _alert(rows: Sequence[AnyRow]) -> FiledAlert | None:
    return FiledAlert(*rows[0]) if rows else None


async def by_key(conn: AsyncConnection, sender: str, identifier: str) -> FiledAlert | None:
    return _alert(await rows_of(conn, _by_key, {"sender": sender, "identifier": identifier}))


async def by_public_id(conn: AsyncConnection, public_id: str) -> FiledAlert | None:
    return _alert(await rows_of(conn, _by_public_id, {"public_id": public_id}))


class ZoneAnswer(msgspec.Struct, frozen=True):
    """What became of an alert in one zone."""

    zone_id: int
    zone: str
    campaign: str | None
    """Public id."""
    refusal: str
    campaign_id: int | None
    campaign_state: str | None


_zones = Prepared(
    sa.select(
        alert_zone.c.zone_id,
        zone.c.code,
        campaign.c.public_id,
        alert_zone.c.refusal,
        alert_zone.c.campaign_id,
        campaign.c.state,
    )
    .join(zone, zone.c.id == alert_zone.c.zone_id)
    .join(campaign, campaign.c.id == alert_zone.c.campaign_id, isouter=True)
    .where(alert_zone.c.alert_id == sa.bindparam("alert"))
    .order_by(zone.c.code)
)


async def zones(conn: AsyncConnection, alert_id: int) -> list[ZoneAnswer]:
    return [ZoneAnswer(*row) for row in await rows_of(conn, _zones, {"alert": alert_id})]


_threads = json_rows("threads", id=int)
_of_threads = Prepared(
    _alerts.where(alert.c.thread_id.in_(sa.select(_threads.c.id))).order_by(alert.c.sent_ms, alert.c.id)
)


async def thread(conn: AsyncConnection, thread_id: int, *others: int) -> list[FiledAlert]:
    """Every alert of a thread, or of several, in the order in which they were sent."""
    rows = await rows_of(conn, _of_threads, {"threads": pack((i,) for i in (thread_id, *others))})
    return [FiledAlert(*row) for row in rows]


# As a literal: an engine does not look into a partial index for a parameter.
_parked = alert.c.state == sa.literal_column("'parked'")


_named = sa.alias(alert)
_has_come = (
    sa.exists()
    .where(alert_reference.c.alert_id == alert.c.id)
    .where(_named.c.sender == alert_reference.c.sender, _named.c.identifier == alert_reference.c.identifier)
    .where(_named.c.state != sa.literal_column("'parked'"))
)
_no_longer_parked = Prepared(
    _alerts.where(_parked, sa.or_(alert.c.received_ms <= sa.bindparam("before_ms"), _has_come)).order_by(alert.c.id)
)
_parked_of = Prepared(
    sa.select(sa.func.count()).select_from(alert).where(_parked, alert.c.account_id == sa.bindparam("account"))
)


async def parked(conn: AsyncConnection, before_ms: int) -> list[FiledAlert]:
    """Updates and Cancels that wait no longer: an alert that they name has come, or they came before that instant. What
    still waits is not read: an account may have fifty of them with a thousand names each."""
    return [FiledAlert(*row) for row in await rows_of(conn, _no_longer_parked, {"before_ms": before_ms})]


async def parked_of(conn: AsyncConnection, account_id: int) -> int:
    """The number of an account's alerts that wait."""
    [counted] = await rows_of(conn, _parked_of, {"account": account_id})
    return int(counted[0])


async def set_state(tx: Transaction, alert_id: int, state: str, note: str = "") -> None:
    await tx.run(sa.update(alert).where(alert.c.id == alert_id).values(state=state, note=note))


async def remove_parked(tx: Transaction, alert_id: int) -> bool:
    """Take a parked alert out, to be filed again by the launch that its awaited reference made possible."""
    waited = await tx.first(sa.select(alert.c.thread_id).where(alert.c.id == alert_id, _parked))
    removed = await tx.run(sa.delete(alert_reference).where(
        alert_reference.c.alert_id == alert_id,
        sa.exists().where(alert.c.id == alert_id, alert.c.state == "parked"),
    ))  # fmt: skip
    await tx.run(sa.delete(alert).where(alert.c.id == alert_id, alert.c.state == "parked"))
    if waited is not None:
        await threads.drop_empty(tx, waited.thread_id)  # it waited in one of its own
    return bool(removed)
