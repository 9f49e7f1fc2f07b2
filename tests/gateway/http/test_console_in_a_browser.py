"""The pages for people in a real browser with an authenticator of its own: invited, signed in, locked, signed out.

After each flow: nothing against the page's policy, nothing asked of another host, no error in the console but for the
answers that the flow was about.
"""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
import sqlalchemy as sa

from gateway.help_lines import HelpLine
from gateway.settings import HelpSettings
from store.access import invitations
from store.engine.database import Database
from store.engine.transaction import Transaction
from store.tables import session
from tests.gateway.http.authenticator import PASSWORD, App, give_mail, id_of
from tests.gateway.http.doorway import Doorway, doorway
from tests.peers.chromium import BrowserPage, Chromium, chromium

pytestmark = pytest.mark.peer

MAIL = "anna@zone.example"
ANOTHER_PASSWORD = "sleutel wolk fiets anker"


@dataclass
class Visit:
    """Somebody at a browser, in front of the door."""

    door: Doorway
    browser: Chromium
    pages: list[BrowserPage] = field(default_factory=list)

    @property
    def site(self) -> str:
        """Passkeys are bound to a name, and this machine has one."""
        return self.door.url.replace("127.0.0.1", "localhost")

    async def open(self, path: str, *, offers: bool = False) -> BrowserPage:
        """`offers`: the browser offers passkeys in a field, and somebody takes them at once."""
        page = await self.browser.open("about:blank")
        page.url = self.site
        self.pages.append(page)
        await page.authenticator()
        if not offers:
            await page.begin_with("delete PublicKeyCredential.isConditionalMediationAvailable")
        await page.go(self.site + path)
        return page

    async def invited(self, code: str = "a") -> str:
        """The path of a link as it stands in the mail."""
        number = await id_of(self.door, code)
        made = await self.door.house.database.write(lambda tx: invitations.make(tx, number))
        return f"/invitation?lang=en#{made.token}"

    async def with_passkey(self, *, offers: bool = False) -> BrowserPage:
        """Somebody who has taken up an invitation by a passkey: signed in, in front of the own account."""
        page = await self.open(await self.invited(), offers=offers)
        await page.press("Begin")
        await page.press("Make a passkey")
        await kept_codes(page)
        await page.press("Go to my account")
        await headed(page, "A")
        return page

    async def with_app(self) -> tuple[BrowserPage, App, list[str]]:
        """The same by a password and an app; with the app, and the recovery codes."""
        page = await self.open(await self.invited())
        await page.press("Begin")
        await page.type(password=PASSWORD)
        await page.press("Set the password")
        await page.until("document.querySelector('.secret')")
        app = App((await page.value("document.querySelector('.secret').textContent")).replace(" ", ""))
        await page.type(code=app.code(self.door, -1))
        await page.press("Confirm the code")
        codes = await kept_codes(page)
        await page.press("Go to my account")
        await headed(page, "A")
        return page, app, codes

    async def change_session(self, **values: int) -> None:
        """Lets time pass for the one session that lasts, as another node would see it."""

        async def work(tx: Transaction) -> None:
            await tx.run(sa.update(session).where(session.c.ended_ms.is_(None)).values(**values))

        await self.door.house.database.write(work)
        self.door.door.services.sign_in.parts.book.forget(await id_of(self.door, "a"))

    def held(self, *refused: str) -> None:
        """`refused`: the addresses whose refusals the flow was about."""
        for page in self.pages:
            assert page.violations == []
            assert page.foreign == []
            assert [error for error in page.errors if not error.endswith(refused)] == []


@pytest.fixture
async def visit(door: Doorway) -> AsyncIterator[Visit]:
    await give_mail(door, "a", MAIL)
    async with chromium() as browser:
        yield Visit(door, browser)


