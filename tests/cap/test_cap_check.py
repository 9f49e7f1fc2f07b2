"""`python -m cap check`: one verdict a file, for people and for programs, and a status for scripts."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cap.__main__ import main
from tests.cap.documents import BASE, element

ROOT = Path(__file__).parents[2]


@pytest.fixture
def files(tmp_path):
    documents = {"good": BASE.encode(), "remark": element("headline", "h" * 161), "bad": element("sent", "today")}
    for name, document in documents.items():
        (tmp_path / name).write_bytes(document)
    return {name: str(tmp_path / name) for name in (*documents, "absent")}


def records(capsys):
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_every_file_gets_one_json_line(files, capsys):
    status = main(["check", "--json", files["good"], files["remark"], files["bad"]])

    good, remark, bad = records(capsys)
    assert status == 1
    assert good == {"file": files["good"], "verdict": "accept", "problems": []}
    assert (remark["verdict"], [problem["level"] for problem in remark["problems"]]) == ("accept", ["warning"])
    assert bad["verdict"] == "reject"
    assert {key: bad["problems"][0][key] for key in ("rule", "level", "path", "line", "section")} == {
        "rule": "DT-FORM",
        "level": "error",
        "path": "/alert/sent",
        "line": 5,
        "section": "3.3.2",
    }


@pytest.mark.parametrize(
    ("names", "status"), [("good", 0), ("good remark", 0), ("bad good", 1), ("bad absent good", 2)]
)
def test_the_status_is_that_of_the_worst_file(files, names, status):
    assert main(["check", *(files[name] for name in names.split())]) == status


def test_a_file_that_cannot_be_read_is_rejected_by_name(files, capsys):
    assert main(["check", "--json", files["absent"], "a\x00b"]) == 2

    assert [(record["verdict"], record["problems"][0]["rule"]) for record in records(capsys)] == [
        ("reject", "FILE")
    ] * 2


@pytest.mark.parametrize("argv", [[], ["check"], ["mend", "x"], ["check", "--yaml", "x"]])
def test_bad_usage_is_status_2(argv, capsys):
    assert main(argv) == 2
    assert "usage" in capsys.readouterr().err


def test_a_person_reads_where_what_and_how_to_mend(files, capsys):
    main(["check", files["bad"]])

    page = capsys.readouterr().out
    assert page.startswith(f"{files['bad']}: reject\n")
    assert "error DT-FORM [3.3.2] line 5, /alert/sent: not written" in page
    assert "Write whole seconds" in page


def test_the_command_reads_standard_input():
    done = subprocess.run(
        [sys.executable, "-m", "cap", "check", "--json", "-"],
        input=BASE.encode(),
        capture_output=True,
        timeout=30,
        check=False,
        cwd=ROOT,
    )

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"file": "-", "verdict": "accept", "problems": []}


def test_a_file_without_end_is_read_to_the_limit_only(capsys):
    assert main(["check", "--json", "/dev/zero"]) == 1

    assert [problem["rule"] for problem in records(capsys)[0]["problems"]] == ["XML-LIMIT"]


def test_problems_are_told_in_a_language_and_by_a_profile(files, capsys):
    status = main(["check", "--json", "--language", "nl", "--profile", "be-plp", files["bad"], files["remark"]])

    bad, remark = records(capsys)
    assert status == 1
    assert bad["problems"][0]["text"].startswith("Een tijd wordt geschreven")
    assert remark["problems"][0]["text"] == "Een kop heeft hoogstens 160 tekens."
    assert remark["verdict"] == "accept"


@pytest.mark.parametrize("argv", [["check", "--language", "es", "x"], ["check", "--profile", "mars", "x"]])
def test_a_language_or_profile_that_there_is_not_is_bad_usage(argv, capsys):
    assert main(argv) == 2
    assert "usage" in capsys.readouterr().err
