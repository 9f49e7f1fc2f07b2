"""The `tocsin` command: each verb is a few lines over a use case, and loads only what it needs."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.cli import accounts, alarms, break_glass, copies, documents, holding, record, register, serving
from gateway.cli.terminal import out

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # a traceback is for a bug report: plain, and without anybody's contacts
)
for part in (serving.app, holding.app, register.app, record.app, copies.app):
    app.registered_commands += part.registered_commands
for name, group in {
    "key": accounts.key,
    "account": accounts.account,
    "break-glass": break_glass.break_glass,
    "member": register.member,
    "alarm": alarms.alarm,
    "audit": record.audit,
    "cap": documents.app,
}.items():
    app.add_typer(group, name=name)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib import metadata

        out.print(f"tocsin {metadata.version('tocsin')}", highlight=False)
        raise typer.Exit


@app.callback()
def main(
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Tocsin, an open CAP 1.2 alert gateway. 'tocsin COMMAND --help' tells more of each."""
