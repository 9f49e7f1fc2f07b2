"""Every rule of the table refuses, or remarks on, a document that breaks it and nothing else."""

import hashlib
import re

import pytest

from cap import RULES, Level, read
from tests.cap.documents import BASE, INFO, POLYGON, SIGNATURE, TRIPLE, changed, element, inserted

NAME = "urn:oasis:names:tc:emergency:cap:1.2"
FR_TO_NL = ("fr-BE", "nl-BE")


def update(references: str = f"<references>{TRIPLE}</references>", msg_type: str = "Update") -> bytes:
    return changed(("<msgType>Alert", f"<msgType>{msg_type}"), ("  <info>", f"  {references}\n  <info>"))


def private(addresses: str) -> bytes:
    return changed(("<scope>Public</scope>", f"<scope>Private</scope><addresses>{addresses}</addresses>"))


def two_languages(*changes: tuple[str, str]) -> bytes:
    other = INFO.replace(*FR_TO_NL)
    for old, new in changes:
        assert old in other
        other = other.replace(old, new, 1)
    return inserted(other, before="</alert>")


def deref(content: str, digest: str = "") -> bytes:
    more = f"<digest>{digest}</digest>" if digest else ""
    return inserted(f"<derefUri>{content}</derefUri>{more}", before="</resource>")


# Rule, the path it names, and the document.
OF_VERIFIERS = {"S-ABSENT", "S-SHAPE", "S-METHOD", "S-TRUST", "S-BROKEN"}
"""Told by `cap.signing`: no document breaks them by itself."""

