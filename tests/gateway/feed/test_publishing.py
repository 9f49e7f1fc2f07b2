"""Publication: one alert whose document cannot be made now stops no other, and is published once it can be."""

import logging

import pytest
import sqlalchemy as sa

from gateway.feed.publishing import Publisher
from store.engine.database import Database
from store.tables import alert, feed_entry
from tests.gateway.populated_store import House, an_alert

HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n<alert xmlns="urn:oasis:names:tc:emergency:cap:1.2">'


def a_document(name: str) -> bytes:
    return (
        f"{HEAD}<identifier>id-{name}</identifier><sender>cic@example.org</sender>"
        "<sent>2026-01-02T03:04:05+01:00</sent><status>Actual</status><msgType>Alert</msgType><scope>Public</scope>"
        "<info><language>nl-BE</language><category>Fire</category><event>Fire</event><urgency>Immediate</urgency>"
        "<severity>Severe</severity><certainty>Observed</certainty><headline>Fire</headline>"
        "<area><areaDesc>Here</areaDesc><polygon>51,3 51,4 52,4 51,3</polygon></area></info></alert>"
    ).encode()


async def accepted(house: House, name: str) -> None:
    document = a_document(name)
    until_ms = house.database.clock.now_ms() + 3_600_000
    await house.launch(1, alert=an_alert(1, name, document), publish=True, publish_until_ms=until_ms)


async def published(database: Database) -> set[str]:
    async with database.read() as conn:
        statement = sa.select(alert.c.identifier).join(feed_entry, feed_entry.c.alert_id == alert.c.id)
        return set((await conn.execute(statement.where(feed_entry.c.seq.is_not(None)))).scalars())


async def test_alerts_that_cannot_be_made_stop_no_other_and_are_published_once_they_can_be(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    house = House(database)
    await house.zone("A")
    await house.account("officer")
    for n in range(22):  # more than one look takes
        await accepted(house, f"bad{n}")
    await accepted(house, "good")
    broken = True

    def sign(document: bytes) -> bytes:
        if broken and b"id-bad" in document:
            raise RuntimeError("the key store has gone")
        return document

    publisher = Publisher(database, sign)
    with caplog.at_level(logging.ERROR):
        while await publisher.run():
            pass
    assert await published(database) == {"id-good"}
    assert len([r for r in caplog.records if getattr(r, "action", "") == "publish-failed"]) == 22

    broken = False
    again = Publisher(database, sign)  # a node that has just started: nothing rests
    while await again.run():
        pass
    assert len(await published(database)) == 23
