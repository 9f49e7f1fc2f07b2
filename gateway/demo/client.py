"""The demonstration's dispatch centre: posts an alert, follows its campaigns, fetches their reports, over HTTP."""

import json
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp

from loadtest.door import until_ready

TEMPLATE = Path(__file__).parent / "alert.xml"


@dataclass(frozen=True, slots=True)
class DemoClient:
    session: aiohttp.ClientSession
    url: str
    token: str

    @property
    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    async def until_ready(self, timeout_s: float) -> bool:
        """Whether the server answers in time and has a way out on every channel."""
        return await until_ready(self.session, self.url, timeout_s)

    async def post(self, document: bytes) -> tuple[int, dict[str, Any]]:
        headers = self._headers | {"Content-Type": "application/cap+xml"}
        async with self.session.post(f"{self.url}/cap/v1/alerts", data=document, headers=headers) as response:
            return response.status, await response.json()

    async def get(self, path: str) -> Any:
        async with self.session.get(self.url + path, headers=self._headers) as response:
            response.raise_for_status()
            return await response.json()

    async def progress(self, campaign: str) -> AsyncIterator[dict[str, Any]]:
        """The snapshots of a campaign, as the server pushes them."""
        path = f"{self.url}/api/v1/campaigns/{campaign}/progress"
        timeout = aiohttp.ClientTimeout(total=None, sock_read=60)
        async with self.session.get(path, headers=self._headers, timeout=timeout) as response:
            response.raise_for_status()
            async for line in response.content:
                if line.startswith(b"data:"):
                    yield json.loads(line[5:])


def alert_document(sender: str, rings: list[tuple[str, str]], now: datetime | None = None) -> bytes:
    """The alert of `alert.xml` for these areas, (description, polygon), with an identifier of its own."""
    now = now or datetime.now(UTC)
    areas = "".join(f"<area><areaDesc>{name}</areaDesc><polygon>{ring}</polygon></area>" for name, ring in rings)
    values = {
        "IDENTIFIER": f"demo-{now:%Y%m%d%H%M%S}-{secrets.token_hex(3)}",
        "SENDER": sender,
        "SENT": _moment(now),
        "EXPIRES": _moment(now + timedelta(hours=2)),
        "AREAS": areas,
    }
    text = TEMPLATE.read_text(encoding="utf-8")
    for name, value in values.items():
        text = text.replace(f">{name}<", f">{value}<") if name != "AREAS" else text.replace(name, value)
    return text.encode()


def _moment(instant: datetime) -> str:
    # CAP-v1.2 3.3.2: UTC is written -00:00
    return instant.strftime("%Y-%m-%dT%H:%M:%S-00:00")
