"""A part at fault is left out and told, and the alert holds; what leaves open what is said, or to whom, refuses."""

import pytest

from cap import Level, MsgType, ReadingTerms, read, write
from cap.droppable_parts import UNTYPED
from cap.profile import profile
from tests.cap.documents import BASE, INFO, POLYGON, SIGNATURE, TRIPLE, changed, element, inserted

CATEGORIES = "    <category>Safety</category>\n    <category>Rescue</category>\n"
ON_RESOURCE = "    </resource>"
GOOD = POLYGON.replace("50.", "51.")
SECOND = INFO.replace("fr-BE", "nl-BE").replace("Personne disparue", "Vermiste persoon")


def cancel(info: str = "") -> bytes:
    return changed((INFO, f"<references>{TRIPLE}</references>{info}"), ("<msgType>Alert", "<msgType>Cancel"))


def polygons(*rings: str) -> bytes:
    return changed((POLYGON, "</polygon><polygon>".join(rings)))


def left_out(reading) -> set[tuple[str, str]]:
    return {(problem.rule, problem.path) for problem in reading.problems if problem.left_out}


AREA = "/alert/info[1]/area[1]"
RESOURCE = "/alert/info[1]/resource[1]"
PARTS = {
    "an empty polygon": ("G-EMPTY", f"{AREA}/polygon[1]", element("polygon", " \n")),
    "an empty circle": ("G-EMPTY", f"{AREA}/circle[1]", element("circle", "")),
    "an empty geocode": (
        "G-EMPTY",
        f"{AREA}/geocode[1]",
        changed(("<geocode><valueName>NIS5</valueName><value>55085</value></geocode>", "<geocode/>")),
    ),
    "a geocode of blanks": (
        "I-VN",
        f"{AREA}/geocode[1]/valueName",
        element("valueName", " ", BASE.replace("NIS5", "")),
    ),
    "an empty onset": ("G-EMPTY", "/alert/info[1]/onset", element("onset", "")),
    "an empty expires": ("G-EMPTY", "/alert/info[1]/expires", element("expires", "")),
    "an empty responseType": ("G-EMPTY", "/alert/info[1]/responseType[1]", element("responseType", "")),
    "an empty altitude": ("G-EMPTY", f"{AREA}/altitude", element("altitude", "")),
    "an empty size": ("G-EMPTY", f"{RESOURCE}/size", element("size", "")),
    "an empty parameter": (
        "G-EMPTY",
        "/alert/info[1]/parameter[2]",
        inserted("<parameter/>", before="    <resource>"),
    ),
    "an empty resource": ("G-EMPTY", "/alert/info[1]/resource[2]", inserted("<resource/>", before="    <area>")),
    "one broken polygon of two": ("G-POLY-LEX", f"{AREA}/polygon[1]", polygons("51.1;3.9 x", GOOD)),
    "one open polygon of two": ("G-POLY-CLOSED", f"{AREA}/polygon[2]", polygons(GOOD, GOOD.rsplit(" ", 1)[0])),
    "one polygon off the earth": ("G-POLY-RANGE", f"{AREA}/polygon[2]", polygons(GOOD, GOOD.replace("51.", "151."))),
    "one short polygon of two": ("G-POLY-MIN4", f"{AREA}/polygon[2]", polygons(GOOD, "1,1 2,2 1,1")),
    "a web address without a scheme": ("I-WEB-ABS", "/alert/info[1]/web", element("web", "avis/17")),
    "a web address that runs": ("I-WEB-ABS", "/alert/info[1]/web", element("web", "javascript:alert(1)")),
    "a blank valueName": ("I-VN", "/alert/info[1]/eventCode[1]/valueName", element("valueName", "")),
    "a resource of a wrong type": ("R-MIME", f"{RESOURCE}/mimeType", element("mimeType", "jpeg")),
    "a resource of no size": ("R-SIZE", f"{RESOURCE}/size", element("size", "12 kB")),
    "a resource without its type": (
        "XSD",
        f"{RESOURCE}/mimeType",
        changed(("      <mimeType>image/png</mimeType>\n", "")),
    ),
    "a resource out of order": (
        "XSD",
        f"{RESOURCE}/size",
        changed(("      <size>3</size>\n", ""), ("    </resource>", "<size>3</size></resource>")),
    ),
    "a relative uri": ("R-URI", f"{RESOURCE}/uri", element("uri", "17.png")),
    "a uri that is none": ("XSD", f"{RESOURCE}/uri", element("uri", "http://[bad/%zz")),
    "content that is no base64": (
        "R-DEREF",
        f"{RESOURCE}/derefUri",
        inserted("<derefUri>?</derefUri>", before=ON_RESOURCE),
    ),
    "a digest of something else": (
        "R-DIGEST",
        f"{RESOURCE}/digest",
        inserted("<digest>x</digest>", before=ON_RESOURCE),
    ),
    "a ceiling alone": ("G-CEIL-ALT", f"{AREA}/ceiling", changed(("      <altitude>120</altitude>\n", ""))),
    "a height that is no number": ("G-ALT-LEX", f"{AREA}/altitude", element("altitude", "about 100")),
    "incidents that are not closed": (
        "A-INCID-LEX",
        "/alert/incidents",
        inserted('<incidents>"I 7</incidents>', before="  <info>"),
    ),
    "addresses that nobody is asked for": (
        "A-ADDR-LEX",
        "/alert/addresses",
        inserted('<addresses>"a b</addresses>', before="  <code>"),
    ),
    "a second language without a category": (
        "XSD",
        "/alert/info[2]/category",
        inserted(SECOND.replace(CATEGORIES, ""), before="</alert>"),
    ),
    "a second language with a time of its own making": (
        "DT-Z",
        "/alert/info[2]/expires",
        inserted(SECOND.replace("2026-05-12T06:00:00+02:00", "2026-05-12T04:00:00Z"), before="</alert>"),
    ),
}


