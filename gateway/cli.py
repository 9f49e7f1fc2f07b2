"""The `tocsin` command. Each subcommand is a few lines over a use case."""

import contextlib
import functools
import os
import secrets
from collections.abc import AsyncIterator, Coroutine
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any, NoReturn

import msgspec
import typer
import uvloop
from rich.console import Console
from rich.markup import escape

import cap.__main__
from gateway import loading, process, service
from gateway import status as status_report
from gateway.directory.seed import ALONE, BESIDE_A_SERVER, LoadReport, SeedRefused, check
from gateway.directory.seed import load as load_seed
from gateway.directory.seed_lines import Reader
from gateway.doubts import doubts, reminders
from gateway.feed_key import read_feed_key
from gateway.logs import configure
from gateway.run import CannotStart, PartFailed
from gateway.settings import Settings, SettingsRefused, read_settings
from store import campaigns, holds, meta
from store import schema as store_schema
from store.clock import Clock
from store.database import Database, open_database
from store.errors import StoreError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # a traceback is for a bug report: plain, and without anybody's contacts
)
cap_app = typer.Typer(no_args_is_help=True, help="CAP documents: check them, and read again what was refused.")
app.add_typer(cap_app, name="cap")
out = Console()
err = Console(stderr=True)

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", envvar="TOCSIN_CONFIG", help="File of settings (config/tocsin.toml shows all)."),
]


def _settings(path: Path | None) -> Settings:
    if path is None:
        err.print("[dim]No file of settings was given (-c FILE): the defaults hold.[/dim]", highlight=False)
    try:
        return read_settings(path)
    except SettingsRefused as exc:
        for line in exc.lines:
            err.print(escape(line), highlight=False, soft_wrap=True)
        _fail(f"{len(exc.lines)} {'fault' if len(exc.lines) == 1 else 'faults'} in {path}")


def _fail(text: str, code: int = 2) -> NoReturn:
    err.print(f"[red]tocsin:[/red] {escape(text)}", highlight=False, soft_wrap=True)
    raise typer.Exit(code)


def _run(work: Coroutine[Any, Any, Any]) -> Any:
    try:
        return uvloop.run(work)
    except (StoreError, CannotStart, PartFailed) as exc:
        _fail(str(exc))
    except PermissionError as exc:
        _fail(f"{exc.filename}: {exc.strerror}: this is for the user that the server runs as")


@contextlib.asynccontextmanager
async def _store(settings: Settings) -> AsyncIterator[Database]:
    """The store beside a server that may be running on it; its tables must be of this version."""
    await store_schema.require_newest(settings.store.url)
    async with open_database(settings.store.url) as database:
        yield database


def _version(wanted: bool) -> None:
    if wanted:
        out.print(f"tocsin {metadata.version('tocsin')}", highlight=False)
        raise typer.Exit


