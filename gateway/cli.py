"""The `tocsin` command. Each subcommand is a few lines over a use case."""

import asyncio
import contextlib
import functools
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
import uvloop
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

import cap.__main__
from gateway import process
from gateway import status as status_report
from gateway.directory.seed import LoadReport, SeedRefused, check
from gateway.directory.seed import load as load_seed
from gateway.directory.seed_lines import Reader
from gateway.logs import configure
from gateway.run import DoorClosed
from gateway.run import serve as serve_gateway
from gateway.settings import Settings, SettingsRefused, read_settings
from store import campaigns, holds, meta
from store import schema as store_schema
from store.database import Database, open_database
from store.errors import StoreError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # a traceback is for a bug report: plain, and without anybody's contacts
    help="Tocsin, an open CAP 1.2 alert gateway.",
)
cap_app = typer.Typer(no_args_is_help=True, help="CAP documents, without a server.")
app.add_typer(cap_app, name="cap")
out = Console()
err = Console(stderr=True)

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", envvar="TOCSIN_CONFIG", help="Settings file; without one, the defaults."),
]


def _settings(path: Path | None) -> Settings:
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
    except (StoreError, DoorClosed) as exc:
        _fail(str(exc))
    except BaseExceptionGroup as group:
        known = group.subgroup((StoreError, DoorClosed))
        if known is None or group.subgroup(lambda e: not isinstance(e, StoreError | DoorClosed)) is not None:
            raise
        _fail(str(_first(known)))


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    inner = group.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner


@contextlib.asynccontextmanager
async def _store(settings: Settings) -> AsyncIterator[Database]:
    """The store beside a server that may be running on it; its tables must be of this version."""
    await store_schema.require_newest(settings.store.url)
    async with open_database(settings.store.url) as database:
        yield database


# ---- the server ------------------------------------------------------------------------------------------------


@app.command()
def serve(config: ConfigOption = None) -> None:
    """Run the gateway until SIGTERM or Ctrl-C. On SQLite the tables are made or migrated first."""
    settings = _settings(config)
    configure(settings.logs.level)
    process.prepare()

    async def run() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        await serve_gateway(settings, stop, lambda _: process.settle())

    _run(run())


@app.command("check-config")
def check_config(config: ConfigOption = None) -> None:
    """Read the settings and tell everything that is wrong with them, each fault with its line. Opens no port and no
    store. Exit code 2 when there is a fault."""
    settings = _settings(config)
    for channel in ("sms", "email", "voice"):
        carriers = getattr(settings, channel).carriers
        names = ", ".join(f"{name} ({type(s).__struct_config__.tag})" for name, s in carriers.items())
        out.print(escape(f"{channel}: {names or 'no carrier: this channel will not be offered'}"), highlight=False)
    read = str(config) if config else "the defaults: no file was given"
    out.print(escape(f"The settings are sound ({read})."), highlight=False, soft_wrap=True)


@app.command()
def migrate(config: ConfigOption = None) -> None:
    """Bring the tables to this version. Safe to run again."""
    revision = _run(store_schema.migrate(_settings(config).store.url))
    out.print(f"The tables are at revision {revision}.")


@app.command()
def status(config: ConfigOption = None) -> None:
    """What is running, what is stuck and why. Exit code 1 when something needs somebody."""
    settings = _settings(config)

    async def run() -> bool:
        async with _store(settings) as database:
            now_ms, min_free_mib = database.clock.now_ms(), settings.store.min_free_mib
            lines = await status_report.status_lines(database, now_ms, min_free_mib, config)
        for line in lines:
            text = escape(line.text)  # a campaign's title may hold anything
            out.print(text if line.well else f"[red]! {text}[/red]", highlight=False, soft_wrap=True)
        return all(line.well for line in lines)

    if not _run(run()):
        raise typer.Exit(1)


# ---- holds -------------------------------------------------------------------------------------------------------

Scope = Annotated[str, typer.Argument(help="all, channel, zone or campaign")]
Subject = Annotated[str, typer.Argument(help="The channel's name, the zone's code or the campaign's id.")]


@app.command()
def hold(
    scope: Scope = "all",
    subject: Subject = "",
    reason: Annotated[str, typer.Option(help="For whoever comes next.")] = "",
    config: ConfigOption = None,
) -> None:
    """Let nothing leave; takes effect within a quarter of a second. What is in hand is still settled."""
    settings = _settings(config)

    async def run() -> None:
        async with _store(settings) as database:
            inner = await _subject(database, scope, subject)
            await database.write(lambda tx: holds.place(tx, scope, inner, reason, "tocsin hold"))

    _run(run())
    out.print(f"Held: {scope} {subject}".rstrip())


