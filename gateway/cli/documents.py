"""`tocsin cap`: documents, without a server or beside one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.terminal import ConfigOption, actor, fail, run, say, say_json, settings_of, store_of
from gateway.cli.verb import verb

if TYPE_CHECKING:
    from gateway.campaigns.rejudging_refused import Conformance

app = typer.Typer(no_args_is_help=True, help="CAP documents: check them, and read again what was refused.")


@app.command("check", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def check(
    files: Annotated[list[str], typer.Argument(help="CAP files; - for standard input.")],
    json: Annotated[bool, typer.Option("--json", help="One JSON object a file.")] = False,
) -> None:
    """Check CAP 1.2 documents against the schema and all rules. Exit code 1 when one is rejected."""
    import cap.__main__

    raise typer.Exit(cap.__main__.main(["check", *(["--json"] if json else []), *files]))


@verb(app, "replay")
def replay(
    files: Annotated[list[Path] | None, typer.Argument(help="CAP files, in place of what is kept.")] = None,
    account: Annotated[str, typer.Option(help="Code of an account: only what it posted.")] = "",
    sender: Annotated[str, typer.Option(help="Only what says it is from this sender.")] = "",
    days: Annotated[int, typer.Option(help="Only what came in the last days.", min=1)] = 90,
    json: Annotated[bool, typer.Option("--json", help="The report as one JSON object.")] = False,
    config: ConfigOption = None,
) -> None:
    """Read documents that were refused against the rules of today: what refuses them, whose they are, how to mend it.

    Beside a running server: nothing is sent, and nothing is written but a line of the audit. Each document is held to
    what is agreed with its sender. What a document was refused for after it was read (who may send, the kind, nobody
    concerned) is counted by its code.
    """
    from gateway.campaigns import rejudging_refused
    from gateway.campaigns.limits import cap_limits
    from store import audit

    settings = settings_of(config)

    async def read() -> Conformance:
        async with store_of(settings) as database:
            wanted = rejudging_refused.Wanted(tuple(files or ()), account, sender, days)
            judged = await rejudging_refused.replay(database, wanted, cap_limits(settings))
            if not files:
                detail = {"documents": judged.documents}
                await database.write(lambda tx: audit.note(tx, "refused-read", "refused", actor(), detail=detail))
            return judged

    try:
        report = run(read())
    except OSError as exc:
        fail(f"{exc.filename}: {exc.strerror}")
    if json:
        say_json(report)
        return
    for line in rejudging_refused.lines(report):
        say(line)
