"""The id of a delivery: its campaign, and its place in that campaign's audience, in one number. Pure.

Deliveries of a campaign lie side by side in every index, and a page of them is a range.
"""

_PLACE_BITS = 24
MOST_DELIVERIES = 1 << _PLACE_BITS
"""Of one campaign, over all channels."""


def first_id(campaign_id: int) -> int:
    """The id at place 0 of a campaign; the others follow it by their places."""
    return campaign_id << _PLACE_BITS


def end_id(campaign_id: int) -> int:
    """The first one that is no longer of this campaign."""
    return (campaign_id + 1) << _PLACE_BITS


def campaign_of(delivery_id: int) -> int:
    return delivery_id >> _PLACE_BITS


def place_of(delivery_id: int) -> int:
    """The place of a delivery in its campaign's audience, from 0."""
    return delivery_id & (MOST_DELIVERIES - 1)
