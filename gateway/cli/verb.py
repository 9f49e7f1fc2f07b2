"""How a command is registered: its docstring is its help."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

import typer

Command = TypeVar("Command", bound=Callable[..., Any])


def verb(app: typer.Typer, name: str | None = None) -> Callable[[Command], Command]:
    """Registers a command; its docstring is the help, in paragraphs that the terminal breaks by itself."""

    def register(command: Command) -> Command:
        paragraphs = inspect.cleandoc(command.__doc__ or "").split("\n\n")
        app.command(name, help="\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs))(command)
        return command

    return register
