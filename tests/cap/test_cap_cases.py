"""The cases beside this file, and real CAP files where they are at hand, get the verdict expected of them."""

import json
from pathlib import Path

import pytest

from cap import read
from cap.names import CAP_12

CASES = Path(__file__).with_name("cases") / "cases.json"
SAMPLES = Path(__file__).parents[3] / "shared" / "cap-samples"

# Where the cases name a variant of a rule, or a remark, in other words than the table does.
SAME_RULE = {
    "A-ID-EMPTY": "A-ID-CHARS",
    "I-EVENT-EMPTY": "I-EVENT",
    "G-DESC-EMPTY": "G-DESC",
    "XML-DOCTYPE": "XML-DTD",
    "I-LANG-NULL": "I-LANG-ABSENT",
}
VERDICTS = {
    "accept": {True},
    "warn": {True},
    "reject": {False},
    "reject or warn": {True, False},
}
# What these cases refuse is a part, or a policy: it warns, and voids no alert.
ONLY_WARN = {
    "refs_self.xml", "uri_relative_no_deref.xml", "digest_not_sha1.xml", "web_relative.xml", "mime_bad.xml",
    "ceil_no_alt.xml",
}  # fmt: skip
# Copies of one CAP 1.2 file whose <scope> was taken out on purpose.
BROKEN_SAMPLES = {"invalid.cap", "assets_invalid.cap"}


def cases():
    return json.loads(CASES.read_text(encoding="utf-8"))


def samples():
    if not SAMPLES.exists():
        return []
    roots = (f'xmlns="{CAP_12}"', f'xmlns = "{CAP_12}"')
    return [
        path
        for path in sorted(SAMPLES.rglob("*"))
        if path.suffix in (".cap", ".xml") and any(root in path.read_text("latin-1") for root in roots)
    ]


@pytest.mark.parametrize("case", cases(), ids=lambda case: case["file"])
def test_a_case_gets_its_verdict_and_its_rule(case):
    reading = read((CASES.parent / case["file"]).read_bytes())

    expected = {True} if case["file"] in ONLY_WARN else VERDICTS[case["expect"]]
    assert reading.accepted in expected, reading.problems
    label = case["rule"].split(" ")[0].split("(")[0]
    told = {problem.rule for problem in reading.problems}
    if label == "-":
        assert told == set()
    elif label != "XML-COMMENT":  # the comment goes, and nothing is said of it
        assert SAME_RULE.get(label, label) in told


@pytest.mark.skipif(not SAMPLES.exists(), reason="the shared CAP files are not on this machine")
@pytest.mark.parametrize("path", samples(), ids=lambda path: path.name)
def test_a_real_file_is_accepted_unless_it_was_broken_on_purpose(path):
    reading = read(path.read_bytes())

    assert reading.accepted is (path.name not in BROKEN_SAMPLES), reading.problems