async def headed(page: BrowserPage, words: str) -> None:
    """Waits for a screen; it fits into the narrowest window that there is."""
    await page.until(f"document.querySelector('h1')?.textContent === {words!r}")
    await page.shown_as(320, 640)
    assert await page.value("document.documentElement.scrollWidth") <= 320, words
    nameless = """[...document.querySelectorAll('main input:not([hidden]), main select, main button, main a')]
        .filter(one => !(one.labels?.length || one.textContent.trim())).map(one => one.outerHTML)"""
    assert await page.value(nameless) == []
    await page.shown_as(1280, 720)


async def kept_codes(page: BrowserPage) -> list[str]:
    await page.press("Make ten codes")
    await page.until("document.querySelectorAll('.codes li').length === 10")
    codes = await page.value("[...document.querySelectorAll('.codes code')].map(one => one.textContent)")
    await headed(page, "Recovery codes")
    await page.press("I have kept them")
    return list(codes)


async def said(page: BrowserPage) -> str:
    """What went wrong, in the page's words."""
    await page.until("document.querySelector('.said:not(:empty)')")
    return str(await page.value("document.querySelector('.said:not(:empty)').innerText"))


async def fault(page: BrowserPage) -> str:
    """What is wrong with a field, beside it."""
    await page.until("document.querySelector('[aria-invalid]')")
    beside = "document.querySelector('[aria-invalid]').closest('.field').querySelector('.fault').textContent"
    return str(await page.value(beside))


async def typed_sign_in(page: BrowserPage, password: str, code: str) -> None:
    await page.type(account=MAIL, password=password, code=code)
    await page.press("Sign in")


# ---- invited -------------------------------------------------------------------------------------------------------


async def test_an_invitation_a_passkey_recovery_codes_out_and_in_again(visit: Visit):
    path = await visit.invited()
    token = path.partition("#")[2]
    page = await visit.open(path)
    await headed(page, "Welcome to Tocsin")

    address = await page.value("location.href")
    history = await page.value("history.length")
    await page.press("Begin")
    await headed(page, "How do you want to sign in?")
    await page.press("Make a passkey")
    codes = await kept_codes(page)
    await headed(page, "All is set up")
    await page.press("Go to my account")
    await headed(page, "A")
    await page.press("Sign out")
    await headed(page, "Sign in")
    await page.press("Sign in with a passkey")
    await headed(page, "A")

    assert address == f"{visit.site}/invitation?lang=en"
    assert history == 2  # about:blank, and the page: the address with the token is none of them
    assert [url for url in page.requests if token in url.partition("#")[0]] == []
    assert all(re.fullmatch(r"[A-Z2-9]{4}(-[A-Z2-9]{4}){3}", code) for code in codes)
    visit.held()


async def test_a_browser_may_offer_the_passkey_in_the_field_of_the_account(visit: Visit):
    page = await visit.with_passkey(offers=True)
    await page.press("Sign out")
    await page.until("location.pathname === '/sign-in'")
    await headed(page, "A")

    visit.held()


async def test_an_invitation_a_password_with_an_app_and_in_again_by_it_once(visit: Visit):
    page, app, _ = await visit.with_app()
    await page.press("Sign out")
    await headed(page, "Sign in")

    await typed_sign_in(page, "something else", app.code(visit.door))
    wrong_password = await said(page)
    await typed_sign_in(page, PASSWORD, "000000")
    wrong_code = await said(page)
    await typed_sign_in(page, PASSWORD, app.code(visit.door))
    await headed(page, "A")

    assert wrong_password == wrong_code
    assert wrong_password.startswith("This signs nobody in.")
    visit.held("/api/v1/sessions/password")


async def test_the_way_to_the_content_is_no_token(visit: Visit):
    page = await visit.open(await visit.invited())
    await headed(page, "Welcome to Tocsin")
    await page.value("document.querySelector('.skip').click()")
    focused = await page.value("document.activeElement.tagName")
    await page.press("Begin")
    await headed(page, "How do you want to sign in?")

    assert focused == "H1"
    visit.held()


async def test_a_link_that_was_used_says_what_to_do_and_one_that_is_not_whole_too(visit: Visit):
    path = await visit.invited()
    page = await visit.open(path)
    await page.press("Begin")
    await headed(page, "How do you want to sign in?")

    other = await visit.open(path)
    await other.press("Begin")
    used = await said(other)
    await other.go(f"{visit.site}/reset?lang=en")
    await headed(other, "This link is not whole")

    assert used == "This link is not good, or no longer: ask for another one."
    visit.held("/api/v1/invitations/accept")


