"""The command line as an operator meets it: sentences, never a traceback, and an exit code that means something."""

import asyncio
import io
import itertools
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import sqlalchemy as sa
from rich.console import Console
from typer.testing import CliRunner, Result

from gateway.cli import app
from gateway.cli.load_progress import EVERY_S, LoadProgress
from store.engine.database import open_database
from store.tables import node
from tests.store.makers import a_campaign


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
    assert lines[0] == f"{file}:2: a whole number is wanted, and there is text here - at $.server.port"
    assert f"{file}:5: text is wanted, and there is a whole number here - at $.sms.carriers.north.host" in lines
    assert lines[-1] == f"tocsin: 4 faults in {file}"


def test_check_config_of_a_sound_file_names_what_it_read(config: Path) -> None:
    result = run("check-config", "-c", config)

    assert result.exit_code == 0
    *_, backups, sound = result.stdout.splitlines()
    assert backups == "remember: no backups are scheduled ([backup] folder); 'tocsin backup FILE' makes one"
    assert sound == f"The settings are sound ({config})."


@pytest.mark.parametrize("server", ['public_url = "http://alerts.police.be"', 'host = "0.0.0.0"'])
def test_check_config_refuses_sign_in_over_plain_http_beyond_this_machine(config: Path, server: str) -> None:
    plain = config.read_text() + f"[server]\n{server}\n"
    config.write_text(plain)
    refused = run("check-config", "-c", config)
    config.write_text(f"{plain}[sign_in]\nenabled = false\n")
    closed = run("check-config", "-c", config)

    assert (refused.exit_code, closed.exit_code) == (2, 0)
    assert "over plain HTTP" in refused.stderr
    assert "$.sign_in.enabled" in refused.stderr


def test_check_config_says_that_passkeys_are_bound_to_the_hosts_name(config: Path) -> None:
    config.write_text(config.read_text() + '[server]\npublic_url = "https://alerts.police.be"\n')

    assert "passkeys are bound to the name alerts.police.be." in run("check-config", "-c", config).stdout


LINES = [
    {"type": "zone", "code": "5301", "name": "Zone", "convention": 1},
    {"type": "network", "zone": "5301", "code": "N", "name": "Net"},
    *(
        {"type": "member", "zone": "5301", "reference": f"{n}", "name": f"An {n}", "networks": [{"code": "N"}]}
        for n in range(5)
    ),
]


@pytest.fixture
def seed(tmp_path: Path) -> Path:
    file = tmp_path / "seed.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in LINES))
    return file


def test_the_version_is_told() -> None:
    assert run("--version").stdout.startswith("tocsin 0")


def test_without_settings_it_says_that_the_defaults_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TOCSIN_CONFIG", raising=False)

    result = run("status")

    assert result.exit_code == 2
    assert "No file of settings was given (-c FILE)" in result.stderr
    assert "there is no store in" in result.stderr


# ---- load ------------------------------------------------------------------------------------------------------------


def test_a_file_is_loaded_and_loaded_again_changes_nothing(config: Path, seed: Path) -> None:
    assert "member: 5 new, 0 changed, 0 unchanged" in run("load", seed, "-c", config).stdout
    assert "member: 0 new, 0 changed, 5 unchanged" in run("load", seed, "-c", config).stdout


def test_a_check_writes_nothing_not_even_a_store(config: Path, seed: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())

    result = run("load", "--check", seed, "-c", config)

    assert (result.exit_code, result.stdout) == (0, "The file is sound.\n")
    assert sorted(tmp_path.iterdir()) == before


def test_errors_are_told_to_the_letter_with_their_lines(config: Path, seed: Path) -> None:
    with seed.open("a") as file:
        for n in range(60):
            file.write(
                json.dumps({"type": "member", "zone": "5301", "reference": f"x{n}", "name": "", "language": "[x]"})
            )
            file.write("\n")

    result = run("load", "--check", seed, "-c", config)

    assert result.exit_code == 1
    assert "line 8: $.name: there are 0 characters here, and at least 1 are wanted" in result.stderr
    assert f"60 errors in {seed}, 10 of them not told" in result.stderr


