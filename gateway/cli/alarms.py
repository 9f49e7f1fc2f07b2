"""`tocsin alarm`: whether those who operate the machine would hear of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.terminal import ConfigOption, actor, fail, print_lines, run, settings_of, store_of
from gateway.cli.verb import verb

if TYPE_CHECKING:
    from gateway.operations.status_line import StatusLine

alarm = typer.Typer(no_args_is_help=True, help="The alarms of the machine.")
_LOOK_S = 0.5


@verb(alarm, "test")
def try_paths(
    wait_s: Annotated[
        float, typer.Option("--wait", min=0, max=3600, help="Seconds for the server to send it; 0: do not wait.")
    ] = 60.0,
    config: ConfigOption = None,
) -> None:
    """Send one alarm by every path that the settings name under alarms, at once, and say what became of each.

    A running server sends them, like everything that is told; without one they wait for the next start. The exit code
    is 1 where a path has taken nothing by the end of the wait.
    """
    from gateway.notices.alarm_trial import begin_trial, trial_lines

    settings = settings_of(config)
    if not settings.alarms.paths:
        fail("no path is set up: give emails, mobiles or webhook_url under [alarms] in the settings")

    async def work() -> list[StatusLine]:
        import asyncio

        async with store_of(settings) as database:
            begun = await begin_trial(database, settings.alarms, actor())
            until_s = asyncio.get_running_loop().time() + wait_s
            while True:
                lines = await trial_lines(database, begun)
                if all(line.well for line in lines) or asyncio.get_running_loop().time() >= until_s:
                    return lines
                await asyncio.sleep(_LOOK_S)

    lines = run(work())
    print_lines(lines)
    if wait_s and not all(line.well for line in lines):
        raise typer.Exit(1)
