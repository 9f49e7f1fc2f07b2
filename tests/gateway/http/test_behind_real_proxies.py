"""The examples of docs/proxy do what they say, in a real nginx and a real Caddy: clients come from addresses of their
own, and the gateway behind sees them so."""

import asyncio
import io
import json
import re
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway.settings import AlertSettings, ServerSettings
from store.engine.database import Database
from tests.gateway.http.doorway import CAP, Doorway, doorway, events
from tests.gateway.http.server_certificates import HOST, files
from tests.gateway.http.test_feed_door import publish
from tests.gateway.http.test_feed_stream import until
from tests.gateway.populated_store import bearer
from tests.peers.proxies import EXAMPLES, Proxy, caddy, nginx

pytestmark = pytest.mark.peer

WRONG = {"Authorization": "Bearer tocsin_a_0123456789abcdef0123456789abcdef"}
MOST = ServerSettings().max_document_bytes


@dataclass
class Site:
    door: Doorway
    proxy: Proxy
    context: ssl.SSLContext

    def client(self, address: str) -> aiohttp.ClientSession:
        """Somebody with this address."""
        return aiohttp.ClientSession(
            f"https://127.0.0.1:{self.proxy.https_port}",
            connector=aiohttp.TCPConnector(local_addr=(address, 0), ssl=self.context),
            headers={"Host": HOST},
            timeout=aiohttp.ClientTimeout(total=20),
        )

    def get(self, client: aiohttp.ClientSession, path: str, **given: Any) -> Any:
        return client.get(path, server_hostname=HOST, **given)


@pytest.fixture(params=[nginx, caddy], ids=["nginx", "caddy"])
async def site(request: pytest.FixtureRequest, database: Database, tmp_path: Path) -> AsyncIterator[Site]:
    found = files(tmp_path)
    server = ServerSettings(port=0, public_url=f"https://{HOST}", trusted_proxies=("127.0.0.1",))
    async with doorway(database, server=server, feed=AlertSettings(max_feed_watchers_per_address=1)) as door:
        door.door.current_feed.life_s, door.door.feed_changes.poll_s = 0.0, 0.02
        with request.param(tmp_path, door.port, found.certificate, found.key) as proxy:
            yield Site(door, proxy, ssl.create_default_context(cafile=str(found.certificate)))


async def test_failed_keys_are_laid_to_the_client_and_what_it_claims_gains_nothing(site: Site):
    async with site.client("127.0.0.7") as guesser, site.client("127.0.0.8") as neighbour:

        async def guess(client: aiohttp.ClientSession, **claimed: str) -> int:
            headers = WRONG | {name.replace("_", "-"): value for name, value in claimed.items()}
            async with site.get(client, "/api/v1/campaigns", headers=headers) as answer:
                return int(answer.status)

        guesses = [
            await guess(guesser, X_Forwarded_For=f"198.51.100.{n}", Forwarded=f"for=198.51.100.{n}") for n in range(21)
        ]
        others = await guess(neighbour, X_Forwarded_For="127.0.0.7")

    assert guesses == [401] * 20 + [429]
    assert others == 401


async def test_events_come_through_when_they_happen_and_a_listener_counts_by_its_address_until_it_leaves(site: Site):
    async with (
        site.client("127.0.0.7") as one,
        site.client("127.0.0.8") as other,
        asyncio.timeout(15),
        site.get(one, "/cap/stream") as response,
        site.get(one, "/cap/stream") as second,
        site.get(other, "/cap/stream") as third,
    ):
        stream = events(response)
        opened = await anext(stream)
        await publish(site.door, "one", headline="One")
        told = await anext(stream)
        for left in (response, third):
            assert left.connection is not None
            assert left.connection.transport is not None
            left.connection.transport.abort()

    await until(lambda: site.door.door.feed_changes.listeners == 0)
    assert (opened["event"], told["event"]) == ("open", "alert")
    assert told["data"]["url"] == "/cap/alerts/one.xml"
    assert (second.status, third.status) == (429, 200)


async def test_the_largest_document_passes_and_one_byte_more_is_refused_in_the_form_of_the_gateway(site: Site):
    answers = []
    async with site.client("127.0.0.7") as client:
        for size in (MOST, MOST + 1):
            body = io.BytesIO(b"x" * size)
            asked = client.post("/cap/v1/alerts", data=body, headers=CAP | bearer("a"), server_hostname=HOST)
            async with asked as answer:
                answers.append((answer.status, answer.content_type, json.loads(await answer.read())))
    own = (await site.door.post("/cap/v1/alerts", "a", data=io.BytesIO(b"x" * (MOST + 1)), headers=CAP)).json

    assert [len(document) for document in site.door.desk.documents] == [MOST]
    (passed, *_), (refused, media_type, told) = answers
    assert (passed, refused, media_type) == (202, 413, "application/problem+json")
    assert told | {"request_id": ""} == own | {"request_id": ""}
    assert told["request_id"]


async def test_tls_ends_at_the_proxy_and_the_gateway_tells_browsers_to_come_back_so(site: Site):
    async with site.client("127.0.0.7") as client:
        async with site.get(client, "/healthz") as answer:
            told = answer.headers.getall("Strict-Transport-Security")
        plain = f"http://127.0.0.1:{site.proxy.http_port}/cap/feed.atom"
        async with site.door.session.get(plain, headers={"Host": HOST}, allow_redirects=False) as redirect:
            pass

    assert told == ["max-age=31536000"]
    assert redirect.status == 308
    assert redirect.headers["Location"].startswith(f"https://{HOST}")


async def test_one_request_after_another_goes_over_the_same_connection(site: Site):
    async with site.client("127.0.0.7") as client:
        for _ in range(10):
            async with site.get(client, "/healthz") as answer:
                assert answer.status == 200

    assert site.door.door.visitors.inside == 1


async def test_feeds_are_compressed_and_what_has_a_strong_etag_for_changing_is_not(site: Site):
    for n in range(5):
        await publish(site.door, f"p{n}", headline="One")
    async with site.client("127.0.0.7") as client:
        async with site.get(client, "/cap/feed.atom", headers={"Accept-Encoding": "gzip"}) as feed:
            body = await feed.text()
        async with site.get(client, "/", headers={"Accept-Encoding": "gzip"}) as index:
            pass
        unchanged = {"If-None-Match": feed.headers["ETag"], "Accept-Encoding": "gzip"}
        async with site.get(client, "/cap/feed.atom", headers=unchanged) as again:
            pass

    assert "<feed" in body
    assert (feed.headers.get("Content-Encoding"), index.headers.get("Content-Encoding")) == ("gzip", None)
    assert again.status == 304


@pytest.mark.parametrize("example", ["nginx.conf", "Caddyfile"])
def test_the_limits_of_the_examples_are_those_of_the_settings(example: str):
    text = (EXAMPLES / example).read_text(encoding="utf-8")

    assert set(re.findall(r"(?:client_max_body_size|max_size|Content-Length}\) >) (\d+)", text)) == {str(MOST)}
    assert f" 127.0.0.1:{ServerSettings().port}" in text
