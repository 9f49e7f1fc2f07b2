"""What a refused document is told names the cause: what it is, what belongs where, which figure is too large."""

import pytest

from cap import Level, Limits, read
from cap.names import ATOM, CAP_11
from cap.translations import LANGUAGES, translated
from tests.cap.documents import BASE, INFO, POLYGON, changed, element, inserted

ALERT = BASE.partition("?>")[2].strip()
ENVELOPE = f"""<EDXLDistribution xmlns="urn:oasis:names:tc:emergency:EDXL:DE:1.0"><contentObject><xmlContent>
<embeddedXMLContent>{ALERT}</embeddedXMLContent></xmlContent></contentObject></EDXLDistribution>"""


def told(document: bytes | str, rule: str) -> tuple[str, str]:
    raw = document.encode() if isinstance(document, str) else document
    problem = next(problem for problem in read(raw).problems if problem.rule == rule)
    return problem.text, problem.remedy


XML = {
    "a header": ("152 \nXOUS53 KWBC\n" + BASE, "something stands before the XML: 152 XOUS53 KWBC"),
    "a blank line before the declaration": ("\n" + BASE, "something stands before the XML: white space"),
    "a second document": (BASE + "<alert/>", "something stands behind the end of the document"),
    "nothing": ("  ", "there is nothing"),
    "JSON": ('{"alert": "<b>"}', "this is JSON"),
    "base64": ("PD94bWwg", "this is no XML: PD94bWwg"),
    "a bare ampersand": (BASE.replace("Veste rouge", "Veste & canne"), "an & stands alone"),
    "an entity of HTML": (BASE.replace("Veste rouge", "Veste&nbsp;rouge"), "XML does not know &nbsp;"),
    "a tag that is not closed": (BASE.replace("</event>", ""), "a tag is not closed, or another one is:"),
    "a prefix of nobody": (BASE.replace("<code>", "<x:code/><code>"), "the prefix x is not declared"),
    "bytes of another encoding": (
        BASE.encode("latin-1"),
        "there are bytes that are no characters of its encoding",
    ),
    "a control character": (BASE.replace("Veste", "\x07"), "there is a character that XML cannot hold"),
}


@pytest.mark.parametrize(("document", "text"), XML.values(), ids=XML)
def test_what_is_no_xml_is_told_by_its_cause(document, text):
    assert told(document, "XML-WF")[0].startswith(text)


OTHER_THINGS = {
    "an Atom feed": (f'<feed xmlns="{ATOM}"><entry/></feed>', "NS", "this is a feed (Atom), not an alert"),
    "an RSS feed": ('<rss version="2.0"><channel/></rss>', "NS", "this is a feed (RSS), not an alert"),
    "an empty list": ("<alerts/>", "NS", "this is a list, <alerts>; alerts in it: 0"),
    "a list": (f"<all>{ALERT}{ALERT}</all>", "NS", "this is a list, <all>; alerts in it: 2"),
    "a list in the namespace of CAP": (
        BASE.replace("<alert ", "<alerts ").replace("</alert>", f"{ALERT}</alerts>"),
        "ROOT",
        "this is a list, <alerts>; alerts in it: 1",
    ),
    "an envelope": (ENVELOPE, "NS", "this is an EDXL-DE 1.0 envelope; alerts in it: 1"),
    "another wrapper": (f"<soap><body>{ALERT}</body></soap>", "NS", "the alert stands inside of <soap>"),
    "a page": ("<html><body/></html>", "NS", "this is a web page"),
    "an older version": (
        BASE.replace("urn:oasis:names:tc:emergency:cap:1.2", CAP_11),
        "NS",
        "this is CAP 1.1, which is not read from this sender",
    ),
    "no namespace": (
        BASE.replace(' xmlns="urn:oasis:names:tc:emergency:cap:1.2"', ""),
        "NS",
        "the document element is alert in no namespace",
    ),
    "capital letters": (
        BASE.replace("<alert ", "<Alert ").replace("</alert>", "</Alert>"),
        "ROOT",
        "the document element is <Alert>",
    ),
    "something else": ("<note/>", "NS", "the document element is <note>, which is none of CAP"),
}


@pytest.mark.parametrize(("document", "rule", "text"), OTHER_THINGS.values(), ids=OTHER_THINGS)
def test_what_is_no_alert_is_told_as_what_it_is(document, rule, text):
    reading = read(document.encode())

    assert [(problem.rule, problem.text) for problem in reading.problems] == [(rule, text)]


