"""`tocsin hold` and `resume`: the brake."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from gateway.cli.terminal import ConfigOption, actor, fail, out, print_lines, run, settings_of, store_of, told, who
from gateway.cli.verb import verb

if TYPE_CHECKING:
    from gateway.operations.status_line import StatusLine
    from store.engine.transaction import Transaction

app = typer.Typer()

ScopeArgument = Annotated[
    str, typer.Argument(help="all, channel, carrier, zone or campaign: what is meant, always said.")
]
SubjectArgument = Annotated[
    str,
    typer.Argument(
        help="sms, email or voice; the carrier's name in the settings; the zone's code; the campaign's id. Nothing "
        "after 'all'."
    ),
]


@verb(app)
def hold(
    scope: ScopeArgument,
    subject: SubjectArgument = "",
    reason: Annotated[str, typer.Option(help="Shown by 'tocsin status' to whoever comes next.")] = "",
    config: ConfigOption = None,
) -> None:
    """Let nothing leave, within a quarter of a second; alerts are still taken and wait.

    What is in hand is still settled. Beside a held carrier the others of its channel go on. 'tocsin resume' with the
    same words lets it go on.

    Examples: tocsin hold channel sms --reason "wrong sender"; tocsin hold zone 5301; tocsin hold all.
    """
    from gateway.operations.status_line import hold_line
    from store.engine.location import file_of
    from store.engine.steps import Steps
    from store.outbox import hold_statements

    settings = settings_of(config)
    _require_said(scope, subject)
    if scope == "carrier" and subject not in settings.carrier_names:
        fail(f"there is no carrier {subject!r} in the settings: {', '.join(settings.carrier_names)}")

    def pulling(now_ms: int) -> Steps[list[hold_statements.Hold]]:
        inner = yield from hold_statements.subject_of(scope, subject)
        if inner is None:
            fail(f"there is no {scope} {subject!r}")
        if (yield from hold_statements.is_over(scope, inner)):
            fail(f"campaign {subject!r} has ended: nothing more of it leaves, and there is nothing to hold")
        yield from hold_statements.placing(scope, inner, reason, who(), now_ms)
        # The first hold of a thing stays as it was, with its own reason: what stands is shown, not what was asked for.
        return (yield from hold_statements.standing())

    def on_file(path: Path) -> list[StatusLine]:
        with hold_statements.on_file(path) as file:
            return [hold_line(one, file.now_ms, config) for one in file.follow(pulling(file.now_ms))]

    async def on_server() -> list[StatusLine]:
        async with store_of(settings) as database:
            held = await database.write(lambda tx: tx.follow(pulling(tx.now_ms)))
            return [hold_line(one, database.clock.now_ms(), config) for one in held]

    path = file_of(settings.store.url)
    print_lines(told(lambda: on_file(path)) if path else run(on_server()))


@verb(app)
def resume(scope: ScopeArgument, subject: SubjectArgument = "", config: ConfigOption = None) -> None:
    """Lift a hold: give the words that 'tocsin status' shows. Exit code 1 when there is no such hold.

    Of a campaign that a restore holds this sends what is left, whoever else had held it before: whoever was told since
    the backup is told twice. 'tocsin retire ID' gives it up.
    """
    from gateway.operations.status import hold_lines
    from store.outbox import hold_statements, holds

    settings = settings_of(config)
    _require_said(scope, subject)

    async def lift() -> tuple[bool, bool, list[StatusLine]]:
        async with store_of(settings) as database:
            inner = await database.write(lambda tx: tx.follow(hold_statements.subject_of(scope, subject)))
            if inner is None:
                fail(f"there is no {scope} {subject!r}")

            async def work(tx: Transaction) -> tuple[bool, bool]:
                stands = await holds.of_thing(tx.conn, scope, inner)
                lifted = await holds.lift(tx, scope, inner, actor())
                return lifted, stands is not None and stands.of_restore

            lifted, of_restore = await database.write(work)
            return lifted, of_restore, await hold_lines(database, database.clock.now_ms(), config)

    lifted, of_restore, standing = run(lift())
    named = f"{scope} {subject}".rstrip()
    if lifted:
        out.print(escape(f"Resumed: {named}"), highlight=False)
    if of_restore:
        out.print("A restore had held it: whoever was told since the backup is told twice.", highlight=False)
    print_lines(standing)
    if not lifted:
        fail(f"there is no hold on {named}", 1)


def _require_said(scope: str, subject: str) -> None:
    """A hold of everything is never what a forgotten word means."""
    from store.outbox.hold_statements import SCOPES

    if scope not in SCOPES:
        fail(f"{scope!r} is none of {', '.join(SCOPES)}")
    if scope == "all" and subject:
        fail(f"'all' is everything: nothing follows it, and {subject!r} did")
    if scope == "channel" and subject not in ("sms", "email", "voice"):
        fail(f"{subject!r} is no channel")
    if scope == "carrier" and not subject:
        fail("which carrier is meant?")
