"""Whom to ask: at one address for everybody, in every problem, at the foot of pages; and documents for one's role."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from gateway.errors import Refusal
from gateway.help_lines import HelpDocument, HelpLine
from gateway.settings import HelpSettings, PlatformDocument
from store.access import accounts
from store.engine.database import Database
from store.errors import StoreUnavailable
from store.tables import metadata, zone
from tests.gateway.http.authenticator import invited
from tests.gateway.http.doorway import CAP, Doorway, doorway
from tests.gateway.populated_store import SECRET

HELP = "/api/v1/help"
FILES = f"{HELP}/documents"
CENTRE = HelpLine(name="Centre de Crise National", phone="02 506 47 11")
DESK = HelpLine(name='Helpdesk <"&">', phone="02 610 61 07", mail="bealert@telenetgroup.be")
OWN = {
    "technical": {"name": "Zone A", "phone": "069 00 00 00"},
    "documents": {"local": {"titles": {"nl": "Lokale afspraken"}, "url": "https://a.example/local"}},
}
FRENCH = {"headers": {"Accept-Language": "fr"}}


@pytest.fixture
async def helped(database: Database, tmp_path: Path) -> AsyncIterator[Doorway]:
    """A door with both lines, a zone A with its own, and two documents that are files."""
    (tmp_path / "plp.pdf").write_bytes(b"%PDF-1.7 the manual")
    (tmp_path / "type2.bin").write_bytes(b"for type 2")
    settings = HelpSettings(
        alerts=CENTRE,
        technical=DESK,
        documents={
            "plp": PlatformDocument(
                {"nl": "Handleiding", "fr": "Manuel"}, ("coordinator", "co-coordinator"), file=str(tmp_path / "plp.pdf")
            ),
            "type2": PlatformDocument(file=str(tmp_path / "type2.bin")),
            "web": PlatformDocument({"nl": "Site"}, ("officer",), url="https://alerts.example/site"),
            "gone": PlatformDocument(file=str(tmp_path / "nothing.pdf")),
        },
    )
    async with doorway(database, help_settings=settings) as door:
        policy = msgspec.json.encode({"help": OWN}).decode()
        await database.write(lambda tx: tx.run(sa.update(zone).where(zone.c.code == "A").values(policy=policy)))
        await door.door.services.help.book.refresh()
        await door.house.account("coordinator", ("read", "A"), type_="coordinator")
        yield door


def numbers(lines: list[dict[str, Any]]) -> list[str]:
    return [line["phone"] for line in lines]


# ---- whom to ask --------------------------------------------------------------------------------------------------


async def test_who_has_only_begun_to_set_up_factors_is_told_like_everybody(helped: Doorway):
    browser = await invited(helped, "a")
    answer = await browser.get(HELP)

    assert answer.status == 200
    assert CENTRE.phone in numbers(answer.json["lines"])


async def test_who_cannot_sign_in_is_shown_both_lines_of_the_platform_in_their_language_and_nothing_else(
    helped: Doorway,
):
    answer = await helped.get(HELP, **FRENCH)

    assert answer.json == {
        "lines": [
            {
                "purpose": "alerts",
                "title": "Soutien et prise en charge d'une alerte",
                "name": "Centre de Crise National",
                "phone": "02 506 47 11",
                "hours": "24/7",
            },
            {
                "purpose": "technical",
                "title": "Questions techniques ou administratives",
                "name": 'Helpdesk <"&">',
                "phone": "02 610 61 07",
                "mail": "bealert@telenetgroup.be",
                "hours": "24/7",
            },
        ],
        "documents": [],
    }
    assert answer.headers["Content-Language"] == "fr"


async def test_who_shows_a_key_is_shown_the_lines_of_their_zones_before_those_of_the_platform(helped: Doorway):
    of_a, of_b = [await helped.get(HELP, key) for key in ("a", "b")]

    assert [(line["phone"], line.get("zone")) for line in of_a.json["lines"]] == [
        ("069 00 00 00", "A"),
        ("02 506 47 11", None),
        ("02 610 61 07", None),
    ]
    assert numbers(of_b.json["lines"]) == ["02 506 47 11", "02 610 61 07"]
    assert numbers((await helped.get(HELP, "all")).json["lines"]) == numbers(of_a.json["lines"])


@pytest.mark.parametrize("how", ["broken", "revoked", "disabled", "none of ours"])
async def test_a_key_that_is_good_no_more_opens_it_like_none(helped: Doorway, how: str):
    if how == "revoked":
        await helped.house.database.write(lambda tx: accounts.revoke_key(tx, "a"))
    if how == "disabled":
        await helped.house.database.write(lambda tx: accounts.set_disabled(tx, "a", True))
    given = {"broken": f"Bearer tocsin_a_{SECRET}x", "none of ours": "Basic YTpi"}.get(how, f"Bearer tocsin_a_{SECRET}")

    answer = await helped.get(HELP, headers={"Authorization": given})

    assert answer.status == 200
    assert answer.json == (await helped.get(HELP)).json


async def test_guessing_keys_here_counts_as_guessing_everywhere(helped: Doorway):
    guesses = [await helped.get(HELP, f"guess{n}") for n in range(22)]

    assert [a.status for a in guesses] == [200] * 20 + [429] * 2
    assert numbers(guesses[-1].json["help"]) == ["02 506 47 11", "02 610 61 07"]
    assert (await helped.get(HELP)).status == 200
    assert (await helped.get("/api/v1/whoami", "guess")).status == 429


async def test_it_is_told_while_the_store_is_away(helped: Doorway, monkeypatch: pytest.MonkeyPatch):
    def away(*_: object) -> None:
        raise StoreUnavailable("away")

    monkeypatch.setattr(type(helped.house.database), "read", away)

    assert numbers((await helped.get(HELP)).json["lines"]) == ["02 506 47 11", "02 610 61 07"]
    refused = await helped.get("/api/v1/whoami", "a")
    assert (refused.status, numbers(refused.json["help"])) == (503, ["02 506 47 11", "02 610 61 07"])


async def test_looking_writes_nothing(helped: Doorway):
    async def rows() -> dict[str, int]:
        async with helped.house.database.read() as conn:
            return {
                table.name: (await conn.execute(sa.select(sa.func.count()).select_from(table))).scalar_one()
                for table in metadata.sorted_tables
            }

    before = await rows()
    await helped.get(HELP, "a")
    await helped.get(f"{FILES}/type2", "a")

    assert await rows() == before


# ---- documents ----------------------------------------------------------------------------------------------------


async def test_each_role_is_offered_its_documents_by_title(helped: Doorway):
    def offered(answer: Any) -> list[tuple[str, str, str | None]]:
        return [(one["title"], one["href"], one.get("zone")) for one in answer.json["documents"]]

    coordinator = await helped.get(HELP, "coordinator", **FRENCH)
    officer = await helped.get(HELP, "b", headers={"Accept-Language": "nl"})

    assert offered(coordinator) == [
        ("Lokale afspraken", "https://a.example/local", "A"),
        ("Manuel", f"{FILES}/plp", None),
        ("type2", f"{FILES}/type2", None),
    ]
    assert offered(officer) == [("type2", f"{FILES}/type2", None), ("Site", "https://alerts.example/site", None)]


async def test_a_document_is_saved_by_who_has_its_role_and_is_not_there_for_others(helped: Doorway):
    own, other = [await helped.get(f"{FILES}/plp", key) for key in ("coordinator", "a")]

    assert (own.status, own.body, own.headers["Content-Type"]) == (200, b"%PDF-1.7 the manual", "application/pdf")
    assert own.headers["Content-Disposition"] == 'attachment; filename="plp.pdf"'
    assert (other.status, other.json["code"]) == (404, "no-such-file")
    assert (await helped.get(f"{FILES}/type2", "a")).headers["Content-Type"] == "application/octet-stream"


@pytest.mark.parametrize("name", ["gone", "web", "nothing", "..%2fplp", "%2e%2e", "plp.pdf"])
async def test_what_is_no_document_or_no_file_does_not_exist(helped: Doorway, name: str):
    assert (await helped.get(f"{FILES}/{name}", "coordinator")).status == 404


# ---- in every problem ---------------------------------------------------------------------------------------------


async def test_every_problem_names_both_lines_in_the_callers_language(helped: Doorway):
    helped.desk.fails = RuntimeError("a mistake")
    refused = {
        401: await helped.get("/api/v1/whoami", **FRENCH),
        403: await helped.get("/api/v1/campaigns", "none", **FRENCH),
        404: await helped.get("/nothing", **FRENCH),
        405: await helped.ask("DELETE", "/api/v1/campaigns", **FRENCH),
        415: await helped.post("/cap/v1/alerts", "all", data=b"x", **FRENCH),
        500: await helped.post("/cap/v1/alerts", "all", data=b"<a/>", headers=CAP | FRENCH["headers"]),
    }

    for status, answer in refused.items():
        assert answer.status == status
        assert answer.headers["Content-Type"].startswith("application/problem+json")
        assert [(line["phone"], line["title"]) for line in answer.json["help"]] == [
            ("02 506 47 11", "Soutien et prise en charge d'une alerte"),
            ("02 610 61 07", "Questions techniques ou administratives"),
        ]


async def test_who_belongs_to_one_zone_is_told_its_line_in_the_platforms_place(helped: Doorway):
    of_a, of_all, of_b = [await helped.get("/api/v1/campaigns/nothing", key) for key in ("a", "all", "b")]

    assert numbers(of_a.json["help"]) == ["02 506 47 11", "069 00 00 00"]
    assert numbers(of_all.json["help"]) == numbers(of_b.json["help"]) == ["02 506 47 11", "02 610 61 07"]


@pytest.mark.parametrize(
    "request_", [b"NONSENSE\r\n\r\n", b"GET /nothing HTTP/1.1\r\nHost: a\r\nExpect: wonders\r\n\r\n"]
)
async def test_what_never_reaches_a_route_is_told_whom_to_ask_too(helped: Doorway, request_: bytes):
    reader, writer = await asyncio.open_connection("127.0.0.1", helped.port)
    writer.write(request_)
    answer = await asyncio.wait_for(reader.read(4096), 5)
    writer.close()

    assert b"problem+json" in answer
    assert b"02 506 47 11" in answer


async def test_where_no_line_is_set_a_problem_has_no_such_member(door: Doorway):
    assert "help" not in (await door.get("/api/v1/whoami")).json
    assert (await door.get(HELP)).json == {"lines": [], "documents": []}


async def test_what_a_refusal_says_itself_cannot_take_the_place_of_the_lines(helped: Doorway):
    helped.desk.fails = Refusal(409, "conflict", "Somebody else was first.", members={"help": "call me"})

    answer = await helped.post("/cap/v1/alerts", "all", data=b"<a/>", headers=CAP)

    assert numbers(answer.json["help"]) == ["02 506 47 11", "02 610 61 07"]


# ---- on pages -----------------------------------------------------------------------------------------------------


async def test_a_page_names_them_at_its_foot_and_obeys_nothing_in_them(helped: Doorway):
    page = (await helped.get("/unsubscribe/x", headers={"Accept-Language": "nl"})).body.decode()

    assert "Hulp bij een alarmering: Centre de Crise National, 02 506 47 11, 24/7" in page
    assert "Helpdesk &lt;&quot;&amp;&quot;&gt;" in page
    assert '<"&">' not in page


async def test_a_page_without_lines_has_no_foot(door: Doorway):
    assert "<footer>" not in (await door.get("/unsubscribe/x")).body.decode()


def test_a_document_of_a_zone_is_never_a_file():
    assert "file" not in {field.name for field in msgspec.structs.fields(HelpDocument)}
