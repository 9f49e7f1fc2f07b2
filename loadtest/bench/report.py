"""The bench's one table, and below it how everything was set."""

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from loadtest.bench.figures import Claim, Figure, Section, number

_COLOURS = {True: "green", False: "red", None: ""}


def show(out: Console, heading: str, sections: Sequence[Section]) -> None:
    """A row that was skipped or broke off stands in the table with its reason."""
    table = Table(title=f"Tocsin beside its peers, same run. {heading}", title_justify="left")
    for name, side in (("", "left"), ("measured", "right"), ("", "left"), ("in the same run", "left")):
        table.add_column(name, justify="right" if side == "right" else "left")
    for section in sections:
        table.add_section()
        beside = f"{section.took_s:.0f} s; other work took {section.others_cores:.2f} cores"
        table.add_row(f"[bold]{escape(section.title)}[/bold]", "", "", f"[dim]{beside}[/dim]")
        for line in section.lines:
            table.add_row(*_cells(line))
        if section.failed:
            table.add_row("  [red]broke off[/red]", "", "", escape(section.failed))
    out.print(table)
    for section in sections:
        for line in section.lines:
            if line.settings:
                out.print(f"{line.what}: {line.settings}.", style="dim", highlight=False, markup=False)


def _cells(line: Figure) -> tuple[str, str, str, str]:
    what = f"  {escape(line.what)}"
    if line.value is None:
        return what, "skipped", "", escape(line.skipped)
    return what, number(line.value), line.unit, "\n".join(_said(claim) for claim in line.claims)


def _said(claim: Claim) -> str:
    colour = _COLOURS[claim.holds]
    text = escape(str(claim))
    return f"[{colour}]{text}[/{colour}]" if colour else text
