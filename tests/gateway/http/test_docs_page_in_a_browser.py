"""The page of the API's document in a real browser, under its strict policy and cut off from every other host."""

import json
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from gateway.http.routes import TABLE
from tests.gateway.http.doorway import Doorway
from tests.gateway.populated_store import bearer
from tests.peers.chromium import chromium
from tests.peers.postfix import missing

pytestmark = pytest.mark.peer

WHOAMI = '[id="operations-Account-operations_whoami"]'


async def test_every_route_is_shown_and_can_be_tried_and_nothing_is_asked_of_another_host(
    door: Doorway, tmp_path: Path
):
    if door.door.assets.faults:
        missing("The set of files for browsers ('make assets')")
    key = bearer("a")["Authorization"].removeprefix("Bearer ")
    async with chromium() as browser:
        page = await browser.open(f"{door.url}/api/docs")
        await page.until("document.querySelectorAll('.opblock').length")
        shown = await page.value("[...document.querySelectorAll('.opblock')].map(o => o.id.split('-').pop())")
        opened = await page.picture()

        await page.value("document.querySelector('.auth-wrapper .authorize').click()")
        await page.until("document.querySelector('.modal-ux input')")
        await page.value(_typed(".modal-ux input", key))
        await page.value("document.querySelector('.modal-ux .authorize').click()")
        await page.value("document.querySelector('.modal-ux .btn-done').click()")
        await page.value(f"document.querySelector('{WHOAMI} .opblock-summary-control').click()")
        await page.until(f"document.querySelector('{WHOAMI} .try-out__btn')")
        await page.value(f"document.querySelector('{WHOAMI} .try-out__btn').click()")
        await page.until(f"document.querySelector('{WHOAMI} .execute')")
        await page.value(f"document.querySelector('{WHOAMI} .execute').click()")
        await page.until(f"document.querySelector('{WHOAMI} .live-responses-table .response-col_status')")
        answer = await page.value(f"document.querySelector('{WHOAMI} .live-responses-table').innerText")
        await page.value(f"document.querySelector('{WHOAMI} .responses-wrapper').scrollIntoView()")
        tried = await page.picture()

    (tmp_path / "opened.png").write_bytes(opened)
    (tmp_path / "tried.png").write_bytes(tried)
    assert len(shown) == len(TABLE)
    assert "200" in answer
    assert '"account": "a"' in answer
    assert page.violations == []
    assert page.errors == []
    assert page.foreign == []
    assert f"{door.url}/api/v1/whoami" in page.requests


BAD = """<!DOCTYPE html><title>x</title><link rel="icon" href="data:,"><style>p{color:red}</style>
<img src="https://pictures.invalid/x.png"><script src="/broken.js"></script>"""


async def test_the_browser_sees_what_a_page_must_not_do():
    async def page(_request: web.Request) -> web.Response:
        policy = "default-src 'none'; script-src 'self'; img-src 'self' data: https://pictures.invalid"
        return web.Response(text=BAD, content_type="text/html", headers={"Content-Security-Policy": policy})

    async def broken(_request: web.Request) -> web.Response:
        return web.Response(text="console.error('said'); undefined.field", content_type="text/javascript")

    app = web.Application()
    app.router.add_get("/", page)
    app.router.add_get("/broken.js", broken)
    async with TestServer(app) as server, chromium() as browser:
        seen = await browser.open(str(server.make_url("/")))

    assert seen.violations == ["style-src-elem inline"]
    assert seen.foreign == ["https://pictures.invalid/x.png"]
    assert "said" in seen.errors
    assert any("TypeError" in error for error in seen.errors)


def _typed(selector: str, text: str) -> str:
    """Into a field of React's, which hears of a value only by its own setter."""
    return f"""(() => {{
        const field = document.querySelector({json.dumps(selector)});
        Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value").set.call(field, {json.dumps(text)});
        field.dispatchEvent(new Event("input", {{bubbles: true}}));
    }})()"""
