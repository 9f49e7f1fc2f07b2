"""The API's document is whole, valid and that of the table; and who only looks changes nothing."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from openapi_spec_validator import validate

from gateway.http.asking import Answer
from gateway.http.door import said, written_document
from gateway.http.languages import codes
from gateway.http.operations import Alive
from gateway.http.route import Events, Media, Route
from gateway.http.routes import TABLE
from gateway.http.wording import spoken_fields, spoken_type
from store import feed
from store.states import DeliveryState
from store.tables import metadata
from tests.gateway.http.doorway import CAP, Doorway
from tests.gateway.http.test_routes import a_campaign, named, path_of
from tests.gateway.populated_store import an_alert

DOCUMENT = msgspec.json.decode(written_document())
PAGE = Path(__file__).parents[3] / "docs" / "openapi.json"


def operation_of(route: Route) -> dict[str, Any]:
    found: dict[str, Any] = DOCUMENT["paths"][route.template][route.method.lower()]
    return found


def test_it_is_openapi_3_1_and_the_copy_in_the_pages_is_the_same():
    validate(DOCUMENT)
    assert DOCUMENT["openapi"].startswith("3.1")
    assert PAGE.read_bytes() == written_document(), "python docs/write_openapi.py makes it anew"


@pytest.mark.parametrize("route", TABLE, ids=named)
def test_every_route_is_in_it_with_all_that_it_takes_and_answers(route: Route):
    operation = operation_of(route)

    assert operation["summary"] == route.summary
    assert operation["tags"] == [route.tag]
    assert {p["name"] for p in operation.get("parameters", ()) if p["in"] == "query"} == {
        field.encode_name for field in msgspec.structs.fields(route.query)
    }
    assert ("requestBody" in operation) == (route.body is not None)
    of_public = [{}, {"key": []}, {"session": []}] if route.recognises else []
    of_private = None if route.takes_keys else [{"session": []}]
    assert operation.get("security") == (of_public if route.is_public else of_private)
    for status in route.answers:
        content = operation["responses"][str(status)].get("content", {})
        for form in route.forms(status):
            if isinstance(form, Media):
                assert set(form.types) <= set(content)
            elif isinstance(form, Events):
                assert set(content["text/event-stream"]["x-events"]) == set(form.data)
            else:
                assert form.__name__ in str(content["application/json"]["schema"])


def test_every_operation_has_a_name_of_its_own():
    names = [operation["operationId"] for methods in DOCUMENT["paths"].values() for operation in methods.values()]

    assert len(names) == len(set(names)) == len(TABLE)


def test_every_problem_is_named():
    told = DOCUMENT["components"]["schemas"]["ProblemDetails"]["properties"]["code"]["description"]

    assert set(re.findall("[a-z]+(?:-[a-z]+)+|conflict|busy", told)) >= codes() - {"conflict", "busy"}


def test_every_word_for_the_state_of_a_delivery_is_there():
    schema = DOCUMENT["components"]["schemas"]["ListedDelivery"]["properties"]["state"]

    assert schema["enum"] == sorted(state.word for state in DeliveryState)


def test_a_body_is_asked_for_in_the_words_in_which_it_is_read():
    """Instants and money have other names in answers."""
    bodies = [route.body for route in TABLE if route.body is not None and issubclass(route.body, msgspec.Struct)]

    assert bodies
    for body in bodies:
        assert [name for name, _ in spoken_fields(body)] == [f.encode_name for f in msgspec.structs.fields(body)]


def test_an_answer_that_its_route_does_not_declare_is_a_mistake_of_ours():
    whoami = next(route for route in TABLE if route.template == "/api/v1/whoami")

    with pytest.raises(TypeError, match="does not declare Alive for 200"):
        said(whoami, Answer(Alive("ok")))


def test_the_type_of_an_answer_takes_no_other_key_and_misses_none():
    wanted = spoken_type(Alive)

    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"status":"ok","more":1}', type=wanted)
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b"{}", type=wanted)


async def test_it_is_served_to_everybody_and_not_again_to_who_has_it(door: Doorway):
    first = await door.get("/api/v1/openapi.json")
    again = await door.get("/api/v1/openapi.json", headers={"If-None-Match": first.headers["ETag"]})

    assert (first.status, first.body) == (200, written_document())
    assert (again.status, again.body) == (304, b"")


# ---- looking changes nothing ---------------------------------------------------------------------------------------

MAY_GROW = "audit"
"""Who reads what about people is written down, in tables of this name. That somebody is there is noted in his session,
once a minute (tests/gateway/http/test_sign_in_door.py): here keys are asked by."""
NEEDED = {"/cap/v1/alerts": "?sender=cic@example.org&identifier=id-1", "/api/v1/events": "?topics=campaigns"}


async def rows_of(door: Doorway) -> dict[str, list[Any]]:
    async with door.house.database.read() as conn:
        return {
            table.name: [tuple(row) for row in (await conn.execute(sa.select(table))).all()]
            for table in metadata.sorted_tables
            if not table.name.startswith(MAY_GROW)
        }


def gets() -> Iterator[Route]:
    yield from (route for route in TABLE if route.method == "GET")


@pytest.mark.parametrize("account", ["all", None])
async def test_no_get_writes_anything_but_the_audit(door: Doorway, account: str | None):
    await a_campaign(door)
    await door.house.launch(1, alert=an_alert(1, "pub1"), publish=True)
    await door.house.database.write(lambda tx: feed.publish(tx, [feed.Edition(1, None)]))
    await door.post("/cap/v1/alerts", "a", data=b"<alert/>", headers=CAP)
    before = await rows_of(door)

    for route in gets():
        is_stream = any(isinstance(form, Events) for form in route.forms(200))
        for public_id in ("camp1", "pub1", "a1", "nothing"):
            path = path_of(route, public_id) + NEEDED.get(route.path, "")
            answer = await door.ask("HEAD" if is_stream else "GET", path, account)
            assert answer.status < 500, path

    assert await rows_of(door) == before
