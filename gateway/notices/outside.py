"""What lies outside and is asked for by itself: the webhook of the operators, and the ping that ends when we do.

Asked for within ten seconds, by an address of the settings alone; no redirect is followed, and of an answer a thousand
octets are read. Nothing of the environment (proxies, netrc) has a say.
"""

import base64
import hashlib
import hmac
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import aiohttp
import msgspec

from gateway.settings import AlarmSettings, webhook_key
from store.engine.database import Database
from store.engine.transaction import Transaction
from store.engine.turns import Turn
from store.notices import webhooks
from store.notices.webhooks import WebhookCall

TIMEOUT_S = 10.0
_MOST_OCTETS = 1_000
_CALL_MS = 30_000
"""After this a call whose server was killed is begun again."""
RETRY_MS = (5_000, 30_000, 300_000, 1_800_000, 7_200_000, 18_000_000, 36_000_000)
"""Before the second, third ... attempt; then it is given up."""
_GONE = 410


class OutsideAnswer(msgspec.Struct, frozen=True):
    ok: bool
    """2xx."""
    text: str
    """The status, or why there is none: nothing of what the peer has written."""
    gone: bool = False
    """The peer wants no more of it (410)."""


async def ask(
    method: str, url: str, headers: Mapping[str, str] | None = None, body: bytes | None = None
) -> OutsideAnswer:
    """Raises nothing: what goes wrong is an answer."""
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, trust_env=False, auto_decompress=False) as session,
            session.request(method, url, headers=headers, data=body, allow_redirects=False) as response,
        ):
            await response.content.read(_MOST_OCTETS)
            status = response.status
            response.close()
    except TimeoutError:
        return OutsideAnswer(False, f"no answer within {TIMEOUT_S:g} s")
    except (aiohttp.ClientError, OSError, ssl.SSLError, ValueError) as exc:
        # The words of some of these hold the address, which is a secret of the ping's.
        return OutsideAnswer(False, type(exc).__name__)
    return OutsideAnswer(200 <= status < 300, f"HTTP {status}", status == _GONE)


def signature(key: bytes, message_id: str, at_s: int, body: str) -> str:
    """As Standard Webhooks 1.0.0 has it: v1, HMAC-SHA256."""
    signed = f"{message_id}.{at_s}.{body}".encode()
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


@dataclass(slots=True)
class WebhookCaller:
    database: Database
    settings: AlarmSettings

    async def run(self) -> bool:
        """A chore: makes the next call that is due; returns whether there was one."""
        if not self.settings.webhook_url:
            return False
        async with self.database.read() as conn:
            if not await webhooks.any_due(conn, self.database.clock.now_ms()):
                return False
        call = await self.database.write(lambda tx: webhooks.begin(tx, _CALL_MS), turn=Turn.LAST)
        if call is None:
            return False
        answer = await self._call(call)
        await self.database.write(lambda tx: self._settle(tx, call, answer), turn=Turn.LAST)
        return True

    async def _call(self, call: WebhookCall) -> OutsideAnswer:
        key = webhook_key(self.settings.webhook_secret)
        if key is None:
            return OutsideAnswer(False, "alarms.webhook_secret is none")
        at_s = self.database.clock.now_ms() // 1000
        headers = {
            "Content-Type": "application/json",
            "webhook-id": call.public_id,
            "webhook-timestamp": str(at_s),
            "webhook-signature": signature(key, call.public_id, at_s, call.body),
        }
        return await ask("POST", self.settings.webhook_url, headers, call.body.encode())

    async def _settle(self, tx: Transaction, call: WebhookCall, answer: OutsideAnswer) -> None:
        await webhooks.note_outside(tx, "webhook", ok=answer.ok, detail=answer.text)
        if answer.ok:
            await webhooks.taken(tx, call.id)
            return
        is_last = answer.gone or call.attempts > len(RETRY_MS)
        await webhooks.failed(tx, call.id, answer.text, None if is_last else RETRY_MS[call.attempts - 1])


@dataclass(slots=True)
class DeadManPing:
    """Says that all is well as long as it is; whoever is asked raises the alarm when that ends."""

    database: Database
    settings: AlarmSettings
    trouble: Callable[[], Awaitable[str]]
    """Why it is not well; empty for well."""

    async def run(self) -> bool:
        """A chore of `alarms.ping_every_s`. A store that cannot be written is trouble like any other, and nothing is
        asked for then."""
        if not self.settings.ping_url:
            return False
        why = await self.trouble()
        answer = OutsideAnswer(False, f"held back: {why}") if why else await ask("GET", self.settings.ping_url)
        await self.database.write(
            lambda tx: webhooks.note_outside(tx, "ping", ok=answer.ok, detail=answer.text), turn=Turn.LAST
        )
        return False
