"""Documents that other programs could not read, or refused, as their users reported them: what is in them, and what is
said of it. A small document stands for each report; where it came from is named beside it.
"""

import json
from dataclasses import dataclass

import pytest

from cap import Alert, Level, MsgType, read
from cap.edxl import unwrap
from cap.geojson import to_geojson
from cap.limits import Limits

SQUARE = "<area><areaDesc>Testgebied</areaDesc><polygon>51.0,4.0 51.0,4.1 51.1,4.1 51.1,4.0 51.0,4.0</polygon></area>"
BEFORE = "2026-02-02T10:00:00+01:00"
SENT, LATER = "2026-03-02T10:00:00+01:00", "2026-03-02T20:00:00+01:00"


def info(
    more: str = "", area: str = SQUARE, *, language: str = "en-GB", times: str = f"<expires>{LATER}</expires>",
    urgency: str = "Expected",
) -> str:  # fmt: skip
    return f"""<info><language>{language}</language><category>Met</category><event>Wind</event>
<urgency>{urgency}</urgency><severity>Severe</severity><certainty>Likely</certainty>{times}
<headline>Strong wind</headline>{more}{area}</info>"""


def document(infos: str, *, name: str = "TEST-1", msg_type: str = "Alert", before: str = "", after: str = "") -> bytes:
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<alert xmlns="urn:oasis:names:tc:emergency:cap:1.2"><identifier>{name}</identifier><sender>duty@example.org</sender>
<sent>{SENT}</sent><status>Actual</status><msgType>{msg_type}</msgType><scope>Public</scope>{before}{infos}{after}</alert>
""".encode()


def references(*names: str, sent: str = "2026-03-02T09:00:00+01:00") -> str:
    return f"<references>{' '.join(f'duty@example.org,{name},{sent}' for name in names)}</references>"


def area(inside: str, description: str = "T") -> str:
    return f"<area><areaDesc>{description}</areaDesc>{inside}</area>"


AUDIO = """<resource><resourceDesc>Broadcast audio</resourceDesc><mimeType>audio/mpeg</mimeType><size>5</size>
<derefUri>aGVsbG8=</derefUri><digest>{}</digest></resource>"""
WARD = "<geocode><valueName>W</valueName><value>1</value></geocode>"


@dataclass(frozen=True, slots=True)
class Taken:
    document: bytes
    told: str = ""
    """The rules of which something is said, the first of them so and at this level."""
    level: Level = Level.WARNING
    text: str = ""


TAKEN = {
    # github.com/CAPTools/CAPCollector/issues/8
    "a Cancel that ends with its own sending": Taken(
        document(info(times=f"<expires>{SENT}</expires>", urgency="Past"), msg_type="Cancel", before=references("T-0"))
    ),
    # github.com/CAPTools/CAPCollector/issues/8
    "a Cancel all of whose times are before its sending": Taken(
        document(
            info(times=f"<onset>{BEFORE}</onset><expires>{BEFORE}</expires>"),
            msg_type="Cancel",
            before=references("T-0"),
        ),
        "I-TIME-ORDER",
    ),
    # github.com/Pirate-Weather/pirateweather/issues/353, github.com/weather-gov/api/issues/15
    "an onset after the message expires": Taken(
        document(info(times=f"<onset>{SENT.replace('03-02', '03-03')}</onset><expires>{LATER}</expires>")),
        "I-ONSET-LATE",
        Level.INFORMATION,
    ),
    # github.com/VE3LSR/pynaads, github.com/openbroadcaster/obplayer: NAADS sums the text, not the file
    "the digest of the base64 text": Taken(
        document(info(AUDIO.format("70db2df97b3e88c66c50ef9df98dc51de491cc7d"))),
        "R-DIGEST",
        text="the SHA-1 of the base64 text, not of the file: it is left out",
    ),
    # github.com/willglynn/oasiscap (IPAWS)
    "the digest of another file": Taken(
        document(info(AUDIO.format("da39a3ee5e6b4b0d3255bfef95601890afd80709"))), "R-DIGEST"
    ),
    "a digest by SHA-256": Taken(
        document(info(AUDIO.format("2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"))), "R-DIGEST"
    ),
    # github.com/farrel/RCAP/pull/1, github.com/KDE/kweathercore
    "an empty polygon beside a code": Taken(document(info(area=area(f"<polygon></polygon>{WARD}"))), "G-EMPTY"),
    "an empty circle beside a polygon": Taken(
        document(info(area=SQUARE.replace("</area>", "<circle/></area>"))), "G-EMPTY"
    ),
    # A national service sends it with every alert
    "an empty description of an area beside its polygon": Taken(
        document(info(area=SQUARE.replace("Testgebied", ""))), "G-DESC"
    ),
    # github.com/jdemaeyer/brightsky/issues/163
    "a second language that leaves `effective` to mean `sent`": Taken(
        document(
            info(language="es-ES", times=f"<effective>{SENT}</effective><expires>{LATER}</expires>")
            + info(times=f"<expires>{LATER}</expires>")
        )
    ),
    # github.com/jdemaeyer/brightsky: the Deutscher Wetterdienst has 8 languages, 1,352 areas, 9,809 elements
    "eight languages with 169 areas each, heights before codes": Taken(
        document(
            "".join(
                info(language=language, area=area(f"<altitude>0</altitude><ceiling>1</ceiling>{WARD}", "x") * 169)
                for language in ("de", "en", "es", "fr", "nl", "pl", "cs", "da")
            )
        ),
        "XSD G-GEO-PLUS",
        text="geocode stands behind altitude",
    ),
    # github.com/alphagov/notifications-api/pull/3461
    "a Cancel that names two alerts": Taken(document("", msg_type="Cancel", before=references("C-1", "C-2"))),
    # github.com/google/cap-library/issues/38, github.com/KDE/kweathercore (Macau's all-clear of 2025)
    "a message that refers to itself": Taken(
        document(info(), msg_type="Update", before=references("TEST-1", sent=SENT)), "A-REFS-SELF"
    ),
    # github.com/google/cap-library/issues/42
    "a circle of no radius": Taken(document(info(area=area("<circle>51.0,4.0 0.0</circle>"))), "G-CIRC-ZERO"),
    # github.com/xibosignage/xibo/issues/3742
    "an info without an area": Taken(document(info(area=""))),
    # the W3C's validator of feeds
    "words in angle brackets": Taken(document(info("<description>Park in &lt;B1&gt;.</description>")), "I-HTML"),
}


@pytest.mark.parametrize("taken", TAKEN.values(), ids=TAKEN)
def test_an_alert_that_leaves_nothing_open_is_taken_and_what_is_odd_about_it_is_told(taken: Taken):
    reading = read(taken.document)

    assert reading.accepted, reading.problems
    assert reading.alert is not None
    told = set(taken.told.split())
    assert {problem.rule for problem in reading.problems if problem.level is not Level.INFORMATION} <= told
    assert told <= {problem.rule for problem in reading.problems}
    for problem in reading.problems:
        if taken.told.startswith(problem.rule):
            assert problem.level is taken.level
            assert taken.text in problem.text


REFUSED = {
    # github.com/google/cap-library/issues/61
    "references behind the info": (
        document(info(), msg_type="Update", after=references("T-0")),
        "XSD", "/alert/references", "references stands behind info",
        "Move <references> up: it belongs before <info>.",
    ),
    # github.com/jbuitt/nwws-python-client/issues/13
    "a header before the XML": (
        b"152\n\nXOUS53 KWBC 240240\nCAPAPX\n" + document(info()),
        "XML-WF", "/", "something stands before the XML: 152 XOUS53 KWBC 240240 CAPAPX",
        "Send what begins with <?xml or <alert, and nothing before it.",
    ),
    # github.com/xibosignage/xibo/issues/3789 and 3823
    "a list": (
        b'<?xml version="1.0"?><alerts/>',
        "NS", "/", "this is a list, <alerts>; alerts in it: 0", "Send each <alert> by itself.",
    ),
    "an area that nobody can find": (
        document(info(area="<area><areaDesc/></area>")),
        "G-DESC", "/alert/info[1]/area[1]/areaDesc", "the description is blank", "Say in words where it is.",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("document", "rule", "path", "text", "remedy"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused_is_told_by_its_cause(document: bytes, rule: str, path: str, text: str, remedy: str):
    reading = read(document)
    [problem, *_] = [problem for problem in reading.problems if problem.level is Level.ERROR]

    assert not reading.accepted
    assert (problem.rule, problem.path, problem.remedy) == (rule, path, remedy)
    assert problem.text == text


# github.com/TeamnetGroup/cap-net: the standard, its drafts and its examples write it in five ways
@pytest.mark.parametrize(
    ("object_", "content", "inner"),
    [
        ("ContentObject", "ContentXML", "EmbeddedXMLContent"),
        ("ContentObject", "ContentXML", "embeddedXMLContent"),
        ("contentObject", "contentXML", "embeddedXMLContent"),
        ("contentObject", "xmlContent", "embeddedXMLContent"),
        ("ContentObject", "XMLContent", "EmbeddedXMLContent"),
    ],
)
def test_an_envelope_is_opened_however_its_version_spells_it(object_: str, content: str, inner: str):
    alert = document(info()).partition(b"?>")[2].decode()
    envelope = f"""<EDXLDistribution xmlns="urn:oasis:names:tc:emergency:EDXL:DE:2.0"><Content><{object_}><{content}>
