"""`tocsin report` and `audit`: what has become of a campaign, and who did what."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.terminal import ConfigOption, JsonOption, fail, out, run, say, say_json, settings_of, store_of
from gateway.cli.verb import verb

if TYPE_CHECKING:
    from store.audit import AuditLine, ChainVerdict

app = typer.Typer()
audit = typer.Typer(
    invoke_without_command=True,
    help="Who did what: launches, stops, holds, loads, keys, rights, starts. 'tocsin audit verify' checks the chain.",
)


@verb(app)
def report(
    campaign: Annotated[str, typer.Argument(help="Id of a campaign, as 'tocsin status' and the API tell it.")],
    json: JsonOption = False,
    csv: Annotated[bool, typer.Option("--csv", help="As a table for a spreadsheet.")] = False,
    config: ConfigOption = None,
) -> None:
    """The account of a campaign: every person, every delivery, every cent. Live while it runs, sealed at its end."""
    from gateway.reports.reading import report_of
    from gateway.reports.tabular import csv_of
    from gateway.reports.terminal import print_report
    from store.campaigns import reading as campaigns

    settings = settings_of(config)

    async def draw() -> Any:
        async with store_of(settings) as database:
            async with database.read() as conn:
                found = await campaigns.by_public_id(conn, campaign)
            return await report_of(database, found.id) if found else None

    drawn = run(draw())
    if drawn is None:
        fail(f"there is no campaign {campaign!r}", 1)
    if json:
        say_json(drawn)
    elif csv:
        typer.echo(csv_of(drawn), nl=False)
    else:
        print_report(drawn, out)


@audit.callback()
def lines(
    context: typer.Context,
    action: Annotated[str, typer.Option(help="Only this: launch, stop, hold, load, key-revoke, ...")] = "",
    account: Annotated[str, typer.Option(help="Only what this account did.")] = "",
    subject: Annotated[str, typer.Option(help="Only about this: an id, a key, 'zone 5301'.")] = "",
    days: Annotated[int, typer.Option(help="Only of the last days.", min=1)] = 3650,
    most: Annotated[int, typer.Option(help="Lines at most, the newest first.", min=1, max=100_000)] = 50,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Who did what, the newest first."""
    if context.invoked_subcommand is not None:
        return

    from store import audit as kept

    settings = settings_of(config)

    async def read() -> list[AuditLine]:
        async with store_of(settings) as database, database.read() as conn:
            since_ms = database.clock.now_ms() - days * 86_400_000
            return await kept.latest(
                conn, most=most, action=action, account_code=account, subject=subject, since_ms=since_ms
            )

    for line in run(read()):
        say_json(line, indented=False) if json else say(_told(line))


@verb(audit, "verify")
def verify(
    head: Annotated[str, typer.Option(help="NUMBER:HASH that was kept elsewhere: the chain must hold it.")] = "",
    config: ConfigOption = None,
) -> None:
    """Go through the chain of the audit: whether a line was changed, or taken away. Exit code 1 when one was.

    It prints where the chain ends. Keep that elsewhere, now and then: whoever can write the store can write all of it
    anew, and only a head that is kept elsewhere shows it.
    """
    from store import audit as kept

    settings = settings_of(config)
    try:
        expected = kept.read_head(head) if head else None
    except ValueError as exc:
        fail(str(exc))

    async def go() -> ChainVerdict:
        async with store_of(settings) as database, database.read() as conn:
            return await kept.verify(conn, expected)

    found = run(go())
    for fault in found.faults:
        say(f"! {fault}", style="red")
    waiting = f", {found.waiting} wait for a running server to chain them" if found.waiting else ""
    gone = f", {found.gone} of them past their time" if found.gone else ""
    say(f"{found.links} lines are chained{gone}{waiting}.")
    say(f"The chain ends at {found.head}")
    if found.faults:
        raise typer.Exit(1)


def _told(line: AuditLine) -> str:
    at = datetime.fromtimestamp(line.at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
    beside = dict(line.apart or {})
    by = line.account or beside.pop("by", "")
    told = {
        name: "(see --json)" if isinstance(value, dict) else value for name, value in {**line.detail, **beside}.items()
    }
    rest = [f"{name} {value}" for name, value in told.items() if value not in ("", None, [])]
    subject = f"{line.subject} ({line.named})" if line.named else line.subject
    return f"{at} {line.action} {subject}{f' by {by}' if by else ''}{': ' + ', '.join(rest) if rest else ''}"