async def test_who_reloads_while_setting_up_goes_on_where_he_was(visit: Visit):
    page = await visit.open(await visit.invited())
    await page.press("Begin")
    await page.type(password=PASSWORD)
    await page.press("Set the password")
    await headed(page, "An app for codes")

    await page.go(f"{visit.site}/account?lang=en")
    await headed(page, "An app for codes")
    await page.press("Rather a passkey")
    await headed(page, "How do you want to sign in?")
    await page.press("Make a passkey")
    await kept_codes(page)
    await headed(page, "All is set up")

    visit.held()


async def test_a_weak_password_is_refused_beside_its_field(visit: Visit):
    page = await visit.open(await visit.invited())
    await page.press("Begin")
    await page.press("Set the password")
    await page.until("document.activeElement.name === 'password'")
    missing = await page.value("document.activeElement.closest('.field').querySelector('.fault').textContent")
    await page.type(password="politie12345")
    await page.press("Set the password")
    weak = await fault(page)

    assert missing == "Fill this in."
    assert "guess" in weak
    visit.held("/api/v1/me/password")


async def recover(page: BrowserPage, code: str) -> None:
    """Signs out, and in again with a recovery code, as it was written down by hand."""
    await page.press("Sign out")
    await headed(page, "Sign in")
    await page.press("Use a recovery code")
    await page.type(account="a", password=PASSWORD, recovery_code=code.lower().replace("-", " "))
    await page.press("Sign in")


# ---- lost ----------------------------------------------------------------------------------------------------------


async def test_a_recovery_code_signs_in_once_with_the_password(visit: Visit):
    page, _, codes = await visit.with_app()
    await recover(page, codes[0])
    await headed(page, "A")
    await recover(page, codes[0])

    assert (await said(page)).startswith("This signs nobody in.")
    visit.held("/api/v1/sessions/recovery")


async def test_a_lost_password_is_set_anew_by_a_link_and_the_app_stays(visit: Visit):
    page, app, _ = await visit.with_app()
    await page.press("Sign out")
    await headed(page, "Sign in")
    await page.press("Forgot your password?")
    await page.type(mail=MAIL)
    await page.press("Send the link")
    await headed(page, "Look at your mail")
    await visit.door.door.services.links.run()
    [link] = visit.door.told

    await page.go(f"{visit.site}/reset?lang=en#{link.token}")
    await page.type(password=ANOTHER_PASSWORD)
    address = await page.value("location.href")
    await page.press("Set the password")
    await headed(page, "Your password is set")
    await page.press("Sign in")
    await headed(page, "Sign in")
    await typed_sign_in(page, ANOTHER_PASSWORD, "")
    without_app = await said(page)
    await typed_sign_in(page, ANOTHER_PASSWORD, app.code(visit.door))
    await headed(page, "A")

    assert address == f"{visit.site}/reset?lang=en"
    assert without_app.startswith("This signs nobody in.")
    visit.held("/api/v1/sessions/password")


# ---- in a session --------------------------------------------------------------------------------------------------


async def test_a_session_that_is_locked_is_unlocked_and_goes_on(visit: Visit):
    page = await visit.with_passkey()
    await visit.change_session(locked=1)

    await page.press("Set a password")
    await page.type(password=PASSWORD)
    await page.press("Set the password")
    await page.until("document.querySelector('dialog[open]')")
    asked = await page.value("document.querySelector('dialog h2').textContent")
    await page.press("Use a passkey")
    await page.until("document.querySelector('.told:not(:empty)')")
    await visit.change_session(locked=1)
    await page.go(f"{visit.site}/sign-in?lang=en&to=/account?lang=fr")
    await headed(page, "This session is locked")
    await page.press("Use a passkey")
    await headed(page, "A")

    assert asked == "This session is locked"
    assert await page.value("location.search") == "?lang=fr"
    visit.held("/api/v1/me/password")


