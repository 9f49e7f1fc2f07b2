"""`tocsin hold` and `resume`: the brake."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from gateway.cli.terminal import ConfigOption, fail, out, print_lines, run, settings_of, store_of, verb, who

if TYPE_CHECKING:
    from gateway.operations.status import StatusLine
    from store.database import Database

app = typer.Typer()

ScopeArgument = Annotated[str, typer.Argument(help="all, channel, zone or campaign: what is meant, always said.")]
SubjectArgument = Annotated[
    str, typer.Argument(help="sms, email or voice; the zone's code; the campaign's id. Nothing after 'all'.")
]


@verb(app)
def hold(
    scope: ScopeArgument,
    subject: SubjectArgument = "",
    reason: Annotated[str, typer.Option(help="Shown by 'tocsin status' to whoever comes next.")] = "",
    config: ConfigOption = None,
) -> None:
    """Let nothing leave, within a quarter of a second; alerts are still taken and wait.

    What is in hand is still settled. 'tocsin resume' with the same words lets it go on.

    Examples: tocsin hold channel sms --reason "wrong sender"; tocsin hold zone 5301; tocsin hold all.
    """
    from gateway.operations.status import hold_lines
    from store import holds

    settings = settings_of(config)

    async def place() -> list[StatusLine]:
        async with store_of(settings) as database:
            inner = await _subject(database, scope, subject)
            await database.write(lambda tx: holds.place(tx, scope, inner, reason, who()))
            return await hold_lines(database, database.clock.now_ms(), config)

    # The first hold of a thing stays as it was, with its own reason: what stands is shown, not what was asked for.
    print_lines(run(place()))


@verb(app)
def resume(scope: ScopeArgument, subject: SubjectArgument = "", config: ConfigOption = None) -> None:
    """Lift a hold: give the words that 'tocsin status' shows. Exit code 1 when there is no such hold."""
    from gateway.operations.status import hold_lines
    from store import holds

    settings = settings_of(config)

    async def lift() -> tuple[bool, list[StatusLine]]:
        async with store_of(settings) as database:
            inner = await _subject(database, scope, subject)
            lifted: bool = await database.write(lambda tx: holds.lift(tx, scope, inner, who()))
            return lifted, await hold_lines(database, database.clock.now_ms(), config)

    lifted, standing = run(lift())
    named = f"{scope} {subject}".rstrip()
    if lifted:
        out.print(escape(f"Resumed: {named}"), highlight=False)
    print_lines(standing)
    if not lifted:
        fail(f"there is no hold on {named}", 1)


async def _subject(database: Database, scope: str, subject: str) -> str:
    """The store's own name of what is held."""
    from store import campaigns, directory, holds

    if scope not in holds.SCOPES:
        fail(f"{scope!r} is none of {', '.join(holds.SCOPES)}")
    if scope == "all":
        return "" if not subject else fail(f"'all' is everything: nothing follows it, and {subject!r} did")
    if scope == "channel":
        if subject not in ("sms", "email", "voice"):
            fail(f"{subject!r} is no channel")
        return subject
    async with database.read() as conn:
        if scope == "zone":
            found = await directory.zones(conn, [subject])
            return str(found[0].id) if found else fail(f"there is no zone {subject!r}")
        campaign = await campaigns.by_public_id(conn, subject)
        return str(campaign.id) if campaign else fail(f"there is no campaign {subject!r}")
