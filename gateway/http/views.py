"""Campaigns and deliveries as the API shows them: public ids, links, nothing of the store's own numbers."""

from typing import Any, Literal

import msgspec

from gateway.campaigns.answers import GatheringAnswer, MessageAnswer
from gateway.operations.logs import scrubbed, shortened
from store.campaigns.reading import Campaign, Delivery, Text
from store.outbox.delivery_ids import place_of
from store.outbox.records import DeliveryCounts
from store.states import CampaignState

DeliveryWord = Literal[
    "queued", "retry", "unknown", "accepted", "delivered", "failed", "expired", "cancelled", "not_needed"
]


class ListedCampaign(msgspec.Struct, frozen=True, kw_only=True):
    """A campaign in a list. Money is what its zone pays."""

    id: str
    href: str
    zone: str
    account: str
    """Who launched it."""
    on_behalf_of: str | None
    """The account whose decision it was, where another one launched it."""
    alert: str | None
    """The id of the CAP alert that it comes of."""
    kind: str
    mode: str
    """live, or simulation: then nothing of it leaves the house."""
    state: str
    purpose: str
    title: str
    created_ms: int
    starts_ms: int
    expires_ms: int
    ended_ms: int | None
    """Nothing was left to send."""
    sealed_ms: int | None
    """When its report was sealed."""
    reserved_millieuro: int
    settled_millieuro: int | None
    """What was paid; null until the report is sealed."""


class CampaignList(msgspec.Struct, frozen=True, omit_defaults=True):
    campaigns: tuple[ListedCampaign, ...]
    next: str = ""
    """Where the list goes on; absent at its end."""


class CampaignText(msgspec.Struct, frozen=True):
    """The words of one channel and language."""

    channel: str
    language: str
    content: Any
    """As it is handed to carriers, with its placeholders."""
    units: int
    price_millieuro: int


class ChannelProgress(msgspec.Struct, frozen=True, kw_only=True):
    """The deliveries of one channel by state: each of `total` is in one of them."""

    channel: str
    queued: int
    retry: int
    """Put off, to be tried again."""
    unknown: int
    """In hand or in doubt: a carrier may have it."""
    accepted: int
    """A carrier has it and has not said that it arrived."""
    delivered: int
    failed: int
    expired: int
    cancelled: int
    not_needed: int
    charged_millieuro: int
    resent: int
    first_sent_ms: int | None
    last_sent_ms: int | None
    revision: int
    total: int


class CampaignProgress(msgspec.Struct, frozen=True, kw_only=True):
    """The counters of a campaign at an instant."""

    campaign: str
    state: str
    mode: str
    sealed: bool
    gathering: bool
    """A Cancel that has ended what it cancels and still looks for its people: none of the counters says anything."""
    revision: int
    """Grows with every change of a counter."""
    deliveries: int
    open: int
    """Deliveries of which something more may be heard or done."""
    charged_millieuro: int
    channels: tuple[ChannelProgress, ...]


class CampaignLinks(msgspec.Struct, frozen=True, omit_defaults=True):
    progress: str
    deliveries: str
    report: str
    stop: str
    alert: str = ""


class CampaignInFull(ListedCampaign, frozen=True, kw_only=True, omit_defaults=True):
    """A campaign with what was asked for, its words and its counters."""

    targets: Any
    """As they were asked for."""
    persons: Any
    """Counted when it was launched: resolved, included, and excluded by reason."""
    texts: tuple[CampaignText, ...]
    progress: CampaignProgress
    links: CampaignLinks
    held: bool
    """A hold keeps its messages from leaving, on one of its channels or on all: they wait."""
    gathering: GatheringAnswer | None = None


class ListedDelivery(msgspec.Struct, frozen=True, kw_only=True):
    """One message to one address."""

    id: int
    """Its place in the campaign, from 1."""
    channel: str
    member: str
    """The member's public id."""
    name: str
    """Empty for an auditor."""
    address: str
    """Shortened for an auditor."""
    language: str
    units: int
    state: DeliveryWord
    attempts: int
    carrier: str | None
    code: str | None
    """The carrier's word for what became of it."""
    text: str | None
    sent_ms: int | None
    changed_ms: int | None


