"""What a reading gives back: the values of the model, and problems that an author can find."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from lxml import etree

from cap import (
    Alert,
    Area,
    Category,
    Certainty,
    Circle,
    Info,
    Level,
    Limits,
    MsgType,
    Reference,
    Resource,
    ResponseType,
    Scope,
    Severity,
    Status,
    Urgency,
    ValuePair,
    read,
    rules,
)
from cap.locate import Paths, path_of
from cap.read import MOST_PROBLEMS
from tests.cap.documents import BASE, INFO, POLYGON, TRIPLE, changed, element, inserted

BRUSSELS = timezone(timedelta(hours=2))


def problems(document):
    return [(problem.rule, problem.path, problem.line) for problem in read(document).problems]


def test_every_element_of_a_document_becomes_a_typed_value():
    alert = read(BASE.encode()).alert

    assert alert == Alert(
        identifier="cic-042.2026:17",
        sender="dispatch@zone-a.example",
        sent=datetime(2026, 5, 11, 21, 40, tzinfo=BRUSSELS),
        status=Status.ACTUAL,
        msg_type=MsgType.ALERT,
        scope=Scope.PUBLIC,
        codes=("profile-x",),
        infos=(
            Info(
                language="fr-BE",
                categories=(Category.SAFETY, Category.RESCUE),
                event="Personne disparue",
                response_types=(ResponseType.MONITOR,),
                urgency=Urgency.EXPECTED,
                severity=Severity.SEVERE,
                certainty=Certainty.LIKELY,
                event_codes=(ValuePair("KIND", "missing"),),
                effective=datetime(2026, 5, 11, 21, 40, tzinfo=BRUSSELS),
                onset=datetime(2026, 5, 11, 20, 0, tzinfo=BRUSSELS),
                expires=datetime(2026, 5, 12, 6, 0, tzinfo=BRUSSELS),
                sender_name="Zone A",
                headline="Un homme de 71 ans, parti à pied",
                description="Veste rouge, canne.",
                instruction="Appelez le 101 si vous le voyez.",
                web="https://zone-a.example/avis/17",
                contact="101",
                parameters=(ValuePair("tocsin:kind", "alert"),),
                resources=(Resource("photo", "image/png", 3, "https://zone-a.example/17.png"),),
                areas=(
                    Area(
                        description="Le bois et ses abords",
                        polygons=(((50.45, 4.1), (50.47, 4.1), (50.47, 4.14), (50.45, 4.14), (50.45, 4.1)),),
                        circles=(Circle(50.46, 4.12, 1.5),),
                        geocodes=(ValuePair("NIS5", "55085"),),
                        altitude=120.0,
                        ceiling=300.5,
                    ),
                ),
            ),
        ),
    )


def test_a_time_keeps_the_offset_that_was_sent():
    sent = read(BASE.encode()).alert.sent

    assert sent.utcoffset() == timedelta(hours=2)
    assert sent == datetime(2026, 5, 11, 19, 40, tzinfo=UTC)


def test_the_end_of_a_day_is_the_midnight_after_it():
    alert = read(element("expires", "2026-05-12T24:00:00+02:00")).alert

    assert alert.infos[0].expires == datetime(2026, 5, 13, tzinfo=BRUSSELS)


def test_lists_come_apart_into_items():
    document = changed(
        ("<msgType>Alert", "<msgType>Update"),
        ("<scope>Public</scope>", '<scope>Private</scope><addresses> "plp:Bois du Nord" plp:Lac </addresses>'),
        ("  <info>", f'<references>\n{TRIPLE}\n</references><incidents>I-7 "I 8"</incidents>  <info>'),
    )

    alert = read(document).alert

    assert alert.addresses == ("plp:Bois du Nord", "plp:Lac")
    assert alert.incidents == ("I-7", "I 8")
    sent = datetime(2026, 5, 11, 20, 30, tzinfo=BRUSSELS)
    assert alert.references == (Reference("dispatch@zone-a.example", "cic-042.2026:16", sent),)


def test_a_comment_does_not_split_an_identifier():
    assert read(element("identifier", "SAFE<!-- x -->EVIL")).alert.identifier == "SAFEEVIL"


def test_infos_of_one_language_are_one_sequence_and_no_language_is_american_english():
    more = INFO.replace("fr-BE", "FR-be").replace("Veste", "Blouson")
    silent = INFO.replace("<language>fr-BE</language>", "")
    alert = read(inserted(more + silent, before="</alert>")).alert

    sequences = alert.infos_by_language()

    assert sequences == {"fr-BE": (alert.infos[0], alert.infos[1]), "en-US": (alert.infos[2],)}


def test_all_faults_are_listed_and_each_has_the_line_it_is_on():
    document = changed(
        ("<sent>2026-05-11T21:40:00+02:00</sent>", "<sent>yesterday</sent>"),
        ("Actual", "Live"),
        ("<event>Personne disparue</event>", "<event/>"),
        ("<severity>Severe", "<severity>Bad"),
        (POLYGON, POLYGON + ";"),
        ("    <contact>101</contact>\n", "    <phone>101</phone>\n"),
    )

    assert problems(document) == [
        ("DT-FORM", "/alert/sent", 5),
        ("XSD", "/alert/status", 6),
        ("I-EVENT", "/alert/info[1]/event", 14),
        ("XSD", "/alert/info[1]/severity", 17),
        ("XSD", "/alert/info[1]/phone", 28),
        ("G-POLY-LEX", "/alert/info[1]/area[1]/polygon[1]", 38),
    ]
    assert read(document).alert is None


def test_a_path_counts_among_elements_of_one_name():
    area = BASE[BASE.index("    <area>") : BASE.index("  </info>")]
    broken = area.replace("<circle>50.46,4.12 1.5</circle>", "<circle>50.46,4.12 1</circle><circle>95,4.12 1</circle>")

    assert problems(changed((area, area + broken))) == [("G-CIRC-RANGE", "/alert/info[1]/area[2]/circle[2]", 47)]


def test_a_missing_element_is_named_at_the_line_of_its_parent():
    assert problems(element("scope", "Private")) == [("A-SCOPE-ADDR", "/alert/addresses", 2)]


@pytest.mark.parametrize("namespace", ["", "u:other"])
def test_an_element_of_another_namespace_is_told_even_where_a_rule_misses_its_own(namespace):
    problems = read(changed(("<event>", f'<event xmlns="{namespace}">'))).problems

    told = {problem.rule: problem.text for problem in problems if problem.path == "/alert/info[1]/event"}
    assert told["XSD"] == f"event is in {namespace or 'no namespace'}, and not in that of CAP 1.2"


def test_a_problem_says_what_stood_there_and_how_to_mend_it():
    (problem,) = read(element("polygon", POLYGON.replace("50.47,", "50°28',", 1))).problems

    assert problem.level is Level.ERROR
    assert problem.section == "3.2.4 polygon"
    assert problem.text == "point 2 is not written lat,lon in plain decimals"
    assert problem.value == "50°28',4.10"
    assert "51.10,3.98" in problem.remedy


def test_an_alert_that_only_breaks_a_rule_can_still_be_named_in_the_answer():
    reading = read(element("scope", "Private"))

    assert not reading.accepted
    assert reading.alert.reference == Reference("dispatch@zone-a.example", "cic-042.2026:17", reading.alert.sent)


@pytest.mark.parametrize(
    ("namespace", "version"),
    [("urn:oasis:names:tc:emergency:cap:1.1", "CAP 1.1"), ("http://www.incident.com/cap/1.0", "CAP 1.0")],
)
def test_another_version_is_refused_by_its_name(namespace, version):
    reading = read(changed(("urn:oasis:names:tc:emergency:cap:1.2", namespace)))

    assert reading.alert is None
    assert [(problem.rule, version in problem.text) for problem in reading.problems] == [("NS", True)]


AREA = "<area><areaDesc>a</areaDesc></area>"


@pytest.mark.parametrize(
    ("limits", "document"),
    [
        (Limits(max_bytes=len(BASE.encode()) - 1), BASE.encode()),
        (Limits(max_elements=40), BASE.encode()),
        (Limits(max_children=20), BASE.encode()),
        (Limits(max_attributes=2), changed(("<event>", '<event a="1" b="2" c="3">'))),
        (Limits(max_infos=1), inserted(INFO, before="</alert>")),
        (Limits(max_areas=2), inserted(AREA * 2, before="    <area>")),
        (Limits(max_points=4), BASE.encode()),
        (Limits(max_points=4), changed((POLYGON, POLYGON.replace(",", "&#44;")))),
        (Limits(max_list_chars=20), inserted("<incidents>a b c d e f g h i j k l m n</incidents>", before="  <info>")),
    ],
)
def test_a_document_beyond_a_limit_is_refused_unread(limits, document):
    reading = read(document, limits)

    assert [problem.rule for problem in reading.problems] == ["XML-LIMIT"]
    assert reading.alert is None


def test_a_document_within_every_limit_by_one_is_read():
    assert read(BASE.encode(), Limits(max_bytes=len(BASE.encode()), max_infos=1, max_areas=1, max_points=5)).accepted


def test_a_hostile_document_is_told_of_its_errors_first_and_that_there_are_more():
    reading = read(changed((POLYGON, "</polygon><polygon>".join(["0,0 1,1 1,0 0,1 0,0"] * 300 + ["0,0 0,1"]))))

    rules = [problem.rule for problem in reading.problems]
    assert len(rules) == 201
    assert {"G-POLY-MIN4", "G-POLY-CLOSED", "MORE"} <= set(rules)
    assert rules[-1] == "MORE"


@pytest.mark.parametrize("odd", ["<Signature/>", "<Urgency/>", "<polygon/>", "<parameter/>tail"])
def test_what_is_amiss_in_one_element_is_told_once_however_many_faults_lead_there(odd, monkeypatch):
    """Each fault of the schema leads to all that is amiss beside it: a hundred faults, and the same five hundred."""
    made = 0

    def counted(*args, **facts):
        nonlocal made
        made += 1
        return problem(*args, **facts)

    problem = rules.problem
    monkeypatch.setattr(rules, "problem", counted)
    document = inserted(odd * 500, before="</info>")

    reading = read(document)

    assert not reading.accepted
    assert reading.problems[-1].rule == "MORE"
    assert made < 3 * MOST_PROBLEMS


def test_the_paths_of_many_are_those_of_each():
    root = etree.fromstring(b"<a><b/><c/><b><d/><area/></b><area/></a>")
    paths = Paths()

    assert [paths.of(element) for element in root.iter()] == [path_of(element) for element in root.iter()]
