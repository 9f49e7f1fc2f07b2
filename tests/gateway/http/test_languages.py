"""A client is told in its own language what is wrong: all of it that has a translation, the facts unchanged."""

import ast
import re
from pathlib import Path

import msgspec
import pytest
from aiohttp import web

from cap.translations import LANGUAGES
from cap.translations import catalogue as rules_of_cap
from gateway.campaigns.answers import AlertAnswer, Preview, ZonePreview, ZoneResult
from gateway.directory.problem import TargetFault
from gateway.errors import MORE, Reason, Refusal
from gateway.fault_words import CAUSES, KINDS, NAMES, SURROGATE
from gateway.http.languages import ENGLISH, Tongue, words
from gateway.http.query import CAUSES as OF_PARAMETERS
from tests.gateway.http.doorway import CAP, Doorway

OTHERS = tuple(language for language in LANGUAGES if language != ENGLISH)
GATEWAY = Path(__file__).parents[3] / "gateway"
SILENT = {"account-closed"}
"""What is parked is told to nobody."""
REASON = Reason("C-AUTH", "a is an alert of b.", path="/alert/references", line=7, value="a", remedy="Ask b.")


def calls(folder, name):
    """The calls of this name in the modules of a folder."""
    for path in sorted((GATEWAY / folder).glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == name:
                yield node


def literal(call, place):
    argument = call.args[place] if len(call.args) > place else None
    return argument.value if isinstance(argument, ast.Constant) else None


def told():
    rules = {literal(call, 0) for folder in ("access", "campaigns", "http") for call in calls(folder, "Reason")}
    rules |= {"T-" + fault.value.upper().replace("_", "-") for fault in TargetFault}
    intake = (GATEWAY / "campaigns" / "intake.py").read_text(encoding="utf-8")
    rules |= set(re.findall(r'"(C-[A-Z]+)":', intake))
    return rules - {None}


@pytest.mark.parametrize("language", OTHERS)
def test_every_rule_about_a_document_is_told_in_every_language(language):
    missing = told() - set(words(language).rules) - set(words(language).facts)

    assert {"C-AUTH", "C-DUP", "E-ONE", "K-NONE", "A-SENDER-AUTH", "T-NOBODY", "ZONE", "CREDIT", "JSON"} <= told()
    assert missing == set()


@pytest.mark.parametrize("language", OTHERS)
def test_every_refusal_has_a_title_in_every_language(language):
    folders = ("access", "campaigns", "http")
    codes = {literal(call, 1) for folder in folders for call in calls(folder, "Refusal")} - {None} - SILENT
    codes |= {literal(call, 0) for folder in folders for call in calls(folder, "Later")} - {None}
    codes |= {literal(call, 0) for folder in folders for call in calls(folder, "Stranger")} - {None}

    assert {"zone-refused", "no-such-campaign", "invalid-json", "internal-error"} <= codes
    assert "several-alerts" in words(language).titles
    assert codes - set(words(language).titles) - set(words(language).facts) == set()


def test_the_catalogues_have_the_same_entries_and_whole_sentences():
    first, *others = (words(language) for language in OTHERS)

    for other in others:
        assert [set(table) for table in (other.titles, other.rules, other.facts)] == [
            set(table) for table in (first.titles, first.rules, first.facts)
        ]
    for language in OTHERS:
        own = words(language)
        sentences = [*own.titles.values(), *(text for entry in own.rules.values() for text in entry if text)]
        assert [text for text in sentences if not text.endswith(".")] == []
        assert [text for text in own.facts.values() if not text.endswith(":")] == []
        assert set(rules_of_cap(language)) < set(own.rules)


@pytest.mark.parametrize("language", OTHERS)
def test_a_translation_changes_words_and_no_facts(language):
    tongue = Tongue(language)

    said = tongue.reason(REASON)

    assert said.text != REASON.text
    assert said.remedy != REASON.remedy
    assert msgspec.structs.replace(said, text=REASON.text, remedy=REASON.remedy) == REASON
    assert tongue.used == {language}
    assert Tongue(ENGLISH).reason(REASON) is REASON


@pytest.mark.parametrize("language", OTHERS)
def test_a_text_whose_worth_is_in_its_facts_keeps_them_after_a_sentence_in_the_clients_language(language):
    tongue = Tongue(language)

    said = tongue.reason(Reason("CREDIT", "A balance of 3 does not cover 4."))
    title = tongue.title("zone-refused", "Nobody of this zone is concerned: plp:X.")

    assert said.text == f"{words(language).facts['CREDIT']} A balance of 3 does not cover 4."
    assert title == f"{words(language).facts['zone-refused']} Nobody of this zone is concerned: plp:X."
    assert tongue.used == {language, ENGLISH}
    assert Tongue(ENGLISH).title("zone-refused", "No.") == "No."


def places(texts):
    """The places of facts that a text and a remedy have between them."""
    return set(re.findall(r"{\d}", " ".join(texts)))


@pytest.mark.parametrize("language", OTHERS)
def test_every_cause_of_a_fault_of_an_input_has_words_with_the_same_facts_in_every_language(language):
    told_of_bodies = {**CAUSES, **NAMES, "more": MORE, "surrogate": SURROGATE}
    of_bodies = {f"JSON/{cause}": places(texts) for cause, texts in told_of_bodies.items()}
    of_parameters = {f"PARAM/{cause}": places(texts) for cause, texts in OF_PARAMETERS.items()}

    rules = words(language).rules

    own = {rule: places(texts) for rule, texts in rules.items() if rule.startswith(("JSON/", "PARAM/"))}
    assert own == of_bodies | of_parameters
    assert set(words(language).kinds) == set(KINDS)


@pytest.mark.parametrize("rule", ["JSON", "PARAM"])
def test_what_was_found_and_what_is_wanted_are_named_in_the_clients_language(rule):
    reason = Reason(rule, "x", cause="type", facts=("text", "whole number", "nothing"))

    told = {language: Tongue(language).reason(reason) for language in OTHERS}

    assert {language: (said.text, said.remedy) for language, said in told.items()} == {
        "nl": ("Gewenst is een geheel getal of niets, en hier staat tekst.", "Schrijf een geheel getal of niets."),
        "fr": ("Voulu : un nombre entier ou rien ; trouvé ici : du texte.", "Écrivez un nombre entier ou rien."),
        "de": ("Gewünscht ist eine ganze Zahl oder nichts, und hier steht Text.",
               "Schreiben Sie eine ganze Zahl oder nichts."),
    }  # fmt: skip
    assert {said.facts for said in told.values()} == {reason.facts}


def label_of(tongue, also=""):
    response = web.Response()
    tongue.label(response, also=also)
    return response.headers["Content-Language"], response.headers["Vary"]


def test_the_label_names_what_was_spoken_and_what_decided_it():
    silent, dutch, mixed = Tongue("nl"), Tongue("nl"), Tongue("nl")
    dutch.reason(REASON)
    mixed.reasons([REASON, Reason("ZONE", "5301: no credit")])

    assert label_of(silent) == ("nl", "Accept-Language")
    assert label_of(dutch, also="Accept") == ("nl", "Accept, Accept-Language")
    assert label_of(mixed) == ("nl, en", "Accept-Language")


def test_an_answer_is_translated_wherever_a_problem_stands_in_it():
    tongue = Tongue("fr")
    zone = ZonePreview("A", problems=(REASON,))

    said = tongue.answer(Preview("launch", (zone,), problems=(REASON,)))

    assert said["problems"][0]["text"] == said["zones"][0]["problems"][0]["text"] != REASON.text
    assert tongue.used == {"fr"}
    kept = AlertAnswer(
        "a", "s", "i", 0, "Actual", "Alert", "Public", "active", 0, zones=(ZoneResult("A", refusal="x"),)
    )
    tongue.answer(kept)
    assert tongue.used == {"fr", "en"}


# ---- through the door --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wish", "language"),
    [("nl-BE", "nl"), ("fr, nl;q=0.5", "fr"), ("es, de;q=0.1", "de"), ("", "en"), ("zz", "en"), ("\t;q=,,\xff", "en")],
)
async def test_a_refusal_comes_in_the_clients_language(door: Doorway, wish: str, language: str):
    door.desk.fails = Refusal(403, "not-your-alert", "a is an alert of b.", (REASON,))

    answer = await door.post("/cap/v1/alerts", "a", data=b"<alert/>", headers=CAP | {"Accept-Language": wish})

    assert answer.headers["Content-Language"] == language
    assert answer.headers["Vary"] == "Accept, Accept-Language"
    (problem,) = answer.json["problems"]
    expected = words(language).rules.get("C-AUTH", (REASON.text, REASON.remedy))
    assert (problem["text"], problem["remedy"]) == expected
    assert (problem["rule"], problem["path"], problem["line"], problem["value"]) == ("C-AUTH", REASON.path, 7, "a")
    assert answer.json["title"] == words(language).titles.get("not-your-alert", "a is an alert of b.")


async def test_other_doors_and_the_router_speak_it_too(door: Doorway):
    stranger = await door.get("/api/v1/whoami", headers={"Accept-Language": "de"})
    nowhere = await door.get("/nowhere", headers={"Accept-Language": "de"})

    assert (stranger.status, stranger.json["title"]) == (
        401,
        "Hierfür ist ein API-Schlüssel nötig, oder jemand, der angemeldet ist.",
    )
    assert stranger.headers["Content-Language"] == "de"
    assert (nowhere.status, nowhere.headers["Content-Language"]) == (404, "de")