@app.callback()
def main(
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Tocsin, an open CAP 1.2 alert gateway. 'tocsin COMMAND --help' tells more of each."""


# ---- the server ------------------------------------------------------------------------------------------------


@app.command()
def serve(config: ConfigOption = None) -> None:
    """Run the gateway until SIGTERM, SIGHUP or Ctrl-C.

    On SQLite the tables are made or migrated first; on PostgreSQL 'tocsin migrate' does it. The log is JSON lines on
    standard output.
    """
    settings = _settings(config)
    configure(settings.logs.level)
    process.prepare()
    with service.LastResort() as last_resort:
        _run(service.run(settings, last_resort))


@app.command("check-config")
def check_config(config: ConfigOption = None) -> None:
    """Read the settings and tell everything that is wrong with them, each fault with its line.

    What is allowed and seldom meant is told as doubtful: SMSCs and relays refuse everybody for it. Opens no port and no
    store. Exit code 2 when there is a fault; doubts are none.
    """
    settings = _settings(config)
    for channel in ("sms", "email", "voice"):
        carriers = getattr(settings, channel).carriers
        names = ", ".join(f"{name} ({type(s).__struct_config__.tag})" for name, s in carriers.items())
        out.print(escape(f"{channel}: {names or 'no carrier: this channel will not be offered'}"), highlight=False)
    feed_key = read_feed_key(settings.alerts.feed_certificate, settings.alerts.feed_key)
    warning = feed_key.warning(Clock().now_ms()) if feed_key else ""
    if warning:
        out.print(escape(f"feed: {warning}"), highlight=False, soft_wrap=True)
    for text in doubts(settings):
        out.print(f"[yellow]doubtful:[/yellow] {escape(text)}", highlight=False, soft_wrap=True)
    for text in reminders(settings):
        out.print(f"[dim]remember:[/dim] {escape(text)}", highlight=False, soft_wrap=True)
    read = str(config) if config else "the defaults: no file was given"
    out.print(escape(f"The settings are sound ({read})."), highlight=False, soft_wrap=True)


@app.command()
def migrate(config: ConfigOption = None) -> None:
    """Make the tables, or bring them to this version. Safe to run again.

    On SQLite 'serve' and 'load' do it by themselves; on PostgreSQL it is run before the first of the new servers.
    """
    revision = _run(store_schema.migrate(_settings(config).store.url))
    out.print(f"The tables are at revision {revision}.")


@app.command()
def status(config: ConfigOption = None) -> None:
    """What is running, what is stuck and why, with the command that mends it. Works when the server does not.

    Lines that begin with ! need somebody; the exit code is 1 then.
    """
    settings = _settings(config)

    async def run() -> bool:
        async with _store(settings) as database:
            now_ms, min_free_mib = database.clock.now_ms(), settings.store.min_free_mib
            lines = await status_report.status_lines(database, now_ms, min_free_mib, config)
        _print(lines)
        return all(line.well for line in lines)

    if not _run(run()):
        raise typer.Exit(1)


def _print(lines: list[status_report.Line]) -> None:
    for line in lines:
        text = escape(line.text)  # a campaign's title may hold anything
        out.print(text if line.well else f"[red]! {text}[/red]", highlight=False, soft_wrap=True)


# ---- holds -------------------------------------------------------------------------------------------------------

Scope = Annotated[str, typer.Argument(help="all, channel, zone or campaign: what is meant, always said.")]
Subject = Annotated[
    str, typer.Argument(help="sms, email or voice; the zone's code; the campaign's id. Nothing after 'all'.")
]


@app.command()
def hold(
    scope: Scope,
    subject: Subject = "",
    reason: Annotated[str, typer.Option(help="Shown by 'tocsin status' to whoever comes next.")] = "",
    config: ConfigOption = None,
) -> None:
    """Let nothing leave, within a quarter of a second; alerts are still taken and wait.

    What is in hand is still settled. 'tocsin resume' with the same words lets it go on.

    Examples: tocsin hold channel sms --reason "wrong sender"; tocsin hold zone 5301; tocsin hold all.
    """
    settings = _settings(config)

    async def run() -> list[status_report.Line]:
        async with _store(settings) as database:
            inner = await _subject(database, scope, subject)
            await database.write(lambda tx: holds.place(tx, scope, inner, reason, _who()))
            return await status_report.hold_lines(database, database.clock.now_ms(), config)

    # The first hold of a thing stays as it was, with its own reason: what stands is shown, not what was asked for.
    _print(_run(run()))


@app.command()
def resume(scope: Scope, subject: Subject = "", config: ConfigOption = None) -> None:
    """Lift a hold: give the words that 'tocsin status' shows. Exit code 1 when there is no such hold."""
    settings = _settings(config)

    async def run() -> tuple[bool, list[status_report.Line]]:
        async with _store(settings) as database:
            inner = await _subject(database, scope, subject)
            lifted: bool = await database.write(lambda tx: holds.lift(tx, scope, inner))
            return lifted, await status_report.hold_lines(database, database.clock.now_ms(), config)

    lifted, standing = _run(run())
    named = f"{scope} {subject}".rstrip()
    if lifted:
        out.print(escape(f"Resumed: {named}"), highlight=False)
    _print(standing)
    if not lifted:
        _fail(f"there is no hold on {named}", 1)


def _who() -> str:
    """Whose hand it was: the login behind sudo, where there is one."""
    return os.environ.get("SUDO_USER") or os.environ.get("USER") or f"user {os.getuid()}"


async def _subject(database: Database, scope: str, subject: str) -> str:
    """The store's own name of what is held."""
    from store import directory

    if scope not in holds.SCOPES:
        _fail(f"{scope!r} is none of {', '.join(holds.SCOPES)}")
    if scope == "all":
        return "" if not subject else _fail(f"'all' is everything: nothing follows it, and {subject!r} did")
    if scope == "channel":
        if subject not in ("sms", "email", "voice"):
            _fail(f"{subject!r} is no channel")
        return subject
    async with database.read() as conn:
        if scope == "zone":
            found = await directory.zones(conn, [subject])
            return str(found[0].id) if found else _fail(f"there is no zone {subject!r}")
        campaign = await campaigns.by_public_id(conn, subject)
        return str(campaign.id) if campaign else _fail(f"there is no campaign {subject!r}")


# ---- the register --------------------------------------------------------------------------------------------------


@app.command()
def load(
    file: Annotated[Path, typer.Argument(help="Seed file (JSON Lines, docs/seed-format.md); - for standard input.")],
    check_only: Annotated[bool, typer.Option("--check", help="Read all of it and write nothing.")] = False,
    config: ConfigOption = None,
) -> None:
    """Load zones, networks, members, accounts and prepaid lots from a seed file.

    The same file again changes nothing, and what a file does not name stays. A server may be running: it sees every
    change at once, and its alerts go first. Exit code 1 when a line is wrong; each is told with its number.
    """
    settings = _settings(config)
    if str(file) != "-" and not file.is_file():
        _fail(f"{file}: no such file")

    async def run() -> LoadReport | Reader:
        async with loading.store(settings.store.url, check_only) as database:
            write = functools.partial(database.write, urgent=False)
            alone = not await status_report.server_lives(database, database.clock.now_ms())
            with loading.lines_of(file) as lines, loading.progress_of(file, lines, err) as progress:
                if not check_only:
                    return await load_seed(
                        write, lines, lambda r: progress.tell(r.lines), at_once=ALONE if alone else BESIDE_A_SERVER
                    )
                reader = await check(write, lines)
                if reader.errors:
                    raise SeedRefused(reader.errors, reader.error_count)
                return reader

    try:
        report = _run(run())
    except SeedRefused as exc:
        for error in exc.errors:
            err.print(escape(f"line {error.line}: {error.path}: {error.reason}"), highlight=False, soft_wrap=True)
        untold = f", {exc.count - len(exc.errors)} of them not told" if exc.count > len(exc.errors) else ""
        _fail(f"{exc.count} {'error' if exc.count == 1 else 'errors'} in {file}{untold}", 1)
    loading.tell(report, out, err)


@app.command()
def key(account: Annotated[str, typer.Argument(help="Code of an account, for the name of the key.")]) -> None:
    """Make an API key: the token for its owner, and the two values for the account's line in a seed file.

    Nothing is stored: the key is good once that line has been loaded ('tocsin load'). The token cannot be shown again.
    """
    from gateway.access.keys import hashed

    key_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32).replace("_", "-")
    out.print(f"token for {account}, shown once: tocsin_{key_id}_{secret}", highlight=False, soft_wrap=True)
    out.print(
        f'for its seed line: "keys": [{{"key_id": "{key_id}", "secret_sha256": "{hashed(secret)}"}}]',
        highlight=False,
        soft_wrap=True,
    )


