"""The `tocsin` command over one store in a folder, as a test asks it."""

from pathlib import Path

from typer.testing import CliRunner, Result

from gateway.cli import app


class CommandLine:
    """Settings, and a store beside them that a command may make. `more`: settings beside the store's."""

    def __init__(self, folder: Path, more: str = "") -> None:
        self.folder, self.store = folder, folder / "tocsin.db"
        self.config = folder / "tocsin.toml"
        self.url = f"sqlite+aiosqlite:///{self.store}"
        self.config.write_text(f'[store]\nurl = "{self.url}"\n{more}')

    def ask(self, *words: str) -> Result:
        """What the command says and returns; what it raises is raised here."""
        result = CliRunner().invoke(app, [*words, "-c", str(self.config)])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    def said(self, *words: str) -> str:
        """Its standard output; it must succeed."""
        result = self.ask(*words)
        assert result.exit_code == 0, result.output
        return result.stdout

    def refused(self, *words: str) -> str:
        """What it says against it; it must end with 1."""
        result = self.ask(*words)
        assert result.exit_code == 1, result.output
        return result.stderr
