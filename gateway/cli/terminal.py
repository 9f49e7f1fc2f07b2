"""The terminal of an operator: settings, store and sentences that every command has in common.

Nothing heavy is loaded before it is needed: `tocsin hold` is an emergency brake, and takes its first tenths of a second
from whoever pulls it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar

import typer
from rich.markup import escape

from gateway.operations.terminal_output import Terminal
from gateway.unseen_characters import visible, visible_json

if TYPE_CHECKING:
    from gateway.operations.status_line import StatusLine
    from gateway.settings import Settings
    from store.audit_line import Actor
    from store.engine.database import Database

Result = TypeVar("Result")

out = Terminal()
err = Terminal(stderr=True)

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", envvar="TOCSIN_CONFIG", help="File of settings (config/tocsin.toml shows all)."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="As JSON.")]


def say(text: str, *, style: str = "") -> None:
    """Writes one line to standard output: whatever is in it, it stays one line."""
    out.print(escape(visible(text)), style=style or None, highlight=False, soft_wrap=True)


def say_json(value: Any, *, indented: bool = True) -> None:
    """Writes a value as JSON to standard output, for a program or a person."""
    import msgspec

    written = msgspec.json.encode(value)
    typer.echo(visible_json((msgspec.json.format(written) if indented else written).decode()))


def fail(text: str, code: int = 2) -> NoReturn:
    err.print(f"[red]tocsin:[/red] {escape(text)}", highlight=False, soft_wrap=True)
    raise typer.Exit(code)


def settings_of(path: Path | None) -> Settings:
    from gateway.settings import SettingsRefused, located, read_settings

    if path is None:
        err.print("[dim]No file of settings was given (-c FILE): the defaults hold.[/dim]", highlight=False)
    try:
        return located(read_settings(path), path)
    except SettingsRefused as exc:
        for line in exc.lines:
            err.print(escape(line), highlight=False, soft_wrap=True)
        fail(f"{len(exc.lines)} {'fault' if len(exc.lines) == 1 else 'faults'} in {path}")


def told(work: Callable[[], Result]) -> Result:
    """The result of a work; what the store, or a part that cannot start, has against it is told in a sentence."""
    from store.errors import StoreError

    try:
        return work()
    except StoreError as exc:
        fail(str(exc))
    except PermissionError as exc:
        fail(f"{exc.filename}: {exc.strerror}: this is for the user that the server runs as")


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """The result of a work that needs a loop, as `told` has it."""
    import uvloop

    return told(lambda: uvloop.run(work))


@contextlib.asynccontextmanager
async def store_of(settings: Settings) -> AsyncIterator[Database]:
    """The store beside a server that may be running on it; its tables must be of this version."""
    from store.engine.database import open_database
    from store.engine.schema import require_newest

    await require_newest(settings.store.url)
    async with open_database(settings.store.url) as database:
        yield database


def store_named(settings: Settings) -> str:
    """Where the store is, without a password."""
    from store.engine.schema import shown

    return shown(settings.store.url)


def print_lines(lines: Iterable[StatusLine]) -> None:
    for line in lines:
        text = escape(visible(line.text))  # a campaign's title may hold anything
        out.print(text if line.well else f"[red]! {text}[/red]", highlight=False, soft_wrap=True)


def who() -> str:
    """Whose hand it was: the login behind sudo, where there is one."""
    import getpass

    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):
        return f"user {os.getuid()}"


def actor() -> Actor:
    """The same for the audit."""
    from store.audit_line import Actor
    from store.engine.storable_text import readable

    return Actor(via="cli", login=readable(who()))
