"""No bytes and no text make the reader raise, and what it accepts is complete."""

from hypothesis import given, settings
from hypothesis import strategies as st

from cap import Alert, Level, read, write
from tests.cap.documents import BASE

ENCODED = BASE.encode()
NAMES = ("identifier", "sender", "sent", "scope", "msgType", "code", "language", "event", "urgency", "effective", "web")
NAMES += ("headline", "parameter", "mimeType", "size", "uri", "areaDesc", "polygon", "circle", "value", "altitude")
LISTS = ("addresses", "references", "incidents", "note", "restriction")

# Text as people and programs get it wrong: pieces of good values, separators, quotes, spaces of many kinds.
PIECES = st.sampled_from(
    [
        *("50.45", "4.1", "-180", "1e5", "NaN", "inf", "_", ",", ";", " ", "\n", "\t", "\u00a0", '"', "&lt;", "&amp;"),
        *(
            "2026-05-11T21:40:00+02:00",
            "2026-02-30T24:00:00-00:00",
            "Z",
            "Actual",
            "Private",
            "Update",
            "a@b",
            "x",
            "é",
        ),
        *("0" * 400, "9999-12-31T24:00:00-14:00", "0001-01-01T00:00:00+14:00", "<b/>", "<!-- -->", "<![CDATA[<]]>"),
    ]
)
TEXTS = st.lists(PIECES, max_size=12).map("".join)


def holds(reading):
    """What is true of every reading, whatever was read."""
    assert reading.accepted or any(problem.level is Level.ERROR for problem in reading.problems)
    for problem in reading.problems:
        assert problem.text
        assert problem.path.startswith("/")
        assert problem.line is None or problem.line > 0
    if reading.alert is not None:
        assert_complete(reading.alert)


def assert_complete(alert: Alert):
    assert None not in (alert.sent, alert.status, alert.msg_type, alert.scope)
    assert alert.sent.utcoffset() is not None
    for info in alert.infos:
        assert info.categories
        assert None not in (info.urgency, info.severity, info.certainty, *info.categories, *info.response_types)


@settings(deadline=None)  # the first refused document loads xmlschema
@given(st.binary(max_size=300))
def test_any_bytes_are_answered(document):
    reading = read(document)

    assert not reading.accepted
    holds(reading)


@settings(deadline=None)  # the first refused document loads xmlschema
@given(st.data())
def test_a_document_with_bytes_changed_is_answered(data):
    document = bytearray(ENCODED)
    for _ in range(data.draw(st.integers(1, 8))):
        place = data.draw(st.integers(0, len(document) - 1))
        size = data.draw(st.sampled_from([0, 1, 1, 2, 40]))
        document[place : place + size] = data.draw(st.binary(max_size=6))

    holds(read(bytes(document)))


@settings(deadline=None)  # the first refused document loads xmlschema
@given(st.data())
def test_a_document_with_elements_moved_doubled_or_dropped_is_answered(data):
    lines = BASE.splitlines()
    for _ in range(data.draw(st.integers(1, 5))):
        line = lines.pop(data.draw(st.integers(1, len(lines) - 1)))
        for _ in range(data.draw(st.integers(0, 2))):
            lines.insert(data.draw(st.integers(1, len(lines) - 1)), line)

    holds(read("\n".join(lines).encode()))


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(NAMES), TEXTS)
def test_any_text_in_any_element_is_answered(name, text):
    start = BASE.index(f"<{name}>") + len(name) + 2
    end = BASE.index(f"</{name}>", start)

    reading = read((BASE[:start] + text + BASE[end:]).encode())

    holds(reading)
    if reading.accepted:
        assert read(write(reading.alert)).alert == reading.alert


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from(LISTS), TEXTS), st.sampled_from(["Public", "Private", "Restricted"]))
def test_any_text_in_the_lists_is_answered(texts, scope):
    order = ("restriction", "addresses", "note", "references", "incidents")
    elements = {name: f"<{name}>{texts[name]}</{name}>" for name in order if name in texts}
    before = elements.pop("restriction", "") + elements.pop("addresses", "")
    document = BASE.replace("<scope>Public</scope>", f"<scope>{scope}</scope>{before}")
    document = document.replace("  <info>", "".join(elements.values()) + "  <info>", 1)

    reading = read(document.encode())

    holds(reading)
    if reading.accepted:
        assert read(write(reading.alert)).alert == reading.alert
