"""The gateway's door as the load test itself uses it: launch, look, page, stop. Plain HTTP, one key a caller."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp

_PAGE = 1000


async def until_ready(session: aiohttp.ClientSession, url: str, timeout_s: float) -> bool:
    """Whether every check of the server is well in time."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    while loop.time() < deadline:
        try:
            async with session.get(f"{url}/readyz") as response:
                checks = (await response.json()).get("checks", [])
                if response.status == 200 and all(check["well"] for check in checks):
                    return True
        except (aiohttp.ClientError, ValueError):
            pass
        await asyncio.sleep(0.1)
    return False


@dataclass(frozen=True, slots=True)
class GatewayDoor:
    session: aiohttp.ClientSession
    url: str
    token: str

    async def until_ready(self, timeout_s: float) -> bool:
        return await until_ready(self.session, self.url, timeout_s)

    async def get(self, path: str) -> Any:
        async with self.session.get(self.url + path, headers=self._headers) as response:
            return await _answer(response)

    async def metrics(self) -> dict[str, float]:
        """What /metrics says: each sample by its name with its labels, as it is written there."""
        async with self.session.get(self.url + "/metrics", headers=self._headers) as response:
            text = await response.text()
        lines = (line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#"))
        return {name: float(value) for name, _, value in lines}

    async def post(self, path: str, body: Any = None) -> Any:
        headers = self._headers | {"Idempotency-Key": secrets.token_hex(8)}
        async with self.session.post(self.url + path, json=body, headers=headers) as response:
            return await _answer(response)

    async def post_alert(self, document: bytes) -> Any:
        headers = self._headers | {"Content-Type": "application/cap+xml"}
        async with self.session.post(f"{self.url}/cap/v1/alerts", data=document, headers=headers) as response:
            return await _answer(response)

    async def launch(
        self, zone: str, title: str, channels: list[str], targets: dict[str, Any], kind: str = "news"
    ) -> dict[str, Any]:
        """Launches a message and returns the answer. Raises DoorRefused."""
        text = f"{title}. De werken beginnen maandag om zeven uur."
        words = {"language": "nl", "sms": text, "subject": title, "email": f"{text}\n\nMet dank.", "voice": text}
        body = {
            "zone": zone,
            "kind": kind,
            "title": title,
            "texts": [words],
            "targets": targets,
            "channels": channels,
            "terms_confirmed": True,
        }
        answer: dict[str, Any] = await self.post("/api/v1/campaigns", body)
        return answer

    async def campaigns(self) -> list[dict[str, Any]]:
        """All that this caller may read."""
        found: list[dict[str, Any]] = []
        path = "/api/v1/campaigns?limit=200"
        while path:
            page = await self.get(path)
            found += page["campaigns"]
            path = page.get("next", "")
        return found

    async def deliveries(self, campaign: str) -> AsyncIterator[dict[str, Any]]:
        path = f"/api/v1/campaigns/{campaign}/deliveries?limit={_PAGE}"
        while path:
            page = await self.get(path)
            for line in page["deliveries"]:
                yield line
            path = page.get("next", "")

    @property
    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


class DoorRefused(Exception):
    """An answer that was not expected, with what it said."""


async def _answer(response: aiohttp.ClientResponse) -> Any:
    if response.status >= 400:
        raise DoorRefused(f"{response.method} {response.url.path}: {response.status} {(await response.text())[:1000]}")
    return await response.json()