@pytest.mark.parametrize(("rule", "path", "document"), PARTS.values(), ids=PARTS)
def test_a_part_at_fault_is_left_out_and_told(rule, path, document):
    reading = read(document)

    assert reading.accepted, reading.problems
    assert (rule, path) in left_out(reading)
    assert all(problem.text.endswith(": it is left out") for problem in reading.problems if problem.left_out)
    # What is left keeps every rule, and is what a receiver would read.
    again = read(write(reading.alert))
    assert again.alert == reading.alert
    assert not left_out(again)


REFUSED = {
    "the only polygon of an area": ("G-POLY-RANGE", element("polygon", POLYGON.replace("50.", "95."))),
    "a broken circle alone": ("G-CIRC-LEX", element("circle", "50.1 4.2")),
    "both polygons of an area": ("G-POLY-CLOSED", polygons("1,1 1,2 2,2 2,1", "1,1 1,2 2,2 2,1")),
    "an area without a description": ("XSD", changed(("      <areaDesc>Le bois et ses abords</areaDesc>\n", ""))),
    "elements of an area out of order": (
        "XSD",
        changed(
            (f"      <polygon>{POLYGON}</polygon>\n", ""),
            ("      <altitude>", f"<polygon>{POLYGON}</polygon><altitude>"),
        ),
    ),
    "an expires that cannot be read": ("DT-FORM", element("expires", "tomorrow")),
    "a blank description and nowhere": (
        "G-DESC",
        changed((INFO[INFO.index("    <area>") : INFO.index("    </area>")], "    <area><areaDesc> </areaDesc>")),
    ),
    "another text in the first language": (
        "XSD",
        inserted(INFO.replace(CATEGORIES, ""), before="</alert>"),
    ),
    "the first language": (
        "XSD",
        inserted(SECOND, before="</alert>", document=BASE.replace("<severity>Severe", "<severity>Bad")),
    ),
    "references of an Update": (
        "A-REFS-LEX",
        changed(("<msgType>Alert", "<msgType>Update"), ("  <info>", "<references>x</references><info>")),
    ),
    "addresses of a Private alert": (
        "A-ADDR-LEX",
        inserted('<addresses>"a b</addresses>', before="  <code>", document=BASE.replace("Public", "Private")),
    ),
    "a signature in the wrong place": ("S-PLACE", inserted(SIGNATURE, before="  <info>")),
}


