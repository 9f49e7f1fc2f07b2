"""`tocsin serve`, `check-config`, `migrate`, `status` and `demo`: the server and how it is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from gateway.cli.terminal import (
    ConfigOption,
    fail,
    out,
    print_lines,
    run,
    say,
    settings_of,
    store_named,
    store_of,
)
from gateway.cli.verb import verb

app = typer.Typer()


@verb(app)
def serve(config: ConfigOption = None) -> None:
    """Run the gateway until SIGTERM, SIGHUP or Ctrl-C.

    On SQLite the tables are made or migrated first; on PostgreSQL 'tocsin migrate' does it. The log is JSON lines on
    standard output.
    """
    from gateway import service
    from gateway.operations import interpreter
    from gateway.operations.logs import configure
    from gateway.run import CannotStart, PartFailed

    settings = settings_of(config)
    configure(settings.logs.level)
    interpreter.prepare()
    with service.LastResort() as last_resort:
        try:
            run(service.run(settings, last_resort))
        except (CannotStart, PartFailed) as exc:
            fail(str(exc))


@verb(app, "check-config")
def check_config(config: ConfigOption = None) -> None:
    """Read the settings and tell everything that is wrong with them, each fault with its line.

    What is allowed and seldom meant is told as doubtful: SMSCs and relays refuse everybody for it. Opens no port and no
    store. Exit code 2 when there is a fault; doubts are none.
    """
    from gateway.access.sign_in_site import sign_in_fault, sign_in_reminders
    from gateway.feed.signing_key import read_feed_key
    from gateway.operations.calibration import build, is_optimised
    from gateway.operations.settings_doubts import certificate_doubts, doubts, reminders
    from gateway.server_certificate import CertificateRefused, read_server_certificate
    from store.clock import Clock

    settings = settings_of(config)
    try:
        certificate = read_server_certificate(settings.server.tls_certificate, settings.server.tls_key)
    except CertificateRefused as exc:
        fail(f"{config}: {exc} - at $.server.{exc.setting}")
    if nobody := sign_in_fault(settings.server, settings.sign_in):
        fail(f"{config}: {nobody} - at $.sign_in.enabled")
    for channel in ("sms", "email", "voice"):
        carriers = getattr(settings, channel).carriers
        names = ", ".join(f"{name} ({type(s).__struct_config__.tag})" for name, s in carriers.items())
        out.print(escape(f"{channel}: {names or 'no carrier: this channel will not be offered'}"), highlight=False)
    feed_key = read_feed_key(settings.alerts.feed_certificate, settings.alerts.feed_key)
    warning = feed_key.warning(Clock().now_ms()) if feed_key else ""
    if warning:
        out.print(escape(f"feed: {warning}"), highlight=False, soft_wrap=True)
    for text in (*doubts(settings), *certificate_doubts(certificate, settings, Clock().now_ms())):
        out.print(f"[yellow]doubtful:[/yellow] {escape(text)}", highlight=False, soft_wrap=True)
    if not is_optimised():
        out.print(
            f"[yellow]doubtful:[/yellow] python: {build()}: each message costs about twice the CPU. "
            "docs/operating.md names builds that are optimised.",
            highlight=False,
            soft_wrap=True,
        )
    for text in (*reminders(settings), *sign_in_reminders(settings.server, settings.sign_in)):
        out.print(f"[dim]remember:[/dim] {escape(text)}", highlight=False, soft_wrap=True)
    say(f"store: {store_named(settings)}")
    if not settings.backup.folder and settings.store.url.startswith("sqlite"):
        text = "no backups are scheduled ([backup] folder); 'tocsin backup FILE' makes one"
        out.print(f"[dim]remember:[/dim] {escape(text)}", highlight=False, soft_wrap=True)
    read = str(config) if config else "the defaults: no file was given"
    out.print(escape(f"The settings are sound ({read})."), highlight=False, soft_wrap=True)


@verb(app)
def migrate(config: ConfigOption = None) -> None:
    """Make the tables, or bring them to this version. Safe to run again.

    On SQLite 'serve' and 'load' do it by themselves; on PostgreSQL it is run before the first of the new servers.
    """
    from store.engine.schema import migrate as migrate_store

    revision = run(migrate_store(settings_of(config).store.url))
    out.print(f"The tables are at revision {revision}.")


@verb(app)
def status(config: ConfigOption = None) -> None:
    """What is running, what is stuck and why, with the command that mends it. Works when the server does not.

    Lines that begin with ! need somebody; the exit code is 1 then.
    """
    from gateway.notices.alarm_trial import alarm_lines
    from gateway.operations.calibration import build, calibrate
    from gateway.operations.status import certificate_lines, status_lines
    from gateway.operations.status_line import StatusLine

    settings = settings_of(config)

    async def look() -> bool:
        async with store_of(settings) as database:
            now_ms, min_free_mib = database.clock.now_ms(), settings.store.min_free_mib
            lines = await status_lines(database, now_ms, min_free_mib, config, settings.backup, settings.retention)
            lines += certificate_lines(settings.server, now_ms)
            lines += await alarm_lines(database, settings.alarms, now_ms)
        print_lines([*lines, StatusLine(True, f"python: {build()}; {calibrate()}")])
        return all(line.well for line in lines)

    if not run(look()):
        raise typer.Exit(1)


@verb(app)
def demo(
    folder: Annotated[Path, typer.Option(help="Where the demonstration keeps its store and keys.")] = Path("var/demo"),
    port: Annotated[int, typer.Option(help="Of the gateway; another one is taken when it is in use.")] = 8080,
    once: Annotated[bool, typer.Option("--once", help="Stop after the report.")] = False,
) -> None:
    """A gateway with two zones and 300 members, an SMSC and a mail server on this machine: post an alert, watch it,
    read its report. Nothing leaves this machine."""
    import uvloop

    from gateway.demo import run_demo

    raise typer.Exit(uvloop.run(run_demo(folder, port, once)))
