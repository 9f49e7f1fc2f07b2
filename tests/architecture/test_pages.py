"""The pages for operators and integrators say what the code does: lists that must not drift apart are held together."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from gateway.campaigns import alert_desk
from gateway.campaigns.intake import CHANNELS_PARAMETER, KIND_PARAMETER
from gateway.cli import app
from gateway.http.route import Events
from gateway.http.routes import TABLE
from gateway.media import MEDIA
from store.states import FINAL, DeliveryState

ROOT = Path(__file__).parents[2]
INTEGRATING = (ROOT / "docs" / "integrating.md").read_text(encoding="utf-8")
OPERATING = (ROOT / "docs" / "operating.md").read_text(encoding="utf-8")


def table(page: str, heading: str) -> list[list[str]]:
    """The cells of the first table below a heading, without its head."""
    section = page.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[2:]]


def words(cells: list[str]) -> list[str]:
    return re.findall(r"`([^`]+)`", cells[0])


def test_every_problem_has_its_line_and_no_other_has_one() -> None:
    catalogue = tomllib.loads((ROOT / "gateway" / "http" / "catalogues" / "nl.toml").read_text(encoding="utf-8"))
    codes = set(catalogue["titles"]) | {code for code in catalogue["facts"] if code.islower()}

    listed = [word for row in table(INTEGRATING, "Problems") for word in words(row)]

    assert sorted(listed) == sorted(codes)
    assert all(re.fullmatch(r"[45]\d\d(, [45]\d\d)*", row[1]) for row in table(INTEGRATING, "Problems"))


def test_the_statuses_of_the_page_are_those_of_the_code() -> None:
    """Wherever a refusal is written with its status beside its code."""
    listed = {words(row)[0]: set(row[1].split(", ")) for row in table(INTEGRATING, "Problems")}
    for file in (ROOT / "gateway").rglob("*.py"):
        for status, code in re.findall(r'Refusal\(\s*(\d{3}),\s*"([a-z-]+)"', file.read_text(encoding="utf-8")):
            assert code == "account-closed" or status in listed[code], (file.name, code)


def test_the_states_are_those_of_the_code() -> None:
    of_deliveries = table(INTEGRATING, "States of a delivery")
    assert [words(row)[0] for row in of_deliveries] == [state.word for state in DeliveryState]
    assert {words(row)[0] for row in of_deliveries if row[2]} == {state.word for state in FINAL}
    of_alerts = {words(row)[0] for row in table(INTEGRATING, "States of an alert")}
    assert set(alert_desk._STATES.values()) <= of_alerts
    assert of_alerts - set(alert_desk._STATES.values()) == {"superseded", "cancelled", "failed"}


def test_the_parameters_are_those_of_the_code() -> None:
    assert [words(row)[0] for row in table(INTEGRATING, "Parameters of an alert")] == [
        KIND_PARAMETER, CHANNELS_PARAMETER,
    ]  # fmt: skip


def test_the_times_of_the_retries_are_those_of_the_code() -> None:
    told = INTEGRATING.replace("\n", " ").replace(",800", "800")
    for channel, name in (("sms", "SMS"), ("email", "mail"), ("voice", "voice")):
        medium = next(m for c, m in MEDIA.items() if c == channel)
        *first, last = (delay // 1000 for delay in medium.retry_delays_ms)
        spans = ", ".join(map(str, first)) + f" and then every {last} s" if first else f"{last} s"
        assert f"{spans} ({name}, {medium.most_attempts} attempts)" in told


def test_the_events_are_those_of_the_code() -> None:
    listed, stream = set(), ""
    for row in table(INTEGRATING, "Streams"):
        stream = words(row)[0].removeprefix("GET ") if words(row) else stream
        listed.add((stream, words([row[1]])[0]))
    events = {route.template: form.data for route in TABLE for form in route.forms(200) if isinstance(form, Events)}

    assert listed == {(path, name) for path, names in events.items() for name in names}


def test_every_alarm_of_the_log_has_its_line() -> None:
    alarms = set()
    for file in (ROOT / "gateway").rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        for found in re.finditer(r'"alarm": True', text):
            before = text[: found.start()]
            alarms.add(re.findall(r'"action": "([a-z-]+)"', before)[-1])

    assert {words(row)[0] for row in table(OPERATING, "Alarms in the log")} == alarms


COMMANDS = re.compile(r"(?:^|[` ])tocsin ((?:[a-z-]+)(?: [a-z-]+)?)", re.MULTILINE)


@pytest.mark.parametrize(
    "page", ["README.md", "docs/operating.md", "docs/backup.md", "docs/integrating.md", "docs/http-routes.md"]
)
def test_every_command_of_a_page_is_there(page: str) -> None:
    groups = {group.name: {c.name or c.callback.__name__ for c in group.typer_instance.registered_commands}
              for group in app.registered_groups}  # fmt: skip
    plain = {c.name or c.callback.__name__ for c in app.registered_commands}
    for told in COMMANDS.findall((ROOT / page).read_text(encoding="utf-8")):
        verb, _, word = told.partition(" ")
        assert verb in plain | set(groups), told
        if verb in groups and word:
            assert word in groups[verb] or verb == "audit", told


# ---- docs/design.md ----------------------------------------------------------------------------------------------


def test_what_the_code_says_of_the_design_is_there() -> None:
    design = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    sections = set(re.findall(r"^## (\d+)\.", design, re.MULTILINE))
    invariants = set(re.findall(r"^(\d+)\. ", design[design.index("\n## 7.") :], re.MULTILINE))
    named: list[str] = []
    for folder in ("cap", "channels", "store", "gateway", "loadtest", "tests"):
        for path in (ROOT / folder).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            for section, invariant in re.findall(r"[Dd]esign(?:\.md)? section (\d+)(?:, (?:invariant )?(\d+))?", text):
                named.append(section)
                assert section in sections, f"{path}: docs/design.md has no section {section}"
                assert not invariant or invariant in invariants, f"{path}: there is no invariant {invariant}"
    assert len(named) > 10


def test_the_picture_of_the_house_is_that_of_its_imports() -> None:
    command = [sys.executable, str(ROOT / "docs" / "draw_architecture.py"), "--check"]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)

    assert checked.returncode == 0, checked.stderr


def test_the_list_of_modules_is_that_of_their_docstrings() -> None:
    command = [sys.executable, str(ROOT / "docs" / "list_modules.py"), "--check"]

    assert subprocess.run(command, check=False).returncode == 0, "python docs/list_modules.py makes it anew"


@pytest.mark.parametrize(
    "page", ["README.md", "CONTRIBUTING.md", "tests/README.md", "docs/architecture.md", "docs/http-routes.md"]
)
def test_every_file_that_a_page_names_is_there(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    roots = "cap|channels|store|gateway|loadtest|tests|config|docs"
    for named in re.findall(rf"(?<![\w./-])((?:{roots})/[\w./-]*\w/?)", text):
        assert (ROOT / named).exists() or ((ROOT / page).parent / named).exists(), named
