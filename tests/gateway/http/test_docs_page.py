"""The page of the API's document, and its files: kept for ever, under a path that changes with them."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.help_lines import HelpLine
from gateway.http.loaded_assets import LoadedAssets, load_assets
from gateway.settings import HelpSettings, ServerSettings, located, settings_of
from store.engine.database import Database
from tests.gateway.http.doorway import Doorway, doorway
from tests.peers.postfix import missing

ROOT = Path(__file__).parents[3]
OTHERS = "swagger-ui.js"


@pytest.fixture
def loaded() -> LoadedAssets:
    found = load_assets("")
    if found.faults:
        missing("The set of files for browsers ('make assets')")
    return found


@pytest.fixture
async def without(database: Database, tmp_path: Path) -> AsyncIterator[Doorway]:
    """A door whose folder of files for browsers is empty."""
    server = ServerSettings(host="127.0.0.1", port=0, assets=str(tmp_path / "nothing"))
    async with doorway(database, server=server) as opened:
        yield opened


async def test_the_page_has_no_script_or_style_of_its_own_and_a_policy_that_allows_none(
    door: Doorway, loaded: LoadedAssets
):
    page = await door.get("/api/docs")
    text = page.body.decode()

    assert page.status == 200
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert page.headers["Content-Security-Policy"] == (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
    )
    assert re.search(r"<style|<script>| style=| on[a-z]+=|https?:", text) is None
    for path in re.findall(r'(?:src|href)="(/[^"]+)"', text):
        assert (await door.get(path)).status == 200, path


async def test_the_page_names_whom_to_ask_and_obeys_nothing_in_it(database: Database, loaded: LoadedAssets):
    line = HelpLine(name="<script>", phone="02 610 61 07")
    async with doorway(database, help_settings=HelpSettings(technical=line)) as helped:
        page = (await helped.get("/api/docs")).body.decode()

    assert "Technical or administrative questions: &lt;script&gt;, 02 610 61 07, 24/7" in page
    assert "<script>" not in page


async def test_a_file_is_kept_for_ever_and_is_not_sent_again_to_who_has_it(door: Doorway, loaded: LoadedAssets):
    path = loaded.path(OTHERS)
    first = await door.get(path)
    again = await door.get(path, headers={"If-None-Match": first.headers["ETag"]})
    looked = await door.ask("HEAD", path)

    assert (first.status, again.status, again.body) == (200, 304, b"")
    assert first.body == loaded.files[OTHERS].content
    assert first.headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert first.headers["Cache-Control"] == again.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert looked.headers["Content-Length"] == str(len(first.body))


@pytest.mark.parametrize(
    "path", ["/assets/0123456789abcdef/docs_page.js", "/assets/{version}/docs_page.py", "/assets/{version}/..",
             "/assets/{version}/%2e%2e%2fdocs_page.js", "/assets/{version}/manifest.json"]
)  # fmt: skip
async def test_what_is_not_in_the_table_is_not_there_and_that_is_not_kept(door: Doorway, path: str):
    answer = await door.get(path.format(version=door.door.assets.version))

    assert answer.status == 404
    assert answer.headers["Cache-Control"] == "no-store"


async def test_the_licences_of_all_that_is_served_are_there(door: Doorway, loaded: LoadedAssets):
    text = (await door.get("/assets/licences")).body.decode()

    assert "swagger-ui-dist/LICENSE" in text
    assert "Apache License" in text
    assert "SmartBear Software" in text
    assert "React" in text or "react" in text


async def test_without_the_files_the_page_says_why_and_what_to_do_in_the_clients_language(without: Doorway):
    english = await without.get("/api/docs")
    dutch = await without.get("/api/docs", headers={"Accept-Language": "nl"})

    assert (english.status, english.json["code"]) == (404, "no-assets")
    [told] = english.json["problems"]
    assert told["text"] == "The files for browsers are not installed."
    assert "make setup ASSETS=FILE" in told["remedy"]
    assert dutch.json["problems"][0]["text"] == "De bestanden voor browsers zijn niet geïnstalleerd."
    assert dutch.headers["Content-Language"] == "nl"
    assert (await without.get("/assets/licences")).body == b""
    assert (await without.get("/api/v1/openapi.json")).status == 200


async def test_where_one_file_is_not_what_was_reviewed_the_page_names_it(
    database: Database, loaded: LoadedAssets, tmp_path: Path
):
    for name, asset in loaded.files.items():
        (tmp_path / name).write_bytes(asset.content)
    (tmp_path / "manifest.json").write_bytes((ROOT / "var" / "assets" / "manifest.json").read_bytes())
    (tmp_path / OTHERS).write_bytes(b"alert('mine')")
    server = ServerSettings(host="127.0.0.1", port=0, assets=str(tmp_path))
    async with doorway(database, server=server) as door:
        page = await door.get("/api/docs")
        changed = await door.get(door.door.assets.path(OTHERS))

    assert [reason["text"] for reason in page.json["problems"]] == [
        f"The file {OTHERS} is not what was reviewed, or is not there."
    ]
    assert changed.status == 404
    assert load_assets(str(tmp_path)).version != loaded.version


def test_a_relative_folder_is_meant_from_the_folder_of_the_settings(tmp_path: Path):
    settings = settings_of({"server": {"assets": "files"}})

    assert located(settings, tmp_path / "tocsin.toml").server.assets == str(tmp_path / "files")
    assert located(settings_of({}), tmp_path / "tocsin.toml").server.assets == ""