NO_AREA = re.sub(r"(?s) *<area>.*</area>\n", "", INFO.replace("fr-BE", "nl-BE"))
BREACHES = [
    ("XML-WF", "/", BASE[:-12].encode()),
    ("XML-WF", "/", b""),
    ("XML-WF", "/", changed(("Zone A", "Zone & A"))),
    ("XML-DTD", "/", inserted("<!DOCTYPE alert>", before="<alert")),
    (
        "XML-DTD",
        "/",
        inserted("<!DOCTYPE alert>", before="<alert").decode().replace("UTF-8", "UTF-16").encode("utf-16"),
    ),
    ("XML-ENC", "/", BASE.replace("UTF-8", "UTF-7").encode("utf-7")),
    ("XML-ENC", "/", BASE.replace("UTF-8", "UTF-32").encode("utf-32")),
    ("XML-LIMIT", "/", BASE.encode() + b" " * 1_048_576),
    ("XML-LIMIT", "/alert/info[65]", changed((INFO, INFO * 65))),
    ("NS", "/", changed((f' xmlns="{NAME}"', ""))),
    ("NS", "/", changed((NAME, NAME[:-1] + "1"))),
    ("ROOT", "/", f'<info xmlns="{NAME}"/>'.encode()),
    ("ROOT", "/", f'<value xmlns="{NAME}">x</value>'.encode()),
    ("XSD", "/alert/sender", changed(("  <sender>dispatch@zone-a.example</sender>\n", ""))),
    ("XSD", "/alert/siren", inserted("<siren/>", before="  <code>")),
    ("XSD", "/alert/status", element("status", "actual")),
    ("XSD", "/alert/status", element("status", " Actual ")),
    ("XSD", "/alert", inserted("loud", before="  <code>")),
    ("XSD", "/alert/info[1]/event", changed(("<event>", '<event lang="fr">'))),
    ("XSD", "/alert/info[1]/category[1]", element("category", "Weather")),
    ("DT-FORM", "/alert/sent", element("sent", "2026-05-11T21:40:00")),
    ("DT-FORM", "/alert/sent", element("sent", "2026-05-11T21:40:00.5+02:00")),
    ("DT-FORM", "/alert/sent", element("sent", "2026-05-11 21:40:00+02:00")),
    ("DT-FORM", "/alert/sent", element("sent", "2026-05-11T21:40:00,02:00")),
    ("DT-FORM", "/alert/sent", element("sent", "٢٠٢٦-05-11T21:40:00+02:00")),
    ("DT-FORM", "/alert/sent", element("sent", "")),
    ("DT-Z", "/alert/info[1]/expires", element("expires", "2026-05-12T04:00:00Z")),
    ("DT-Z", "/alert/sent", element("sent", "2026-05-11T21:40:00 CEST")),
    ("DT-RANGE", "/alert/sent", element("sent", "2026-02-29T21:40:00+02:00")),
    ("DT-RANGE", "/alert/info[1]/onset", element("onset", "2026-05-11T20:00:60+02:00")),
    ("DT-RANGE", "/alert/info[1]/onset", element("onset", "2026-05-11T24:00:01+02:00")),
    ("DT-RANGE", "/alert/info[1]/onset", element("onset", "2026-05-11T20:00:00+14:01")),
    ("DT-RANGE", "/alert/info[1]/onset", element("onset", "0001-01-01T00:00:00+02:00")),
    ("DT-UTC", "/alert/info[1]/onset", element("onset", "2026-05-11T18:00:00+00:00")),
    ("A-ID-CHARS", "/alert/identifier", element("identifier", "")),
    ("A-ID-CHARS", "/alert/identifier", element("identifier", "cic 042")),
    ("A-ID-CHARS", "/alert/identifier", element("identifier", "cic,042")),
    ("A-ID-CHARS", "/alert/identifier", element("identifier", "cic&lt;042")),
    ("A-ID-CHARS", "/alert/identifier", element("identifier", "cic&#160;042")),
    ("A-ID-CHARS", "/alert/identifier", element("identifier", "cic\u200b042")),
    ("A-ID-CHARS", "/alert/identifier", element("identifier", "cic\u2066042")),
    ("A-ID-CHARS", "/alert/identifier", element("identifier", "cic\u3164042")),
    ("A-ID-CHARS", "/alert/identifier", element("identifier", "cic\ufe0f042")),
    ("A-ID-CHARS", "/alert/identifier", element("identifier", "cic\U000e0041042")),
    ("A-ID-CHARS", "/alert/identifier", element("identifier", "c" * 256)),
    ("A-SENDER-CHARS", "/alert/sender", element("sender", "zone a")),
    ("A-SENDER-CHARS", "/alert/sender", element("sender", " ")),
    ("A-EXER-NOTE", "/alert/note", element("status", "Exercise")),
    ("A-ERR-NOTE", "/alert/note", update(msg_type="Error")),
    ("A-REFS-REQ", "/alert/references", update("")),
    ("A-REFS-REQ", "/alert/references", update("<references> </references>")),
    ("A-REFS-REQ", "/alert/references", update("", "Cancel")),
    ("A-REFS-REQ", "/alert/references", update("", "Ack")),
    ("A-REFS-LEX", "/alert/references", update("<references>cic-042.2026:16</references>")),
    ("A-REFS-LEX", "/alert/references", update(f"<references>{TRIPLE},{TRIPLE}</references>")),
    ("A-REFS-LEX", "/alert/references", update("<references>a@b,,2026-05-11T20:30:00+02:00</references>")),
    ("A-REFS-LEX", "/alert/references", update("<references>a@b,c,2026-05-11T20:30:00Z</references>")),
    ("A-REFS-LEX", "/alert/references", update("<references>a\u00a0b,c,2026-05-11T20:30:00+02:00</references>")),
    (
        "A-REFS-SELF",
        "/alert/references",
        update("<references>dispatch@zone-a.example,cic-042.2026:17,2026-05-11T19:40:00-00:00</references>"),
    ),
    ("A-REFS-FUTURE", "/alert/references", update("<references>a@b,c,2026-05-11T21:40:01+02:00</references>")),
    ("A-REFS-DUP", "/alert/references", update(f"<references>{TRIPLE} {TRIPLE}</references>")),
    ("A-SCOPE-RESTR", "/alert/restriction", element("scope", "Restricted")),
    ("A-RESTR-SCOPE", "/alert/restriction", inserted("<restriction>police</restriction>", before="<code>")),
    ("A-SCOPE-ADDR", "/alert/addresses", element("scope", "Private")),
    ("A-SCOPE-ADDR", "/alert/addresses", private(" ")),
    ("A-ADDR-LEX", "/alert/addresses", private('"plp:Bois +32470')),
    ("A-ADDR-LEX", "/alert/addresses", private('plp:"Bois"')),
    ("A-ADDR-LEX", "/alert/addresses", private('"plp:A""plp:B"')),
    ("A-ADDR-LEX", "/alert/addresses", private('""')),
    ("A-INCID-LEX", "/alert/incidents", inserted('<incidents>"I 7</incidents>', before="  <info>")),
    ("I-REQ", "/alert/info", changed((INFO, ""))),
    ("I-LANG", "/alert/info[1]/language", element("language", "fr_BE")),
    ("I-LANG-ABSENT", "/alert/info[1]/language", element("language", "")),
    ("I-LANG-ABSENT", "/alert/info[1]/language", changed(("<language>fr-BE</language>", ""))),
    ("I-LANG-AREA", "/alert/info[2]", inserted(NO_AREA, before="</alert>")),
    ("I-LANG-PARITY", "/alert/info[2]", two_languages(("Severe", "Minor"))),
    ("I-LANG-PARITY", "/alert/info[2]", two_languages(("Safety", "Security"))),
    ("I-LANG-PARITY", "/alert/info[2]", two_languages(("50.46,4.12", "50.46,4.13"))),
    ("I-LANG-PARITY", "/alert/info[2]", two_languages(("06:00:00", "07:00:00"))),
    ("I-LANG-PARITY", "/alert/info[2]", two_languages(("missing", "found"))),
    ("I-EVENT", "/alert/info[1]/event", element("event", " ")),
    ("I-EVENT", "/alert/info[1]/event", element("event", "\u200b\u00a0")),
    ("I-RESP-ASSESS", "/alert/info[1]/responseType[1]", element("responseType", "Assess")),
    ("I-VN", "/alert/info[1]/eventCode[1]/valueName", element("valueName", "")),
    ("I-VN", "/alert/info[1]/area[1]/geocode[1]/valueName", changed(("NIS5", " "))),
    ("I-VN-CASE", "/alert/info[1]/eventCode[1]/valueName", element("valueName", "F.I.P.S.")),
    ("I-VN-CASE", "/alert/info[1]/area[1]/geocode[1]/valueName", changed(("NIS5", "Nis5"))),
    ("I-VN-CASE", "/alert/info[1]/area[1]/geocode[1]/valueName", changed(("NIS5", "emma_id"))),
    ("I-VN-CASE", "/alert/info[1]/area[1]/geocode[1]/valueName", changed(("NIS5", "Nuts3"))),
    ("I-EXPIRES", "/alert/info[1]/expires", changed(("<expires>2026-05-12T06:00:00+02:00</expires>", ""))),
    ("I-TIME-ORDER", "/alert/info[1]/expires", element("effective", "2026-05-12T06:00:01+02:00")),
    ("I-ONSET-LATE", "/alert/info[1]/onset", element("onset", "2026-05-12T06:00:01+02:00")),
    ("I-HEADLINE-160", "/alert/info[1]/headline", element("headline", "h" * 161)),
    ("I-WEB-ABS", "/alert/info[1]/web", element("web", "/avis/17")),
    ("I-WEB-ABS", "/alert/info[1]/web", element("web", "zone-a.example/17")),
    ("I-WEB-ABS", "/alert/info[1]/web", element("web", "javascript:alert(1)")),
    ("I-WEB-ABS", "/alert/info[1]/web", element("web", "https://[example]/17")),
    ("I-HTML", "/alert/info[1]/description", element("description", "Veste &lt;b&gt;rouge&lt;/b&gt;")),
    ("I-HTML", "/alert/info[1]/area[1]/areaDesc", element("areaDesc", "Bois &amp;amp; abords")),
    ("I-HTML", "/alert/info[1]/description", element("description", "Veste &lt;!-- rouge --&gt;")),
    ("I-HTML", "/alert/info[1]/resource[1]/resourceDesc", element("resourceDesc", "&lt;i&gt;photo&lt;/i&gt;")),
    ("I-HTML", "/alert/note", inserted("<note>a&lt;br/&gt;b</note>", before="  <info>")),
    ("R-MIME", "/alert/info[1]/resource[1]/mimeType", element("mimeType", "png")),
    ("R-MIME", "/alert/info[1]/resource[1]/mimeType", element("mimeType", "image/p ng")),
    ("R-SIZE", "/alert/info[1]/resource[1]/size", element("size", "-3")),
    ("R-SIZE", "/alert/info[1]/resource[1]/size", element("size", "9" * 5000)),
    ("R-URI", "/alert/info[1]/resource[1]/uri", element("uri", "17.png")),
    ("R-DEREF", "/alert/info[1]/resource[1]/derefUri", deref("YWJ*")),
    ("R-DIGEST", "/alert/info[1]/resource[1]/digest", inserted("<digest>abc</digest>", before="</resource>")),
    ("R-DIGEST", "/alert/info[1]/resource[1]/digest", deref("YWJj", "a" * 40)),
    ("G-DESC", "/alert/info[1]/area[1]/areaDesc", element("areaDesc", "\n")),
    ("G-DESC", "/alert/info[1]/area[1]/areaDesc", element("areaDesc", "\u2060")),
    ("G-POLY-LEX", "/alert/info[1]/area[1]/polygon[1]", element("polygon", POLYGON.replace(",4.14", ", 4.14"))),
    ("G-POLY-LEX", "/alert/info[1]/area[1]/polygon[1]", element("polygon", POLYGON.replace("50.47,", "NaN,"))),
    ("G-POLY-LEX", "/alert/info[1]/area[1]/polygon[1]", element("polygon", POLYGON.replace("50.47,", "5e1,"))),
    ("G-POLY-LEX", "/alert/info[1]/area[1]/polygon[1]", element("polygon", POLYGON.replace("50.47,", "5_0,"))),
    ("G-POLY-LEX", "/alert/info[1]/area[1]/polygon[1]", element("polygon", POLYGON.replace("50.47,", "٥٠,"))),
    ("G-POLY-LEX", "/alert/info[1]/area[1]/polygon[1]", element("polygon", POLYGON.replace(" ", "\u00a0"))),
    ("G-POLY-LEX", "/alert/info[1]/area[1]/polygon[1]", element("polygon", POLYGON + ",4.10")),
    ("G-POLY-MIN4", "/alert/info[1]/area[1]/polygon[1]", element("polygon", "50.45,4.10 50.47,4.10 50.45,4.10")),
    ("G-EMPTY", "/alert/info[1]/area[1]/polygon[1]", element("polygon", "")),
    ("G-EMPTY", "/alert/info[1]/area[1]/circle[2]", inserted("<circle> </circle>", before="<geocode>")),
    ("G-POLY-CLOSED", "/alert/info[1]/area[1]/polygon[1]", element("polygon", POLYGON[:-11])),
    ("G-POLY-RANGE", "/alert/info[1]/area[1]/polygon[1]", element("polygon", POLYGON.replace("50.47,", "90.01,"))),
    ("G-POLY-RANGE", "/alert/info[1]/area[1]/polygon[1]", element("polygon", POLYGON.replace(",4.14", ",-180.01"))),
    ("G-POLY-SELFX", "/alert/info[1]/area[1]/polygon[1]", element("polygon", "0,0 1,1 1,0 0,1 0,0")),
    ("G-POLY-DEGEN", "/alert/info[1]/area[1]/polygon[1]", element("polygon", "0,0 1,1 2,2 0,0")),
    ("G-CIRC-LEX", "/alert/info[1]/area[1]/circle[1]", element("circle", "50.46,4.12")),
    ("G-CIRC-LEX", "/alert/info[1]/area[1]/circle[1]", element("circle", "50.46,4.12 inf")),
    ("G-CIRC-RANGE", "/alert/info[1]/area[1]/circle[1]", element("circle", "50.46,184.12 1")),
    ("G-CIRC-RADIUS", "/alert/info[1]/area[1]/circle[1]", element("circle", "50.46,4.12 -1")),
    ("G-CIRC-RADIUS", "/alert/info[1]/area[1]/circle[1]", element("circle", "50.46,4.12 " + "9" * 400)),
    ("G-CIRC-ZERO", "/alert/info[1]/area[1]/circle[1]", element("circle", "50.46,4.12 0")),
    ("G-GEO-EMPTY", "/alert/info[1]/area[1]/geocode[1]/value", changed(("55085", ""))),
    (
        "G-GEO-PLUS",
        "/alert/info[1]/area[1]",
        changed((f"<polygon>{POLYGON}</polygon>", ""), ("<circle>50.46,4.12 1.5</circle>", "")),
    ),
    ("G-CEIL-ALT", "/alert/info[1]/area[1]/ceiling", changed(("<altitude>120</altitude>", ""))),
    ("G-ALT-ORDER", "/alert/info[1]/area[1]/ceiling", element("ceiling", "119.9")),
    ("G-ALT-LEX", "/alert/info[1]/area[1]/altitude", element("altitude", "120 m")),
    ("G-ALT-LEX", "/alert/info[1]/area[1]/altitude", element("altitude", "9" * 400)),
    ("S-PLACE", "/alert/Signature", inserted(SIGNATURE, before="  <info>")),
    ("S-PLACE", "/alert/info[1]/Signature", inserted(SIGNATURE, before="</info>")),
    ("S-CHILD", "/alert/Object", inserted(SIGNATURE.replace("Signature", "Object"), before="</alert>")),
    ("S-COUNT", "/alert/Signature[2]", inserted(SIGNATURE * 2, before="</alert>")),
    ("S-UNVERIFIED", "/alert/Signature", inserted(SIGNATURE, before="</alert>")),
    ("MORE", "/alert", changed((POLYGON, "1,1 2,2 1,1" + "</polygon><polygon>1,1 2,2 1,1" * 300))),
]