@app.command()
def resume(scope: Scope = "all", subject: Subject = "", config: ConfigOption = None) -> None:
    """Lift a hold."""
    settings = _settings(config)

    async def run() -> bool:
        async with _store(settings) as database:
            inner = await _subject(database, scope, subject)
            lifted: bool = await database.write(lambda tx: holds.lift(tx, scope, inner))
            return lifted

    if not _run(run()):
        _fail(f"there is no hold on {scope} {subject}".rstrip(), 1)
    out.print(f"Resumed: {scope} {subject}".rstrip())


async def _subject(database: Database, scope: str, subject: str) -> str:
    """The store's own name of what is held."""
    from store import directory

    if scope not in holds.SCOPES:
        _fail(f"{scope!r} is none of {', '.join(holds.SCOPES)}")
    if scope == "all":
        return ""
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
    """Load zones, networks, members and accounts. Again the same file changes nothing; a server may be running."""
    settings = _settings(config)
    if str(file) != "-" and not file.is_file():
        _fail(f"{file}: no such file")
    bar = Progress(SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), console=err)

    async def run() -> LoadReport | Reader:
        if settings.store.url.startswith("sqlite"):
            await store_schema.migrate(settings.store.url)
        async with _store(settings) as database:
            write = functools.partial(database.write, urgent=False)
            with bar, _lines(file) as lines:
                task = bar.add_task("loading")
                if check_only:
                    reader = await check(write, lines)
                    if reader.errors:
                        raise SeedRefused(reader.errors, len(reader.errors))
                    return reader
                return await load_seed(write, lines, lambda r: bar.update(task, description=f"{r.lines:,} lines"))

    try:
        report = _run(run())
    except SeedRefused as exc:
        for error in exc.errors:
            err.print(f"line {error.line}: {error.path}: {error.reason}", highlight=False, soft_wrap=True)
        _fail(f"{exc.count} errors in {file}", 1)
    _tell(report)


def _tell(report: LoadReport | Reader) -> None:
    for remark in report.remarks:
        text = f"[yellow]line {remark.line}: {escape(remark.path)}:[/yellow] {escape(remark.text)}"
        err.print(text, highlight=False, soft_wrap=True)
    if isinstance(report, Reader):
        out.print("The file is sound.")
        return
    for kind, tally in report.tallies.items():
        out.print(f"{kind}: {tally.new} new, {tally.changed} changed, {tally.unchanged} unchanged", highlight=False)
    if report.unusable_count:
        err.print(f"[yellow]{report.unusable_count} contacts cannot be used and were left out:[/yellow]")
        for unusable in report.unusable:
            err.print(f"  line {unusable.line}: {unusable}", highlight=False, soft_wrap=True)


@contextlib.contextmanager
def _lines(file: Path) -> Any:
    if str(file) == "-":
        yield sys.stdin.buffer
        return
    with file.open("rb") as stream:
        yield stream


@app.command()
def key(account: Annotated[str, typer.Argument(help="Code of an account, for the name of the key.")]) -> None:
    """Make an API key: the token for its owner, and the two values for the account's line in a seed file."""
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
    """After restoring a backup, before the first start: late bounces and receipts of the lost timeline hit nobody."""
    settings = _settings(config)

    async def run() -> str:
        async with _store(settings) as database:
            generation: str = await database.write(meta.renew_generation)
            return generation

    out.print(f"The store is now of generation {_run(run())}.")


# ---- reports and documents -------------------------------------------------------------------------------------


@app.command()
def report(
    campaign: Annotated[str, typer.Argument(help="Id of a campaign, as the API tells it.")],
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    config: ConfigOption = None,
) -> None:
    """The account of a campaign: every person, every delivery, every cent."""
    from gateway.reports.printed import print_report
    from gateway.reports.reading import report_of, written

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
    else:
        print_report(drawn, out)


@cap_app.command("check", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def cap_check(
    files: Annotated[list[str], typer.Argument(help="CAP files; - for standard input.")],
    json: Annotated[bool, typer.Option("--json", help="One JSON object a file.")] = False,
) -> None:
    """Check CAP 1.2 documents against the schema and all rules. Exit code 1 when one is rejected."""
    raise typer.Exit(cap.__main__.main(["check", *(["--json"] if json else []), *files]))


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
