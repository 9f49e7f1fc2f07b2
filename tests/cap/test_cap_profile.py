"""Profiles add rows to the table, and nothing else: every row is broken by a document, and kept by another."""

import pytest

from cap import RULES, Level, ReadingTerms, read
from cap.profile import NAMES, compiled, profile
from cap.rules.row import Rule
from tests.cap.documents import BASE, INFO, POLYGON, TRIPLE, changed, element, inserted

SHAPES = (f"<polygon>{POLYGON}</polygon>", "<circle>50.46,4.12 1.5</circle>")
GEOCODE = "<geocode><valueName>NIS5</valueName><value>55085</value></geocode>"
AREA = BASE[BASE.index("    <area>") : BASE.index("  </info>")]
IPAWS = BASE
for old, new in (
    ("profile-x", "IPAWSv1.0"),
    ("KIND</valueName><value>missing", "SAME</valueName><value>CAE"),
    ("NIS5</valueName><value>55085", "SAME</valueName><value>006109"),
    ("<effective>2026-05-11T21:40:00+02:00</effective>", ""),
    ("<onset>2026-05-11T20:00:00+02:00</onset>", ""),
):
    IPAWS = IPAWS.replace(old, new, 1)
IPAWS_AREA = IPAWS[IPAWS.index("    <area>") : IPAWS.index("  </info>")]
SECOND_CODE = "<eventCode><valueName>SAME</valueName><value>TOR</value></eventCode>"
TIME = "2026-05-11T21:40:00+02:00"


def without(*markup, document=BASE):
    return changed(*((piece, "") for piece in markup), document=document)


def geocode(name, value):
    return changed(("NIS5</valueName><value>55085", f"{name}</valueName><value>{value}"))


def cancel(*changes):
    return changed(
        ("<msgType>Alert", "<msgType>Cancel"), ("  <info>", f"<references>{TRIPLE}</references>  <info>"), *changes
    )


def ipaws(*changes):
    return changed(*changes, document=IPAWS)


GOOD = {
    "be-plp": [
        BASE.encode(),
        geocode("REFNIS", "http://vocab.belgif.be/auth/refnis2019/21004"),
        geocode("http://vocab.belgif.be/auth/refnis2019", "21004"),
        geocode("POSTCODE", "1000"),
        geocode("POLICEZONE", "5339"),
        geocode("NUTS3", "BE32A"),
        geocode("EMMA_ID", "BE001"),
        geocode("PLP", "plp bois-du-nord"),
        geocode("STATSECTOR", "anything"),
        element("language", "EN"),
        cancel(*((piece, "") for piece in (*SHAPES, GEOCODE))),
    ],
    "google": [BASE.encode(), element("headline", "h" * 140)],
    "ipaws": [IPAWS.encode()],
}

