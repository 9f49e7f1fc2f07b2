"""`tocsin break-glass`: paper codes for when nobody of a zone can sign in."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.terminal import ConfigOption, JsonOption, actor, fail, run, say, say_json, settings_of, store_of
from gateway.cli.verb import verb

if TYPE_CHECKING:
    from store.access.break_glass import BreakGlassStanding

break_glass = typer.Typer(no_args_is_help=True, help="Paper codes for when nobody of a zone can sign in: issue, list.")


@verb(break_glass, "issue")
def issue(
    zone: Annotated[str, typer.Argument(help="Code of the zone.")],
    config: ConfigOption = None,
) -> None:
    """Make a paper code for a zone, and print the sheet to be sealed. It is shown once, and kept nowhere.

    The one before is worth nothing from then on. Whoever uses it gives a name and a reason, may launch and stop in the
    zone for an hour, and all its administrators are told. It is good once, also in a rehearsal.
    """
    from gateway.access.break_glass_code import code_sha256, new_code, sheet
    from store.access import break_glass as kept

    settings, code = settings_of(config), new_code()

    async def keep() -> str | None:
        async with store_of(settings) as database:
            made: str | None = await database.write(lambda tx: kept.issue(tx, zone, code_sha256(code), actor()))
            return made

    try:
        made = run(keep())
    except ValueError as exc:
        fail(str(exc), 1)
    if made is None:
        fail(f"there is no zone {zone!r}", 1)
    today = datetime.now(UTC).strftime("%Y-%m-%d")
    for line in sheet(zone, code, today, settings.server.public_url.rstrip("/")).splitlines():
        say(line)


@verb(break_glass, "list")
def list_codes(json: JsonOption = False, config: ConfigOption = None) -> None:
    """The zones that have, or had, a paper code: whether it is good, since when, and how often codes were used.

    Exit code 1 when one was used and no other was issued since.
    """
    from store.access import break_glass as kept

    settings = settings_of(config)

    async def read() -> list[BreakGlassStanding]:
        async with store_of(settings) as database, database.read() as conn:
            return await kept.standings(conn)

    found = run(read())
    if json:
        say_json(found)
    for one in () if json else found:
        say(_told(one), style="" if one.state == "valid" else "red")
    if any(one.state != "valid" for one in found):
        raise typer.Exit(1)


def _told(one: BreakGlassStanding) -> str:
    issued = f"issued {_at(one.issued_ms)} by {one.issued_by}"
    often = f"codes used: {one.uses}, in rehearsals: {one.rehearsals}"
    if one.state == "valid":
        return f"zone {one.zone}: good, {issued}; {often}"
    return f"! zone {one.zone}: USED {_at(one.since_ms)}, and no other was issued; {often}"


def _at(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