@app.command("new-generation")
def new_generation(config: ConfigOption = None) -> None:
    """After restoring a backup, before the first start: late bounces and receipts of the lost timeline hit nobody.

    Each campaign that the copy calls unfinished is held, and shown with the command that lifts its hold: what is
    queued in the copy may have been sent, or cancelled, since. What is launched from now on goes out.

    Refused while a server runs on the store: what it has sent would no longer be known by its receipts.
    """
    settings = _settings(config)

    async def run() -> tuple[str, list[status_report.Line]]:
        async with _store(settings) as database:
            if await status_report.server_lives(database, database.clock.now_ms()):
                _fail("a server runs on this store, or did some seconds ago: stop it first, then try again", 1)
            generation: str = await database.write(meta.renew_generation)
            return generation, await status_report.hold_lines(database, database.clock.now_ms(), config)

    generation, standing = _run(run())
    out.print(f"The store is now of generation {generation}.")
    _print(standing)


# ---- reports and documents -------------------------------------------------------------------------------------


@app.command()
def report(
    campaign: Annotated[str, typer.Argument(help="Id of a campaign, as 'tocsin status' and the API tell it.")],
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="As a table for a spreadsheet.")] = False,
    config: ConfigOption = None,
) -> None:
    """The account of a campaign: every person, every delivery, every cent. Live while it runs, sealed at its end."""
    from gateway.reports.printed import print_report
    from gateway.reports.reading import report_of, written
    from gateway.reports.tabular import csv_of

    settings = _settings(config)

    async def run() -> Any:
        async with _store(settings) as database:
            async with database.read() as conn:
                found = await campaigns.by_public_id(conn, campaign)
            return await report_of(database, found.id) if found else None

    drawn = _run(run())
    if drawn is None:
        _fail(f"there is no campaign {campaign!r}", 1)
    if json:
        out.print_json(written(drawn))
    elif csv:
        typer.echo(csv_of(drawn), nl=False)
    else:
        print_report(drawn, out)


