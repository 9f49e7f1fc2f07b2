"""A report for the terminal: the same figures, in the order in which people ask for them."""

from collections.abc import Callable, Iterator

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from gateway.kinds import Kind
from gateway.reports.amounts import eur
from gateway.reports.report import ChannelLine, Report, ReportReason
from gateway.reports.words import OUTCOMES
from gateway.unseen_characters import visible

_NAMES = {"accepted": "handed over"}
_STYLES = {
    "reached": "green",
    "accepted": "cyan",
    "in_doubt": "yellow",
    "pending": "blue",
    "not_reached": "red",
    "expired": "red",
}


def euro(millieuro: int) -> str:
    """An amount as `110.055 EUR`."""
    return f"{eur(millieuro)} EUR"


def print_report(report: Report, console: Console | None = None) -> None:
    (console or Console()).print(printed(report))


def printed(report: Report) -> RenderableType:
    return Group(*_parts(report))


def _parts(report: Report) -> Iterator[RenderableType]:
    yield _head(report)
    yield _persons(report)
    if report.campaign.kind == Kind.ALERT and report.campaign.ended and (doubted := report.persons.of("in_doubt")):
        where = f"GET /api/v1/campaigns/{report.campaign.id}/deliveries?state=unknown"
        yield Text(f"{doubted} may not have the alert, and it is not sent to them again: {where}", style="bold yellow")
    if report.persons.excluded:
        yield _reasons("Excluded", report.persons.excluded)
    yield _channels(report.channels)
    yield _money(report)
    yield _sums(report)
    if report.addenda:
        yield _addenda(report)
    if report.since_sealing:
        yield _since(report)


def _decided_by(report: Report) -> str:
    campaign = report.campaign
    return f"{campaign.account} on behalf of {campaign.on_behalf_of}" if campaign.on_behalf_of else campaign.account


def _head(report: Report) -> RenderableType:
    campaign = report.campaign
    table = Table.grid(padding=(0, 2))
    simulated = campaign.mode != "live"
    rows = [
        ("campaign", f"{campaign.id}  ({campaign.purpose}, {campaign.kind}, {campaign.mode})"),
        ("zone", f"{campaign.zone}, decided by {_decided_by(report)}"),
        ("state", f"{campaign.state}, {'sealed ' + campaign.sealed if campaign.sealed else 'live'}{_unknown(report)}"),
        ("created", campaign.created),
        ("this account", f"{report.made}, revision {report.revision}"),
    ]
    if report.alert:
        rows.insert(1, ("alert", f"{report.alert.msg_type} {report.alert.identifier} of {report.alert.sender}"))
    if campaign.break_glass:
        opened = campaign.break_glass
        rows.append(("BREAK-GLASS", visible(f"{opened.name}, {opened.opened}: {opened.reason}")))
    for name, text in rows:
        table.add_row(Text(name, style="dim"), Text(text))
    title = escape(campaign.title) + ("  SIMULATION: nothing was sent" if simulated else "")
    return Panel(table, title=title, title_align="left", border_style="yellow" if simulated else "blue")


def _unknown(report: Report) -> str:
    return "" if report.campaign.audience_known else "; its audience is not known: nobody is counted"


def _persons(report: Report) -> RenderableType:
    persons = report.persons
    table = Table(title=f"Persons: {persons.resolved} resolved, {persons.included} included", title_justify="left")
    table.add_column("outcome")
    table.add_column("persons", justify="right")
    table.add_column("share", justify="right")
    table.add_column("why")
    for line in persons.outcomes:
        reasons = [f"{reason.persons} {reason.reason}" for reason in line.reasons[:8]]
        more = len(line.reasons) - 8
        why = ", ".join(reasons) + (f", and {more} reasons more" if more > 0 else "")
        table.add_row(
            Text(_NAMES.get(line.outcome, line.outcome.replace("_", " ")), style=_STYLES.get(line.outcome, "")),
            str(line.persons),
            _share(line.persons, persons.included),
            Text(why or OUTCOMES.get(line.outcome, "")),
        )
    return table


