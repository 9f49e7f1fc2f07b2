"""Facts -> the report, with every sum held against another count of the same thing. Pure."""

from collections import defaultdict
from collections.abc import Iterator

from channels.contract import Channel
from gateway.directory import audience as directory
from gateway.instants import rfc3339, rfc3339_or_none
from gateway.kinds import Kind
from gateway.reports import persons
from gateway.reports.gathering import ChannelRows, Facts
from gateway.reports.report import (
    AlertHeader,
    ChannelLine,
    Contacts,
    DeliveryLine,
    Equation,
    Header,
    LaunchByCode,
    Money,
    PersonCounts,
    Persons,
    Report,
    counted,
)
from gateway.reports.words import OUTCOMES
from store.access.break_glass import BreakGlassUse
from store.campaigns.reading import Campaign
from store.outbox.records import DeliveryCounts
from store.states import CampaignState, DeliveryState

_STATES = tuple(state.word for state in DeliveryState)
_CALLED_OFF = {str(s) for s in (CampaignState.STOPPED, CampaignState.CANCELLED, CampaignState.SUPERSEDED)}


def draw(facts: Facts) -> Report:
    """Draws a report. CPU work in proportion to the audience (0.5 s for a million persons): off the event loop,
    please."""
    frozen = facts.audience.counts()
    counts = {count.channel: count for count in facts.counts}
    states = _states(facts)
    persons = _persons(facts, frozen)
    charged = sum(line.charged_millieuro for line in facts.sums)
    equations = (
        *_audience_equations(frozen, persons),
        *_row_equations(facts, counts, states),
        *_money_equations(facts, charged),
    )
    campaign = facts.campaign
    return Report(
        made=rfc3339(facts.read_ms),
        revision=sum(count.revision for count in facts.counts),
        campaign=_header(campaign, facts.audience_known, facts.opened_by),
        alert=_alert(facts),
        persons=persons,
        contacts=Contacts(frozen.candidates, frozen.deliveries, frozen.covered, frozen.skipped),
        channels=tuple(
            _channel(channel, rows, states[channel.value], counts.get(channel.value))
            for channel, rows in facts.channels.items()
        ),
        deliveries=tuple(
            DeliveryLine(s.channel, s.language, s.state, s.code, s.deliveries, s.units, s.charged_millieuro)
            for s in facts.sums
        ),
        money=_money(campaign, charged, facts),
        sums_close=all(equation.holds for equation in equations),
        equations=equations,
    )


def _header(campaign: Campaign, audience_known: bool, used: BreakGlassUse | None) -> Header:
    return Header(
        id=campaign.public_id,
        zone=campaign.zone_code,
        account=campaign.account_code,
        title=campaign.title,
        purpose=campaign.purpose,
        kind=campaign.kind,
        mode=campaign.mode,
        state=campaign.state,
        created=rfc3339(campaign.created_ms),
        starts=rfc3339(campaign.starts_ms),
        expires=rfc3339(campaign.expires_ms),
        ended=rfc3339_or_none(campaign.ended_ms),
        sealed=rfc3339_or_none(campaign.sealed_ms),
        audience_known=audience_known,
        on_behalf_of=campaign.behalf_code,
        break_glass=None if used is None else LaunchByCode(id=used.public_id, opened=rfc3339(used.began_ms)),
    )


def _alert(facts: Facts) -> AlertHeader | None:
    a = facts.alert
    if a is None:
        return None
    sent = rfc3339(a.sent_ms)
    return AlertHeader(a.public_id, a.sender, a.identifier, sent, a.status, a.msg_type, a.scope, a.sha256)


def _persons(facts: Facts, frozen: directory.AudienceCounts) -> Persons:
    state = facts.campaign.state
    found = persons.persons(
        facts.audience,
        {channel: rows.fates for channel, rows in facts.channels.items()},
        facts.elsewhere,
        state if state in _CALLED_OFF else "cancelled",
        "unknown" if facts.campaign.retired_ms is None else "retired",
    )
    # Whoever may not have an alert stands first: somebody must go to them.
    order = sorted(OUTCOMES, key="in_doubt".__ne__) if facts.campaign.kind == Kind.ALERT else OUTCOMES
    lines = tuple(
        PersonCounts(outcome, sum(found[outcome].values()), counted(found[outcome]))
        for outcome in order
        if outcome in found
    )
    return Persons(frozen.resolved, frozen.included, counted(frozen.excluded), lines)


