"""The JSON form says what the XML form says, and only what it can say is taken back."""

import json

import pytest
from hypothesis import given, settings

from cap import read
from cap.json_form import from_json, to_json
from tests.cap.documents import BASE, INFO, element, inserted
from tests.cap.strategies import ALERTS

GOOD = read(BASE.encode()).alert


@settings(max_examples=100, deadline=None)
@given(ALERTS)
def test_an_alert_comes_back_from_json_as_it_was(alert):
    reading = read(from_json(to_json(alert)))

    assert reading.accepted, reading.problems
    assert reading.alert == alert


def test_names_and_texts_are_those_of_the_elements():
    value = json.loads(to_json(GOOD))

    assert value["sent"] == "2026-05-11T21:40:00+02:00"
    assert value["info"][0]["category"] == ["Safety", "Rescue"]
    assert value["info"][0]["parameter"] == [{"valueName": "tocsin:kind", "value": "alert"}]
    assert value["info"][0]["area"][0]["circle"] == ["50.46,4.12 1.5"]


def test_what_may_repeat_is_a_list_even_alone_and_the_rest_never_is():
    two = json.loads(to_json(read(inserted(INFO.replace("fr-BE", "nl-BE"), before="</alert>")).alert))

    assert isinstance(json.loads(to_json(GOOD))["info"], list)
    assert len(two["info"]) == 2
    assert isinstance(two["identifier"], str)


def test_the_order_of_names_in_json_means_nothing():
    backwards = json.dumps(dict(reversed(json.loads(to_json(GOOD)).items()))).encode()

    assert read(from_json(backwards)).alert == GOOD


def test_numbers_may_be_numbers():
    value = json.loads(to_json(GOOD))
    value["info"][0]["resource"][0]["size"] = 3
    value["info"][0]["area"][0]["ceiling"] = 300.5

    assert read(from_json(json.dumps(value).encode())).alert == GOOD


@pytest.mark.parametrize(
    ("text", "where"),
    [
        (b"", "line 1"),
        (b"\xff", "JSON"),
        (b"[" * 100_000, "JSON"),
        (b"[]", r"\$ is an object"),
        (b'{"identifer": "x"}', r"\$ has no 'identifer'"),
        (b'{"identifier": ["x"]}', r"\$.identifier is a text"),
        (b'{"identifier": true}', r"\$.identifier is a text"),
        (b'{"identifier": null}', r"\$.identifier is a text"),
        (b'{"info": {}}', r"\$.info is a list"),
        (b'{"info": [{}, 3]}', r"\$.info\[1\] is an object"),
        (b'{"info": [{"area": [{"geocode": [{"name": "x"}]}]}]}', r"\$.info\[0\].area\[0\].geocode\[0\] has no"),
        (b'{"note": "\\u0007"}', "XML"),
    ],
)
def test_json_of_another_shape_is_refused_by_its_place(text, where):
    with pytest.raises(ValueError, match=where):
        from_json(text)


def test_a_json_alert_is_held_to_the_same_rules():
    value = json.loads(to_json(read(element("scope", "Private")).alert))

    assert [problem.rule for problem in read(from_json(json.dumps(value).encode())).problems] == ["A-SCOPE-ADDR"]
