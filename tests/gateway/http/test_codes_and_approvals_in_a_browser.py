"""The pages for what is rare and weighs much, in a real browser: a zone that a paper code opens, and the word of a
second person."""

import re
from collections.abc import AsyncIterator

import pytest

from gateway.access.approval_desk import ApprovalNews, AwaitsSecond
from gateway.access.break_glass_code import code_sha256, new_code
from gateway.access.dangerous import ChangeToAccount, OpenAccount, SetRights
from gateway.access.rights import Right
from gateway.help_lines import HelpLine
from gateway.notices import account_notices
from gateway.notices.account_notices import AccountNotices
from gateway.notices.notice import Notice
from gateway.notices.telling import no_help
from gateway.settings import HelpSettings
from store.access import accounts, break_glass
from store.access.approvals import Approval
from store.access.break_glass import LIFE_MS
from store.audit_line import Actor
from store.engine.database import Database
from store.engine.transaction import Transaction
from tests.gateway.http.authenticator import give_mail, id_of, with_passkey
from tests.gateway.http.doorway import Doorway, doorway
from tests.gateway.http.test_console_in_a_browser import Visit, fault, headed, kept_codes, said
from tests.gateway.http.test_sign_in_door import age
from tests.peers.chromium import BrowserPage, chromium

pytestmark = pytest.mark.peer

CODE_PATH, CURRENT = "/api/v1/break-glass", "/api/v1/sessions/current"
PERSON = {"zone": "A", "name": "A. Peeters", "reason": "Nobody is reached."}


@pytest.fixture
async def visit(database: Database) -> AsyncIterator[Visit]:
    lines = HelpSettings(technical=HelpLine(name="Helpdesk", phone="02 600 00 00"))
    async with doorway(database, help_settings=lines) as door, chromium() as browser:
        await door.door.services.help.book.refresh()
        for code in ("anna", "arno"):
            await door.house.account(code, ("administer", "A"), type_="administrator")
        await door.house.account("officer", ("read", "A"))
        yield Visit(door, browser)


# ---- a zone's paper code -------------------------------------------------------------------------------------------


async def issued(door: Doorway) -> str:
    code = new_code()
    by = Actor(via="cli", login="ada")
    assert await door.house.database.write(lambda tx: break_glass.issue(tx, "A", code_sha256(code), by))
    return code


async def typing(visit: Visit, code: str) -> BrowserPage:
    """Somebody who has opened the envelope, and has typed all but whether it is a rehearsal."""
    page = await visit.open("/sign-in?lang=en")
    await page.press("Use a zone's paper code")
    await headed(page, "Paper code")
    await page.type(code=code, **PERSON)
    return page


async def choose(page: BrowserPage, mode: str) -> None:
    await page.value(f"document.querySelector('input[value={mode}]').click()")


async def opened(visit: Visit, mode: str = "live") -> BrowserPage:
    page = await typing(visit, (await issued(visit.door)).lower().replace("-", " "))
    await choose(page, mode)
    await page.press("Open the zone")
    await headed(page, "Zone A is open")
    return page


async def text(page: BrowserPage) -> str:
    return " ".join(str(await page.value("document.querySelector('main').innerText")).split())


@pytest.mark.parametrize(("mode", "word"), [("live", "LIVE"), ("simulation", "REHEARSAL")])
async def test_a_paper_code_opens_its_zone_and_the_page_says_which_until_when_and_whether_it_is_live(
    visit: Visit, mode: str, word: str
):
    page = await opened(visit, mode)
    shown = await text(page)
    await page.go(f"{visit.site}/account?lang=en")
    await headed(page, "Zone A is open")
    rights = await page.value("fetch('/api/v1/whoami').then(one => one.json()).then(one => one.rights)")

    assert await page.value("document.querySelector('.alarm .mode').textContent") == word
    assert re.search(r"Zone A is open in this browser until \d+ \w+ \d{4}, \d\d:\d\d\.", shown)
    assert "POST /api/v1/campaigns" in shown
    assert "Call whoever stands below" in shown
    assert {right["mode"] for right in rights} == {"*" if mode == "live" else "simulation"}
    visit.held()


async def test_what_happens_is_said_before_and_nothing_is_chosen_for_anybody(visit: Visit):
    page = await typing(visit, await issued(visit.door))
    before = await text(page)
    await page.press("Open the zone")
    missing = await fault(page)
    await choose(page, "simulation")
    await page.press("Nederlands")
    await headed(page, "Noodcode")
    kept = await page.value(
        "[document.querySelector(':checked[name=mode]').value, document.querySelector('[name=zone]').value]"
    )

    for sentence in ("good once", "for an hour", "All administrators are told at once"):
        assert sentence in before
    assert missing == "Choose one."
    assert kept == ["simulation", "A"]
    assert [url for url in page.requests if CODE_PATH in url] == []
    visit.held()