# The row, and a document that breaks it and no other row of its profile.
BREACHES = [
    ("BE-LANG", "/alert/info[1]/language", element("language", "es")),
    ("BE-LANG-NAMED", "/alert/info[1]/language", element("language", "")),
    ("BE-TARGET", "/alert/info[1]/area[1]", without(*SHAPES, GEOCODE)),
    ("BE-REFNIS", "/alert/info[1]/area[1]/geocode[1]/value", geocode("refnis", "2100")),
    ("BE-REFNIS", "/alert/info[1]/area[1]/geocode[1]/value", geocode("NIS", "http://vocab.belgif.be/auth/x/21004")),
    ("BE-POSTCODE", "/alert/info[1]/area[1]/geocode[1]/value", geocode("POSTCODE", "B-1000")),
    ("BE-POLICEZONE", "/alert/info[1]/area[1]/geocode[1]/value", geocode("POLICEZONE", "PZ 5339")),
    ("BE-NUTS3", "/alert/info[1]/area[1]/geocode[1]/value", geocode("NUTS3", "BE1")),
    ("BE-EMMA", "/alert/info[1]/area[1]/geocode[1]/value", geocode("EMMA_ID", "NL001")),
    ("BE-PLP-CODE", "/alert/info[1]/area[1]/geocode[1]/value", geocode("PLP", "x" * 101)),
    ("BE-EXPIRES", "/alert/info[1]/expires", without("<expires>2026-05-12T06:00:00+02:00</expires>")),
    ("BE-HEADLINE", "/alert/info[1]/headline", element("headline", " ")),
    ("BE-NAME", "/alert/info[1]/senderName", element("senderName", "")),
    ("BE-INSTRUCTION", "/alert/info[1]/instruction", element("instruction", "")),
    ("GOOGLE-INFO", "/alert/info", cancel((INFO, ""))),
    ("GOOGLE-DESC", "/alert/info[1]/description", element("description", "")),
    ("GOOGLE-WEB", "/alert/info[1]/web", element("web", "")),
    ("GOOGLE-EXPIRES", "/alert/info[1]/expires", without("<expires>2026-05-12T06:00:00+02:00</expires>")),
    ("GOOGLE-AREA", "/alert/info[1]/area", without(AREA)),
    ("GOOGLE-SHAPE", "/alert/info[1]/area[1]", without(*SHAPES, GEOCODE)),
    ("GOOGLE-SENT-LOCAL", "/alert/sent", element("sent", "2026-05-11T19:40:00-00:00")),
    ("GOOGLE-EXPIRES-LOCAL", "/alert/info[1]/expires", element("expires", "2026-05-12T04:00:00-00:00")),
    ("GOOGLE-NAME", "/alert/info[1]/senderName", element("senderName", "")),
    ("GOOGLE-RESPONSE", "/alert/info[1]/responseType", without("<responseType>Monitor</responseType>")),
    ("GOOGLE-INSTRUCTION", "/alert/info[1]/instruction", element("instruction", "")),
    ("GOOGLE-HEADLINE-140", "/alert/info[1]/headline", element("headline", "h" * 141)),
    ("GOOGLE-HEADLINE-DESC", "/alert/info[1]/headline", element("headline", "Veste rouge, canne.")),
    ("GOOGLE-DESC-INSTRUCTION", "/alert/info[1]/description", element("instruction", "Veste rouge, canne.")),
    ("GOOGLE-URGENCY", "/alert/info[1]/urgency", element("urgency", "Unknown")),
    ("GOOGLE-SEVERITY", "/alert/info[1]/severity", element("severity", "Unknown")),
    ("GOOGLE-CERTAINTY", "/alert/info[1]/certainty", element("certainty", "Unknown")),
    ("GOOGLE-CONTACT", "/alert/info[1]/contact", element("contact", "")),
    ("IPAWS-CODE", "/alert/code", ipaws(("IPAWSv1.0", "IPAWSv2"))),
    ("IPAWS-SENT-LOCAL", "/alert/sent", ipaws(("2026-05-11T21:40:00+02:00", "2026-05-11T19:40:00-00:00"))),
    ("IPAWS-EXPIRES", "/alert/info[1]/expires", ipaws(("<expires>2026-05-12T06:00:00+02:00</expires>", ""))),
    ("IPAWS-EXPIRES-LOCAL", "/alert/info[1]/expires", ipaws(("06:00:00+02:00", "04:00:00-00:00"))),
    ("IPAWS-EVENT-SAME", "/alert/info[1]", ipaws(("<valueName>SAME", "<valueName>OTHER"))),
    ("IPAWS-EVENT-SAME", "/alert/info[1]/eventCode[1]/value", ipaws(("<value>CAE", "<value>CAEX"))),
    (
        "IPAWS-EVENT-SAME",
        "/alert/info[1]",
        inserted(SECOND_CODE, before="    <expires", document=IPAWS),
    ),
    ("IPAWS-AREA", "/alert/info[1]/area", without(IPAWS_AREA, document=IPAWS)),
    ("IPAWS-AREA-SAME", "/alert/info[1]/area[1]", ipaws(("SAME</valueName><value>0", "UGC</valueName><value>0"))),
    ("IPAWS-DESC", "/alert/info[1]/description", ipaws(("Veste rouge, canne.", ""))),
    ("IPAWS-INSTRUCTION", "/alert/info[1]/instruction", ipaws(("Appelez le 101 si vous le voyez.", ""))),
    ("IPAWS-EFFECTIVE", "/alert/info[1]/effective", ipaws(("<expires", f"<effective>{TIME}</effective><expires"))),
    ("IPAWS-ONSET", "/alert/info[1]/onset", ipaws(("<expires", f"<onset>{TIME}</onset><expires"))),
]
PREFIXES = {"BE": "be-plp", "GOOGLE": "google", "IPAWS": "ipaws"}


