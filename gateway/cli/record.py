"""`tocsin report` and `audit`: what has become of a campaign, and who did what."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.terminal import ConfigOption, JsonOption, actor, fail, out, run, say, say_json, settings_of, store_of
from gateway.cli.verb import verb

if TYPE_CHECKING:
    from store.audit import ChainVerdict
    from store.audit_reading import AuditLine

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
    from store import audit as kept
    from store.campaigns import reading as campaigns

    settings = settings_of(config)

    async def draw() -> Any:
        async with store_of(settings) as database:
            async with database.read() as conn:
                found = await campaigns.by_public_id(conn, campaign)
            if found is None:
                return None
            drawn = await report_of(database, found.id)
            form = "json" if json else "csv" if csv else "text"
            line = ("report-export", f"campaign {found.id}", actor())
            await database.write(lambda tx: kept.note(tx, *line, zone_id=found.zone_id, detail={"format": form}))
            return drawn

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
    subject: Annotated[
        str, typer.Option(help="Only about this: an id, a key, 'zone 5301', a member's reference.")
    ] = "",
    zone: Annotated[str, typer.Option(help="Only what is this zone's business, by its code.")] = "",
    days: Annotated[int, typer.Option(help="Only of the last days.", min=1)] = 3650,
    most: Annotated[int, typer.Option(help="Lines at most, the newest first.", min=1, max=100_000)] = 50,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Who did what, the newest first. That it was read is a line, too."""
    if context.invoked_subcommand is not None:
        return

    from store import audit as kept
    from store import audit_reading
    from store.engine.storable_text import readable

    settings = settings_of(config)
    asked = {"action": action, "account": account, "subject": subject, "zone": zone}

    async def read() -> list[AuditLine]:
        async with store_of(settings) as database:
            since_ms = database.clock.now_ms() - days * 86_400_000
            wanted = audit_reading.WantedLines(
                action=action, account=account, subject=subject, zone=zone, since_ms=since_ms
            )
            async with database.read() as conn:
                found = await audit_reading.latest(conn, most, wanted)
                question = {**asked, "subject": await audit_reading.question_of(conn, wanted)}
            apart = {name: readable(value) for name, value in question.items() if value}
            await database.write(lambda tx: kept.note(tx, "audit-read", "audit", actor(), apart=apart))
            return found

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


@verb(audit, "erase")
def erase(
    account: Annotated[str, typer.Argument(help="Code of the account whose traces are meant.")],
    days: Annotated[int, typer.Option(help="What is older than so many days.", min=0)] = 0,
    config: ConfigOption = None,
) -> None:
    """Erase what stands apart of the lines of an account: from which address it came, and other words of persons.

    The lines stay, with what was done, when and to what, and the chain holds. What stands apart of a person's lines
    goes with 'tocsin member erase'. That it was erased is a line, too.
    """
    from store import audit as kept
    from store.access import accounts
    from store.engine.turns import Turn

    settings = settings_of(config)

    async def go() -> int | None:
        async with store_of(settings) as database:
            async with database.read() as conn:
                account_id = await accounts.id_of(conn, account)
            if account_id is None:
                return None
            before_ms = database.clock.now_ms() - days * 86_400_000
            erased = 0
            while some := await database.write(
                lambda tx: kept.erase_apart_of(tx, account_id, before_ms), turn=Turn.LAST
            ):
                erased += some
            detail = {"lines": erased, "before_ms": before_ms}
            await database.write(lambda tx: kept.note(tx, "audit-erase", account, actor(), detail=detail))
            return erased

    erased = run(go())
    if erased is None:
        fail(f"there is no account {account!r}", 1)
    say(f"What stood apart of {erased} lines of {account} is erased; the lines stay.")


def _told(line: AuditLine) -> str:
    at = datetime.fromtimestamp(line.at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
    beside = dict(line.apart or {})
    by = line.account or beside.pop("by", "")
    by = f"{by} on behalf of {line.behalf}" if line.behalf else by
    told = {
        name: "(see --json)" if isinstance(value, dict) else value for name, value in {**line.detail, **beside}.items()
    }
    rest = [f"{name} {value}" for name, value in told.items() if value not in ("", None, [])]
    rest += ["what stood beside it was erased"] if line.erased else []
    names = ", ".join(name for name in (line.named, line.reference) if name)
    subject = f"{line.subject} ({names})" if names else line.subject
    return f"{at} {line.action} {subject}{f' by {by}' if by else ''}{': ' + ', '.join(rest) if rest else ''}"