async def test_a_code_that_is_not_whole_costs_no_try_and_one_that_is_none_says_so(visit: Visit):
    code = await issued(visit.door)
    page = await typing(visit, code[:-1])
    await choose(page, "live")
    await page.press("Open the zone")
    short = await said(page)
    tried = [url for url in page.requests if CODE_PATH in url]
    await page.type(code=new_code())
    await page.press("Open the zone")
    await page.until("document.querySelector('.said').innerText.includes('opens nothing')")
    await page.type(code=code)
    await page.press("Open the zone")
    await headed(page, "Zone A is open")

    assert "and 23 were typed" in short
    assert tried == []
    visit.held(CODE_PATH)


async def test_it_is_ended_at_once_by_who_presses_twice(visit: Visit):
    page = await opened(visit)
    await page.press("End it now")
    await page.press("Really end it? The code is used up.")
    await headed(page, "Zone A is closed")
    what_now = await text(page)
    await page.press("Sign in")
    await headed(page, "Sign in")

    assert "tocsin break-glass issue A" in what_now
    visit.held()


async def test_when_its_hour_is_over_the_page_says_so_by_itself_and_is_that_of_a_stranger(visit: Visit):
    page = await opened(visit)
    await age(visit.door, ends_ms=LIFE_MS - 3_000)
    await page.go(f"{visit.site}/account?lang=en")
    await headed(page, "Zone A is open")
    await headed(page, "Zone A is closed")
    await page.go(f"{visit.site}/account?lang=en")
    await headed(page, "Sign in")

    visit.held(CURRENT)


# ---- a second person -----------------------------------------------------------------------------------------------


async def administrator(visit: Visit, code: str = "arno", to: str = "/account?lang=en") -> BrowserPage:
    page = await visit.open(await visit.invited(code))
    await page.press("Begin")
    await page.press("Make a passkey")
    await kept_codes(page)
    await page.press("Go to my account")
    await headed(page, code.title())
    await page.go(visit.site + to)
    return page


async def ask(visit: Visit, cookie: str, *changes: ChangeToAccount) -> Approval:
    """As whoever changes accounts asks: in the transaction of the change."""
    door = visit.door
    caller = await door.door.services.sign_in.parts.book.caller(cookie)
    assert caller is not None
    desk = door.door.services.approvals
    outcome = await door.house.database.write(lambda tx: desk.gate(tx, caller, changes))
    assert isinstance(outcome, AwaitsSecond)
    return outcome.approval


def right(visit: Visit, action: str, **narrow: str) -> Right:
    given = {"kind": "*", "channel": "*"} | narrow
    return Right(action, visit.door.house.zones["A"], None, **given)


async def asked(visit: Visit, by: BrowserPage | None = None) -> Approval:
    """By anna, or by whoever sits at a page."""
    cookie = await by.cookie("tocsin") if by else (await with_passkey(visit.door, "anna"))[0].cookie
    chief = OpenAccount("chief", "Zoë Chief", "officer", (right(visit, "read"), right(visit, "launch", kind="news")))
    return await ask(visit, cookie, chief, SetRights("officer", (right(visit, "launch"),)))


async def rights(visit: Visit, key: str = "officer") -> set[str]:
    async with visit.door.house.database.read() as conn:
        found = await accounts.find_key(conn, key)
    assert found is not None
    return {one.action for one in found.rights}


async def test_what_waits_is_looked_at_in_words_and_granted_by_a_second_person(visit: Visit):
    await asked(visit)
    page = await administrator(visit)
    await page.until("document.querySelector('#approvals li')")
    listed = await page.value("document.querySelector('#approvals li').innerText")
    await page.press("Look at it")
    await headed(page, "This is asked for")
    shown = await text(page)
    marked = await page.value(
        "[...document.querySelectorAll('.mark')].map(one => one.parentNode.firstChild.textContent)"
    )
    await page.type(reason="She has followed the course.")
    await page.press("Grant")
    await headed(page, "Granted and done")
    after = await text(page)
    await page.press("Back")
    await headed(page, "Arno")

    assert "chief, officer" in listed
    assert "Asked by anna on" in listed
    assert "To be decided until" in listed
    assert "Open an account: chief, Zoë Chief" in shown
    assert "See messages, persons and reports: zone A" in shown
    assert marked == ["Launch messages: zone A, only news", "Launch messages: zone A"]
    assert "Rights that it has no more: See messages, persons and reports: zone A" in shown
    assert "Decided by arno on" in after
    assert "She has followed the course." in after
    assert await rights(visit) == {"launch"}
    assert "Nothing waits." in await text(page)
    visit.held()


