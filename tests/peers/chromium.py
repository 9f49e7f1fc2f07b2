"""A headless Chromium on its DevTools socket: opens pages, and writes down what a page of ours must never do.

Nothing but this machine is resolved, so that a page that asks for more is seen to ask and gets no answer.
"""

import asyncio
import base64
import contextlib
import itertools
import json
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from tests.peers.postfix import missing

_START_S = 30.0
_LONG_S = 20.0
_FLAGS = (
    "--remote-debugging-port=0", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-dev-shm-usage", "--hide-scrollbars", "--window-size=1280,900",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
)  # fmt: skip
_WATCH = """addEventListener("securitypolicyviolation", e => violated(`${e.effectiveDirective} ${e.blockedURI}`))"""
_AT_LEAST_ONCE = "new Promise(done => { const look = () => (%s) ? done(true) : requestAnimationFrame(look); look() })"


@dataclass
class BrowserPage:
    """One tab, and what it did since it was opened."""

    url: str
    _call: Callable[..., Any]
    requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    """What stands in the console as an error, and exceptions that nothing caught."""
    violations: list[str] = field(default_factory=list)
    """Of the page's Content-Security-Policy: directive and what was refused."""
    loaded: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def foreign(self) -> list[str]:
        """Requests to another place than the page's own."""
        home = urlsplit(self.url)[:2]
        return [url for url in self.requests if not url.startswith("data:") and urlsplit(url)[:2] != home]

    async def value(self, expression: str) -> Any:
        """What an expression comes to in the page, a promise when it is kept."""
        said = await self._call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in said, said["exceptionDetails"]
        return said["result"].get("value")

    async def until(self, condition: str) -> None:
        """Until a condition holds in the page, or in the one that takes its place, looked at before each picture.
        Raises TimeoutError."""
        while True:
            try:
                await self.value(_AT_LEAST_ONCE % condition)
                return
            except AssertionError as gone:
                if "navigated" not in str(gone):
                    raise

    async def picture(self) -> bytes:
        """What is seen of it now, as PNG."""
        said = await self._call("Page.captureScreenshot", format="png")
        return base64.b64decode(said["data"])

    async def press(self, words: str) -> None:
        """Presses the button or link that is called so, once it is there."""
        called = f"one => one.checkVisibility() && one.textContent === {json.dumps(words)}"
        found = f"[...document.querySelectorAll('button, a')].find({called})"
        await self.until(found)
        await self.value(f"{found}.click()")

    async def type(self, **values: str) -> None:
        """Types into the fields of these names, as a person does: each is focused, and hears of its letters."""
        for name, value in values.items():
            field = f"[...document.querySelectorAll('input[name={name}]')].find(one => one.checkVisibility())"
            await self.until(field)
            await self.value(f"{field}.focus(); {field}.select()")
            await self._call("Input.insertText", text=value)

    async def authenticator(self) -> None:
        """Gives the page an authenticator of its own, which keeps passkeys; its owner touches it whenever it asks."""
        await self._call("WebAuthn.enable")
        kind = {"protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True}
        await self._call("WebAuthn.addVirtualAuthenticator", options=kind | {"isUserVerified": True})

    async def cookie(self, name: str) -> str:
        """What it holds for the page's site, also where no script sees it; empty where it has none."""
        said = await self._call("Network.getCookies", urls=[self.url])
        return next((str(one["value"]) for one in said["cookies"] if one["name"] == name), "")

    async def begin_with(self, source: str) -> None:
        """A script that runs before those of each page from here: a browser of another kind."""
        await self._call("Page.addScriptToEvaluateOnNewDocument", source=source)

    async def shown_as(self, width: int, height: int, scheme: str = "light") -> None:
        """Shows the page in this size (CSS pixels) and colour scheme from here."""
        await self._call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        await self._call("Emulation.setEmulatedMedia", features=features)

    async def cut_off(self, *patterns: str) -> None:
        """Lets no request through to these addresses from here."""
        await self._call("Network.setBlockedURLs", urls=list(patterns))

    async def go(self, url: str) -> None:
        """Another page in the same tab, when it is loaded."""
        self.loaded.clear()
        await self._call("Page.navigate", url=url)
        async with asyncio.timeout(_LONG_S):
            await self.loaded.wait()

    def heard(self, event: str, said: dict[str, Any]) -> None:
        match event:
            case "Network.requestWillBeSent":
                self.requests.append(said["request"]["url"])
            case "Network.webSocketCreated":
                self.requests.append(said["url"])
            case "Runtime.consoleAPICalled" if said["type"] in ("error", "assert"):
                self.errors.append(" ".join(str(a.get("value", a.get("description"))) for a in said["args"]))
            case "Runtime.exceptionThrown":
                self.errors.append(str(said["exceptionDetails"]))
            case "Log.entryAdded" if said["entry"]["level"] == "error":
                self.errors.append(f"{said['entry']['text']} {said['entry'].get('url', '')}")
            case "Runtime.bindingCalled" if said["name"] == "violated":
                self.violations.append(said["payload"])
            case "Page.loadEventFired":
                self.loaded.set()


@dataclass
class Chromium:
    _socket: aiohttp.ClientWebSocketResponse
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))
    _waiting: dict[int, asyncio.Future[dict[str, Any]]] = field(default_factory=dict)
    _pages: dict[str, BrowserPage] = field(default_factory=dict)

    async def listen(self) -> None:
        async for message in self._socket:
            said = message.json()
            if "id" in said:
                self._waiting.pop(said["id"]).set_result(said)
            elif said.get("sessionId") in self._pages:
                self._pages[said["sessionId"]].heard(said["method"], said["params"])

    async def call(self, method: str, session: str | None = None, **params: Any) -> dict[str, Any]:
        number = next(self._numbers)
        self._waiting[number] = asyncio.get_running_loop().create_future()
        at = {"sessionId": session} if session else {}
        await self._socket.send_json({"id": number, "method": method, "params": params} | at)
        async with asyncio.timeout(_LONG_S):
            said = await self._waiting[number]
        assert "error" not in said, (method, said["error"])
        return dict(said["result"])

    async def open(self, url: str) -> BrowserPage:
        """A new tab with this page, when it is loaded."""
        target = await self.call("Target.createTarget", url="about:blank")
        attached = await self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        session = attached["sessionId"]

        async def call(method: str, **params: Any) -> dict[str, Any]:
            return await self.call(method, session, **params)

        page = self._pages[session] = BrowserPage(url, call)
        for domain in ("Page", "Network", "Log", "Runtime"):
            await call(f"{domain}.enable")
        await call("Runtime.addBinding", name="violated")
        await call("Page.addScriptToEvaluateOnNewDocument", source=_WATCH)
        await call("Page.navigate", url=url)
        async with asyncio.timeout(_LONG_S):
            await page.loaded.wait()
        return page


@contextlib.asynccontextmanager
async def chromium() -> AsyncIterator[Chromium]:
    """A browser of its own, with a profile that goes with it."""
    program = shutil.which("chromium-headless-shell")
    if program is None:
        missing("Chromium (chromium-headless-shell)")
    assert program is not None
    with tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as profile:
        process = await asyncio.create_subprocess_exec(
            program, *_FLAGS, f"--user-data-dir={profile}",
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        try:
            address = await _address(process)
            async with aiohttp.ClientSession() as session, session.ws_connect(address, max_msg_size=0) as socket:
                browser = Chromium(socket)
                listening = asyncio.create_task(browser.listen())
                try:
                    yield browser
                finally:
                    listening.cancel()
        finally:
            # Its children hold its stderr: they go with it.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.communicate()


async def _address(process: asyncio.subprocess.Process) -> str:
    assert process.stderr is not None
    async with asyncio.timeout(_START_S):
        async for line in process.stderr:
            if line.startswith(b"DevTools listening on "):
                return line.decode().split()[-1]
    raise AssertionError("Chromium ended before it listened")