def test_a_contact_that_cannot_be_used_is_told_with_its_line_and_reason(config: Path, seed: Path) -> None:
    contact = {"type": "phone", "value": "12"}
    with seed.open("a") as file:
        file.write(json.dumps(LINES[-1] | {"reference": "y", "contacts": [contact]}) + "\n")

    told = run("load", seed, "-c", config).stderr

    assert "1 contacts cannot be used" in told
    assert "line 8: $.contacts[0]: " in told


def test_a_file_that_is_not_there_is_a_sentence(config: Path) -> None:
    result = run("load", "nowhere.jsonl", "-c", config)

    assert (result.exit_code, result.stderr) == (2, "tocsin: nowhere.jsonl: no such file\n")


def test_a_long_load_says_how_far_it_is_now_and_then_where_there_is_no_terminal() -> None:
    said, seconds = io.StringIO(), itertools.count(step=EVERY_S / 2)
    with LoadProgress(Console(file=said), lambda: 250, 1000, lambda: next(seconds)) as progress:
        for lines in (100, 200, 300, 400):
            progress.tell(lines)

    assert said.getvalue().splitlines() == [
        "200 lines, 20 a second, 25 % of the file",
        "400 lines, 20 a second, 25 % of the file",
    ]


def test_on_a_terminal_it_is_one_line_that_moves() -> None:
    said = io.StringIO()
    console = Console(file=said, force_terminal=True, width=100)
    with LoadProgress(console, lambda: 500, 1000) as progress:
        progress.tell(1234)

    assert "1,234 lines" in said.getvalue()
    assert "50%" in said.getvalue()


# ---- holds -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def loaded(config: Path, seed: Path) -> Path:
    assert run("load", seed, "-c", config).exit_code == 0
    return config


def test_a_hold_of_everything_is_never_what_a_forgotten_word_means(loaded: Path) -> None:
    assert run("hold", "-c", loaded).exit_code == 2
    assert run("hold", "all", "sms", "-c", loaded).exit_code == 2
    assert run("hold", "everything", "-c", loaded).exit_code == 2
    assert "HOLD" not in run("status", "-c", loaded).stdout


@pytest.mark.parametrize("words", [("all",), ("channel", "sms"), ("carrier", "simulated-sms"), ("zone", "5301")])
def test_what_a_hold_prints_lifts_it(loaded: Path, words: tuple[str, ...]) -> None:
    held = run("hold", *words, "--reason", "storm [red]", "-c", loaded).stdout

    command = held.strip().partition("to lift it: tocsin ")[2]
    assert "storm [red]" in held
    assert run("status", "-c", loaded).exit_code == 1
    assert held.partition("since")[0] in run("status", "-c", loaded).stdout
    assert run(*command.split()).stdout == f"Resumed: {' '.join(words)}\n"


def test_a_second_hold_shows_the_first_with_its_reason(loaded: Path) -> None:
    run("hold", "all", "--reason", "the first", "-c", loaded)

    assert ": the first; to lift it" in run("hold", "all", "--reason", "the second", "-c", loaded).stdout


def test_resuming_what_is_not_held_is_an_error_that_shows_what_is(loaded: Path) -> None:
    run("hold", "zone", "5301", "-c", loaded)

    result = run("resume", "channel", "sms", "-c", loaded)

    assert result.exit_code == 1
    assert "there is no hold on channel sms" in result.stderr
    assert "tocsin resume zone 5301" in result.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("zone", "9999"), "there is no zone '9999'"),
        (("campaign", "nobody"), "there is no campaign 'nobody'"),
        (("channel", "fax"), "'fax' is no channel"),
        (("channel",), "'' is no channel"),
        (("carrier", "nobody"), "there is no carrier 'nobody' in the settings: simulated-sms,"),
        (("carrier",), "which carrier is meant?"),
    ],
)
def test_what_there_is_not_cannot_be_held(loaded: Path, words: tuple[str, ...], said: str) -> None:
    result = run("hold", *words, "-c", loaded)

    assert result.exit_code == 2
    assert said in result.stderr


# ---- the store -------------------------------------------------------------------------------------------------------