async def test_a_decision_asks_for_a_factor_first_and_is_made_after_it(visit: Visit):
    seen = await asked(visit)
    page = await administrator(visit)
    await page.press("Look at it")
    await headed(page, "This is asked for")
    await age(visit.door, factor_ms=86_400_000)
    await page.press("Refuse")
    await page.until("document.querySelector('dialog[open]')")
    await page.press("Use a passkey")
    await headed(page, "Refused")

    assert await rights(visit) == {"read"}
    visit.held(f"/api/v1/approvals/{seen.public_id}/decision")


async def test_what_somebody_else_has_decided_meanwhile_is_shown_with_what_became_of_it(visit: Visit):
    seen = await asked(visit)
    page = await administrator(visit)
    await page.press("Look at it")
    await headed(page, "This is asked for")
    other, _ = await with_passkey(visit.door, "all")
    refused = await other.post(
        f"/api/v1/approvals/{seen.public_id}/decision", {"grant": False, "digest": seen.digest, "reason": "Not now."}
    )
    await page.press("Grant")
    await headed(page, "Refused")
    told = await said(page)

    assert refused.status == 200
    assert told == "This is decided, withdrawn or past its time."
    assert "Reason: Not now." in await text(page)
    assert await rights(visit) == {"read"}
    visit.held(f"/api/v1/approvals/{seen.public_id}/decision")


async def test_who_has_asked_does_not_decide_and_takes_it_back(visit: Visit):
    page = await administrator(visit)
    await asked(visit, page)
    await page.go(f"{visit.site}/account?lang=en")
    await page.press("Look at it")
    await headed(page, "This is asked for")
    buttons = await page.value("[...document.querySelectorAll('main button')].map(one => one.textContent)")
    await page.press("Withdraw")
    await page.press("Really withdraw?")
    await headed(page, "Withdrawn")

    assert buttons == ["Withdraw", "Back"]
    visit.held()


async def test_what_its_asker_grants_alone_says_when_it_is_done(visit: Visit):
    await visit.door.house.zone("C")
    await visit.door.house.account("berta", ("administer", "C"), type_="administrator")
    only = Right("launch", visit.door.house.zones["C"], None, "*", "*")
    page = await administrator(visit, "berta")
    await ask(visit, await page.cookie("tocsin"), OpenAccount("chief", "Chief", "officer", (only,)))
    await page.go(f"{visit.site}/account?lang=en")
    await page.until("document.querySelector('#approvals li')")
    listed = await text(page)
    await page.press("Look at it")
    await headed(page, "This is asked for")

    assert re.search(r"berta grants it alone: it is done on .*, unless it is stopped\.", listed)
    assert "You grant it alone, at that instant. Until then you can take it back." in await text(page)
    visit.held()


async def link_told(visit: Visit, about: Approval, monkeypatch: pytest.MonkeyPatch) -> str:
    """As it stands in the mail to whoever may decide."""
    told: list[Notice] = []

    async def keep(_tx: Transaction, notice: Notice, _lines: object) -> None:
        told.append(notice)

    monkeypatch.setattr(account_notices, "tell", keep)
    await give_mail(visit.door, "arno", "arno@zone.example")
    news = ApprovalNews("asked", about, (await id_of(visit.door, "arno"),))
    notices = AccountNotices(visit.site, no_help)
    await visit.door.house.database.write(lambda tx: notices.approval(tx, news))
    [notice] = told
    return str(notice.facts["link"])


async def test_the_link_of_a_notice_leads_to_what_waits_also_through_signing_in(
    visit: Visit, monkeypatch: pytest.MonkeyPatch
):
    link = await link_told(visit, await asked(visit), monkeypatch)
    page = await administrator(visit, to=link.removeprefix(visit.site))
    await page.until("document.activeElement?.closest('#approvals')")
    address = await page.value("location.href")
    await page.go(f"{visit.site}/account?lang=en")
    await headed(page, "Arno")
    await page.press("Sign out")
    await headed(page, "Sign in")
    await page.go(f"{visit.site}/account?lang=en#approvals")
    await headed(page, "Sign in")
    await page.press("Sign in with a passkey")
    await page.until("document.activeElement?.textContent === 'Waiting for a second person'")

    assert address == f"{visit.site}/account#approvals"
    visit.held(CURRENT)


async def test_who_keeps_no_accounts_sees_nothing_of_it(visit: Visit):
    await asked(visit)
    page = await administrator(visit, "officer")
    await headed(page, "Officer")

    assert await page.value("document.querySelector('#approvals')") is None
    assert [url for url in page.requests if "/v1/approvals" in url] == []
    visit.held()