class DeliveryList(msgspec.Struct, frozen=True, omit_defaults=True):
    deliveries: tuple[ListedDelivery, ...]
    next: str = ""
    """Where the list goes on; absent at its end."""


class LaunchedCampaign(MessageAnswer, frozen=True, omit_defaults=True):
    """The campaign that a message has become. `created` is false for the same key again."""

    href: str = ""


class StoppedCampaign(msgspec.Struct, frozen=True):
    campaign: str
    href: str
    stopped: bool
    """False: it had ended already."""


def href(campaign: Campaign) -> str:
    return f"/api/v1/campaigns/{campaign.public_id}"


def listed(campaign: Campaign) -> ListedCampaign:
    return ListedCampaign(**_shown(campaign))


def _shown(campaign: Campaign) -> dict[str, Any]:
    return {
        "id": campaign.public_id,
        "href": href(campaign),
        "zone": campaign.zone_code,
        "account": campaign.account_code,
        "on_behalf_of": campaign.behalf_code,
        "alert": campaign.alert_public_id,
        **{name: getattr(campaign, name) for name in _SAME},
        "settled_millieuro": campaign.settled_millieuro if campaign.sealed_ms is not None else None,
    }


_SAME = (
    "kind", "mode", "state", "purpose", "title", "created_ms", "starts_ms", "expires_ms", "ended_ms", "sealed_ms",
    "reserved_millieuro",
)  # fmt: skip


def in_full(
    campaign: Campaign,
    counts: list[DeliveryCounts],
    texts: list[Text],
    gathering: GatheringAnswer | None,
    *,
    held: bool,
) -> CampaignInFull:
    own = href(campaign)
    return CampaignInFull(
        **_shown(campaign),
        targets=msgspec.json.decode(campaign.targets),
        persons=msgspec.json.decode(campaign.counts),
        texts=tuple(
            CampaignText(**msgspec.structs.asdict(text) | {"content": msgspec.json.decode(text.content)})
            for text in texts
        ),
        progress=progress(campaign, counts),
        links=CampaignLinks(
            progress=f"{own}/progress",
            deliveries=f"{own}/deliveries",
            report=f"{own}/report",
            stop=f"{own}/stop",
            alert=f"/cap/v1/alerts/{campaign.alert_public_id}" if campaign.alert_public_id else "",
        ),
        held=held,
        gathering=gathering,
    )


def progress(campaign: Campaign, counts: list[DeliveryCounts]) -> CampaignProgress:
    return CampaignProgress(
        campaign=campaign.public_id,
        state=campaign.state,
        mode=campaign.mode,
        sealed=campaign.sealed_ms is not None,
        gathering=campaign.state == CampaignState.PREPARING,
        revision=revision(counts),
        deliveries=sum(count.total for count in counts),
        open=sum(count.open for count in counts),
        charged_millieuro=sum(count.charged_millieuro for count in counts),
        channels=tuple(ChannelProgress(**msgspec.structs.asdict(count), total=count.total) for count in counts),
    )


def revision(counts: list[DeliveryCounts]) -> int:
    return sum(count.revision for count in counts)


def delivery(delivery: Delivery, *, masked: bool) -> ListedDelivery:
    """A delivery in a list. `masked`: for who audits and need not know whose telephone it is."""
    fields = msgspec.structs.asdict(delivery) | {"id": number(delivery)}
    if masked:
        # A carrier's words may quote the address that it refused.
        told = None if delivery.text is None else scrubbed(delivery.text)
        fields |= {"name": "", "address": shortened(delivery.address), "text": told}
    return ListedDelivery(**fields)


def number(delivery: Delivery) -> int:
    """The place of a delivery in its campaign, from 1: what a page goes on after."""
    return place_of(delivery.id) + 1
