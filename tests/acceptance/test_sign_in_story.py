"""People come in, by the whole product and real mail: the first administrator by a link of the terminal, the others by
invitations through Postfix; a password is lost and set again; what is dangerous waits for a second person."""

import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pyotp
import pytest

from loadtest.authenticator import Authenticator
from tests import declared
from tests.acceptance.world import Server, World, opened, relay, until
from tests.channels.email.certificates import write_certificate
from tests.peers.postfix import Postfix, private_postfix

pytestmark = [pytest.mark.slow, pytest.mark.peer]

ZONE = {"type": "zone", "code": "5301", "name": "Politiezone 5301", "convention": 1}
PASSWORD = "vier losse woorden samen gewogen"
ANOTHER = "een trage fiets onder de lamp"
OWN_PAGE = {"Sec-Fetch-Site": "same-origin"}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with opened(tmp_path) as made:
        yield made


class Browser:
    """One browser at the door: it keeps its cookie and says that it asks from the gateway's own page."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url, self.session = url, session
        self.authenticator = Authenticator(url)

    async def ask(self, method: str, path: str, body: Any = None, wanted: int = 200, **headers: str) -> Any:
        async with self.session.request(
            method, self.url + path, json=body, headers={**OWN_PAGE, **headers}
        ) as response:
            found = await response.read()
            assert response.status == wanted, f"{method} {path}: {response.status} {found[:1000]!r}"
            declared.hold(method, response.url.path, response.status, response.headers, found)
            return json.loads(found) if found else None

    async def make_passkey(self) -> None:
        options = await self.ask("POST", "/api/v1/me/passkeys/challenge")
        await self.ask("POST", "/api/v1/me/passkeys", self.authenticator.created(options["public_key"]), 201)

    async def sign_in_by_passkey(self) -> dict[str, Any]:
        options = await self.ask("POST", "/api/v1/sessions/passkey/challenge")
        answer = self.authenticator.asserted(options["public_key"])
        found: dict[str, Any] = await self.ask("POST", "/api/v1/sessions/passkey", answer, 201)
        return found

    async def sign_out(self) -> None:
        await self.ask("DELETE", "/api/v1/sessions/current", wanted=204)


@asynccontextmanager
async def browser(server: Server) -> AsyncIterator[Browser]:
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(cookie_jar=jar) as session:
        yield Browser(server.url, session)


@asynccontextmanager
async def town(world: World, folder: Path) -> AsyncIterator[tuple[Server, Path, Postfix]]:
    """A server whose mail goes through a real Postfix."""
    sink = await world.smtp()
    certificate, key = write_certificate(folder)
    with private_postfix(
        next_hop=sink.port, bounce_domain="bounces.example", bounce_port=1, certificate=certificate, key=key
    ) as postfix:
        settings = world.settings({"email": {"carriers": {"relay": relay(postfix.port)}}})
        await world.load(settings, [ZONE])
        server = await world.serve(settings)
        yield server, settings, postfix


async def link_in(world: World, address: str, kind: str, *, after: int = 0) -> str:
    """The token of the newest link of this kind that came to an address, behind so many mails of it."""

    def found() -> list[str]:
        texts = [mail.body for mail in world.mails() if mail.address == address]
        return [token for text in texts for token in re.findall(rf"/{kind}#([A-Za-z0-9_-]+)", text)]

    await until(lambda: len(found()) > after)
    return found()[-1]


async def first_administrator(world: World, settings: Path, mail: str) -> str:
    """The token that the terminal prints."""
    code, said = await world.tocsin(
        "account", "invite", "--admin", "--zone", "5301", "--email", mail, "--name", "Jo", "--config", str(settings)
    )
    assert code == 0, said
    found = re.search(r"/invitation#(\S+)", said)
    assert found is not None, said
    return found[1]


async def test_from_the_terminals_link_to_a_password_that_was_lost(world: World, tmp_path: Path) -> None:
    async with town(world, tmp_path) as (server, settings, _), browser(server) as jo, browser(server) as ann:
        token = await first_administrator(world, settings, "jo@zone.example")
        await jo.ask("POST", "/api/v1/invitations/accept", {"token": token}, 201)
        refused = await jo.ask("GET", "/api/v1/accounts", wanted=403)
        assert refused["code"] == "enrol-only", "a link alone opens nothing"
        await jo.make_passkey()

        wish = {
            "code": "ann", "name": "Ann", "type": "coordinator", "email": "Ann@Network.example", "language": "nl",
            "rights": [{"action": "read", "zone": "5301"}],
        }  # fmt: skip
        await jo.ask("POST", "/api/v1/accounts", wish, 201)
        token = await link_in(world, "ann@network.example", "invitation")
        [invitation] = (await jo.ask("GET", "/api/v1/invitations?account=ann"))["invitations"]
        assert invitation["state"] in ("sent", "delivered")

        await ann.ask("POST", "/api/v1/invitations/accept", {"token": token}, 201)
        await ann.ask("PUT", "/api/v1/me/password", {"password": PASSWORD})
        secret = (await ann.ask("POST", "/api/v1/me/totp"))["secret"].replace(" ", "")
        app = pyotp.TOTP(secret)
        await ann.ask("POST", "/api/v1/me/totp/confirm", {"code": app.now()})
        codes = (await ann.ask("POST", "/api/v1/me/recovery-codes"))["codes"]
        assert (await ann.ask("GET", "/api/v1/whoami"))["account"] == "ann"
        await ann.sign_out()

        signs_in = {"account": "ann@network.example", "password": PASSWORD}
        await ann.ask("POST", "/api/v1/invitations/accept", {"token": token}, 404)
        again = await ann.ask("POST", "/api/v1/sessions/recovery", signs_in | {"recovery_code": codes[0]}, 201)
        assert set(again["factors"]) == {"password", "recovery"}
        await ann.sign_out()
        await ann.ask("POST", "/api/v1/sessions/recovery", signs_in | {"recovery_code": codes[0]}, 401)

        await ann.ask("POST", "/api/v1/resets", {"mail": "ANN@network.example"})
        reset = await link_in(world, "ann@network.example", "reset")
        await ann.ask("POST", "/api/v1/resets/use", {"token": reset, "password": ANOTHER}, 204)
        await ann.ask("POST", "/api/v1/resets/use", {"token": reset, "password": PASSWORD}, 404)
        await ann.ask("POST", "/api/v1/sessions/recovery", signs_in | {"recovery_code": codes[1]}, 401)
        changed = signs_in | {"password": ANOTHER}
        await ann.ask("POST", "/api/v1/sessions/password", changed, 401)  # a reset resets no other factor
        code = app.at(time.time() + 30)  # of the next half minute: the one before may be used up
        signed_in = await ann.ask("POST", "/api/v1/sessions/password", changed | {"code": code}, 201)
        assert set(signed_in["factors"]) == {"password", "totp"}

        session = await jo.ask("GET", "/api/v1/sessions/current")
        assert session["factors"] == ["passkey"]
        await jo.sign_out()
        assert (await jo.sign_in_by_passkey())["account"] == "jo"


async def test_what_is_dangerous_waits_for_a_second_person_and_a_paper_code_tells_both(
    world: World, tmp_path: Path
) -> None:
    async with (
        town(world, tmp_path) as (server, settings, _),
        browser(server) as jo,
        browser(server) as eva,
        browser(server) as finder,
    ):
        for who, mail in ((jo, "jo@zone.example"), (eva, "eva@zone.example")):
            token = await first_administrator(world, settings, mail)
            await who.ask("POST", "/api/v1/invitations/accept", {"token": token}, 201)
            await who.make_passkey()

        wish = {
            "code": "officer", "name": "Officer", "type": "officer", "email": "officer@zone.example", "language": "fr",
            "rights": [{"action": "launch", "zone": "5301"}],
        }  # fmt: skip
        made = await jo.ask("POST", "/api/v1/accounts", wish, 201)
        assert made["rights"] == []
        await until(lambda: [mail for mail in world.mails() if mail.address == "eva@zone.example"])
        [wanted] = [mail for mail in world.mails() if mail.address == "eva@zone.example"]
        assert "officer" in wanted.body
        assert "/sign-in?to=" in wanted.body

        path = f"/api/v1/approvals/{made['approval']}"
        digest = (await eva.ask("GET", path))["digest"]
        await jo.ask("POST", f"{path}/decision", {"grant": True, "digest": digest}, 403)
        await eva.ask("POST", f"{path}/decision", {"grant": True, "digest": digest})
        rights = (await jo.ask("GET", "/api/v1/accounts/officer"))["rights"]
        assert [right["action"] for right in rights] == ["launch"]

        code, sheet = await world.tocsin("break-glass", "issue", "5301", "--config", str(settings))
        assert code == 0, sheet
        [paper] = re.findall(r"\b(?:[A-Z0-9]{4}-){3,}[A-Z0-9]{4}\b", sheet)
        opens = {"zone": "5301", "code": paper.lower(), "name": "Sam Finder", "reason": "Both are ill."}
        await finder.ask("POST", "/api/v1/break-glass", opens)
        assert (await finder.ask("GET", "/api/v1/whoami"))["rights"]
        await finder.ask("PUT", "/api/v1/me/password", {"password": PASSWORD}, 403)
        for mail in ("jo@zone.example", "eva@zone.example"):
            await until(lambda mail=mail: any("Sam Finder" in m.body for m in world.mails() if m.address == mail))
        async with browser(server) as second:
            await second.ask("POST", "/api/v1/break-glass", opens, 403)
