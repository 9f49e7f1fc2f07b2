"""The conformance report: what refuses the documents that were refused, by the rules of today."""

import asyncio
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.access.rights import Caller
from gateway.campaigns.refused import RefusedDocuments
from gateway.campaigns.rejudging_refused import SeenDocument, conformance, judged, lines
from gateway.cli import app
from gateway.directory.agreements import SenderTerms, agreements, write_terms
from gateway.errors import Refusal
from store.access import accounts
from store.access.accounts import AccountRecord
from store.campaigns.refused_documents import RefusedQuota
from store.engine.database import open_database
from store.engine.schema import migrate
from tests.cap.documents import changed, element

SENDER = "dispatch@zone-a.example"
MENDED = changed((">https://zone-a.example/avis/17<", ">avis/17<"))
"""What was refused once, and is read today."""
BROKEN = element("status", "actual")


def test_the_rules_that_refuse_most_stand_first_with_an_example_and_a_remedy():
    documents = [MENDED, BROKEN, element("status", "ACTUAL"), element("sent", "today"), b"<alert"]

    report = conformance(
        judged(SeenDocument(f"d{n}", body, times=n + 1, code="invalid-cap")) for n, body in enumerate(documents)
    )

    assert (report.documents, report.times, report.accepted) == (5, 15, 1)
    assert report.refused_for == {"invalid-cap": 5}
    first = report.rules[0]
    assert (first.rule, first.documents, first.example, first.path) == ("XSD", 2, "d1", "/alert/status")
    assert first.remedy == "Write Actual, exactly so."
    assert {rule.rule for rule in report.rules} == {"XSD", "DT-FORM", "XML-WF"}
    told = "\n".join(lines(report))
    assert "5 documents, which came 15 times. By the rules of today 1 would be read." in told
    assert "XSD: 2 documents, from ?" in told
    assert "DT-FORM: 1 document, from ?" in told
    assert "as in d1, line 6, /alert/status" in told


def test_each_document_is_held_to_what_is_agreed_with_its_sender():
    strict = agreements([SenderTerms(SENDER, strict=("G-ALT-ORDER",))])
    document = element("ceiling", "10")

    assert judged(SeenDocument("a", document)).accepted
    assert not judged(SeenDocument("a", document, strict)).accepted


def test_an_envelope_of_several_is_told_as_one():
    envelope = '<EDXLDistribution xmlns="urn:oasis:names:tc:emergency:EDXL:DE:1.0"/>'

    found = judged(SeenDocument("e", envelope.encode()))

    assert [problem.rule for problem in found.problems] == ["E-ONE"]


def test_nothing_refused_is_told_in_a_sentence():
    assert list(lines(conformance([]))) == ["There are no refused documents."]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A store in which two accounts were refused something; one has agreed on a policy."""
    url = f"sqlite+aiosqlite:///{tmp_path}/tocsin.db"
    terms = write_terms([SenderTerms(SENDER, strict=("G-ALT-ORDER",))])

    async def fill() -> None:
        await migrate(url)
        async with open_database(url) as database:
            refused = RefusedDocuments(database, RefusedQuota(200, 1_000_000), 90)
            for code, given, bodies in (
                ("cic", terms, (MENDED, element("ceiling", "10"), BROKEN)),
                ("other", "[]", (element("ceiling", "10"), b"<alert")),
            ):
                record = AccountRecord(code, code, "cic", f'["{SENDER}"]', "[]", terms=given)
                account_id, _ = await database.write(lambda tx, record=record: accounts.put_account(tx, record))
                caller = Caller(account_id, code, code, "cic", (SENDER,), (), ())
                for body in bodies:
                    refused.note(caller, body, Refusal(422, "invalid-cap", "The alert breaks rules."))
            while await refused.run():
                pass

    asyncio.run(fill())
    file = tmp_path / "tocsin.toml"
    file.write_text(f'[store]\nurl = "{url}"\n')
    return file


def replay(config: Path, *arguments: object) -> dict:
    result = CliRunner().invoke(app, ["cap", "replay", "--json", "-c", str(config), *map(str, arguments)])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_what_is_kept_is_read_beside_the_server_by_the_terms_of_each_account(config: Path):
    report = replay(config)

    assert (report["documents"], report["accepted"]) == (5, 2)
    by_rule = {rule["rule"]: rule["documents"] for rule in report["rules"]}
    assert by_rule == {"G-ALT-ORDER": 1, "XSD": 1, "XML-WF": 1}
    assert {rule["rule"]: rule["senders"] for rule in report["rules"]}["XSD"] == [SENDER]
    assert replay(config, "--account", "other")["documents"] == 2
    assert replay(config, "--sender", SENDER)["documents"] == 4
    assert replay(config, "--account", "nobody")["documents"] == 0


def test_files_are_judged_in_place_of_what_is_kept(config: Path, tmp_path: Path):
    file = tmp_path / "mine.xml"
    file.write_bytes(BROKEN)

    report = replay(config, file)

    assert [(each["name"], each["accepted"]) for each in report["judged"]] == [(str(file), False)]
    missing = CliRunner().invoke(app, ["cap", "replay", "-c", str(config), str(tmp_path / "absent.xml")])
    assert missing.exit_code == 2
    assert "absent.xml: No such file or directory" in missing.output
