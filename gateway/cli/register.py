"""`tocsin load`, `member` and `balance`: people, and the money that reaches them."""

from __future__ import annotations

import functools
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from gateway.cli.terminal import (
    ConfigOption,
    JsonOption,
    actor,
    err,
    fail,
    out,
    run,
    say,
    say_json,
    settings_of,
    store_of,
)
from gateway.cli.verb import verb
from gateway.unseen_characters import visible
from store.engine.turns import Turn

if TYPE_CHECKING:
    from gateway.directory.seed import LoadReport
    from gateway.directory.seed_lines import SeedReader
    from store.register.export_and_erase import RegisteredPerson

app = typer.Typer()
member = typer.Typer(no_args_is_help=True, help="One person of a register: what is kept of them, and how it goes.")

ZoneArgument = Annotated[str, typer.Argument(help="Code of the zone whose register it is.")]
ReferenceArgument = Annotated[
    str, typer.Argument(help="The zone's own key of the person; 'tocsin member find' tells it.")
]


@verb(app)
def load(
    file: Annotated[Path, typer.Argument(help="Seed file (JSON Lines, docs/seed-format.md); - for standard input.")],
    check_only: Annotated[bool, typer.Option("--check", help="Read all of it and write nothing.")] = False,
    config: ConfigOption = None,
) -> None:
    """Load zones, networks, members, accounts and prepaid lots from a seed file.

    The same file again changes nothing, and what a file does not name stays. A server may be running: it sees every
    change at once, and its alerts go first. Exit code 1 when a line is wrong; each is told with its number.
    """
    from gateway.cli import load_progress
    from gateway.directory.seed import ALONE, BESIDE_A_SERVER, SeedRefused, check
    from gateway.directory.seed import load as load_seed
    from gateway.operations.status import server_lives

    settings = settings_of(config)
    if str(file) != "-" and not file.is_file():
        fail(f"{file}: no such file")

    async def read() -> LoadReport | SeedReader:
        async with load_progress.store(settings.store.url, check_only) as database:
            write = functools.partial(database.write, turn=Turn.LAST)
            alone = not await server_lives(database, database.clock.now_ms())
            with load_progress.lines_of(file) as lines, load_progress.progress_of(file, lines, err) as progress:
                if not check_only:
                    by, at_once = actor(), ALONE if alone else BESIDE_A_SERVER
                    await database.write(lambda tx: load_progress.note_begin(tx, file, by))
                    report = await load_seed(write, lines, lambda r: progress.tell(r.lines), at_once, by)
                    await database.write(lambda tx: load_progress.note(tx, file, report, by))
                    return report
                reader = await check(write, lines)
                if reader.errors:
                    raise SeedRefused(reader.errors, reader.error_count)
                return reader

    try:
        report = run(read())
    except SeedRefused as exc:
        for error in exc.errors:
            whose = f" [{error.who}]" if error.who else ""
            text = visible(f"line {error.line}: {error.path}: {error.reason}{whose}")
            err.print(escape(text), highlight=False, soft_wrap=True)
        untold = f", {exc.count - len(exc.errors)} of them not told" if exc.count > len(exc.errors) else ""
        fail(f"{exc.count} {'error' if exc.count == 1 else 'errors'} in {file}{untold}", 1)
    load_progress.tell(report, out, err)


# ---- one person --------------------------------------------------------------------------------------------------


@verb(member, "find")
def find(
    words: Annotated[str, typer.Argument(help="A part of the name, or of an address: 0470, @example.org, Peeters.")],
    config: ConfigOption = None,
) -> None:
    """Find persons by a part of their name or of an address: zone, reference and name of each, ten at most.

    Exit code 1 when there is nobody.
    """
    from store.engine.storable_text import readable
    from store.register import export_and_erase

    settings = settings_of(config)

    async def look() -> list[RegisteredPerson]:
        async with store_of(settings) as database:
            async with database.read() as conn:
                found = await export_and_erase.named(conn, words)
            await database.write(lambda tx: export_and_erase.note_found(tx, found, readable(words), actor()))
            return found

    found = run(look())
    for person in found:
        say(f"{person.zone} {person.reference}: {person.name}")
    if not found:
        fail(f"nobody is found by {words!r}", 1)