def _reasons(title: str, reasons: tuple[ReportReason, ...]) -> RenderableType:
    table = Table(title=title, title_justify="left")
    table.add_column("persons", justify="right")
    table.add_column("why")
    for reason in reasons:
        table.add_row(str(reason.persons), Text(reason.text))
    return table


def _channels(channels: tuple[ChannelLine, ...]) -> RenderableType:
    """A column a channel: it fits any terminal."""
    table = Table(title="Deliveries, recounted from their rows", title_justify="left")
    table.add_column("")
    for line in channels:
        table.add_column(line.channel, justify="right")
    for name, of in _rows(channels):
        table.add_row(name, *(of(line) for line in channels))
    return table


def _rows(channels: tuple[ChannelLine, ...]) -> Iterator[tuple[str, Callable[[ChannelLine], str]]]:
    yield "audience", lambda line: str(line.audience)
    for state in _states(channels):
        if any(line.states.get(state) for line in channels):
            yield state.replace("_", " "), lambda line, state=state: str(line.states.get(state, 0))  # type: ignore[misc]
    yield "sent", lambda line: str(line.sent)
    yield "sent again", lambda line: str(line.resent)
    yield "per second", lambda line: "" if line.rate_per_s is None else f"{line.rate_per_s:g}"
    # UTC; the day stands in the head.
    yield "first sent", lambda line: line.first_sent[11:23] if line.first_sent else ""
    yield "last sent", lambda line: line.last_sent[11:23] if line.last_sent else ""


def _states(channels: tuple[ChannelLine, ...]) -> list[str]:
    return list(dict.fromkeys(state for line in channels for state in line.states))


def _money(report: Report) -> RenderableType:
    money = report.money
    table = Table.grid(padding=(0, 2))
    rows = [("reserved", euro(money.reserved_millieuro)), ("charged", euro(money.charged_millieuro))]
    if money.settled_millieuro is not None:
        rows.append(("settled", euro(money.settled_millieuro)))
        rows.append(("returned", euro(money.returned_millieuro or 0)))
    if money.resent_deliveries:
        rows.append(("sent again", f"{money.resent_deliveries} deliveries; a double is the operator's, not the zone's"))
    for name, text in rows:
        table.add_row(Text(name, style="dim"), Text(text))
    return Panel(table, title="Money, without VAT", title_align="left")


def _sums(report: Report) -> RenderableType:
    if report.sums_close:
        return Text(f"All {len(report.equations)} sums close.", style="green")
    table = Table(title="SUMS THAT DO NOT CLOSE", title_justify="left", border_style="red")
    for name in ("sum", "what", "one count", "", "the other"):
        table.add_column(name)
    for e in report.equations:
        if not e.holds:
            table.add_row(Text(e.name), Text(e.text), str(e.left), e.relation, str(e.right))
    return table


def _addenda(report: Report) -> RenderableType:
    table = Table(title="Addenda by late receipts, not signed", title_justify="left")
    for name in ("number", "made", "what", "before", "after"):
        table.add_column(name)
    for one in report.addenda:
        for change in one.changes:
            what = " ".join(filter(None, (change.section, change.channel, change.name.replace("_", " "))))
            table.add_row(str(one.number), one.made, what, str(change.before), str(change.after))
        if one.entry_millieuro:
            table.add_row(
                str(one.number), one.made, Text(f"charged to the ledger: {euro(one.entry_millieuro)}"), "", ""
            )
    return table


def _since(report: Report) -> RenderableType:
    table = Table(title="All that late receipts have moved since the report was sealed", title_justify="left")
    for name in ("channel", "counter", "sealed", "now"):
        table.add_column(name)
    for moved in report.since_sealing:
        table.add_row(moved.channel, moved.counter, str(moved.sealed), str(moved.now))
    return table


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else ""
