"""Accounts over the API: who sees which, who changes which, and that nobody gives what he does not hold."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
import sqlalchemy as sa
from yarl import URL

from gateway.access.inviting import InvitationLetter
from store.access import accounts, break_glass, invitations
from store.access.accounts import AccountRecord, KeyRecord, RightRow
from store.engine.database import Database
from store.engine.transaction import Transaction
from store.tables import account, audit, audit_detail
from tests.gateway.http.doorway import Answer, Doorway, doorway
from tests.gateway.populated_store import SECRET, bearer, hashed

ACCOUNTS = "/api/v1/accounts"
PATCH = {"Content-Type": "application/merge-patch+json"}
LETTERS: list[InvitationLetter] = []
TOLD: list[str] = []


async def written_down(_tx: Transaction, letter: InvitationLetter) -> None:
    """How an invitation is told in these tests: it is kept, and goes nowhere."""
    LETTERS.append(letter)


async def owner_told(_tx: Transaction, _account_id: int, event: str) -> None:
    TOLD.append(event)


@pytest.fixture
async def door(database: Database) -> AsyncIterator[Doorway]:
    """Beside everybody: `admin` administers and reads A; `narrow` may do so in one network only; `reader` reads A."""
    LETTERS.clear()
    TOLD.clear()
    async with doorway(database, tell=written_down, tell_owner=owner_told) as opened:
        await opened.house.account("admin", ("administer", "A"), ("read", "A"), ("launch", "A"), type_="administrator")
        await opened.house.account("reader", ("read", "A"))
        yield opened


def wish(code: str, **changes: Any) -> dict[str, Any]:
    return {"code": code, "name": f"Name of {code}", "type": "coordinator", "email": f"{code}@example.org"} | changes


def right(action: str, zone: str | None = "A", **changes: str) -> dict[str, Any]:
    return {"action": action, "zone": zone} | changes


async def make(door: Doorway, key: str, code: str, **changes: Any) -> Answer:
    return await door.post(ACCOUNTS, key, json=wish(code, **changes))


async def change(door: Doorway, key: str, code: str, **changes: Any) -> Answer:
    seen = await door.get(f"{ACCOUNTS}/{code}", key)
    match = {"If-Match": seen.headers.get("ETag", '"r1"')}
    return await door.ask("PATCH", f"{ACCOUNTS}/{code}", key, headers=PATCH | match, json=changes)


async def codes(door: Doorway, key: str, query: str = "") -> list[str]:
    return [one["code"] for one in (await door.get(ACCOUNTS + query, key)).json["accounts"]]


async def rights_of(door: Doorway, code: str) -> set[tuple[str, int | None]]:
    async with door.house.database.read() as conn:
        row = await accounts.find_code(conn, code)
    assert row is not None
    return {(r.action, r.zone_id) for r in row.rights}


async def joins(door: Doorway) -> None:
    """The person to whom the last letter went takes up the account."""
    sha256 = invitations.hashed_token(LETTERS[-1].token)

    async def work(tx: Transaction) -> bool:
        found = await invitations.open(tx, sha256)
        return found is not None and await invitations.accept(tx, found.id)

    assert await door.house.database.write(work)


async def lines(door: Doorway, action: str) -> list[tuple[str, str, int | None, str]]:
    async with door.house.database.read() as conn:
        by = sa.select(account.c.code, audit.c.subject, audit.c.zone_id, audit.c.detail)
        rows = await conn.execute(by.join(account, account.c.id == audit.c.account_id).where(audit.c.action == action))
        return [tuple(row) for row in rows.all()]


# ---- making ----------------------------------------------------------------------------------------------


async def test_an_account_is_made_and_its_person_invited(door: Doorway):
    made = await make(door, "admin", "jo", mobile="0470 12 34 56", language="nl", rights=[right("read", kind="news")])
    read = await door.get(made.headers["Location"], "admin")

    assert (made.status, made.json["state"], made.headers["ETag"]) == (201, "invited", '"r1"')
    assert made.json["mobile"] == "+32470123456"
    assert read.json["rights"] == [right("read", kind="news", network=None, channel="*", mode="*")]
    assert made.json["invitation"]
    assert made.json["approval"] is None
    [letter] = LETTERS
    assert (letter.code, letter.email, letter.language, letter.invited_by) == ("jo", "jo@example.org", "nl", "Admin")


async def test_names_and_addresses_stand_beside_the_line_and_not_in_it(door: Doorway):
    await make(door, "admin", "jo", rights=[right("read")])
    await change(door, "admin", "jo", name="Jo Peeters", email="jo.peeters@example.org")

    async with door.house.database.read() as conn:
        told = "".join(str(row) for row in (await conn.execute(sa.select(audit.c.subject, audit.c.detail))).all())
        beside = "".join(str(row.detail) for row in (await conn.execute(sa.select(audit_detail.c.detail))).all())

    assert "Peeters" not in told
    assert "@example.org" not in told
    assert "jo.peeters@example.org" in beside
    assert [line[:3] for line in await lines(door, "account-create")] == [("admin", "jo", door.house.zones["A"])]
    assert len(await lines(door, "account-change")) == 1


async def test_a_system_without_an_address_is_active_at_once(door: Doorway):
    made = await make(door, "admin", "cad", type="cic", email="")

    assert (made.status, made.json["state"], made.json["invitation"]) == (201, "active", None)
    assert LETTERS == []


async def test_a_person_is_invited_by_mail(door: Doorway):
    refused = await make(door, "admin", "jo", email="")

    assert (refused.status, refused.json["problems"][0]["pointer"]) == (422, "/email")


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"email": "jo"}, "/email"),
        ({"mobile": "02 210 00 00"}, "/mobile"),
        ({"mobile": "12"}, "/mobile"),
        ({"rights": [right("read", "B")]}, "/rights/0/zone"),
        ({"rights": [right("read", "nowhere")]}, "/rights/0/zone"),
        ({"rights": [right("read"), right("read", network="none")]}, "/rights/1/network"),
        ({"rights": [right("administer", kind="news")]}, "/rights/0"),
        ({"rights": [right("audit", channel="sms")]}, "/rights/0"),
        ({"rights": [right("read", None, network="x")]}, "/rights/0/network"),
    ],
)
async def test_what_cannot_be_is_told_at_its_place(door: Doorway, changes: Mapping[str, Any], pointer: str):
    refused = await make(door, "admin", "jo", **changes)

    assert (refused.status, refused.json["code"]) == (422, "account-unsound")
    assert [problem["pointer"] for problem in refused.json["problems"]] == [pointer]
    assert LETTERS == []


@pytest.mark.parametrize("name", ["", "\u202egro.elpmaxe", "Jo\u2028Helpdesk", "Jo\nHelpdesk", " - _ "])
async def test_a_name_is_one_line_that_shows_what_it_says(door: Doorway, name: str):
    refused = await make(door, "admin", "jo", name=name)

    assert (refused.status, [one["pointer"] for one in refused.json["problems"]]) == (400, ["/name"])


@pytest.mark.parametrize("code", ["jo\n", "\njo", "jo ", "", ".jo", "j" * 65])
async def test_a_code_is_a_word_and_nothing_after_it(door: Doorway, code: str):
    refused = await make(door, "admin", code, name="Jo", email="jo@example.org")

    assert (refused.status, [one["pointer"] for one in refused.json["problems"]]) == (400, ["/code"])


@pytest.mark.parametrize("name", ["Ô", "Jo d'Ài-Ñ. (2e)", "Ирина", "李", "24/7"])
async def test_names_of_every_script_are_names(door: Doorway, name: str):
    assert (await make(door, "admin", "jo", name=name)).json["name"] == name


async def test_a_code_and_a_mail_address_are_one_accounts(door: Doorway):
    await make(door, "admin", "jo")

    code = await make(door, "admin", "jo", email="other@example.org")
    email = await make(door, "admin", "other", email="JO@Example.org")
    both = await make(door, "admin", "jo")

    assert [(a.status, [p["pointer"] for p in a.json["problems"]]) for a in (code, email, both)] == [
        (409, ["/code"]), (409, ["/email"]), (409, ["/code", "/email"]),
    ]  # fmt: skip
    assert len(LETTERS) == 1


# ---- nobody gives what he does not hold ------------------------------------------------------------------


@pytest.mark.parametrize(
    "given",
    [
        right("stop"), right("publish"), right("operate"), right("audit"), right("submit"),
        right("read", None), right("launch", None), right("administer", None),
    ],
)  # fmt: skip
async def test_nobody_gives_a_right_that_he_does_not_hold(door: Doorway, given: dict[str, Any]):
    made = await make(door, "admin", "jo", rights=[right("read"), given])
    await make(door, "admin", "mi", rights=[right("read")])
    changed = await change(door, "admin", "mi", rights=[right("read"), given])

    for refused in (made, changed):
        assert (refused.status, refused.json["code"]) == (403, "not-yours-to-give")
        assert len(refused.json["problems"]) == 1
    assert (await door.get(f"{ACCOUNTS}/jo", "admin")).status == 404
    assert await rights_of(door, "mi") == {("read", door.house.zones["A"])}


async def test_a_narrow_right_is_given_on_as_narrow_as_it_is(door: Doorway):
    a = door.house.zones["A"]
    rows = frozenset({RightRow("administer", a, None), RightRow("launch", a, None, "news", "email", "simulation")})
    record = AccountRecord("mail", "Mail", "administrator", "[]", "[]", rows, (KeyRecord("mail", hashed(SECRET)),))
    await door.house.database.write(lambda tx: accounts.put_account(tx, record))
    own = right("launch", kind="news", channel="email", mode="simulation")

    given = await make(door, "mail", "jo", rights=[own])
    wider = [await make(door, "mail", f"jo{n}", rights=[own | {name: "*"}])
             for n, name in enumerate(("kind", "channel", "mode"))]  # fmt: skip

    assert given.status == 201
    assert {answer.status for answer in wider} == {403}


async def test_what_an_account_has_already_stays_though_the_changer_does_not_hold_it(door: Doorway):
    await make(door, "a", "jo", rights=[right("stop"), right("read")])

    changed = await change(door, "admin", "jo", rights=[right("stop"), right("read", kind="news")])
    taken = await change(door, "admin", "jo", rights=[right("read", kind="news")])
    back = await change(door, "admin", "jo", rights=[right("read", kind="news"), right("stop")])

    assert (changed.status, taken.status, back.status) == (200, 200, 403)
    assert await rights_of(door, "jo") == {("read", door.house.zones["A"])}


async def test_only_who_administers_every_zone_makes_an_operator(door: Doorway):
    refused = await make(door, "admin", "op", type="operator")
    made = await make(door, "all", "op", type="operator")
    raised = await make(door, "admin", "jo")
    assert raised.status == 201

    assert (refused.status, refused.json["problems"][0]["pointer"], made.status) == (403, "/type", 201)
    assert (await change(door, "admin", "jo", type="operator")).status == 403


async def test_an_auditor_makes_nobody_who_sees_more_than_he(door: Doorway):
    await door.house.account("auditor", ("administer", "A"), ("read", "A"), type_="auditor")

    assert (await make(door, "auditor", "jo", rights=[right("read")])).status == 403
    assert (await make(door, "auditor", "mi", rights=[right("read")], type="auditor")).status == 201
    assert (await change(door, "auditor", "mi", type="officer")).status == 403


async def test_nobody_changes_himself(door: Doorway):
    answers = [
        await change(door, "admin", "admin", rights=[right("administer"), right("read")]),
        await change(door, "admin", "admin", type="officer"),
        *[await door.post(f"{ACCOUNTS}/admin/{step}", "admin", json={}) for step in ("disable", "enable", "end")],
        await door.post(f"{ACCOUNTS}/admin/keys", "admin", json={"name": "mine"}),
        await door.post(f"{ACCOUNTS}/admin/invite", "admin"),
        await door.post("/api/v1/keys/admin/rotate", "admin", json={}),
    ]

    assert {(answer.status, answer.json["code"]) for answer in answers} == {(403, "not-yourself")}


async def test_who_was_an_administrator_a_moment_ago_gives_nothing_any_more(door: Doorway):
    assert (await door.get(f"{ACCOUNTS}/reader", "admin")).status == 200  # its key is believed for five seconds

    async def demote(tx: Transaction) -> None:
        [row] = await tx.rows(sa.select(account.c.id).where(account.c.code == "admin"))
        await accounts.put_rights(tx, row.id, "admin", frozenset(), accounts.SERVER)

    await door.house.database.write(demote)
    demoted = await make(door, "admin", "jo", rights=[right("read")])
    await door.house.database.write(lambda tx: accounts.set_disabled(tx, "admin", True))
    disabled = await make(door, "admin", "jo", rights=[right("read")])

    assert (demoted.status, demoted.json["code"]) == (403, "not-an-administrator")
    assert (disabled.status, disabled.json["code"]) == (403, "account-not-good")


# ---- whose business it is ---------------------------------------------------------------------------------


async def test_an_administrator_sees_the_accounts_of_his_zones_and_those_he_invited(door: Doorway):
    await make(door, "admin", "mine")

    assert await codes(door, "admin") == ["a", "admin", "mine", "reader"]
    assert await codes(door, "b") == ["b"]
    assert {"a", "admin", "all", "b", "mine", "none", "reader"} == set(await codes(door, "all"))


async def test_to_another_zones_administrator_an_account_does_not_exist(door: Doorway):
    await make(door, "admin", "jo")
    asks = [("GET", f"{ACCOUNTS}/{{}}", None), ("PATCH", f"{ACCOUNTS}/{{}}", {"name": "x"})]
    asks += [("POST", f"{ACCOUNTS}/{{}}/{step}", {}) for step in ("disable", "enable", "end")]
    asks += [("POST", f"{ACCOUNTS}/{{}}/keys", {"name": "x"}), ("POST", f"{ACCOUNTS}/{{}}/invite", None)]
    for method, path, body in asks:
        headers = {"If-Match": "*"} | (PATCH if method == "PATCH" else {})
        given = {"headers": headers} | ({} if body is None else {"json": body})
        there = await door.ask(method, path.format("jo"), "b", **given)
        not_there = await door.ask(method, path.format("nobody"), "b", **given)
        assert (there.status, not_there.status) == (404, 404), path
        assert {**there.json, "request_id": ""} == {**not_there.json, "request_id": ""}


async def test_of_an_account_with_rights_elsewhere_only_the_own_zones_rights_are_changed(door: Doorway):
    await make(door, "all", "both", rights=[right("read"), right("read", "B")])

    seen = await door.get(f"{ACCOUNTS}/both", "admin")
    named = await change(door, "admin", "both", name="Mine now")
    mailed = await change(door, "admin", "both", email="mine@example.org")
    ended = [await door.post(f"{ACCOUNTS}/both/{step}", "admin", json={}) for step in ("disable", "end")]
    keyed = await door.post(f"{ACCOUNTS}/both/keys", "admin", json={"name": "x"})
    changed = await change(door, "admin", "both", rights=[])

    assert [r["zone"] for r in seen.json["rights"]] == ["A"]
    assert (seen.json["more_rights"], seen.json["read_only"]) == (True, True)
    for refused in (named, mailed, *ended, keyed):
        assert (refused.status, refused.json["code"]) == (403, "not-your-account")
    assert (changed.status, changed.json["rights"], changed.json["more_rights"]) == (200, [], True)
    assert (await door.get(f"{ACCOUNTS}/both", "admin")).status == 404  # nothing of it is his business any more
    assert await rights_of(door, "both") == {("read", door.house.zones["B"])}


async def test_ways_to_come_in_are_for_who_holds_all_that_the_account_may_do(door: Doorway):
    """Else an administrator would give himself, by a key or a mail address of his own, what he may not give."""
    await make(door, "a", "jo", rights=[right("stop")])

    answers = [
        await change(door, "admin", "jo", email="mine@example.org"),
        await change(door, "admin", "jo", mobile="+32470123456"),
        await door.post(f"{ACCOUNTS}/jo/invite", "admin"),
        await door.post(f"{ACCOUNTS}/jo/keys", "admin", json={"name": "mine"}),
    ]

    assert {(answer.status, answer.json["problems"][0]["rule"]) for answer in answers} == {(403, "A-BEYOND")}
    assert (await change(door, "admin", "jo", name="Jo")).status == 200
    assert (await door.post(f"{ACCOUNTS}/jo/disable", "admin", json={})).status == 200
    assert (await door.post(f"{ACCOUNTS}/jo/enable", "admin", json={})).status == 403


async def test_what_lets_an_account_in_is_taken_back_by_who_could_not_give_it(door: Doorway):
    made = await make(door, "a", "jo", rights=[right("stop")])
    await joins(door)
    key = (await door.post(f"{ACCOUNTS}/jo/keys", "a", json={"name": "his"})).json
    mi = await make(door, "a", "mi", rights=[right("stop")])

    rotated = await door.post(f"{key['href']}/rotate", "admin", json={})
    revoked = await door.post(f"{key['href']}/revoke", "admin")
    withdrawn = await door.post(f"/api/v1/invitations/{mi.json['invitation']}/withdraw", "admin")

    assert (made.status, rotated.status, revoked.status, withdrawn.status) == (201, 403, 200, 200)


async def test_whoever_is_invited_and_every_person_has_a_mail_address(door: Doorway):
    await make(door, "admin", "jo")
    await make(door, "admin", "cad", type="cic")
    await make(door, "admin", "system", type="cic", email="")

    answers = [
        await change(door, "admin", "jo", email=None),
        await change(door, "admin", "cad", email=None),
        await change(door, "admin", "system", type="officer"),
    ]

    assert [(answer.status, answer.json["problems"][0]["pointer"]) for answer in answers] == [(422, "/email")] * 3
    assert (await change(door, "admin", "system", type="officer", email="system@example.org")).status == 200


async def test_a_code_of_a_file_may_hold_a_stroke(door: Doorway):
    await door.house.account("north/2", ("read", "A"))

    [listed] = (await door.get(f"{ACCOUNTS}?q=north", "admin")).json["accounts"]

    read = await door.session.get(URL(door.url + listed["href"], encoded=True), headers=bearer("admin"))
    assert (read.status, (await read.json())["code"]) == (200, "north/2")


async def test_a_right_to_administer_one_network_administers_nothing(door: Doorway):
    a = door.house.zones["A"]
    rows = frozenset({RightRow("administer", a, None, "news")})
    record = AccountRecord("narrow", "N", "administrator", "[]", "[]", rows, (KeyRecord("narrow", hashed(SECRET)),))
    await door.house.database.write(lambda tx: accounts.put_account(tx, record))

    listed, made = await door.get(ACCOUNTS, "narrow"), await make(door, "narrow", "jo")

    assert {(answer.status, answer.json["code"]) for answer in (listed, made)} == {(403, "not-an-administrator")}
    assert (await door.get(f"{ACCOUNTS}/reader", "narrow")).status == 404


# ---- changing ----------------------------------------------------------------------------------------------


async def test_what_was_changed_meanwhile_is_not_overwritten(door: Doorway):
    await make(door, "admin", "jo")
    path, seen = f"{ACCOUNTS}/jo", {"If-Match": '"r1"'}

    first = await door.ask("PATCH", path, "a", headers=PATCH | {"If-Match": "*"}, json={"name": "First"})
    assert first.status == 404  # `a` has not invited it, and it has no right in A
    first = await door.ask("PATCH", path, "admin", headers=PATCH | seen, json={"name": "First"})
    late = await door.ask("PATCH", path, "admin", headers=PATCH | seen, json={"name": "Late"})
    blind = await door.ask("PATCH", path, "admin", headers=PATCH, json={"name": "Blind"})

    assert (first.status, first.headers["ETag"]) == (200, '"r2"')
    assert (late.status, late.json["changed_by"], blind.status) == (412, "admin", 428)
    assert (await door.get(path, "admin")).json["name"] == "First"


async def test_another_mail_address_makes_the_invitation_to_the_old_one_worthless(door: Doorway):
    await make(door, "admin", "jo")
    await change(door, "admin", "jo", email="new@example.org")

    opened = await door.house.database.write(
        lambda tx: invitations.open(tx, invitations.hashed_token(LETTERS[-1].token))
    )

    assert opened is None


async def test_disabled_enabled_ended(door: Doorway):
    await make(door, "admin", "jo", rights=[right("read")])
    await joins(door)
    key = (await door.post(f"{ACCOUNTS}/jo/keys", "admin", json={"name": "his"})).json
    bearer = {"Authorization": f"Bearer {key['token']}"}

    async def step(name: str) -> tuple[int, str, int]:
        answer = await door.post(f"{ACCOUNTS}/jo/{name}", "admin", json={"reason": "x"})
        door.door.keyring._kept.clear()  # as after five seconds
        return answer.status, answer.json.get("state", ""), (await door.get("/api/v1/me", headers=bearer)).status

    assert [await step(name) for name in ("disable", "disable", "enable", "end", "end", "enable")] == [
        (200, "disabled", 401), (200, "disabled", 401), (200, "active", 200), (200, "ended", 401),
        (200, "ended", 401), (409, "", 401),
    ]  # fmt: skip
    assert (await change(door, "admin", "jo", name="Again")).status == 409
    assert len(await lines(door, "account-disable")) == 1


async def test_whose_account_it_is_hears_what_was_done_to_it_and_nothing_twice(door: Doorway):
    await make(door, "admin", "jo", rights=[right("read")])
    await joins(door)

    await change(door, "admin", "jo", name="Joanna")
    await change(door, "admin", "jo", rights=[right("read", kind="news")])
    await change(door, "admin", "jo", email="other@example.org")
    for step in ("disable", "disable", "end", "end"):
        await door.post(f"{ACCOUNTS}/jo/{step}", "admin", json={"reason": "x"})

    assert TOLD == ["rights-changed", "address-changed", "account-disabled", "account-ended"]


async def test_the_account_of_a_zones_paper_code_is_nobodys_to_manage(door: Doorway):
    await door.house.account("paper", ("launch", "A"), type_=break_glass.TYPE)

    renamed = await change(door, "all", "paper", name="Mine")
    steps = [await door.post(f"{ACCOUNTS}/paper/{step}", "all", json={"reason": "x"}) for step in ("disable", "end")]
    key = await door.post(f"{ACCOUNTS}/paper/keys", "all", json={"name": "mine"})

    assert [(one.status, one.json["code"]) for one in (renamed, *steps, key)] == [(403, "not-your-account")] * 4


async def test_the_address_of_an_ended_account_is_free_and_its_code_is_not(door: Doorway):
    await make(door, "admin", "jo")
    await door.post(f"{ACCOUNTS}/jo/end", "admin", json={})

    again = await make(door, "admin", "jo")
    other = await make(door, "admin", "jo2", email="jo@example.org")

    assert ([p["pointer"] for p in again.json["problems"]], other.status) == (["/code"], 201)


# ---- finding -----------------------------------------------------------------------------------------------


async def test_accounts_are_found_by_a_part_of_code_name_or_address_without_case_and_accents(door: Doorway):
    await make(door, "admin", "c-17", name="Élise D'Hondt", email="coordinator@Plein.example")
    await make(door, "admin", "c_18", name="100% Jo")

    found = {q: await codes(door, "admin", f"?q={q}") for q in ("elise", "HONDT", "c-1", "PLEIN", "100%25", "_", "é")}

    assert found == {
        "elise": ["c-17"], "HONDT": ["c-17"], "c-1": ["c-17"], "PLEIN": ["c-17"], "100%25": ["c_18"], "_": ["c_18"],
        "é": await codes(door, "admin", "?q=e"),
    }  # fmt: skip


async def test_accounts_are_filtered_by_type_state_and_zone(door: Doorway):
    await make(door, "admin", "jo", rights=[right("read")])
    await make(door, "admin", "cad", type="cic", email="")
    await door.post(f"{ACCOUNTS}/cad/disable", "admin", json={})

    assert await codes(door, "admin", "?state=invited") == ["jo"]
    assert await codes(door, "admin", "?state=disabled") == ["cad"]
    assert await codes(door, "admin", "?type=coordinator") == ["jo"]
    assert await codes(door, "all", "?zone=B") == ["b"]
    assert await codes(door, "admin", "?zone=B") == []
    assert (await door.get(f"{ACCOUNTS}?state=gone", "admin")).status == 400


async def test_pages_give_each_account_once(door: Doorway):
    for n in range(7):
        await make(door, "admin", f"p{n}")
    found, path = [], f"{ACCOUNTS}?limit=3&q=p"
    while path:
        page = (await door.get(path, "admin")).json
        found += [one["code"] for one in page["accounts"]]
        path = page.get("next", "")

    assert [code for code in found if code.startswith("p")] == [f"p{n}" for n in range(7)]
    assert len(found) == len(set(found))


async def test_that_accounts_were_read_is_a_line(door: Doorway):
    await door.get(f"{ACCOUNTS}?q=jo", "admin")
    await door.get(f"{ACCOUNTS}/reader", "admin")

    assert [line[:2] for line in await lines(door, "accounts-read")] == [("admin", "accounts")]
    assert [line[:2] for line in await lines(door, "account-read")] == [("admin", "reader")]


# ---- one's own profile ------------------------------------------------------------------------------------


async def test_everybody_changes_his_own_name_number_and_language_and_nothing_else(door: Doorway):
    seen = await door.get("/api/v1/me", "reader")
    match = PATCH | {"If-Match": seen.headers["ETag"]}
    more = [{"rights": []}, {"type": "operator"}, {"email": "mine@example.org"}, {"code": "x"}]

    refused = [await door.ask("PATCH", "/api/v1/me", "reader", headers=match, json=body) for body in more]
    wrong = await door.ask("PATCH", "/api/v1/me", "reader", headers=match, json={"mobile": "12"})
    done = await door.ask(
        "PATCH", "/api/v1/me", "reader", headers=match, json={"name": "Re", "mobile": "0470123456", "language": "fr"}
    )

    assert {answer.status for answer in refused} == {400}
    assert wrong.status == 422
    assert [done.json[name] for name in ("name", "mobile", "language")] == ["Re", "+32470123456", "fr"]
    assert [line[:2] for line in await lines(door, "account-change")] == [("reader", "reader")]