def test_a_new_generation_is_refused_while_a_server_runs(loaded: Path, tmp_path: Path) -> None:
    first = run("new-generation", "-c", loaded)

    async def a_server() -> None:
        now_ms = time.time_ns() // 1_000_000
        row = {"boot_id": "b", "name": "alpha", "started_ms": now_ms, "seen_ms": now_ms}
        async with open_database(f"sqlite+aiosqlite:///{tmp_path}/tocsin.db") as database:
            await database.write(lambda tx: tx.run(sa.insert(node).values(row)))

    asyncio.run(a_server())
    second = run("new-generation", "-c", loaded)

    assert first.stdout.startswith("The store is now of generation ")
    assert second.exit_code == 1
    assert "stop it first" in second.stderr


def test_a_new_generation_holds_what_the_copy_calls_unfinished_and_shows_how_each_hold_is_lifted(
    config: Path, tmp_path: Path
) -> None:
    assert run("migrate", "-c", config).exit_code == 0

    async def unfinished() -> str:
        async with open_database(f"sqlite+aiosqlite:///{tmp_path}/tocsin.db") as database:
            return (await a_campaign(database, 2)).public_id

    campaign = asyncio.run(unfinished())
    result = run("new-generation", "-c", config)
    lifted = run("resume", "campaign", campaign, "-c", config)

    assert result.stdout.startswith("The store is now of generation ")
    assert f"HOLD on campaign {campaign}" in result.stdout
    assert "restored copy" in result.stdout
    assert f"tocsin resume campaign {campaign}" in result.stdout
    assert lifted.exit_code == 0
    assert "HOLD" not in lifted.stdout


def test_a_campaign_that_there_is_not_has_no_report(loaded: Path) -> None:
    result = run("report", "nobody", "-c", loaded)

    assert (result.exit_code, result.stderr) == (1, "tocsin: there is no campaign 'nobody'\n")


@pytest.mark.parametrize("command", ["status", "migrate", "serve"])
def test_a_file_that_is_no_store_is_a_sentence(config: Path, tmp_path: Path, command: str) -> None:
    (tmp_path / "tocsin.db").write_bytes(b"no database at all" * 100)

    result = run(command, "-c", config)

    assert result.exit_code == 2
    assert result.stderr.startswith(f"tocsin: the store {tmp_path}/tocsin.db is damaged (file is not a database): ")
    assert "restore a backup" in result.stderr


@pytest.mark.peer
@pytest.mark.parametrize("command", ["status", "migrate", "serve"])
def test_what_the_database_server_says_against_us_is_a_sentence(
    tmp_path: Path, migrated_postgresql: str, command: str
) -> None:
    file = tmp_path / "tocsin.toml"
    file.write_text(f'[store]\nurl = "{migrated_postgresql.rsplit("/", 1)[0]}/nowhere"\n')

    result = run(command, "-c", file)

    assert result.exit_code == 2
    assert result.stderr.startswith("tocsin: the store postgresql+asyncpg://")
    assert "(store.url) cannot be used: " in result.stderr
    assert 'database "nowhere" does not exist' in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_somebody_who_may_not_see_the_store_is_told_so(loaded: Path, tmp_path: Path) -> None:
    """Every command of an operator's meets it first: the service's folder is private."""
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    loaded.write_text(f'[store]\nurl = "sqlite+aiosqlite:///{private}/tocsin.db"\n')
    tmp_path.chmod(0o755)
    for folder in tmp_path.parents[:3]:
        if folder.owner() == "root" and str(folder) != "/tmp" and folder != Path("/"):
            folder.chmod(0o755)
    # Whoever it becomes may not read this Python either: what the command loads late is loaded before.
    good = tmp_path / "good.toml"
    good.write_text(f'[store]\nurl = "sqlite+aiosqlite:///{tmp_path}/tocsin.db"\n')
    code = (
        "import os, sys; from gateway.cli import app\n"
        f"app(['status', '-c', {str(good)!r}], standalone_mode=False)\n"
        "os.seteuid(65534); app(sys.argv[1:])"
    )

    asked = subprocess.run(
        [sys.executable, "-c", code, "status", "-c", str(loaded)],
        capture_output=True, text=True, check=False, timeout=60, cwd=Path(__file__).parents[2],
    )  # fmt: skip

    assert asked.returncode == 2
    assert (
        asked.stderr
        == f"tocsin: {private}/tocsin.db: Permission denied: this is for the user that the server runs as\n"
    )
