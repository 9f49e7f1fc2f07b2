"""Alerts as they are read: by their triple, by id, by what they refer to."""

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from store.campaigns import threads
from store.engine.transaction import AnyRow, Transaction
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


_by_key = _alerts.where(alert.c.sender == sa.bindparam("sender"), alert.c.identifier == sa.bindparam("identifier"))
_by_public_id = _alerts.where(alert.c.public_id == sa.bindparam("public_id"))


def _alert(row: AnyRow | None) -> FiledAlert | None:
    return FiledAlert(*row) if row else None


async def by_key(conn: AsyncConnection, sender: str, identifier: str) -> FiledAlert | None:
    return _alert((await conn.execute(_by_key, {"sender": sender, "identifier": identifier})).first())


async def by_public_id(conn: AsyncConnection, public_id: str) -> FiledAlert | None:
    return _alert((await conn.execute(_by_public_id, {"public_id": public_id})).first())


class ZoneAnswer(msgspec.Struct, frozen=True):
    """What became of an alert in one zone."""

    zone_id: int
    zone: str
    campaign: str | None
    """Public id."""
    refusal: str
    campaign_id: int | None
    campaign_state: str | None


_zones = (
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
    return [ZoneAnswer(*row) for row in (await conn.execute(_zones, {"alert": alert_id})).all()]


async def thread(conn: AsyncConnection, thread_id: int, *others: int) -> list[FiledAlert]:
    """Every alert of a thread, or of several, in the order in which they were sent."""
    wanted = alert.c.thread_id.in_((thread_id, *others))
    rows = await conn.execute(_alerts.where(wanted).order_by(alert.c.sent_ms, alert.c.id))
    return [FiledAlert(*row) for row in rows.all()]


# As a literal: an engine does not look into a partial index for a parameter.
_parked = alert.c.state == sa.literal_column("'parked'")


_named = sa.alias(alert)
_has_come = (
    sa.exists()
    .where(alert_reference.c.alert_id == alert.c.id)
    .where(_named.c.sender == alert_reference.c.sender, _named.c.identifier == alert_reference.c.identifier)
    .where(_named.c.state != sa.literal_column("'parked'"))
)


async def parked(conn: AsyncConnection, before_ms: int) -> list[FiledAlert]:
    """Updates and Cancels that wait no longer: an alert that they name has come, or they came before that instant. What
    still waits is not read: an account may have fifty of them with a thousand names each."""
    due = sa.or_(alert.c.received_ms <= before_ms, _has_come)
    rows = await conn.execute(_alerts.where(_parked, due).order_by(alert.c.id))
    return [FiledAlert(*row) for row in rows.all()]


async def parked_of(conn: AsyncConnection, account_id: int) -> int:
    """The number of an account's alerts that wait."""
    counted = sa.select(sa.func.count()).select_from(alert).where(_parked, alert.c.account_id == account_id)
    return int((await conn.execute(counted)).scalar_one())


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