@cap_app.command("check", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def cap_check(
    files: Annotated[list[str], typer.Argument(help="CAP files; - for standard input.")],
    json: Annotated[bool, typer.Option("--json", help="One JSON object a file.")] = False,
) -> None:
    """Check CAP 1.2 documents against the schema and all rules. Exit code 1 when one is rejected."""
    raise typer.Exit(cap.__main__.main(["check", *(["--json"] if json else []), *files]))


@cap_app.command("replay")
def cap_replay(
    files: Annotated[list[Path] | None, typer.Argument(help="CAP files, in place of what is kept.")] = None,
    account: Annotated[str, typer.Option(help="Code of an account: only what it posted.")] = "",
    sender: Annotated[str, typer.Option(help="Only what says it is from this sender.")] = "",
    days: Annotated[int, typer.Option(help="Only what came in the last days.", min=1)] = 90,
    json: Annotated[bool, typer.Option("--json", help="The report as one JSON object.")] = False,
    config: ConfigOption = None,
) -> None:
    """Read documents that were refused against the rules of today: what refuses them, whose they are, how to mend it.

    Beside a running server: nothing is sent or written. Each document is held to what is agreed with its sender. What a
    document was refused for after it was read (who may send, the kind, nobody concerned) is counted by its code.
    """
    from gateway import replaying
    from gateway.campaigns.limits import cap_limits

    settings = _settings(config)

    async def run() -> replaying.Conformance:
        async with _store(settings) as database:
            wanted = replaying.Wanted(tuple(files or ()), account, sender, days)
            return await replaying.replay(database, wanted, cap_limits(settings))

    try:
        report = _run(run())
    except OSError as exc:
        _fail(f"{exc.filename}: {exc.strerror}")
    if json:
        typer.echo(msgspec.json.format(msgspec.json.encode(report)).decode())
    else:
        for line in replaying.lines(report):
            typer.echo(line)


@app.command()
def demo(
    folder: Annotated[Path, typer.Option(help="Where the demonstration keeps its store and keys.")] = Path("var/demo"),
    port: Annotated[int, typer.Option(help="Of the gateway; another one is taken when it is in use.")] = 8080,
    once: Annotated[bool, typer.Option("--once", help="Stop after the report.")] = False,
) -> None:
    """A gateway with two zones and 300 members, an SMSC and a mail server on this machine: post an alert, watch it,
    read its report. Nothing leaves this machine."""
    from gateway.demo import run_demo

    raise typer.Exit(uvloop.run(run_demo(folder, port, once)))
