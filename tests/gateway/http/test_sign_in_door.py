"""Signing in over HTTP: each way in, what a session may and may not, and what an attacker tries."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import msgspec
import pytest
import sqlalchemy as sa

from gateway.access import hashing_queue
from gateway.access.passwords import hash_of
from gateway.access.sign_in_parts import PASSWORDS_A_DAY, TRIES_PER_ADDRESS
from gateway.http.route import Route
from gateway.http.routes import TABLE
from gateway.settings import ServerSettings, SignInSettings
from store.access import accounts, invitations
from store.access.accounts import AccountRecord, RightRow
from store.engine.database import Database
from store.engine.transaction import Transaction
from store.tables import audit, session, totp
from tests.gateway.http.authenticator import (
    PASSWORD,
    App,
    Authenticator,
    Browser,
    give_mail,
    give_password,
    id_of,
    invited,
    with_app,
    with_passkey,
)
from tests.gateway.http.doorway import Answer, Doorway, doorway, events
from tests.gateway.populated_store import bearer

WHOAMI = "/api/v1/whoami"
CURRENT = "/api/v1/sessions/current"
STEP_UP, UNLOCK = f"{CURRENT}/step-up", f"{CURRENT}/unlock"
RECOVERY = "/api/v1/sessions/recovery"


def code_of(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.json["code"] if answer.status >= 400 else ""


async def is_in(browser: Browser) -> bool:
    return (await browser.get(WHOAMI)).status == 200


async def lines(door: Doorway, *actions: str) -> list[tuple[str, str]]:
    statement = sa.select(audit.c.action, audit.c.subject).where(audit.c.action.in_(actions)).order_by(audit.c.id)
    async with door.house.database.read() as conn:
        return [(row.action, row.subject) for row in await conn.execute(statement)]


async def age(door: Doorway, **columns_ms: int) -> None:
    """Moves instants of every session back by so many milliseconds."""

    async def work(tx: Transaction) -> None:
        await tx.run(sa.update(session).values({name: session.c[name] - ms for name, ms in columns_ms.items()}))

    await door.house.database.write(work)
    forget(door)


def forget(door: Doorway) -> None:
    """As after five seconds: nothing of a session is believed without asking."""
    door.door.services.sign_in.parts.book._kept.clear()


# ---- the ways in ---------------------------------------------------------------------------------------------------


async def test_a_password_with_a_code_signs_in(door: Doorway):
    _, app = await with_app(door, "a")
    browser = Browser(door)

    signed_in = await browser.sign_in("a", code=app.code(door))
    listed = await browser.get("/api/v1/campaigns")

    assert (signed_in.status, listed.status) == (201, 200)
    said = {name: signed_in.json[name] for name in ("account", "factors", "locked", "enrol_only")}
    assert said == {"account": "a", "factors": ["password", "totp"], "locked": False, "enrol_only": False}
    assert signed_in.headers["Set-Cookie"] == f"tocsin={browser.cookie}; Path=/; HttpOnly; SameSite=Lax"
    assert len(browser.cookie) == 43
    assert "Access-Control-Allow-Origin" not in signed_in.headers


async def test_a_mail_address_names_an_account_as_its_code_does(door: Doorway):
    _, app = await with_app(door, "a")
    await give_mail(door, "a", "anna@zone.example")

    assert (await Browser(door).sign_in("Anna@ZONE.example", code=app.code(door))).status == 201


async def test_a_passkey_signs_in_alone(door: Doorway):
    first, passkey = await with_passkey(door, "a")
    browser = Browser(door)

    signed_in = await browser.sign_in_by(passkey)

    assert (signed_in.status, signed_in.json["factors"]) == (201, ["passkey"])
    assert await is_in(first)
    assert await is_in(browser)


async def test_a_recovery_code_signs_in_once_with_the_password(door: Doorway):
    browser, _ = await with_app(door, "a")
    codes = (await browser.post("/api/v1/me/recovery-codes")).json["codes"]
    typed = {"account": "a", "password": PASSWORD, "recovery_code": codes[3].replace("-", " ").lower()}

    wrong = await Browser(door).post(RECOVERY, typed | {"password": "another phrase of words"})
    right = await Browser(door).post(RECOVERY, typed)
    again = await Browser(door).post(RECOVERY, typed)
    left = (await browser.get("/api/v1/me/factors")).json["recovery_codes_left"]

    assert len(set(codes)) == 10
    assert [code_of(one) for one in (wrong, right, again)] == [
        (401, "sign-in-refused"), (201, ""), (401, "sign-in-refused"),
    ]  # fmt: skip
    assert (right.json["factors"], left) == (["password", "recovery"], 9)


async def test_new_recovery_codes_make_those_before_worthless(door: Doorway):
    browser, _ = await with_app(door, "a")
    [first, *_] = (await browser.post("/api/v1/me/recovery-codes")).json["codes"]
    await browser.post("/api/v1/me/recovery-codes")

    typed = {"account": "a", "password": PASSWORD, "recovery_code": first}
    assert (await Browser(door).post(RECOVERY, typed)).status == 401


async def test_an_invitation_opens_a_session_that_only_sets_up_factors(door: Doorway):
    browser = await invited(door, "a")
    before = browser.cookie

    shut = await browser.get("/api/v1/campaigns")
    codes = await browser.post("/api/v1/me/recovery-codes")
    by_password = await browser.ask("PUT", "/api/v1/me/password", {"password": PASSWORD})
    still_shut = await browser.get("/api/v1/campaigns")
    offer = await browser.post("/api/v1/me/totp")
    wrong = await browser.post("/api/v1/me/totp/confirm", {"code": App(offer.json["secret"], 3600).code(door)})
    done = await browser.post("/api/v1/me/totp/confirm", {"code": App(offer.json["secret"]).code(door)})
    listed = await browser.get("/api/v1/campaigns")

    assert [code_of(one) for one in (shut, codes, still_shut)] == [(403, "enrol-only")] * 3
    assert (by_password.status, by_password.json) == (200, {})
    assert offer.json["otpauth"].startswith(f"otpauth://totp/Tocsin:a?secret={offer.json['secret']}")
    assert offer.json["qr_path"].startswith("M")
    assert code_of(wrong) == (422, "wrong-code")
    assert (done.json["session"]["enrol_only"], listed.status) == (False, 200)
    assert browser.cookie != before
    assert not await is_in(Browser(door, before))


async def test_an_invitation_is_good_once_and_never_where_a_factor_is_set_up(door: Doorway):
    number = await id_of(door, "a")
    first = (await door.house.database.write(lambda tx: invitations.make(tx, number))).token
    second = (await door.house.database.write(lambda tx: invitations.make(tx, number))).token

    async def accept(token: str) -> tuple[int, str]:
        return code_of(await Browser(door).post("/api/v1/invitations/accept", {"token": token}))

    withdrawn, accepted, again = await accept(first), await accept(second), await accept(second)
    await with_passkey(door, "b")
    other = await id_of(door, "b")
    third = (await door.house.database.write(lambda tx: invitations.make(tx, other))).token

    assert [withdrawn, accepted, again] == [(404, "link-not-good"), (201, ""), (404, "link-not-good")]
    assert await accept(third) == (409, "already-set-up")


async def test_who_only_reads_needs_a_password_and_whoever_does_more_needs_a_second_factor(door: Doorway):
    await door.house.account("reader", ("read", "A"))
    reader, officer = await invited(door, "reader"), await invited(door, "a")

    for browser in (reader, officer):
        await browser.ask("PUT", "/api/v1/me/password", {"password": PASSWORD})
    alone = [await Browser(door).sign_in(name) for name in ("reader", "a")]

    assert (await is_in(reader), await is_in(officer)) == (True, False)
    assert [one.json["enrol_only"] for one in alone] == [False, True]


async def test_a_password_alone_never_walks_around_a_factor_that_is_set_up(door: Doorway):
    _, _ = await with_app(door, "a")
    await with_passkey(door, "b")
    await give_password(door, "b", hash_of(PASSWORD))

    answers = [await Browser(door).sign_in(name) for name in ("a", "b")]

    assert [code_of(one) for one in answers] == [(401, "sign-in-refused")] * 2


# ---- resets --------------------------------------------------------------------------------------------------------


async def reset(door: Doorway, mail: str) -> Answer:
    answer = await Browser(door).post("/api/v1/resets", {"mail": mail})
    await door.door.services.links.run()
    return answer


async def use(door: Doorway, token: str, password: str = "fiets kamer wolk paprika") -> Answer:
    return await Browser(door).post("/api/v1/resets/use", {"token": token, "password": password})


async def test_a_reset_sets_a_password_and_no_other_factor_and_ends_every_session(door: Doorway):
    browser, app = await with_app(door, "a")
    await give_mail(door, "a", "anna@zone.example")

    asked = await reset(door, "anna@ZONE.example")
    [link] = door.told
    weak = await use(door, link.token, "politie politie")
    used = await use(door, link.token)
    again = await use(door, link.token)
    old = await Browser(door).sign_in("a", code=app.code(door))
    alone = await Browser(door).sign_in("a", "fiets kamer wolk paprika")
    both = await Browser(door).sign_in("a", "fiets kamer wolk paprika", app.code(door))

    assert asked.status == 200
    assert (link.mail, link.account_id) == ("anna@zone.example", await id_of(door, "a"))
    assert [code_of(one) for one in (weak, again)] == [(422, "weak-password"), (404, "link-not-good")]
    assert used.status == 204
    assert not await is_in(browser)
    assert [one.status for one in (old, alone, both)] == [401, 401, 201]


async def test_nobody_learns_from_a_reset_whether_there_is_such_an_account(door: Doorway):
    await with_app(door, "a")
    await give_mail(door, "a", "anna@zone.example")
    await give_mail(door, "b", "bert@zone.example")  # was never set up: it takes an invitation

    answers = [await reset(door, mail) for mail in ("anna@zone.example", "nobody@zone.example", "bert@zone.example")]

    assert {(one.status, one.body) for one in answers} == {(200, answers[0].body)}
    assert [link.mail for link in door.told] == ["anna@zone.example"]


async def test_the_links_of_a_mailbox_are_bounded_and_the_last_one_alone_is_good(door: Doorway):
    await with_app(door, "a")
    await give_mail(door, "a", "anna@zone.example")

    answers = [await reset(door, "anna@zone.example") for _ in range(13)]

    assert {one.status for one in answers} == {200}
    assert len(door.told) == 10
    first, *_, last = (link.token for link in door.told)
    assert (await use(door, first)).status == 404
    assert (await use(door, last)).status == 204


async def test_a_reset_of_half_an_hour_ago_is_over(door: Doorway):
    await with_app(door, "a")
    await give_mail(door, "a", "anna@zone.example")
    await reset(door, "anna@zone.example")

    await door.house.database.write(lambda tx: tx.run(sa.text("UPDATE password_reset SET ends_ms = ends_ms - 1800001")))
    assert (await use(door, door.told[0].token)).status == 404


# ---- guessing ------------------------------------------------------------------------------------------------------


async def test_every_reason_for_which_nobody_is_signed_in_reads_the_same(door: Doorway):
    _, app = await with_app(door, "a")
    _, passkey = await with_passkey(door, "b")
    await door.house.account("gone", ("launch", "A"))
    await give_password(door, "gone", hash_of(PASSWORD))
    await door.house.database.write(lambda tx: accounts.set_disabled(tx, "gone", True))
    browser = Browser(door)
    stranger = Authenticator()

    answers = [
        await browser.sign_in("nobody"),
        await browser.sign_in("nobody@zone.example"),
        await browser.sign_in("a", "not the password"),
        await browser.sign_in("a", code="000000"),
        await browser.sign_in("a", "not the password", app.code(door)),
        await browser.sign_in("b"),
        await browser.sign_in("gone"),
        await browser.sign_in_by(stranger),
        await browser.post("/api/v1/sessions/passkey", passkey.sign("A" * 76)),
        await browser.post(RECOVERY, {"account": "a", "password": PASSWORD, "recovery_code": "A" * 16}),
    ]

    told = {(one.status, msgspec.json.encode(one.json | {"request_id": ""})) for one in answers}
    assert len(told) == 1, told
    assert answers[0].json["code"] == "sign-in-refused"
    assert {one.headers["WWW-Authenticate"] for one in answers} == {'Session realm="tocsin"'}
    assert browser.cookie == ""


async def test_for_an_account_that_there_is_not_as_much_is_hashed_as_for_one(door: Doorway):
    """By the same parameters: tests/gateway/access/test_sign_in_values.py."""
    await with_app(door, "a")
    hashing, done = door.door.services.sign_in.parts.hashing, []
    for name in ("a", "nobody", "b", "nobody@zone.example"):
        before = hashing.done
        await Browser(door).sign_in(name, "not the password")
        done.append(hashing.done - before)

    assert done == [1, 1, 1, 1]


async def test_an_address_that_fails_too_often_waits_and_a_good_passkey_passes_all_the_same(door: Doorway):
    _, passkey = await with_passkey(door, "a")
    _, app = await with_app(door, "b")
    browser = Browser(door)

    failed = [await browser.sign_in(f"nobody{n}") for n in range(TRIES_PER_ADDRESS)]
    right_but_late = await browser.sign_in("b", code=app.code(door))
    guessed = await browser.sign_in_by(Authenticator())
    good = await browser.sign_in_by(passkey)

    assert {one.status for one in failed} == {401}
    assert code_of(right_but_late) == code_of(guessed) == (429, "too-many-sign-ins")
    assert 0 < int(right_but_late.headers["Retry-After"]) <= 3601
    assert good.status == 201


async def test_whoever_succeeds_is_not_counted(door: Doorway):
    """A dispatch centre behind one address begins its shift."""
    await door.house.account("reader", ("read", "A"))
    await give_password(door, "reader", hash_of(PASSWORD))

    answers = [await Browser(door).sign_in("reader") for _ in range(TRIES_PER_ADDRESS + 3)]

    assert {one.status for one in answers} == {201}


async def test_an_account_that_is_guessed_at_from_everywhere_waits_and_so_does_one_that_there_is_not(door: Doorway):
    await with_app(door, "a")
    _, passkey = await with_passkey(door, "b")
    parts = door.door.services.sign_in.parts

    async def guess(name: str) -> list[tuple[int, str]]:
        found = []
        for _ in range(PASSWORDS_A_DAY + 1):
            parts.tries._counted.clear()  # each from another address
            found.append(code_of(await Browser(door).sign_in(name, "not the password")))
        return found

    known, unknown, owner = await guess("a"), await guess("nobody"), await guess("b")

    assert known == unknown == owner == [(401, "sign-in-refused")] * PASSWORDS_A_DAY + [(429, "too-many-sign-ins")]
    parts.tries._counted.clear()
    assert (await Browser(door).sign_in_by(passkey)).status == 201


async def test_who_guesses_from_outside_keeps_nobody_out_of_a_session(door: Doorway):
    owner, app = await with_app(door, "a")
    parts = door.door.services.sign_in.parts
    for _ in range(PASSWORDS_A_DAY):
        parts.tries._counted.clear()
        await Browser(door).sign_in("a", "not the password")
    outside = await Browser(door).sign_in("a", code=app.code(door))

    unlocked = await owner.post(UNLOCK, {"password": PASSWORD, "code": app.code(door)})
    thief = Browser(door, owner.cookie)
    guessed = [await thief.post(UNLOCK, {"password": "not the password"}) for _ in range(PASSWORDS_A_DAY + 1)]

    assert (code_of(outside), unlocked.status) == ((429, "too-many-sign-ins"), 200)
    assert [one.status for one in guessed] == [401] * PASSWORDS_A_DAY + [429]


async def test_a_queue_that_is_full_tells_to_come_back_and_lets_passkeys_pass(door: Doorway):
    _, passkey = await with_passkey(door, "a")
    parts = door.door.services.sign_in.parts
    parts.hashing.waiting = hashing_queue.MOST_WAITING

    full = await Browser(door).sign_in("b")
    good = await Browser(door).sign_in_by(passkey)
    parts.hashing.waiting = 0

    assert code_of(full) == (429, "sign-in-busy")
    assert int(full.headers["Retry-After"]) >= 5
    assert good.status == 201


async def test_failures_are_a_line_an_address_and_minute_and_not_a_flood(door: Doorway):
    await with_app(door, "a")
    parts = door.door.services.sign_in.parts
    for name in ("a", "a", "nobody"):
        await Browser(door).sign_in(name, "not the password")

    await parts.write_down_failures()
    before = await lines(door, "sign-in-failed")
    await parts.write_down_failures(all_of_them=True)
    async with door.house.database.read() as conn:
        [line] = (await conn.execute(sa.select(audit).where(audit.c.action == "sign-in-failed"))).all()

    assert before == []
    detail = msgspec.json.decode(line.detail)
    assert (detail["failures"], detail["accounts"], line.account_id) == (3, ["a"], None)
    assert "127.0.0.1" not in line.detail


# ---- codes of the app ----------------------------------------------------------------------------------------------


async def test_a_code_is_good_once_and_none_before_it_is_good_after_it(door: Doorway):
    _, app = await with_app(door, "a")
    code, before = app.code(door), app.code(door, -1)

    answers = [await Browser(door).sign_in("a", code=one) for one in (code, code, before)]

    assert [one.status for one in answers] == [201, 401, 401]


@pytest.mark.parametrize("off_s", [-40, 40])
async def test_a_clock_that_is_forty_seconds_off_works(door: Doorway, off_s: int):
    _, app = await with_app(door, "a")

    await door.house.database.write(lambda tx: tx.run(sa.update(totp).values(last_step=0)))
    assert (await Browser(door).sign_in("a", code=App(app.secret, off_s).code(door))).status == 201


@pytest.mark.parametrize("off_s", [-120, 120])
async def test_a_code_of_two_minutes_ago_or_ahead_is_none(door: Doorway, off_s: int):
    _, app = await with_app(door, "a")

    await door.house.database.write(lambda tx: tx.run(sa.update(totp).values(last_step=0)))
    assert (await Browser(door).sign_in("a", code=App(app.secret, off_s).code(door))).status == 401


async def test_two_who_show_one_code_at_once_are_one_sign_in(door: Doorway):
    _, app = await with_app(door, "a")
    code = app.code(door)

    answers = await asyncio.gather(*(Browser(door).sign_in("a", code=code) for _ in range(4)))

    assert sorted(one.status for one in answers) == [201, 401, 401, 401]


async def test_a_secret_is_sealed_in_the_store_and_not_to_be_moved_to_another_account(door: Doorway):
    _, app = await with_app(door, "a")
    await with_app(door, "b")
    mine, theirs = await id_of(door, "a"), await id_of(door, "b")
    async with door.house.database.read() as conn:
        sealed = (await conn.execute(sa.select(totp.c.sealed).where(totp.c.account_id == mine))).scalar_one()
    move = sa.update(totp).where(totp.c.account_id == theirs).values(sealed=sealed, last_step=0)
    await door.house.database.write(lambda tx: tx.run(move))

    assert app.secret not in sealed
    assert (await Browser(door).sign_in("b", code=app.code(door))).status == 401


# ---- passkeys ------------------------------------------------------------------------------------------------------


async def test_what_a_passkey_signed_is_good_once(door: Doorway):
    _, passkey = await with_passkey(door, "a")
    browser = Browser(door)
    signed = passkey.sign(await browser.challenge())

    answers = await asyncio.gather(*(Browser(door).post("/api/v1/sessions/passkey", signed) for _ in range(3)))

    assert sorted(one.status for one in answers) == [201, 401, 401]


Meddle = Callable[[Authenticator], object]


@pytest.mark.parametrize(
    "meddle",
    [
        pytest.param(lambda p: setattr(p, "origin", "http://localhost.evil.example"), id="a page of another site"),
        pytest.param(lambda p: setattr(p, "origin", "https://localhost:1"), id="another scheme"),
        pytest.param(lambda p: setattr(p, "host", "evil.example"), id="bound to another site"),
        pytest.param(lambda p: setattr(p, "verified", False), id="nobody was verified"),
        pytest.param(lambda p: setattr(p, "key", Authenticator().key), id="another key"),
    ],
)
async def test_what_was_signed_elsewhere_or_by_nobody_signs_nobody_in(door: Doorway, meddle: Meddle):
    _, passkey = await with_passkey(door, "a")
    meddle(passkey)

    assert code_of(await Browser(door).sign_in_by(passkey)) == (401, "sign-in-refused")


async def test_a_challenge_is_this_sites_and_of_these_five_minutes(door: Doorway):
    _, passkey = await with_passkey(door, "a")
    browser, parts = Browser(door), door.door.services.sign_in.parts
    old = parts.passkeys.request(door.house.database.clock.now_ms() - 5 * 60_000 - 1).challenge
    own, _ = await with_passkey(door, "b")
    of_making = (await own.post("/api/v1/me/passkeys/challenge")).json["public_key"]["challenge"]

    for challenge in (old, of_making, "A" * 75, "AAAA"):
        answer = await browser.post("/api/v1/sessions/passkey", passkey.sign(challenge))
        assert code_of(answer) == (401, "sign-in-refused")


async def test_a_passkey_is_made_for_its_own_account_by_who_is_verified_and_once(door: Doorway):
    browser, _ = await with_passkey(door, "a")
    other, _ = await with_passkey(door, "b")
    options = (await browser.post("/api/v1/me/passkeys/challenge")).json["public_key"]

    async def add(by: Browser, passkey: Authenticator) -> tuple[int, str]:
        return code_of(await by.post("/api/v1/me/passkeys", passkey.make(options)))

    new = Authenticator()
    assert await add(other, new) == (422, "passkey-refused")
    assert await add(browser, Authenticator(verified=False)) == (422, "passkey-refused")
    assert await add(browser, Authenticator(origin="http://evil.example")) == (422, "passkey-refused")
    assert await add(browser, new) == (201, "")
    assert await add(browser, new) == (422, "passkey-refused")
    assert options["authenticatorSelection"] == {
        "residentKey": "required", "requireResidentKey": True, "userVerification": "required",
    }  # fmt: skip
    assert (options["attestation"], options["rp"]["id"], len(options["excludeCredentials"])) == ("none", "localhost", 1)


async def test_a_known_credential_is_not_taken_over_by_another_account(door: Doorway):
    _, passkey = await with_passkey(door, "a")
    other, _ = await with_passkey(door, "b")

    assert code_of(await other.add_passkey(passkey)) == (409, "conflict")
    assert (await Browser(door).sign_in_by(passkey)).json["account"] == "a"


async def test_a_passkey_that_was_removed_signs_nobody_in(door: Doorway):
    browser, first = await with_passkey(door, "a")
    second = Authenticator()
    [kept, added] = [
        (await browser.get("/api/v1/me/factors")).json["passkeys"][0]["href"],
        (await browser.add_passkey(second)).headers["Location"],
    ]

    removed = await browser.ask("DELETE", added)
    last = await browser.ask("DELETE", kept)

    assert (removed.status, code_of(last)) == (204, (409, "last-factor"))
    assert (await Browser(door).sign_in_by(second)).status == 401
    assert (await Browser(door).sign_in_by(first)).status == 201


# ---- one's own factors ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", ["password", "passkey", "app", "codes"])
async def test_a_change_of_a_factor_ends_every_other_session(door: Doorway, change: str):
    browser, app = await with_app(door, "a")
    other = Browser(door)
    await other.sign_in("a", code=app.code(door))
    assert await is_in(other)

    if change == "password":
        await browser.ask("PUT", "/api/v1/me/password", {"password": "fiets kamer wolk paprika"})
    elif change == "passkey":
        await browser.add_passkey(Authenticator())
    elif change == "app":
        offer = (await browser.post("/api/v1/me/totp")).json
        await browser.post("/api/v1/me/totp/confirm", {"code": App(offer["secret"]).code(door)})
    else:
        await browser.post("/api/v1/me/recovery-codes")

    assert (await is_in(browser), await is_in(other)) == (True, False)
    assert code_of(await other.get(WHOAMI)) == (401, "no-session")


@pytest.mark.parametrize(
    ("password", "cause"),
    [
        ("kort", "short"),
        ("Politie1234567", "guessable"),
        ("Brandweer2026!", "guessable"),
        ("Zone A Zone A!", "guessable"),
        ("aaaaaaaaaaaaaaaaaaaa", "guessable"),
        ("azertyuiopqsd", "guessable"),
    ],
)
async def test_a_password_that_would_soon_be_guessed_is_refused(door: Doorway, password: str, cause: str):
    browser, _ = await with_app(door, "a")

    answer = await browser.ask("PUT", "/api/v1/me/password", {"password": password}, **{"Accept-Language": "fr"})

    assert code_of(answer) == (422, "weak-password")
    [problem] = answer.json["problems"]
    assert (problem["cause"], problem["pointer"]) == (cause, "/password")
    assert answer.json["title"] == "Ce mot de passe est trop faible."


async def test_a_password_of_any_length_costs_a_bounded_time_and_no_more_than_128_characters_are_taken(door: Doorway):
    browser, _ = await with_app(door, "a")

    longest = await browser.ask("PUT", "/api/v1/me/password", {"password": "4@8({[<369|1!" * 9 + "x" * 11})
    longer = await browser.ask("PUT", "/api/v1/me/password", {"password": "x" * 129})

    assert longest.status in (200, 422)
    assert longer.status == 400


async def test_the_app_is_taken_away_where_a_passkey_is_left(door: Doorway):
    browser, app = await with_app(door, "a")

    last = await browser.ask("DELETE", "/api/v1/me/totp")
    await browser.add_passkey(Authenticator())
    removed = await browser.ask("DELETE", "/api/v1/me/totp")
    again = await browser.ask("DELETE", "/api/v1/me/totp")

    assert [code_of(one) for one in (last, again)] == [(409, "last-factor"), (404, "no-such-factor")]
    assert removed.status == 204
    assert (await Browser(door).sign_in("a", code=app.code(door))).status == 401


async def test_each_sign_in_change_and_end_is_a_line(door: Doorway):
    browser, _ = await with_app(door, "a")
    await browser.add_passkey(Authenticator())
    await browser.ask("DELETE", CURRENT)

    told = await lines(door, "invitation-accept", "sign-in", "password-set", "totp-set", "passkey-add", "session-end")

    assert told == [
        (action, "a")
        for action in ("invitation-accept", "sign-in", "password-set", "totp-set", "passkey-add", "session-end")
    ]


# ---- what a session may --------------------------------------------------------------------------------------------

STEP_UPS = [route for route in TABLE if route.step_up]


@pytest.mark.parametrize("route", STEP_UPS, ids=lambda r: f"{r.method} {r.template}")
async def test_what_may_do_great_harm_asks_for_a_factor_of_just_now(door: Doorway, route: Route):
    browser, _ = await with_passkey(door, "a")
    await age(door, factor_ms=10 * 60_000 + 1)
    path = route.template.replace("{id}", "nothing")

    stale = await browser.ask(route.method, path)

    assert code_of(stale) == (403, "step-up")
    assert stale.json["fresh_min"] == 10


async def test_a_fresh_factor_gives_a_new_token_and_the_old_one_is_worth_nothing(door: Doorway):
    browser, passkey = await with_passkey(door, "a")
    await age(door, factor_ms=10 * 60_000 + 1)
    stolen = Browser(door, browser.cookie)

    stepped = await browser.post(STEP_UP, {"passkey": passkey.sign(await browser.challenge())})
    after = await browser.post("/api/v1/me/recovery-codes")

    assert (stepped.status, after.status) == (200, 200)
    assert await lines(door, "step-up") == [("step-up", "a")]
    assert stolen.cookie != browser.cookie
    assert code_of(await stolen.get(WHOAMI)) == (401, "no-session")


async def test_another_accounts_factor_freshens_nothing(door: Doorway):
    browser, _ = await with_passkey(door, "a")
    _, other = await with_passkey(door, "b")

    answer = await browser.post(STEP_UP, {"passkey": other.sign(await browser.challenge())})
    nothing = await browser.post(STEP_UP, {})

    assert [code_of(one) for one in (answer, nothing)] == [(401, "sign-in-refused")] * 2


async def test_a_session_in_which_nothing_is_done_is_locked_and_nothing_is_lost(door: Doorway):
    browser, app = await with_app(door, "a")
    name = (await browser.get(CURRENT)).json["id"]
    await age(door, seen_ms=60 * 60_000)
    before = browser.cookie

    shut = [await browser.get(path) for path in (WHOAMI, "/api/v1/campaigns", "/api/v1/sessions")]
    seen = await browser.get(CURRENT)
    wrong = await browser.post(UNLOCK, {"password": "not the password", "code": app.code(door)})
    unlocked = await browser.post(UNLOCK, {"password": PASSWORD, "code": app.code(door)})

    assert {code_of(one) for one in shut} == {(401, "session-locked")}
    assert (seen.status, seen.json["locked"]) == (200, True)
    assert code_of(wrong) == (401, "sign-in-refused")
    assert (unlocked.status, unlocked.json["id"], unlocked.json["locked"]) == (200, name, False)
    assert await is_in(browser)
    assert not await is_in(Browser(door, before))


async def test_whoever_asks_keeps_a_session_open_and_that_is_written_once_a_minute(door: Doorway):
    browser, _ = await with_app(door, "a")
    await age(door, seen_ms=59 * 60_000)
    commits = door.house.database.commits

    for _ in range(5):
        assert await is_in(browser)
    seen = (await browser.get("/api/v1/sessions")).json["sessions"][0]["seen"]
    written = door.house.database.commits - commits
    forget(door)

    assert written == 1
    assert await is_in(browser)
    assert seen == (await browser.get("/api/v1/sessions")).json["sessions"][0]["seen"]


async def test_a_session_ends_after_a_shift_whatever_is_done(door: Doorway):
    browser, app = await with_app(door, "a")
    await age(door, ends_ms=12 * 3_600_000)

    unlocked = await browser.post(UNLOCK, {"password": PASSWORD, "code": app.code(door)})

    assert code_of(await browser.get(WHOAMI)) == code_of(unlocked) == (401, "no-session")


async def test_a_right_that_is_added_locks_the_session_until_a_factor_is_shown(door: Doorway):
    browser, passkey = await with_passkey(door, "a")
    more = frozenset({RightRow("operate", None, None), RightRow("launch", door.house.zones["A"], None)})
    record = AccountRecord("a", "A", "officer", "[]", "[]", more)
    await door.house.database.write(lambda tx: accounts.put_account(tx, record))
    forget(door)

    locked = await browser.get(WHOAMI)
    unlocked = await browser.post(UNLOCK, {"passkey": passkey.sign(await browser.challenge())})

    assert (code_of(locked), unlocked.status) == ((401, "session-locked"), 200)
    assert {right["action"] for right in (await browser.get(WHOAMI)).json["rights"]} == {"operate", "launch"}


async def test_who_only_read_and_may_do_more_now_sets_up_a_second_factor_first(door: Doorway):
    await door.house.account("reader", ("read", "A"))
    browser = await invited(door, "reader")
    await browser.ask("PUT", "/api/v1/me/password", {"password": PASSWORD})
    assert await is_in(browser)

    await door.house.account("reader", ("read", "A"), ("launch", "A"))
    door.door.services.sign_in.parts.book.forget(await id_of(door, "reader"))
    unlocked = await browser.post(UNLOCK, {"password": PASSWORD})

    assert (unlocked.status, unlocked.json["enrol_only"]) == (200, True)
    assert code_of(await browser.get("/api/v1/campaigns")) == (403, "enrol-only")


async def test_a_person_alone_sees_to_what_is_a_persons(door: Doorway):
    for route in TABLE:
        if route.right == "session":
            answer = await door.ask(route.method, route.template.replace("{id}", "x"), "all")
            assert code_of(answer) == (403, "person-only"), route.template


async def test_at_most_twenty_sessions_of_an_account_last(door: Doorway):
    _, passkey = await with_passkey(door, "a")
    browsers = [Browser(door) for _ in range(21)]
    for browser in browsers:
        await browser.sign_in_by(passkey)

    assert len((await browsers[-1].get("/api/v1/sessions")).json["sessions"]) == 20
    assert [await is_in(browsers[0]), await is_in(browsers[1])] == [False, True]


# ---- ends ----------------------------------------------------------------------------------------------------------


async def test_signing_out_ends_the_session_and_takes_the_cookie_away(door: Doorway):
    browser, _ = await with_app(door, "a")
    kept = browser.cookie

    answer = await browser.ask("DELETE", CURRENT)

    assert answer.status == 204
    assert answer.headers["Set-Cookie"] == "tocsin=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0"
    assert code_of(await Browser(door, kept).get(WHOAMI)) == (401, "no-session")


async def test_a_stolen_cookie_is_worth_nothing_from_the_moment_its_session_is_revoked(door: Doorway):
    thief, passkey = await with_passkey(door, "a")
    owner = Browser(door)
    await owner.sign_in_by(passkey)
    [*_, stolen] = (await owner.get("/api/v1/sessions")).json["sessions"]
    assert await is_in(thief)

    revoked = await owner.ask("DELETE", stolen["href"])

    assert revoked.status == 204
    assert code_of(await thief.get(WHOAMI)) == (401, "no-session")
    assert code_of(await owner.ask("DELETE", stolen["href"])) == (404, "no-such-session")


async def test_nobody_ends_a_session_of_somebody_else(door: Doorway):
    mine, _ = await with_passkey(door, "a")
    other, _ = await with_passkey(door, "b")
    href = (await mine.get(CURRENT)).json["href"]

    assert code_of(await other.ask("DELETE", href)) == (404, "no-such-session")
    assert [one["id"] for one in (await other.get("/api/v1/sessions")).json["sessions"]] == [
        (await other.get(CURRENT)).json["id"]
    ]
    assert await is_in(mine)


async def test_a_disabled_account_loses_its_sessions_for_good(door: Doorway):
    browser, _ = await with_passkey(door, "a")
    for disabled in (True, False):
        await door.house.database.write(lambda tx, d=disabled: accounts.set_disabled(tx, "a", d))
    forget(door)

    assert code_of(await browser.get(WHOAMI)) == (401, "no-session")


async def test_a_session_of_before_is_not_the_one_that_is_signed_in(door: Doorway):
    """Fixation: whoever plants a cookie of his own has nothing of who signs in over it."""
    attacker, _ = await with_passkey(door, "b")
    _, passkey = await with_passkey(door, "a")
    planted = attacker.cookie
    victim = Browser(door, planted)
    invented = Browser(door, "x" * 43)

    signed_in = [await victim.sign_in_by(passkey), await invented.sign_in_by(passkey)]

    assert [one.status for one in signed_in] == [201, 201]
    assert planted not in (victim.cookie, invented.cookie)
    assert invented.cookie != "x" * 43
    assert (await victim.get(WHOAMI)).json["account"] == "a"
    forget(door)
    assert not await is_in(attacker)


@pytest.mark.parametrize("end", ["sign-out", "factor", "lock"])
async def test_a_stream_ends_with_its_session(database: Database, end: str):
    async with doorway(database) as door:
        book = door.door.services.sign_in.parts.book
        browser, passkey = await with_passkey(door, "a")
        book.life_s = 0.2
        cookie = {"Cookie": f"tocsin={browser.cookie}"}
        async with door.session.get(f"{door.url}/api/v1/events?topics=campaigns", headers=cookie) as stream:
            seen = events(stream)
            assert "data" in await anext(seen)
            if end == "sign-out":
                await browser.ask("DELETE", CURRENT)
            elif end == "factor":
                await browser.post(STEP_UP, {"passkey": passkey.sign(await browser.challenge())})
            else:
                await age(door, seen_ms=60 * 60_000)
            assert [event async for event in seen if "data" in event] == []


async def test_a_watched_stream_keeps_no_session_from_being_locked(door: Doorway):
    browser, _ = await with_passkey(door, "a")
    book = door.door.services.sign_in.parts.book
    await age(door, seen_ms=59 * 60_000)
    commits = door.house.database.commits

    assert await book.still(browser.cookie) is not None
    assert door.house.database.commits == commits


# ---- pages of other sites ------------------------------------------------------------------------------------------

FROM_ELSEWHERE = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1:{port}"},
    {"Origin": "https://evil.example"},
    {"Origin": "http://127.0.0.1:{other}"},
    {"Origin": "https://127.0.0.1:{port}"},
    {"Origin": "http://localhost:{port}"},
    {"Origin": "null"},
    {},
]


@pytest.mark.parametrize("headers", FROM_ELSEWHERE, ids=str)
async def test_a_page_of_another_site_or_port_changes_nothing(door: Doorway, headers: dict[str, str]):
    browser, _ = await with_passkey(door, "a")
    browser.headers = {k: v.format(port=door.port, other=door.port + 1) for k, v in headers.items()}

    changed = await browser.ask("DELETE", CURRENT)
    read = await browser.get(WHOAMI)

    assert code_of(changed) == (403, "cross-site")
    assert read.status == 200


@pytest.mark.parametrize(
    "headers",
    [{"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}, {"Origin": "http://127.0.0.1:{port}"}],
    ids=str,
)
async def test_a_page_of_our_own_does(door: Doorway, headers: dict[str, str]):
    browser, _ = await with_passkey(door, "a")
    browser.headers = {k: v.format(port=door.port) for k, v in headers.items()}

    assert (await browser.ask("DELETE", CURRENT)).status == 204


async def test_nobody_is_signed_in_to_an_attackers_account_by_a_page_of_his(door: Doorway):
    _, app = await with_app(door, "a")
    page = Browser(door, headers={"Sec-Fetch-Site": "cross-site"})
    program = Browser(door, headers={})

    assert code_of(await page.sign_in("a", code=app.code(door))) == (403, "cross-site")
    assert (await program.sign_in("a", code=app.code(door))).status == 201


async def test_a_key_and_a_cookie_or_two_cookies_are_one_too_many(door: Doorway):
    browser, _ = await with_passkey(door, "a")
    two = f"tocsin={browser.cookie}; tocsin={'x' * 43}"

    both = await browser.get(WHOAMI, **bearer("a"))
    twice = await door.get(WHOAMI, headers={"Cookie": two})
    other = await door.get(WHOAMI, headers={"Cookie": f"theme=dark; tocsin={browser.cookie}; x"})

    assert code_of(both) == code_of(twice) == (400, "two-credentials")
    assert other.status == 200


# ---- where people sign in ------------------------------------------------------------------------------------------


@pytest.fixture
async def https(database: Database) -> AsyncIterator[Doorway]:
    server = ServerSettings(host="127.0.0.1", port=0, public_url="https://alerts.example")
    async with doorway(database, server=server) as opened:
        yield opened


async def test_behind_https_the_cookie_is_bound_to_this_host(https: Doorway):
    browser = await invited(https, "a")
    answer = await https.get(WHOAMI, headers={"Cookie": f"tocsin={browser.cookie}"})
    bound = await https.get(CURRENT, headers={"Cookie": f"__Host-tocsin={browser.cookie}"})
    page = {"Cookie": f"__Host-tocsin={browser.cookie}", "Origin": "https://alerts.example"}
    options = await https.post("/api/v1/me/passkeys/challenge", headers=page)
    other_port = await https.post(
        "/api/v1/me/passkeys/challenge", headers=page | {"Origin": "https://alerts.example:8443"}
    )
    out = await https.ask("DELETE", CURRENT, headers=page)

    assert code_of(answer) == (401, "no-key")
    assert (bound.status, options.json["public_key"]["rp"]["id"]) == (200, "alerts.example")
    assert code_of(other_port) == (403, "cross-site")
    assert out.headers["Set-Cookie"] == "__Host-tocsin=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0; Secure"


@pytest.mark.parametrize(
    ("server", "sign_in"),
    [
        (ServerSettings(port=0, public_url="http://alerts.example"), SignInSettings()),
        (ServerSettings(port=0, host="0.0.0.0"), SignInSettings()),
        (ServerSettings(port=0), SignInSettings(enabled=False)),
    ],
)
async def test_nobody_signs_in_over_plain_http_beyond_this_machine(
    database: Database, server: ServerSettings, sign_in: SignInSettings
):
    async with doorway(database, server=server, sign_in=sign_in) as door:
        browser = Browser(door)
        closed = [
            await browser.sign_in("a"),
            await browser.post("/api/v1/sessions/passkey/challenge"),
            await browser.post("/api/v1/sessions/passkey", Authenticator().sign("AAAA")),
            await browser.post("/api/v1/invitations/accept", {"token": "x" * 43}),
            await browser.post("/api/v1/resets", {"mail": "a@b.example"}),
            await browser.post("/api/v1/resets/use", {"token": "x" * 43, "password": PASSWORD}),
        ]

        assert {code_of(one) for one in closed} == {(403, "sign-in-closed")}
        assert (await door.get(WHOAMI, "a")).status == 200


# ---- two tabs, two nodes -------------------------------------------------------------------------------------------


async def test_two_tabs_of_one_browser_go_on_with_its_new_cookie(door: Doorway):
    first, passkey = await with_passkey(door, "a")
    signed = [passkey.sign(await first.challenge()) for _ in range(2)]
    before = first.cookie

    both = await asyncio.gather(*(Browser(door, before).post(STEP_UP, {"passkey": one}) for one in signed))
    cookies = {one.headers["Set-Cookie"].partition(";")[0] for one in both if one.status == 200}
    last = Browser(door, first.cookie)
    good = [cookie for cookie in cookies if (await door.get(WHOAMI, headers={"Cookie": cookie})).status == 200]

    assert len(good) == 1
    assert not await is_in(last)


@pytest.fixture
async def two_nodes(database: Database) -> AsyncIterator[tuple[Doorway, Doorway]]:
    """Two doors over one store: what both know is in it."""
    async with doorway(database) as first, doorway(database, house=first.house) as second:
        yield first, second


async def test_what_one_node_has_opened_the_other_knows_and_what_one_has_ended_the_other_does_within_five_seconds(
    two_nodes: tuple[Doorway, Doorway],
):
    here, there = two_nodes
    browser, passkey = await with_passkey(here, "a")
    away = Browser(there, browser.cookie)
    assert await is_in(away)

    await browser.ask("DELETE", CURRENT)
    there.door.services.sign_in.parts.book.now_s = _later(5.0)

    assert code_of(await away.get(WHOAMI)) == (401, "no-session")
    assert (await Browser(there).sign_in_by(passkey)).status == 201


def _later(s: float) -> Callable[[], float]:
    import time

    return lambda: time.monotonic() + s


async def test_a_code_a_challenge_a_link_and_a_bucket_are_one_for_both_nodes(two_nodes: tuple[Doorway, Doorway]):
    here, there = two_nodes
    _, app = await with_app(here, "a")
    _, passkey = await with_passkey(here, "b")
    code, challenge = app.code(here), await Browser(here).challenge()
    signed = passkey.sign(challenge)

    async def both(ask: Callable[[Browser], Awaitable[Answer]]) -> list[int]:
        return sorted([one.status for one in await asyncio.gather(ask(Browser(here)), ask(Browser(there)))])

    assert await both(lambda browser: browser.sign_in("a", code=code)) == [201, 401]
    assert await both(lambda browser: browser.post("/api/v1/sessions/passkey", signed)) == [201, 401]
    number = await here.house.account("new", ("launch", "A"))
    token = (await here.house.database.write(lambda tx: invitations.make(tx, number))).token
    assert await both(lambda b: b.post("/api/v1/invitations/accept", {"token": token})) == [201, 404]
    guesses = []
    for n in range(PASSWORDS_A_DAY):
        door = two_nodes[n % 2]
        door.door.services.sign_in.parts.tries._counted.clear()
        guesses.append((await Browser(door).sign_in("nobody", "not the password")).status)
    assert (guesses, (await Browser(there).sign_in("nobody", "x")).status) == ([401] * PASSWORDS_A_DAY, 429)