# What else a breach may bring, where one fault is two: a signature is always told of.
COMPANIONS = {"S-PLACE": {"S-UNVERIFIED", "XSD"}, "S-COUNT": {"S-UNVERIFIED"}, "MORE": {"G-POLY-MIN4"}}
COMPANIONS |= {"XSD": {"A-SENDER-CHARS"}}


def test_the_base_document_breaks_no_rule():
    reading = read(BASE.encode())

    assert reading.accepted
    assert reading.problems == ()


@pytest.mark.parametrize(
    ("rule", "path", "document"), BREACHES, ids=[f"{n}-{row[0]}" for n, row in enumerate(BREACHES)]
)
def test_a_breach_is_told_by_its_rule_at_its_place_and_by_no_other(rule, path, document):
    reading = read(document)

    told = [problem for problem in reading.problems if problem.rule == rule]
    assert path in [problem.path for problem in told], reading.problems
    assert {problem.rule for problem in reading.problems} <= {rule} | COMPANIONS.get(rule, set())
    refuses = any(problem.level is Level.ERROR for problem in reading.problems)
    assert reading.accepted is not refuses


def test_every_rule_of_the_table_has_a_document_that_breaks_it():
    assert {rule for rule, _, _ in BREACHES} == {rule.id for rule in RULES} - {"FILE", "NS-OLD"} - OF_VERIFIERS