@verb(member, "remove")
def remove(zone: ZoneArgument, reference: ReferenceArgument, config: ConfigOption = None) -> None:
    """Take a person out of the register: no message reaches them any more; their name and addresses stay in the store.

    A seed file that names them again brings them back. 'tocsin member erase' lets what is kept of them go.
    """
    from store.register import export_and_erase

    settings = settings_of(config)

    async def close() -> bool:
        async with store_of(settings) as database:
            person = await _person(database, zone, reference)
            removed: bool = await database.write(lambda tx: export_and_erase.remove(tx, person, actor()))
            return removed

    say(f"{reference} is no longer in the register of {zone}." if run(close()) else f"{reference} was removed before.")


@verb(member, "erase")
def erase(zone: ZoneArgument, reference: ReferenceArgument, config: ConfigOption = None) -> None:
    """Close a person at once, and erase their name and addresses as soon as nothing needs them.

    That is when every campaign from before is sealed and no alert of the zone from before is in force: a server that
    runs on the store does it then, through every table, and 'tocsin status' tells how many wait. Sums, sealed reports
    and the audit stay; they hold ids. No seed file brings the person back under the same reference.
    """
    from store.register import export_and_erase

    settings = settings_of(config)

    async def ask() -> bool:
        async with store_of(settings) as database:
            person = await _person(database, zone, reference)
            asked: bool = await database.write(lambda tx: export_and_erase.ask_erasure(tx, person, actor()))
            for _ in range(100):
                if not await export_and_erase.erase_some(database):
                    break
            return asked

    said = "is closed, and is erased as soon as nothing needs the addresses" if run(ask()) else "is erased already"
    say(f"{reference} of {zone} {said}.")


@verb(member, "export")
def export(zone: ZoneArgument, reference: ReferenceArgument, config: ConfigOption = None) -> None:
    """All that is kept of a person, as JSON on standard output: for them to read."""
    from store import audit
    from store.register import export_and_erase

    settings = settings_of(config)

    async def gather() -> dict[str, Any]:
        async with store_of(settings) as database:
            person = await _person(database, zone, reference)
            async with database.read() as conn:
                found = await export_and_erase.everything(conn, person)
            line = ("member-export", f"member {person.id}", actor())
            await database.write(lambda tx: audit.note(tx, *line, zone_id=person.zone_id))
            return found

    say_json(run(gather()))


async def _person(database: Any, zone: str, reference: str) -> RegisteredPerson:
    from store.register import export_and_erase

    async with database.read() as conn:
        found = await export_and_erase.find(conn, zone, reference)
    return found or fail(f"zone {zone} has nobody of reference {reference!r}", 1)


# ---- money -------------------------------------------------------------------------------------------------------


@verb(app)
def balance(
    zone: Annotated[str, typer.Argument(help="Code of a zone; without one: all.")] = "",
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Prepaid money of each zone: what is free, reserved, spent, and of which lots until when.

    Amounts are euro with three decimals. A negative balance is what urgent alerts borrowed. Exit code 1 when there is
    no such zone.
    """
    from store.money import balances

    settings = settings_of(config)

    async def read() -> list[balances.Purse]:
        async with store_of(settings) as database, database.read() as conn:
            return await balances.purses(conn, database.clock.now_ms(), zone)

    found = run(read())
    if not found:
        fail(f"there is no zone {zone!r}" if zone else "there are no zones", 1)
    if json:
        say_json(found)
        return
    for purse in found:
        say(f"zone {purse.zone}: {_euro(purse.balance_millieuro)} may be spent, "
            f"{_euro(purse.reserved_millieuro)} reserved, {_euro(purse.spent_millieuro)} spent")  # fmt: skip
        for lot in purse.lots:
            until = "without an end" if lot.valid_until_ms is None else f"until {_day(lot.valid_until_ms)}"
            left = f"{_euro(lot.free_millieuro)} of {_euro(lot.amount_millieuro)} free"
            say(f"  lot {lot.reference}: {left}, {until}{', over' if lot.over else ''}")


def _euro(millieuro: int) -> str:
    return f"{millieuro / 1000:,.3f} EUR"


def _day(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).date().isoformat()
