"""`tocsin backup`, `restore`, `retire` and `new-generation`: the store, and copies of it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from gateway.cli.terminal import ConfigOption, actor, err, fail, print_lines, run, say, settings_of, store_of
from gateway.cli.verb import verb
from store.engine.turns import Turn

if TYPE_CHECKING:
    from gateway.operations.status_line import StatusLine
    from gateway.settings import Settings
    from store.campaigns.reading import Campaign
    from store.copies import Copied
    from store.engine.database import Database

app = typer.Typer()


@verb(app)
def backup(
    file: Annotated[Path, typer.Argument(help="The backup: a new file, better on another disk.")],
    config: ConfigOption = None,
) -> None:
    """Copy the store of a running server into a file, as it stands at this instant, and look through the copy.

    The server goes on meanwhile. With backup.backup_key set the file is encrypted. A plain copy of the store's file is
    no backup: what was written last stands beside it, in its log. PostgreSQL is backed up by its own means (pg_dump).
    """
    from rich.progress import Progress

    settings = settings_of(config)
    source = _file_of(settings)

    async def take() -> Copied:
        from gateway.operations import backups
        from store import copies

        async with store_of(settings) as database:
            with Progress(console=err, transient=True, disable=not err.is_terminal) as bar:
                task = bar.add_task("copying")
                taken: Copied = await asyncio.to_thread(
                    backups.make, source, file.absolute(), settings.backup.backup_key,
                    lambda done, of: bar.update(task, completed=done, total=of),
                )  # fmt: skip
            await database.write(lambda tx: copies.note(tx, taken, actor()), turn=Turn.LAST)
            return taken

    try:
        taken = run(take())
    except OSError as exc:
        fail(str(exc))
    rows = ", ".join(f"{count} {table}s" for table, count in taken.rows.items() if table in ("member", "campaign"))
    sealed = ", encrypted" if settings.backup.backup_key else ""
    say(f"{taken.path}: {taken.bytes / 2**20:.1f} MiB{sealed}, looked through: {rows}.")
    say(f"To put it back: tocsin restore {file}")


@verb(app)
def restore(
    file: Annotated[
        Path | None, typer.Argument(help="A backup. Without one: what the store still has to decide.")
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Set the store that is there aside.")] = False,
    config: ConfigOption = None,
) -> None:
    """Put a backup in the place of the store, and tell what it would send.

    What the copy calls unfinished is held, each campaign by itself: it may have been sent, stopped or cancelled since.
    'tocsin resume campaign ID' sends what is left of one, and whoever was told since is told twice; 'tocsin retire ID'
    gives it up, and whoever was still to be told is in doubt. What is launched from then on goes out at once.

    Refused while a server runs on the store. On PostgreSQL restore by its own means, then 'tocsin new-generation'.
    """
    settings = settings_of(config)
    if file is not None:
        _put_back(settings, file, replace)

    async def look() -> list[StatusLine]:
        from store import copies

        async with store_of(settings) as database:
            path, by = database.path, actor()
            if path is not None and file is not None:
                await database.write(lambda tx: copies.notice(tx, path, by))
            return await _undecided(database, config)

    lines = run(look())
    print_lines(lines)
    if not lines:
        say("Nothing is held: there is nothing to decide.")


def _put_back(settings: Settings, file: Path, replace: bool) -> None:
    from gateway.operations import backups
    from store.engine.database import exclusive
    from store.engine.schema import migrate
    from store.errors import StoreError

    store = _file_of(settings)
    if not file.is_file():
        fail(f"{file}: no such file")
    try:
        with exclusive(store):
            rows = backups.put_back(file, store, settings.backup.backup_key, replace=replace)
            run(migrate(settings.store.url))
    except (StoreError, OSError) as exc:
        fail(str(exc), 1)
    say(f"{store} is what {file} was: {rows['member']} members, {rows['campaign']} campaigns.")


@verb(app)
def retire(
    campaign: Annotated[
        str, typer.Argument(help="Id of a campaign that came with a copy; 'all' for every one that is held.")
    ],
    config: ConfigOption = None,
) -> None:
    """Give up a campaign that came with a restored copy: nothing more of it is sent.

    Whoever it had still to tell is in doubt from then on ("unknown since the copy"), and not "called off": the lost
    timeline may have told them. Exit code 1 when it is not held by a restore.
    """
    settings = settings_of(config)

    async def give_up() -> list[str]:
        from store.campaigns import campaign_steps

        async with store_of(settings) as database:

            async def one(each: Campaign) -> bool:
                retired: bool = await database.write(lambda tx: campaign_steps.retire(tx, each.id, actor()))
                return retired

            held = [c for c, _ in await _held(database) if campaign in ("all", c.public_id)]
            return [each.public_id for each in held if await one(each)]

    retired = run(give_up())
    for public_id in retired:
        say(f"Retired: campaign {public_id}; whom it had still to tell is in doubt.")
    if not retired:
        fail("no campaign is held by a restore" if campaign == "all" else f"{campaign!r} is not held by a restore", 1)


@verb(app, "new-generation")
def new_generation(config: ConfigOption = None) -> None:
    """After restoring PostgreSQL, before the first start: late bounces and receipts of the lost timeline hit nobody.

    Each campaign that the copy calls unfinished is held, and shown with the command that lifts its hold: what is queued
    in the copy may have been sent, or cancelled, since. What is launched from now on goes out. For a store in a file
    'tocsin restore' does it, and a server that is started on a copy does it by itself.

    Refused while a server runs on the store: what it has sent would no longer be known by its receipts.
    """
    from gateway.operations.status import hold_lines, server_lives
    from store import copies, meta

    settings = settings_of(config)

    async def renew() -> tuple[str, list[StatusLine]]:
        async with store_of(settings) as database:
            if await server_lives(database, database.clock.now_ms()):
                fail("a server runs on this store, or did some seconds ago: stop it first, then try again", 1)
            generation: str = await database.write(lambda tx: meta.renew_generation(tx, actor()))
            path = database.path
            if path is not None:
                await database.write(lambda tx: copies.adopt(tx, copies.which(path)))
            return generation, await hold_lines(database, database.clock.now_ms(), config)

    generation, standing = run(renew())
    say(f"The store is now of generation {generation}.")
    print_lines(standing)


async def _held(database: Database) -> list[tuple[Campaign, int]]:
    """The campaigns that a restore holds, and how many messages each would still send."""
    from store.campaigns import reading as campaigns
    from store.engine.transaction import follow
    from store.outbox import hold_statements, holds

    async with database.read() as conn:
        found = []
        for hold in await holds.standing(conn):
            if not hold.of_restore or await follow(conn, hold_statements.is_over(hold.scope, hold.subject)):
                continue
            campaign = await campaigns.by_id(conn, int(hold.subject))
            if campaign is not None:
                left = sum(count.open for count in await campaigns.counts(conn, campaign.id))
                found.append((campaign, left))
        return found


async def _undecided(database: Database, config: Path | None) -> list[StatusLine]:
    from gateway.operations.status_line import StatusLine

    more = f" -c {config}" if config else ""
    return [
        StatusLine(
            False,
            f"campaign {c.public_id} ({c.zone_code}, {c.kind}, {c.mode}): {c.title[:50]!r} would send {left} messages;"
            f" tocsin resume campaign {c.public_id}{more} sends them, tocsin retire {c.public_id}{more} gives them up",
        )
        for c, left in await _held(database)
    ]


def _file_of(settings: Settings) -> Path:
    from store.engine.location import file_of

    return file_of(settings.store.url) or _no_file()


def _no_file() -> NoReturn:
    fail("the store is PostgreSQL: pg_dump -Fc backs it up, pg_restore puts it back, then 'tocsin new-generation'")
