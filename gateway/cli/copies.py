"""`tocsin new-generation`: the store, and copies of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from gateway.cli.terminal import ConfigOption, fail, print_lines, run, say, settings_of, store_of, verb, who

if TYPE_CHECKING:
    from gateway.status import Line

app = typer.Typer()


@verb(app, "new-generation")
def new_generation(config: ConfigOption = None) -> None:
    """After restoring a backup, before the first start: late bounces and receipts of the lost timeline hit nobody.

    Each campaign that the copy calls unfinished is held, and shown with the command that lifts its hold: what is
    queued in the copy may have been sent, or cancelled, since. What is launched from now on goes out.

    Refused while a server runs on the store: what it has sent would no longer be known by its receipts.
    """
    from gateway.status import hold_lines, server_lives
    from store import meta

    settings = settings_of(config)

    async def renew() -> tuple[str, list[Line]]:
        async with store_of(settings) as database:
            if await server_lives(database, database.clock.now_ms()):
                fail("a server runs on this store, or did some seconds ago: stop it first, then try again", 1)
            generation: str = await database.write(lambda tx: meta.renew_generation(tx, who()))
            return generation, await hold_lines(database, database.clock.now_ms(), config)

    generation, standing = run(renew())
    say(f"The store is now of generation {generation}.")
    print_lines(standing)