def test_every_row_of_the_table_says_where_it_is_from_and_how_to_mend():
    assert len({rule.id for rule in RULES}) == len(RULES)
    for rule in RULES:
        assert rule.section == "policy" or rule.section[0] in "34", rule
        assert rule.statement.endswith("."), rule
        assert rule.remedy.endswith("."), rule


ACCEPTED = {
    "UTC in the standard's spelling": element("sent", "2026-05-11T19:40:00-00:00"),
    "midnight as the end of the day": element("expires", "2026-05-12T24:00:00+02:00"),
    "white space around a time": element("sent", "\n 2026-05-11T21:40:00+02:00 "),
    "a leap day": element("onset", "2024-02-29T23:59:59-12:00"),
    "an onset at the end": element("onset", "2026-05-12T06:00:00+02:00"),
    "a headline of 160 characters": element("headline", "h" * 160),
    "a ceiling at the altitude": element("ceiling", "120"),
    "an onset long before sent": element("onset", "2025-01-01T00:00:00+02:00"),
    "references over several lines": update(
        f"<references>\n {TRIPLE}\n\ta@b,x,2026-05-11T10:30:00-05:00\n</references>"
    ),
    "an Ack without info": changed((INFO, f"<references>{TRIPLE}</references>"), ("<msgType>Alert", "<msgType>Ack")),
    "a Test without info": changed((INFO, ""), ("Actual", "Test")),
    "quoted and plain addresses": private('"plp:Bois du Nord"\n plp:Lac'),
    "an empty restriction": inserted("<restriction/>", before="<code>"),
    "both languages, told alike": two_languages(),
    "a relative uri that names derefUri": changed(
        ("<uri>https://zone-a.example/17.png</uri>", "<uri>17.png</uri><derefUri>YW Jj\n</derefUri>")
    ),
    "the right digest": deref("YWJj", "A9993E364706816ABA3E25717850C26C9CD0D89D"),
    "a polygon over several lines": element("polygon", "\n" + POLYGON.replace(" ", "\n  ") + "\n"),
    "points with signs and bare dots": element("polygon", "+50.,.1 50.5,-.2 51,+4 +50.,.1"),
    "heights below the sea": changed(("<altitude>120<", "<altitude>-30.5<"), ("<ceiling>300.5<", "<ceiling>0<")),
    "a comparison in the text": element("description", "Si T &lt; 5, ou A&amp;B; voir 3 &lt; 4 &gt; 2"),
    "a mime type with a parameter": element("mimeType", 'text/plain; charset="utf-8"'),
    "a web address with a port": element("web", "http://zone-a.example:8080"),
    "a web address of a number": element("web", "https://[2001:db8::17]:8443/avis"),
    "a comment inside an identifier": element("identifier", "cic<!-- x -->-17"),
    "a prefix for the namespace": BASE.replace("<", "<c:")
    .replace("<c:/", "</c:")
    .replace("<c:?", "<?")
    .replace("xmlns=", "xmlns:c=")
    .encode(),
    "Latin-1": BASE.replace("UTF-8", "ISO-8859-1").encode("latin-1"),
    "UTF-16": BASE.replace("UTF-8", "UTF-16").encode("utf-16"),
    "a byte order mark": BASE.encode("utf-8-sig"),
    "a style sheet": inserted('<?xml-stylesheet href="a.xsl"?>', before="<alert"),
}