REFERENCES = "<references>a@b.example,c,2026-05-11T20:30:00+02:00</references>"
ELEMENTS = {
    "references behind info": (
        inserted(REFERENCES, before="</alert>"),
        "/alert/references",
        ("references stands behind info", "Move <references> up: it belongs before <info>."),
    ),
    "info before everything": (
        changed((INFO, ""), ("  <identifier>", INFO + "  <identifier>")),
        "/alert/info[1]",
        ("info stands before code", "Move <info> down: it belongs behind <code>."),
    ),
    "a geocode before the polygon": (
        changed(
            (f"      <polygon>{POLYGON}</polygon>\n", ""),
            ("      <altitude>", f"<polygon>{POLYGON}</polygon><altitude>"),
        ),
        "/alert/info[1]/area[1]/polygon[1]",
        ("polygon stands behind circle", "Move <polygon> up: it belongs before <circle>."),
    ),
    "an element of the area in the info": (
        inserted("<polygon>1,1 1,2 2,2 1,1</polygon>", before="    <area>"),
        "/alert/info[1]/polygon[1]",
        ("polygon stands in info", "Move <polygon> into <area>."),
    ),
    "a headline in the alert": (
        inserted("<headline>x</headline>", before="  <info>"),
        "/alert/headline",
        ("headline stands in alert", "Move <headline> into <info>."),
    ),
    "a name in other letters": (
        changed(("<msgType>", "<msgtype>"), ("</msgType>", "</msgtype>")),
        "/alert/msgtype",
        ("CAP knows no msgtype in alert", "Write <msgType>."),
    ),
    "an element of nobody": (
        inserted("<colour>red</colour>", before="    <area>"),
        "/alert/info[1]/colour",
        (
            "CAP knows no colour in info",
            "Leave <colour> out; what is your own goes into a <parameter> of the info.",
        ),
    ),
    "nobody's alert": (
        changed(("  <sender>dispatch@zone-a.example</sender>\n", "")),
        "/alert/sender",
        ("alert has no sender", "Add <sender> behind <identifier>."),
    ),
    "an alert without a name": (
        changed(("  <identifier>cic-042.2026:17</identifier>\n", "")),
        "/alert/identifier",
        ("alert has no identifier", "Add <identifier> as the first element of <alert>."),
    ),
    "two events": (
        inserted("<event>x</event>", before="    <responseType>"),
        "/alert/info[1]/event[2]",
        ("event stands 2 times in info", "Keep one <event>."),
    ),
    "a word in other letters": (
        element("status", "actual"),
        "/alert/status",
        ("the status is none of the words for it: actual", "Write Actual, exactly so."),
    ),
    "a word of nobody": (
        element("scope", "Everybody"),
        "/alert/scope",
        ("the scope is none of the words for it: Everybody", "Write one of Public, Restricted, Private."),
    ),
    "a text between elements": (
        inserted("loud", before="  <code>"),
        "/alert",
        ("text stands between the elements of alert: loud", "Put the text into an element, or leave it out."),
    ),
}


@pytest.mark.parametrize(("document", "path", "said"), ELEMENTS.values(), ids=ELEMENTS)
def test_an_element_at_fault_is_told_where_it_belongs(document, path, said):
    (problem,) = (p for p in read(document).problems if p.rule == "XSD")

    assert (problem.path, (problem.text, problem.remedy)) == (path, said)


def test_as_few_elements_as_can_be_moved_are_told():
    shuffled = changed(("  <status>Actual</status>\n", ""), ("</alert>", "<status>Actual</status></alert>"))

    assert [problem.path for problem in read(shuffled).problems if problem.level is Level.ERROR] == ["/alert/status"]


@pytest.mark.parametrize(
    ("ring", "text", "remedy"),
    [
        (
            "50,180.0853 50,4 51,4 50,180.0853",
            "the longitude 180.0853 of point 1 is 0.0853 degrees beyond 180",
            "Write it as -179.9147, or check the point.",
        ),
        (
            "50,4 91.5,4 51,5 50,4",
            "point 2 has 91.5 for a latitude: its longitude seems to stand first",
            "Write latitude first, as 4.0,91.5.",
        ),
        (
            "50,4 51,4 -190.25,100 50,4",
            "the latitude -190.25 of point 3 is 100.25 degrees beyond 90",
            "Check the point: latitude first, in degrees.",
        ),
    ],
)
def test_a_figure_out_of_its_range_is_told_with_how_much(ring, text, remedy):
    assert told(element("polygon", ring), "G-POLY-RANGE") == (text, remedy)


def test_what_was_not_looked_at_is_no_fault():
    ring = " ".join(f"50.{n:05},4.{(n * 7919) % 99991:05}" for n in range(9_000))
    (problem,) = read(element("polygon", f"{ring} {ring.split()[0]}")).problems

    assert (problem.rule, problem.level, problem.cause) == ("G-POLY-SELFX", Level.INFORMATION, "unchecked")


def test_a_limit_is_told_with_its_value_in_every_language():
    (problem,) = read(BASE.encode(), Limits(max_elements=40)).problems

    assert problem.text == "more than 40 elements"
    assert all("40" in translated(problem, language).text for language in LANGUAGES)