@pytest.mark.parametrize(("rule", "document"), REFUSED.values(), ids=REFUSED)
def test_what_leaves_open_what_is_said_or_to_whom_refuses(rule, document):
    reading = read(document)

    assert not reading.accepted
    assert rule in {problem.rule for problem in reading.problems if problem.level is Level.ERROR}


def test_of_several_shapes_the_good_ones_stay_under_their_numbers():
    reading = read(polygons("", GOOD, "x", POLYGON))

    assert [len(area.polygons) for area in reading.alert.infos[0].areas] == [2]
    assert left_out(reading) == {("G-EMPTY", f"{AREA}/polygon[1]"), ("G-POLY-LEX", f"{AREA}/polygon[3]")}


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (("Le bois et ses abords", " "), "the description is blank, and the polygon says where"),
        (("Personne disparue", ""), "the event is blank, and the headline says what happens"),
    ],
)
def test_a_blank_text_warns_where_another_says_the_same(change, text):
    reading = read(changed(change))

    assert reading.accepted
    assert [(problem.level, problem.text) for problem in reading.problems] == [(Level.WARNING, text)]


def test_a_resource_without_a_usable_type_is_a_file_of_bytes():
    (resource,) = read(element("mimeType", "jpeg")).alert.infos[0].resources

    assert (resource.mime_type, resource.uri) == (UNTYPED, "https://zone-a.example/17.png")


@pytest.mark.parametrize(
    "info",
    [
        INFO.replace("<severity>Severe", "<severity>Bad"),
        INFO.replace("2026-05-12T06:00:00+02:00", "tomorrow"),
        INFO.replace("<event>Personne disparue</event>", "<event/>").replace("Un homme de 71 ans, parti à pied", ""),
        INFO.replace("    <urgency>Expected</urgency>\n", ""),
    ],
)
def test_a_cancel_ends_what_it_names_whatever_its_info_says(info):
    reading = read(cancel(info))

    assert reading.accepted, reading.problems
    assert reading.alert.msg_type is MsgType.CANCEL
    assert read(write(reading.alert)).accepted


def test_a_cancel_keeps_what_is_well_in_its_info():
    reading = read(cancel(INFO.replace(POLYGON, "1;1")))

    assert reading.accepted
    assert reading.alert.infos[0].headline.startswith("Un homme")
    assert reading.alert.infos[0].areas[0].polygons == ()


@pytest.mark.parametrize("document", [cancel().replace(b",2026-05-11", b";2026"), cancel().replace(b"Public", b"Pub")])
def test_a_cancel_is_refused_for_its_form(document):
    assert not read(document).accepted


def test_what_a_profile_asks_of_a_part_is_not_left_out():
    document = changed(("55085", "x"))

    assert read(document).accepted
    assert not read(document, terms=ReadingTerms(profiles=(profile("be-plp"),))).accepted


def test_an_alert_without_an_info_is_read_and_told():
    reading = read(changed((INFO, "")))

    assert reading.accepted
    assert [(problem.rule, problem.level) for problem in reading.problems] == [("I-REQ", Level.WARNING)]


def test_a_text_in_a_second_language_without_an_area_is_about_the_areas_of_the_first():
    bare = SECOND[: SECOND.index("    <area>")] + "  </info>\n"
    alert = read(inserted(bare, before="</alert>")).alert

    french, dutch = alert.infos
    assert dutch.areas == ()
    assert alert.areas_of(dutch) == french.areas
    assert alert.areas_of(french) == french.areas
