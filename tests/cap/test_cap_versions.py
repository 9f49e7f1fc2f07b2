"""Older versions are read where the sender's terms allow it, as what they mean in CAP 1.2; policies can be relaxed."""

from pathlib import Path

import pytest

from cap import RULES, Certainty, Level, Limits, ReadingTerms, ValuePair, read
from cap.names import CAP_10, CAP_11, CAP_12
from cap.terms import POLICIES
from tests.cap.documents import BASE, INFO, changed, element

SAMPLES = Path(__file__).parents[3] / "shared" / "cap-samples"
ANY = ReadingTerms(versions=frozenset({"1.0", "1.1", "1.2"}))
FIRST = BASE.replace(CAP_12, CAP_10)
SECOND = BASE.replace(CAP_12, CAP_11)


def first(*changes):
    """CAP 1.0 says pairs in one text and has no responseType."""
    pairs = (
        ("<valueName>KIND</valueName><value>missing</value>", "KIND=missing"),
        ("<valueName>tocsin:kind</valueName><value>alert</value>", "tocsin:kind=alert"),
        ("<valueName>NIS5</valueName><value>55085</value>", " NIS5 = 55085 "),
        ("<responseType>Monitor</responseType>", ""),
    )
    return changed(*pairs, *changes, document=FIRST)


def errors(reading):
    return [(problem.rule, problem.path) for problem in reading.problems if problem.level is Level.ERROR]


def test_an_alert_of_1_1_says_what_it_says_in_1_2():
    reading = read(SECOND.encode(), terms=ANY)

    assert reading.accepted, reading.problems
    assert reading.version == "1.1"
    assert reading.alert == read(BASE.encode()).alert
    assert [(problem.rule, problem.line) for problem in reading.problems] == [("NS-OLD", 2)]


def test_an_alert_of_1_0_has_its_pairs_taken_apart():
    reading = read(first(), terms=ANY)

    assert reading.accepted, reading.problems
    assert reading.version == "1.0"
    assert reading.alert.infos[0].event_codes == (ValuePair("KIND", "missing"),)
    assert reading.alert.infos[0].areas[0].geocodes == (ValuePair("NIS5", "55085"),)


def test_a_certainty_of_1_0_counts_as_likely():
    assert read(first(("Likely", "Very Likely")), terms=ANY).alert.infos[0].certainty is Certainty.LIKELY
    assert errors(read(changed(("Likely", "Very Likely")), terms=ANY))


def test_the_password_of_1_0_is_dropped():
    reading = read(first(("<scope>", "<password>x</password><scope>")), terms=ANY)

    assert reading.accepted, reading.problems
    assert "password" not in repr(reading.alert)


def test_what_1_2_wants_is_filled_in_where_it_adds_no_meaning():
    bare = first(
        ("<category>Safety</category>", ""),
        ("<category>Rescue</category>", ""),
        ("<mimeType>image/png</mimeType>", ""),
    )

    info = read(bare, terms=ANY).alert.infos[0]

    assert info.categories == ("Other",)
    assert info.resources[0].mime_type == "application/octet-stream"


def test_a_missing_scope_is_not_guessed():
    assert errors(read(first(("<scope>Public</scope>", "")), terms=ANY))[0][0] == "XSD"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2026-05-11T19:40:00Z", "2026-05-11T21:40:00+02:00"),
        ("2026-05-11T21:40:00.125+02:00", "2026-05-11T21:40:00+02:00"),
    ],
)
def test_an_older_time_may_have_a_letter_and_parts_of_a_second(written, meant):
    reading = read(element("sent", written, SECOND), terms=ANY)

    assert reading.accepted, reading.problems
    assert reading.alert.sent == read(element("sent", meant)).alert.sent
    assert not read(element("sent", written), terms=ANY).accepted


def test_an_older_time_without_an_offset_is_no_instant():
    assert ("DT-FORM", "/alert/sent") in errors(read(element("sent", "2026-05-11T21:40:00", SECOND), terms=ANY))


@pytest.mark.parametrize(("document", "version"), [(SECOND.encode(), "1.1"), (first(), "1.0"), (BASE.encode(), "1.2")])
def test_a_version_outside_the_terms_is_refused_by_its_name(document, version):
    reading = read(document, terms=ReadingTerms(versions=frozenset({"1.2"} if version != "1.2" else {"1.1", "1.2"})))

    assert reading.accepted is (version == "1.2")
    if version != "1.2":
        assert (reading.version, errors(reading)) == (version, [("NS", "/")])


def test_the_limits_hold_for_older_versions_too():
    reading = read(changed((INFO, INFO * 3)).replace(CAP_12.encode(), CAP_11.encode()), Limits(max_infos=2), ANY)

    assert [problem.rule for problem in reading.problems] == ["XML-LIMIT"]
    assert reading.alert is None


def test_faults_of_older_documents_are_told_at_their_lines():
    reading = read(changed(("Severe", "Bad"), document=SECOND), terms=ANY)

    assert [(p.rule, p.path, p.line) for p in reading.problems if p.level is Level.ERROR] == [
        ("XSD", "/alert/info[1]/severity", 17)
    ]


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the collection of real alerts is not beside this repository")
def test_the_examples_of_the_older_standards_are_all_accepted():
    files = sorted(SAMPLES.glob("oasiscap/v1dot[01]*"))

    refused = {file.name: errors(read(file.read_bytes(), terms=ANY)) for file in files}

    assert len(files) == 8
    assert not any(refused.values()), refused


# ---- policies --------------------------------------------------------------------------------------------------


def test_a_policy_of_ours_warns_and_refuses_where_that_is_agreed_with_a_sender():
    document = element("ceiling", "10")
    usual, strict = read(document), read(document, terms=ReadingTerms(strict=frozenset({"G-ALT-ORDER"})))

    assert usual.accepted
    assert not strict.accepted
    for reading, level in ((usual, Level.WARNING), (strict, Level.ERROR)):
        assert [(problem.rule, problem.level) for problem in reading.problems] == [("G-ALT-ORDER", level)]


def test_no_policy_of_ours_refuses_by_itself():
    assert [rule.id for rule in RULES if rule.id in POLICIES and rule.level is Level.ERROR] == []


@pytest.mark.parametrize("kind", ["relaxed", "strict"])
@pytest.mark.parametrize("rule", ["A-SCOPE-RESTR", "XML-DTD", "XML-LIMIT", "S-CHILD", "NS", "no rule"])
def test_neither_the_standard_nor_safety_is_agreed_on(kind, rule):
    assert rule not in POLICIES
    with pytest.raises(ValueError, match=rule):
        ReadingTerms(**{kind: frozenset({rule})})


def test_terms_name_only_versions_there_are():
    with pytest.raises(ValueError, match=r"2\.0"):
        ReadingTerms(versions=frozenset({"2.0"}))