async def test_a_factor_is_asked_for_once_however_much_is_under_way(visit: Visit):
    page = await visit.with_passkey()
    await visit.change_session(locked=1)
    await page.value(
        """import(document.querySelector('link[href$="/api.js"]').href).then(({ ask }) => {
            Promise.all(["me", "sessions", "me/factors"].map((path) => ask("GET", `/api/v1/${path}`)))
                .then((all) => (document.title = all.map(({ value }) => typeof value).join()))
        })"""
    )
    await page.until("document.querySelector('dialog[open]')")
    dialogs = await page.value("document.querySelectorAll('dialog').length")
    await page.press("Use a passkey")
    await page.until("document.title === 'object,object,object'")

    assert dialogs == 1
    assert await page.value("document.querySelectorAll('dialog').length") == 0
    visit.held("/api/v1/me", "/api/v1/sessions", "/api/v1/me/factors")


async def test_what_may_do_harm_asks_for_a_factor_and_is_done_after_it(visit: Visit):
    page = await visit.with_passkey()
    await visit.change_session(factor_ms=0)

    await page.press("Make ten codes")
    await page.until("document.querySelector('dialog[open]')")
    await page.press("Cancel")
    refused = await said(page)
    await page.press("Make ten codes")
    await page.until("document.querySelector('dialog[open]')")
    await page.press("Use a passkey")
    await page.until("document.querySelectorAll('.codes li').length === 10")

    assert refused == "This needs a factor that was shown just now."
    visit.held("/api/v1/me/recovery-codes")


async def test_who_signs_out_in_one_tab_is_out_in_the_other_and_comes_back_to_it(visit: Visit):
    page = await visit.with_passkey()
    other = await visit.open("/account?lang=en")
    await headed(other, "A")

    await other.press("Sign out")
    await headed(other, "Sign in")
    await page.press("Set up an app")
    await headed(page, "Sign in")
    address = await page.value("location.href")
    await page.press("Sign in with a passkey")
    await headed(page, "A")
    await other.go(f"{visit.site}/account?lang=en")
    await headed(other, "A")

    assert address == f"{visit.site}/sign-in?lang=en&to=%2Faccount"
    visit.held("/api/v1/me/totp")


async def test_ones_own_name_and_language_are_changed_and_the_page_speaks_it(visit: Visit):
    page = await visit.with_passkey()
    await page.go(f"{visit.site}/account")
    await headed(page, "A")
    await page.type(name="Anna Dubois", mobile="+32 470 12 34 56")
    await page.value("document.querySelector('select[name=language]').value = 'fr'")
    await page.press("Save")
    await headed(page, "Anna Dubois")
    await page.go(f"{visit.site}/account")
    await headed(page, "Anna Dubois")
    shown = await page.value("[...document.querySelectorAll('form [name]')].slice(0, 3).map(one => one.value)")
    await page.press("Se déconnecter")
    await headed(page, "Sign in")

    assert shown == ["Anna Dubois", "+32470123456", "fr"]
    visit.held()


async def test_a_profile_that_was_changed_elsewhere_is_not_overwritten(visit: Visit):
    page = await visit.with_passkey()
    other = await visit.open("/account?lang=en")
    await headed(other, "A")
    await other.type(name="Anna Dubois")
    await other.press("Save")
    await headed(other, "Anna Dubois")
    await page.type(name="Somebody else")
    await page.press("Save")
    told = await said(page)
    await page.go(f"{visit.site}/account?lang=en")
    await headed(page, "Anna Dubois")

    assert "changed" in told
    visit.held("/api/v1/me")


async def test_a_key_of_ones_own_is_taken_back(visit: Visit):
    visit.door.door.keyring.life_s = 0.0
    page = await visit.with_passkey()
    before = await visit.door.get("/api/v1/whoami", "a")
    await page.press("Revoke")
    await page.press("Really revoke?")
    await page.until("document.querySelector('.told:not(:empty)')")
    after = await visit.door.get("/api/v1/whoami", "a")

    assert (before.status, after.status) == (200, 401)
    assert "Revoked on" in await page.value("document.body.innerText")
    visit.held()


