"""What the platform tells by itself: that a campaign has ended, that a zone's balance is low."""

from channels.contract import Channel
from gateway.notices import telling
from gateway.notices.notice import Notice, NoticeAddress, NoticeSubject
from gateway.notices.telling import HelpLines, no_help
from store.engine.transaction import Transaction
from store.notices import recipients
from store.notices.alarms import ZoneBalance


async def tell_ended(
    tx: Transaction,
    campaign_id: int,
    *,
    zone: str,
    title: str,
    reached: int,
    not_reached: int,
    help_lines: HelpLines = no_help,
) -> int | None:
    """Tells whoever launched a campaign that it has ended, in the transaction of its seal, where they have a mailbox
    and want to hear of it."""
    found = await recipients.launcher(tx, campaign_id)
    if found is None:
        return None
    facts = {"title": title, "reached": str(reached), "not_reached": str(not_reached)}
    to = (NoticeAddress(Channel.EMAIL, found.email, found.language),)
    key = f"campaign-ended/{campaign_id}"
    return await telling.tell(
        tx, Notice(subject=NoticeSubject.CAMPAIGN_ENDED, to=to, facts=facts, dedupe=key, zone=zone), help_lines
    )


def euros(millieuro: int) -> str:
    """12,50 EUR, as people in Belgium write it."""
    cents = abs(millieuro) // 10
    return f"{'-' if millieuro < 0 else ''}{cents // 100},{cents % 100:02} EUR"


async def tell_balance(
    tx: Transaction, zone: ZoneBalance, since_ms: int, help_lines: HelpLines = no_help
) -> int | None:
    """Tells the administrators of a zone that its balance is low, once for each time it falls."""
    found = await recipients.administrators(tx, zone.zone_id)
    if not found:
        return None
    facts = {"zone": zone.code, "balance": euros(zone.balance_millieuro)}
    to = tuple(NoticeAddress(Channel.EMAIL, one.email, one.language) for one in found)
    key = f"low-balance/{zone.zone_id}/{since_ms}"
    return await telling.tell(
        tx, Notice(subject=NoticeSubject.LOW_BALANCE, to=to, facts=facts, dedupe=key, zone=zone.code), help_lines
    )