<{inner}>{alert}</{inner}></{content}></{object_}></Content></EDXLDistribution>""".encode()

    opened = unwrap(envelope)

    assert opened is not None
    [enclosed] = opened.alerts
    assert read(enclosed.document).accepted


def _features(raw: bytes) -> list[dict[str, object]]:
    alert = read(raw).alert
    assert isinstance(alert, Alert)
    return list(json.loads(to_geojson([alert]))["features"])


def test_a_circle_of_no_radius_is_a_point_on_a_map():
    [feature] = _features(TAKEN["a circle of no radius"].document)

    assert feature["geometry"] == {"type": "Point", "coordinates": [4.0, 51.0]}


def test_an_alert_without_an_area_is_shown_to_hold_nowhere():
    [feature] = _features(TAKEN["an info without an area"].document)

    assert feature["geometry"] is None


def test_two_alerts_on_one_place_are_two():
    """github.com/vingerha/gtfs2/issues/146"""
    ids = [feature["id"] for name in ("G-1", "G-2") for feature in _features(document(info(), name=name))]

    assert len(set(ids)) == 2


def test_a_cancel_keeps_its_kind_and_all_that_it_ends():
    alert = read(TAKEN["a Cancel that names two alerts"].document).alert

    assert alert is not None
    assert alert.msg_type is MsgType.CANCEL
    assert [reference.identifier for reference in alert.references] == ["C-1", "C-2"]


def test_the_largest_of_them_is_beyond_a_limit_only_where_one_is_set_lower():
    raw = TAKEN["eight languages with 169 areas each, heights before codes"].document

    [problem] = read(raw, Limits(max_elements=9_000)).problems

    assert (problem.rule, problem.level) == ("XML-LIMIT", Level.ERROR)
    assert "9000" in problem.text.replace(",", "")
