"""What is told of a filed alert: its state, its zones, what was found of it. Reads the store, decides nothing."""

from collections.abc import Iterable

import msgspec

from cap import Status
from channels.contract import Mode
from gateway.access.rights import Caller
from gateway.campaigns import rights_over_campaigns
from gateway.campaigns.answers import AlertAnswer, GatheringAnswer, SignatureFound, ZoneResult
from gateway.campaigns.zones import ZoneOutcomes
from gateway.errors import Reason
from store.campaigns import alerts as filed_alerts
from store.campaigns import reading as campaigns
from store.campaigns.alerts import FiledAlert as Filed
from store.campaigns.alerts import ZoneAnswer
from store.campaigns.findings import AlertFinding, finding_of
from store.engine.transaction import Connection
from store.states import CampaignState

_MOST_WARNINGS = 200
UNKNOWN = AlertFinding(version="1.2", signature="")
"""Of alerts of before findings were kept."""


def with_reasons(finding: AlertFinding, reasons: Iterable[Reason], outcome: ZoneOutcomes) -> AlertFinding:
    """A finding with what the zones' plans had to say besides; each thing once."""
    told = [
        *reasons,
        *outcome.silent,
        *(r for preview in outcome.previews for r in preview.problems if r.level != "information"),
    ]
    once = list(dict.fromkeys(told))[:_MOST_WARNINGS]
    return msgspec.structs.replace(finding, warnings=msgspec.json.encode(once).decode())


def warnings(finding: AlertFinding) -> tuple[Reason, ...]:
    return msgspec.json.decode(finding.warnings, type=tuple[Reason, ...])


def signature(finding: AlertFinding) -> SignatureFound | None:
    if not finding.signature:
        return None
    return SignatureFound(finding.signature, finding.reason, finding.signer, finding.certificate)


async def answer(conn: Connection, filed: Filed, caller: Caller) -> AlertAnswer:
    """The answer about an alert, with the zones that are this caller's business: all of them for who posted it."""
    touched = await seen(conn, filed, caller)
    found = await finding_of(conn, filed.id) or UNKNOWN
    return AlertAnswer(
        id=filed.public_id,
        sender=filed.sender,
        identifier=filed.identifier,
        sent_ms=filed.sent_ms,
        status=filed.status,
        msg_type=filed.msg_type,
        scope=filed.scope,
        state=filed.state,
        received_ms=filed.received_ms,
        note=filed.note,
        expires_ms=filed.expires_ms,
        zones=tuple([await _zone(conn, z) for z in touched]),
        version=found.version,
        signature=signature(found),
        envelope=found.envelope_name,
        warnings=warnings(found),
    )


async def seen(conn: Connection, filed: Filed, caller: Caller) -> list[ZoneAnswer]:
    """The zones of an alert that this caller may know of: all of them for who posted it."""
    touched = await filed_alerts.zones(conn, filed.id)
    if filed.account_id == caller.account_id:
        return touched
    launched = {c.id: c for c in await campaigns.of_alert(conn, filed.id)}
    mode = Mode.LIVE if filed.status == Status.ACTUAL else Mode.SIMULATION
    return [
        z
        for z in touched
        if (
            rights_over_campaigns.sees_all_of(caller, z.zone_id, mode)
            if z.campaign_id is None
            else rights_over_campaigns.sees(caller, launched[z.campaign_id])
        )
    ]


async def _zone(conn: Connection, touched: ZoneAnswer) -> ZoneResult:
    result = ZoneResult(touched.zone, touched.campaign, touched.refusal)
    if touched.campaign_id is None or touched.campaign_state != CampaignState.PREPARING:
        return result
    return msgspec.structs.replace(result, gathering=await gathering(conn, touched.campaign_id))


async def gathering(conn: Connection, campaign_id: int) -> GatheringAnswer:
    """How far the gathering of a Cancel's audience is; counters tell it, whatever their size."""
    counts = await campaigns.replaced_counts(conn, campaign_id)
    return GatheringAnswer(
        may_have_it=sum(count.unknown + count.accepted + count.delivered for count in counts),
        open=sum(count.open for count in counts),
    )