async def test_whom_to_ask_stands_below_every_page_in_its_language(database: Database):
    lines = HelpSettings(
        alerts=HelpLine(name="Crisis centre", phone="02 500 00 00"),
        technical=HelpLine(name="Helpdesk", phone="02 600 00 00", mail="help@platform.example"),
    )
    async with doorway(database, help_settings=lines) as door, chromium() as browser:
        await door.door.services.help.book.refresh()
        visit = Visit(door, browser)
        page = await visit.open("/sign-in?lang=nl")
        await page.until("document.querySelectorAll('footer li').length === 2")
        dutch = await page.value("document.querySelector('footer').innerText")
        numbers = await page.value("[...document.querySelectorAll('footer a')].map(one => one.getAttribute('href'))")
        await page.press("Deutsch")
        await page.until("document.querySelector('footer').innerText.includes('Alarmierung')")
        for path in ("/invitation", "/reset", "/account"):
            await page.go(visit.site + path)
            await page.until("document.querySelectorAll('footer li').length === 2")

    assert "Hulp bij een alarmering" in dutch
    assert numbers == ["tel:025000000", "tel:026000000", "mailto:help@platform.example"]
    visit.held()


async def test_an_account_says_when_it_was_as_the_clock_of_brussels_did(visit: Visit):
    page = await visit.with_passkey()
    await visit.change_session(made_ms=1_700_000_000_000)
    await page.go(f"{visit.site}/account?lang=en")
    await headed(page, "A")

    assert "since 14 Nov 2023, 23:13" in await page.value("document.body.innerText")
    visit.held()


async def test_a_page_that_gets_no_answer_says_so_and_tries_again(visit: Visit):
    page = await visit.with_passkey()
    await page.cut_off("*/api/v1/sessions/current")
    await page.go(f"{visit.site}/account?lang=en")
    await headed(page, "This did not work")
    told = await said(page)
    await page.cut_off()
    await page.press("Try again")
    await headed(page, "A")

    assert told == "No connection. Look at your network and try again."
    visit.held("/api/v1/sessions/current")


async def test_a_language_is_chosen_in_the_page_and_nothing_of_it_is_lost(visit: Visit):
    page = await visit.open((await visit.invited()).replace("lang=en", "lang=de"))
    await headed(page, "Willkommen bei Tocsin")
    await page.press("Nederlands")
    await headed(page, "Welkom bij Tocsin")
    await page.press("Beginnen")
    await page.type(password="politie12345")
    await page.press("Français")
    await headed(page, "Comment voulez-vous vous connecter ?")
    typed = await page.value("document.querySelector('[name=password]').value")
    await page.press("Choisir ce mot de passe")
    beside = await fault(page)

    assert await page.value("[document.documentElement.lang, location.search]") == ["fr", "?lang=fr"]
    assert typed == "politie12345"
    assert "mot" in beside
    visit.held("/api/v1/me/password")


async def test_the_last_factor_stays(visit: Visit):
    page = await visit.with_passkey()
    await page.press("Remove")
    await page.press("Really remove?")

    assert "could sign in" in await said(page)
    visit.held(*(url.removeprefix(visit.site) for url in page.requests if "/me/passkeys/" in url))


# ---- what an attacker tries ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "to", ["//elsewhere.example", "https://elsewhere.example/", "/\\elsewhere.example", "/%09/elsewhere.example",
           "/.//elsewhere.example", "javascript:alert(1)", "\\\\elsewhere.example", "account"]
)  # fmt: skip
async def test_nobody_is_sent_to_another_site(visit: Visit, to: str):
    page = await visit.with_passkey()
    await page.go(f"{visit.site}/sign-in?lang=en&to={to}")
    await page.until("location.pathname !== '/sign-in'")

    assert await page.value("location.origin") == visit.site
    assert [url for url in page.requests if "elsewhere" in url and not url.startswith(visit.site + "/")] == []