@pytest.mark.parametrize("document", ACCEPTED.values(), ids=ACCEPTED)
def test_what_the_standard_allows_is_accepted_without_a_word(document):
    reading = read(document)

    assert reading.accepted
    assert reading.problems == ()


# ---- a part voids no alert, and a policy of ours only warns ---------------------------------------------------------


def times(**given: str) -> bytes:
    """Of the first info, and of the message."""
    document = BASE
    for name, value in given.items():
        document = re.sub(rf"<{name}>[^<]*</{name}>", f"<{name}>{value}</{name}>", document, count=1)
    return document.encode()


SENT = re.search(r"<sent>([^<]*)</sent>", BASE)[1]


@pytest.mark.parametrize(
    ("document", "told"),
    [
        (times(expires=SENT, effective=SENT, onset=SENT), set()),
        (times(onset="2026-05-13T06:00:00+02:00"), {("I-ONSET-LATE", "information")}),
        (times(effective="2026-05-13T06:00:00+02:00"), {("I-TIME-ORDER", "warning")}),
        (times(expires="2020-01-01T00:00:00+01:00"), {("I-TIME-ORDER", "warning"), ("I-ONSET-LATE", "information")}),
    ],
)
def test_no_alert_is_refused_for_the_order_of_its_times(document, told):
    reading = read(document)

    assert reading.accepted, reading.problems
    assert {(p.rule, str(p.level)) for p in reading.problems} & {
        ("I-TIME-ORDER", "warning"), ("I-ONSET-LATE", "information"),
    } == told  # fmt: skip


