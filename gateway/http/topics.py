"""What can be watched: a campaign's progress, or a list, of which a watcher is told that it has changed.

A list's revision is made of what the store says of it, so that it is the same on every node and after a restart.
"""

import hashlib
from collections.abc import Hashable
from dataclasses import dataclass

from gateway.campaigns import rights_over_holds
from gateway.http import views
from gateway.http.progress import Frame
from gateway.http.wording import encoded
from store.campaigns import reading as campaigns
from store.engine.database import Database
from store.outbox import holds
from store.states import CampaignState

_LOOKED_AT = 100
"""Campaigns, the newest, of which a change moves the revision of the list."""


@dataclass(frozen=True, slots=True)
class CampaignsTopic:
    """The list of campaigns of these zones; None: of all."""

    zones: tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class HoldsTopic:
    """The list of holds that may be seen by who operates in these zones; None: in all."""

    zones: tuple[int, ...] | None


async def look(database: Database, topic: Hashable) -> Frame:
    """What the watchers of a topic are shown now; a number is a campaign's. Raises LookupError."""
    if isinstance(topic, CampaignsTopic):
        return await _list_of_campaigns(database, topic)
    if isinstance(topic, HoldsTopic):
        return await _list_of_holds(database, topic)
    assert isinstance(topic, int), topic
    return await campaign(database, topic)


async def campaign(database: Database, campaign_id: int) -> Frame:
    """The counters of a campaign. Raises LookupError."""
    async with database.read() as conn:
        found = await campaigns.by_id(conn, campaign_id)
        counts = await campaigns.counts(conn, campaign_id)
    if found is None:
        raise LookupError(f"no campaign {campaign_id}")
    return Frame(
        id=views.revision(counts),
        state=found.state,
        data=encoded(views.progress(found, counts)),
        last=found.sealed_ms is not None,
        quiet=found.state == CampaignState.RUNNING,
    )


async def _list_of_campaigns(database: Database, topic: CampaignsTopic) -> Frame:
    async with database.read() as conn:
        found = await campaigns.recent(conn, topic.zones, before_id=None, most=_LOOKED_AT)
    said = ",".join(f"{one.public_id}/{one.state}/{one.ended_ms}/{one.sealed_ms}" for one in found)
    return _changed("/api/v1/campaigns", said)


async def _list_of_holds(database: Database, topic: HoldsTopic) -> Frame:
    async with database.read() as conn:
        standing = await holds.standing(conn)
    zones = None if topic.zones is None else frozenset(topic.zones)
    found = [one for one in standing if rights_over_holds.sees_from(zones, one.zone_id)]
    return _changed("/api/v1/holds", ",".join(f"{one.public_id}/{one.revision}" for one in found))


def _changed(href: str, said: str) -> Frame:
    revision = int.from_bytes(hashlib.sha256(said.encode()).digest()[:6])
    return Frame(id=revision, state="", data=encoded({"href": href}), last=False, quiet=True)
