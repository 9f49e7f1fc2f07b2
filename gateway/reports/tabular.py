"""The report as a table for spreadsheets: RFC 4180, UTF-8, a line a figure. The same figures as the other forms."""

import csv
import io
from collections.abc import Iterator

from gateway.reports.report import Report
from gateway.reports.words import OUTCOMES
from gateway.unseen_characters import visible

COLUMNS = ("section", "channel", "name", "reason", "count", "meaning")
"""`count` is persons in the section persons, deliveries in deliveries, millieuro without VAT in money."""

ReportRow = tuple[str, str, str, str, int, str]


def csv_of(report: Report) -> str:
    """The report as CSV with a head line. No address and no name of a person is in it."""
    written = io.StringIO()
    writer = csv.writer(written)
    writer.writerow(COLUMNS)
    writer.writerows([cell(value) for value in line] for line in _lines(report))
    return written.getvalue()


def cell(value: str | int) -> str | int:
    """A value as a spreadsheet shows it: a carrier's word that begins like a formula is text, and controls can be
    seen."""
    if isinstance(value, int):
        return value
    text = visible(value)
    return f"'{text}" if text.lstrip().startswith(_FORMULA) else text


_FORMULA = ("=", "+", "-", "@")


def _lines(report: Report) -> Iterator[ReportRow]:
    persons, money = report.persons, report.money
    yield ("persons", "", "resolved", "", persons.resolved, "Whom the targets mean.")
    yield ("persons", "", "included", "", persons.included, "Of them, to whom something is sent.")
    for counted in persons.excluded:
        yield ("persons", "", "excluded", counted.reason, counted.persons, counted.text)
    for outcome in persons.outcomes:
        yield ("persons", "", outcome.outcome, "", outcome.persons, OUTCOMES.get(outcome.outcome, ""))
        for counted in outcome.reasons:
            yield ("persons", "", outcome.outcome, counted.reason, counted.persons, counted.text)
    for channel in report.channels:
        yield ("deliveries", channel.channel, "audience", "", channel.audience, "")
        for state, count in channel.states.items():
            yield ("deliveries", channel.channel, state, "", count, "")
    yield ("money", "", "reserved", "", money.reserved_millieuro, "")
    yield ("money", "", "charged", "", money.charged_millieuro, "")
    if money.settled_millieuro is not None:
        yield ("money", "", "settled", "", money.settled_millieuro, "")