@pytest.mark.parametrize(
    ("digest", "text"),
    [
        (hashlib.sha1(b"abc").hexdigest(), None),
        (hashlib.sha1(b"YWJj").hexdigest(), "the SHA-1 of the base64 text, not of the file: it is left out"),
        (hashlib.sha256(b"abc").hexdigest(), "a SHA-256, not a SHA-1: it is left out"),
        ("a" * 40, "not the SHA-1 of derefUri: it is left out"),
        ("zz", "not a SHA-1 of 40 hexadecimal digits: it is left out"),
    ],
)
def test_a_digest_that_does_not_fit_is_told_by_its_cause_and_voids_nothing(digest, text):
    reading = read(deref("YWJj", digest))

    assert reading.accepted
    assert [p.text for p in reading.problems if p.rule == "R-DIGEST"] == ([text] if text else [])


def test_a_second_language_without_a_time_of_effect_says_the_same_as_one_that_takes_effect_when_it_is_sent():
    first, second = two_languages(("Severe", "Severe")).decode().split("</info>", 1)
    document = re.sub(r"<effective>[^<]*</effective>", f"<effective>{SENT}</effective>", first)
    second = re.sub(r"\s*<effective>[^<]*</effective>", "", second)

    reading = read(f"{document}</info>{second}".encode())

    assert [p for p in reading.problems if p.rule == "I-LANG-PARITY"] == []