def checked(name, document):
    """The problems that a profile adds, and whether the document is accepted with and without it."""
    alone, held = read(document), read(document, terms=ReadingTerms(profiles=(profile(name),)))
    assert set(alone.problems) <= set(held.problems)
    return [problem for problem in held.problems if problem not in alone.problems], held.accepted, alone.accepted


@pytest.mark.parametrize(("name", "document"), [(name, document) for name in NAMES for document in GOOD[name]])
def test_what_a_profile_wants_is_accepted_without_a_word(name, document):
    added, accepted, _ = checked(name, document)

    assert added == []
    assert accepted


@pytest.mark.parametrize(("rule", "path", "document"), BREACHES, ids=[f"{n}-{b[0]}" for n, b in enumerate(BREACHES)])
def test_a_row_of_a_profile_is_broken_by_its_document_and_no_other_row_is(rule, path, document):
    added, accepted, alone = checked(PREFIXES[rule.partition("-")[0]], document)

    assert {(problem.rule, problem.path) for problem in added} == {(rule, path)}
    assert alone
    assert accepted is not any(problem.level is Level.ERROR for problem in added)


def test_every_row_of_every_profile_has_a_document_that_breaks_it():
    rows = {rule.id for name in NAMES for rule in profile(name).rules}

    assert rows == {rule for rule, _, _ in BREACHES}


def test_rows_of_profiles_are_rows_like_the_others():
    rows = [rule for name in NAMES for rule in profile(name).rules]

    assert all(isinstance(rule, Rule) and rule.statement.endswith(".") and rule.remedy.endswith(".") for rule in rows)
    assert len({rule.id for rule in (*RULES, *rows)}) == len(RULES) + len(rows)


def test_two_profiles_may_hold_at_once_and_a_broken_draft_is_looked_at_too():
    both = ReadingTerms(profiles=(profile("be-plp"), profile("google")))

    problems = read(changed(("Severe", "Bad"), ("fr-BE", "es"), ("101</contact>", "</contact>")), terms=both).problems

    assert {"XSD", "BE-LANG", "GOOGLE-CONTACT"} == {problem.rule for problem in problems}


def test_a_row_of_a_profile_may_be_relaxed():
    terms = ReadingTerms(profiles=(profile("be-plp"),), relaxed=frozenset({"BE-LANG"}))

    reading = read(element("language", "es"), terms=terms)

    assert reading.accepted
    assert [(problem.rule, problem.level) for problem in reading.problems] == [("BE-LANG", Level.WARNING)]


ROW = """
title = "t"
source = "s"
[[rule]]
id = "X-1"
level = "error"
section = "X"
on = "info"
element = "web"
test = "present"
statement = "S."
remedy = "R."
"""


def test_a_profile_can_be_made_of_a_text():
    made = compiled("x", ROW)

    assert [problem.rule for problem in read(element("web", ""), terms=ReadingTerms(profiles=(made,))).problems] == [
        "X-1"
    ]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"info"', '"page"'),
        ('"web"', '"wib"'),
        ('"present"', '"shiny"'),
        ('"error"', '"fatal"'),
        ('statement = "S."', ""),
        ("[[rule]]", "[rule"),
    ],
)
def test_a_profile_that_says_what_no_row_can_is_refused(old, new):
    with pytest.raises(ValueError, match=r"."):
        compiled("x", ROW.replace(old, new, 1))


def test_an_unknown_profile_is_refused_by_name():
    with pytest.raises(ValueError, match="be-plp"):
        profile("mars")
