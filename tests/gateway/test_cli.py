"""The command line as an operator meets it: sentences, never a traceback, and an exit code that means something."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gateway.cli import app


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "tocsin.toml"
    file.write_text(f'[store]\nurl = "sqlite+aiosqlite:///{tmp_path}/tocsin.db"\n')
    return file


def test_check_config_tells_every_fault_with_its_line_and_how_many_there_are(tmp_path: Path) -> None:
    file = tmp_path / "bad [red].toml"
    file.write_text('[server]\nport = "x"\n[sms.carriers.north]\ntype = "smpp"\nhost = 3\n')

    result = run("check-config", "-c", file)

    assert result.exit_code == 2
    lines = result.stderr.splitlines()
    assert lines[0] == f"{file}:2: Expected `int`, got `str` - at $.server.port"
    assert f"{file}:5: Expected `str`, got `int` - at $.sms.carriers.north.host" in lines
    assert lines[-1] == f"tocsin: 4 faults in {file}"


def test_check_config_of_a_sound_file_names_what_it_read(config: Path) -> None:
    result = run("check-config", "-c", config)

    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1] == f"The settings are sound ({config})."