def _states(facts: Facts) -> dict[str, dict[str, int]]:
    """channel -> state -> deliveries, from rows; what is not a row yet is queued."""
    found: dict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(_STATES, 0))
    for channel, rows in facts.channels.items():
        found[channel.value]["queued"] += rows.not_expanded
    for line in facts.sums:
        found[line.channel][line.state] += line.deliveries
    return found


def _channel(channel: Channel, rows: ChannelRows, states: dict[str, int], counts: DeliveryCounts | None) -> ChannelLine:
    audience = len(rows.fates.states)
    rate = None
    if rows.sent > 1 and rows.first_sent_ms is not None and rows.last_sent_ms is not None:
        # Below a second the span says more about the grain of commits than about the carrier.
        rate = round(rows.sent * 1000 / max(rows.last_sent_ms - rows.first_sent_ms, 1000), 1)
    return ChannelLine(
        channel=channel.value,
        audience=audience,
        not_expanded=rows.not_expanded,
        states=states,
        sent=rows.sent,
        resent=counts.resent if counts else 0,
        first_sent=rfc3339_or_none(rows.first_sent_ms),
        last_sent=rfc3339_or_none(rows.last_sent_ms),
        rate_per_s=rate,
        delivered_share=round(states["delivered"] / audience, 4) if audience else None,
    )


def _money(campaign: Campaign, charged: int, facts: Facts) -> Money:
    sealed = campaign.sealed_ms is not None
    return Money(
        reserved_millieuro=campaign.reserved_millieuro,
        charged_millieuro=charged,
        settled_millieuro=campaign.settled_millieuro if sealed else None,
        returned_millieuro=campaign.reserved_millieuro - campaign.settled_millieuro if sealed else None,
        resent_deliveries=sum(count.resent for count in facts.counts),
    )


# ---- what must agree -------------------------------------------------------------------------------------


def _equal(name: str, text: str, left: int, right: int) -> Equation:
    return Equation(name, text, left, right, "=", left == right)


def _audience_equations(frozen: directory.AudienceCounts, persons: Persons) -> Iterator[Equation]:
    excluded = sum(frozen.excluded.values())
    yield _equal("persons", "resolved = included + excluded", frozen.resolved, frozen.included + excluded)
    parts = sum(sum(part.values()) for part in (frozen.deliveries, frozen.covered, frozen.skipped))
    yield _equal("contacts", "candidates = deliveries + covered + skipped", frozen.candidates, parts)
    told = sum(line.persons for line in persons.outcomes)
    yield _equal("outcomes", "included = persons of every outcome", frozen.included, told)


def _row_equations(
    facts: Facts, counts: dict[str, DeliveryCounts], states: dict[str, dict[str, int]]
) -> Iterator[Equation]:
    for channel, rows in facts.channels.items():
        word = channel.value
        audience = len(rows.fates.states)
        yield _equal(f"{word} rows", "audience = rows + not yet rows", audience, rows.rows + rows.not_expanded)
        yield _equal(f"{word} states", "audience = deliveries of every state", audience, sum(states[word].values()))
        yield _equal(f"{word} ids", "ids of the frozen audience = ids of its rows", rows.ids_frozen, rows.ids)
        count = counts.get(word)
        for state in _STATES:
            kept = getattr(count, state) if count else 0
            if kept or states[word][state]:
                yield _equal(f"{word} {state}", "counter = rows", kept, states[word][state])


def _money_equations(facts: Facts, charged: int) -> Iterator[Equation]:
    kept = sum(count.charged_millieuro for count in facts.counts)
    yield _equal("charged", "charged by the counters = charged by the rows", kept, charged)
    reserved = facts.campaign.reserved_millieuro
    yield Equation("reserved", "charged is at most what was reserved", charged, reserved, "<=", charged <= reserved)
