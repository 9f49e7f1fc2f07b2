"""Problems are told in the languages of the country, every rule in each of them, and the facts stay the same."""

import re
from dataclasses import replace

import pytest

from cap import RULES, read
from cap.profile import NAMES, profile
from cap.rules import CAUSES
from cap.translations import LANGUAGES, catalogue, language_of, translated
from tests.cap.documents import element

OTHERS = tuple(language for language in LANGUAGES if language != "en")
RULES_TOLD = (*RULES, *(rule for name in NAMES for rule in profile(name).rules))
# What no translation changes: names in angle brackets, examples with digits or slashes in them.
FACTS = re.compile(r"{\d}")
FIXED = re.compile(r"<[a-zA-Z]+>|\b[a-z]+/[a-z]+\b|[a-z]{2}-BE|\d{2}\.\d+,\d\.\d+|[+-]\d{2}:\d{2}|\b\d{2,5}\b")


@pytest.mark.parametrize("language", OTHERS)
def test_every_rule_is_told_in_every_language_and_no_other_is(language):
    assert set(catalogue(language)) == {rule.id for rule in RULES_TOLD} | set(CAUSES) | {"LEFT-OUT"}


@pytest.mark.parametrize("language", OTHERS)
@pytest.mark.parametrize("cause", CAUSES)
def test_a_cause_is_told_with_the_same_facts_and_names_in_every_language(language, cause):
    text, remedy = catalogue(language)[cause]

    assert text.endswith(".")
    assert remedy.endswith(".")
    assert set(FACTS.findall(text)) == set(FACTS.findall(CAUSES[cause].text))
    assert set(FACTS.findall(remedy)) == set(FACTS.findall(CAUSES[cause].remedy))
    assert set(FIXED.findall(remedy)) == set(FIXED.findall(CAUSES[cause].remedy))


def test_a_part_that_is_left_out_is_told_so_in_every_language():
    (problem,) = read(element("web", "avis/17")).problems

    assert problem.text == "not a full http or https address: it is left out"
    assert translated(problem, "nl").text == "Een webadres is volledig. Dit deel is weggelaten; de rest geldt."


def test_names_and_figures_stand_in_the_sentence_in_every_language():
    (problem,) = read(element("circle", "50.5,180.0853 1")).problems

    assert problem.text == "the longitude 180.0853 of the centre is 0.0853 degrees beyond 180"
    assert problem.remedy == "Write it as -179.9147, or check the centre."
    assert translated(problem, "de").text == "Die Länge 180.0853 des Mittelpunkts liegt 0.0853 Grad jenseits von 180."
    assert translated(problem, "fr").remedy == "Écrivez-la -179.9147, ou vérifiez le centre."


@pytest.mark.parametrize("language", OTHERS)
@pytest.mark.parametrize("rule", RULES_TOLD, ids=lambda rule: rule.id)
def test_a_translation_is_whole_and_keeps_names_and_examples(language, rule):
    statement, remedy = catalogue(language)[rule.id]

    assert statement.endswith(".")
    assert remedy.endswith(".")
    assert statement != rule.statement
    assert remedy != rule.remedy
    assert set(FIXED.findall(rule.statement)) == set(FIXED.findall(statement))
    assert set(FIXED.findall(rule.remedy)) == set(FIXED.findall(remedy))


def test_a_problem_is_the_same_problem_in_every_language():
    (problem,) = read(element("ceiling", "10")).problems

    french = translated(problem, "fr")

    assert french.text == "Un ceiling n'est pas plus bas que l'altitude."
    assert french.remedy == "Écrivez la plus basse des hauteurs dans <altitude>."
    assert replace(french, text=problem.text, remedy=problem.remedy) == problem
    assert translated(problem, "en") is problem


def test_a_rule_without_an_entry_stays_english():
    (problem,) = read(element("ceiling", "10")).problems
    foreign = replace(problem, rule="THEIRS-WEB")

    assert translated(foreign, "nl") is foreign


def test_a_language_that_there_is_not_is_refused():
    with pytest.raises(ValueError, match="'es'"):
        catalogue("es")


@pytest.mark.parametrize(
    ("wish", "language"),
    [
        ("", "en"),
        ("fr-BE", "fr"),
        ("es, nl;q=0.8, de;q=0.9", "de"),
        ("NL-be;q=0.5, en;q=0.4", "nl"),
        ("fr, nl", "fr"),
        ("fr;q=0, nl;q=0.1", "nl"),
        ("*", "en"),
        ("fr;q=x", "en"),
        ("fr;q=7", "en"),
        ("de;" * 10_000, "de"),
    ],
)
def test_the_language_wished_for_is_the_best_of_those_there_are(wish, language):
    assert language_of(wish) == language
