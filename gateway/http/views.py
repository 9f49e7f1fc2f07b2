"""Campaigns and deliveries as the API shows them: public ids, links, nothing of the store's own numbers."""

from typing import Any

import msgspec

from gateway.campaigns.answers import GatheringAnswer
from gateway.operations.logs import scrubbed, shortened
from store.campaigns.reading import Campaign, Delivery, Text
from store.outbox.delivery_ids import place_of
from store.outbox.records import DeliveryCounts
from store.states import CampaignState

_SHOWN = (
    "kind", "mode", "state", "purpose", "title", "created_ms", "starts_ms", "expires_ms", "ended_ms", "sealed_ms",
    "reserved_millieuro",
)  # fmt: skip


def href(campaign: Campaign) -> str:
    return f"/api/v1/campaigns/{campaign.public_id}"


def campaign_line(campaign: Campaign) -> dict[str, Any]:
    """A campaign in a list."""
    return {
        "id": campaign.public_id,
        "href": href(campaign),
        "zone": campaign.zone_code,
        "account": campaign.account_code,
        "alert": campaign.alert_public_id,
        **{name: getattr(campaign, name) for name in _SHOWN},
        "settled_millieuro": campaign.settled_millieuro if campaign.sealed_ms is not None else None,
    }


def campaign_page(
    campaign: Campaign, counts: list[DeliveryCounts], texts: list[Text], gathering: GatheringAnswer | None
) -> dict[str, Any]:
    own = href(campaign)
    return campaign_line(campaign) | {
        "targets": msgspec.json.decode(campaign.targets),
        "persons": msgspec.json.decode(campaign.counts),
        "texts": [msgspec.structs.asdict(t) | {"content": msgspec.json.decode(t.content)} for t in texts],
        "progress": progress(campaign, counts),
        **({"gathering": msgspec.structs.asdict(gathering)} if gathering else {}),
        "links": {
            "progress": f"{own}/progress",
            "deliveries": f"{own}/deliveries",
            "report": f"{own}/report",
            "stop": f"{own}/stop",
            **({"alert": f"/cap/v1/alerts/{campaign.alert_public_id}"} if campaign.alert_public_id else {}),
        },
    }


def progress(campaign: Campaign, counts: list[DeliveryCounts]) -> dict[str, Any]:
    """The counters of a campaign at an instant. `revision` grows with every change of a counter."""
    return {
        "campaign": campaign.public_id,
        "state": campaign.state,
        "mode": campaign.mode,
        "sealed": campaign.sealed_ms is not None,
        # A Cancel that has ended what it cancels and still looks for its people: none of the counters says anything.
        "gathering": campaign.state == CampaignState.PREPARING,
        "revision": revision(counts),
        "deliveries": sum(count.total for count in counts),
        "open": sum(count.open for count in counts),
        "charged_millieuro": sum(count.charged_millieuro for count in counts),
        "channels": [msgspec.structs.asdict(count) | {"total": count.total} for count in counts],
    }


def revision(counts: list[DeliveryCounts]) -> int:
    return sum(count.revision for count in counts)


def delivery_line(delivery: Delivery, *, masked: bool) -> dict[str, Any]:
    """A delivery in a list. `masked`: for who audits and need not know whose telephone it is."""
    line = msgspec.structs.asdict(delivery) | {"id": number(delivery)}
    if masked:
        # A carrier's words may quote the address that it refused.
        told = None if delivery.text is None else scrubbed(delivery.text)
        line |= {"name": "", "address": shortened(delivery.address), "text": told}
    return line


def number(delivery: Delivery) -> int:
    """The place of a delivery in its campaign, from 1: what a page goes on after."""
    return place_of(delivery.id) + 1
