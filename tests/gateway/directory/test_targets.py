"""What an alert asks for, read from CAP values, and what its codes mean."""

import msgspec
import pytest

from cap.model import Area, Circle, ValuePair
from gateway.directory.geocode_systems import GROUP, PLP, POLICEZONE, POSTCODE, REFNIS, AreaCode, read_geocode
from gateway.directory.problem import TargetFault
from gateway.directory.targets import CircleTarget, GeocodeTarget, PolygonTarget, Targets, from_cap

RING = ((50.0, 4.0), (50.0, 5.0), (51.0, 5.0), (50.0, 4.0))


def test_the_targets_of_an_alert_are_the_union_of_its_areas_and_addresses():
    area = Area("Centre", (RING,), (Circle(50.6, 3.4, 2.0),), (ValuePair("REFNIS", "57081"),))

    targets = from_cap([area], ["plp:PLP-1", "BIN: b 2", "group:coordinators"])

    assert targets == Targets(
        polygons=(PolygonTarget("Centre", RING),),
        circles=(CircleTarget("Centre", 50.6, 3.4, 2.0),),
        geocodes=(GeocodeTarget("Centre", "REFNIS", "57081"),),
        networks=("PLP-1", "b 2"),
        groups=("coordinators",),
    )


def test_the_same_area_in_three_languages_counts_once():
    area = Area("Centre", (RING,))

    assert from_cap([area, area, Area("Centre", (RING,))]).polygons == (PolygonTarget("Centre", RING),)


def test_an_area_that_is_only_a_name_is_kept_as_such():
    assert from_cap([Area("Somewhere")]) == Targets(empty_areas=("Somewhere",))


def test_heights_are_told_to_be_ignored():
    targets = from_cap([Area("Hill", (RING,), altitude=300.0, ceiling=900.5)])

    assert [text.split(" of ")[0] for text in targets.ignored] == ["The altitude", "The ceiling"]


@pytest.mark.parametrize("entry", ["someone@example.org", "plp:", "plp", ":x", "street:x"])
def test_an_address_that_names_no_network_and_no_group_is_kept_as_such(entry):
    assert from_cap([], [entry]) == Targets(bad_addresses=(entry,))


def test_targets_survive_being_kept_as_json():
    targets = from_cap([Area("Centre", (RING,), (Circle(50.6, 3.4, 2.0),))], ["plp:x"])

    assert msgspec.json.decode(msgspec.json.encode(targets), type=Targets) == targets


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("REFNIS", "62063", AreaCode(REFNIS, "62063")),
        ("nis", " 62063 ", AreaCode(REFNIS, "62063")),
        ("NIS5", "62063", AreaCode(REFNIS, "62063")),
        ("INS", "62063", AreaCode(REFNIS, "62063")),
        ("refnis_2025", "62063", AreaCode(REFNIS, "62063")),
        ("http://vocab.belgif.be/auth/refnis2019", "62063", AreaCode(REFNIS, "62063")),
        ("municipality", "http://vocab.belgif.be/auth/refnis2025/62063", AreaCode(REFNIS, "62063")),
        (
            "municipality",
            "http://vocab.belgif.be/auth/x/1",
            AreaCode("MUNICIPALITY", "http://vocab.belgif.be/auth/x/1"),
        ),
        ("Postal Code", "7500", AreaCode(POSTCODE, "7500")),
        ("politiezone", "5301", AreaCode(POLICEZONE, "5301")),
        ("BIN", "my network", AreaCode(PLP, "my network")),
        ("groupe", "g", AreaCode(GROUP, "g")),
        ("emma_id", "BE003", AreaCode("EMMA_ID", "BE003")),
    ],
)
def test_a_code_is_read_whatever_its_system_is_called(name, value, code):
    read, problems = read_geocode(GeocodeTarget("a", name, value))

    assert read == code
    assert problems == ()


@pytest.mark.parametrize(
    ("name", "value"),
    [("REFNIS", "6206"), ("REFNIS", "6206x"), ("POSTCODE", "0750"), ("POLICEZONE", "Tournai"), ("PLP", " ")],
)
def test_a_value_that_its_system_cannot_have_is_a_problem(name, value):
    read, problems = read_geocode(GeocodeTarget("a", name, value))

    assert read is None
    assert [problem.fault for problem in problems] == [TargetFault.BAD_CODE]


def test_a_code_from_before_the_mergers_is_read_as_the_merged_one_with_a_warning():
    read, problems = read_geocode(GeocodeTarget("a", "REFNIS", "11007"))

    assert read == AreaCode(REFNIS, "11002")
    assert [problem.fault for problem in problems] == [TargetFault.MERGED_CODE]
