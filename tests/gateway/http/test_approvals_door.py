"""Approvals over HTTP: seen by whom they concern, decided by a second person who has signed in, and by nobody else."""

from collections.abc import AsyncIterator

import pytest
import sqlalchemy as sa

from gateway.access.approval_desk import AwaitsSecond
from gateway.access.dangerous import ChangeToAccount, MakeKey, OpenAccount, SetRights
from gateway.access.rights import Right
from store.access import accounts, factors
from store.access.approvals import Approval
from store.engine.database import Database
from store.tables import account, audit
from tests.gateway.http.authenticator import Browser, with_passkey
from tests.gateway.http.doorway import Answer, Doorway, doorway
from tests.gateway.populated_store import bearer

APPROVALS = "/api/v1/approvals"
KEY = ("c" * 12, "a" * 64)


class Persons(Doorway):
    """All but `machine`, which has its key, sign in by passkeys of their own when they are asked first."""

    browsers: dict[str, Browser]

    async def ask(self, method: str, path: str, key: str | None = None, **given: object) -> Answer:
        if key in (None, "machine") or "Cookie" in given.get("headers", {}):
            return await Doorway.ask(self, method, path, key, **given)
        if key not in self.browsers:
            self.browsers[key], _ = await with_passkey(self, key)
        return await self.browsers[key].ask(method, path, given.get("json"), **given.get("headers", {}))


@pytest.fixture
async def door(database: Database) -> AsyncIterator[Persons]:
    async with doorway(database) as opened:
        persons = Persons(**{name: getattr(opened, name) for name in opened.__dataclass_fields__})
        persons.browsers = {}
        for code in ("anna", "arno", "machine"):
            await opened.house.account(code, ("administer", "A"), type_="administrator")
        await opened.house.account("officer", ("read", "A"))
        yield persons


def right(door: Persons, action: str, zone: str | None = "A") -> Right:
    return Right(action, door.house.zones[zone] if zone else None, None, "*", "*")


def launches(door: Persons, code: str = "officer") -> SetRights:
    return SetRights(code, (right(door, "launch"),))


async def ask(door: Persons, who: str, *changes: ChangeToAccount) -> Approval:
    """As whoever changes accounts asks: in the transaction of the change."""
    if who != "machine":
        await door.get("/api/v1/whoami", who)
        caller = await door.door.services.sign_in.parts.book.caller(door.browsers[who].cookie)
    else:
        caller = await door.door.keyring.caller(bearer(who)["Authorization"], "127.0.0.1")
    assert caller is not None
    desk = door.door.services.approvals
    outcome = await door.house.database.write(lambda tx: desk.gate(tx, caller, changes))
    assert isinstance(outcome, AwaitsSecond)
    return outcome.approval


async def decide(door: Persons, key: str, seen: Approval, *, grant: bool = True, **more: object) -> Answer:
    body = {"grant": grant, "digest": seen.digest, "reason": "She has followed the course."} | more
    return await door.post(f"{APPROVALS}/{seen.public_id}/decision", key, json=body)


async def rights(door: Persons, key: str = "officer") -> set[str]:
    async with door.house.database.read() as conn:
        found = await accounts.find_key(conn, key)
    assert found is not None
    return {right.action for right in found.rights}


async def test_what_waits_is_read_with_all_that_is_done_and_granted_by_a_second_person(door: Persons):
    new = OpenAccount("chief", "Zoë Chief", "officer", (right(door, "read"), right(door, "launch")))
    seen = await ask(door, "anna", new, launches(door), MakeKey("officer", *KEY, note="desk 2"))

    listed = await door.get(f"{APPROVALS}?open=1", "arno")
    read = await door.get(f"{APPROVALS}/{seen.public_id}", "arno")
    done = await decide(door, "arno", seen)

    [one] = listed.json["approvals"]
    assert (one["href"], one["state"], one["zone"]) == (f"{APPROVALS}/{seen.public_id}", "asked", "A")
    assert (one["accounts"], one["changes"], one["asked_by"]) == (["chief", "officer"], 3, "anna")
    assert (read.json["digest"], read.json["decidable"]) == (seen.digest, True)
    first, second, third = read.json["acts"]
    assert (first["what"], first["account"], first["name"]) == ("open-account", "chief", "Zoë Chief")
    assert [one["text"] for one in first["dangerous"]] == ["May launch messages in zone A: any kind, any channel."]
    assert ([one["action"] for one in second["taken"]], second["what"]) == (["read"], "set-rights")
    assert (third["what"], third["key_id"], third["note"]) == ("make-key", KEY[0], "desk 2")
    assert [one["action"] for one in third["rights"]] == ["launch"], "those that the account has by then"
    assert "secret" not in read.body.decode()
    assert (done.status, done.json["state"], done.json["decided_by"]) == (200, "done", "arno")
    assert done.json["reason"] == "She has followed the course."
    assert await rights(door) == {"launch"}
    assert (await door.get(f"{APPROVALS}?open=1", "arno")).json == {"approvals": []}


async def test_each_step_is_a_line_of_who_took_it_and_a_reading_one_a_quarter_of_an_hour(door: Persons):
    seen = await ask(door, "anna", launches(door))
    for _ in range(3):
        await door.get(f"{APPROVALS}/{seen.public_id}", "arno")
    await decide(door, "arno", seen)

    statement = sa.select(account.c.code, audit.c.action).join(account, account.c.id == audit.c.account_id)
    about = audit.c.action.like("approval-%") | (audit.c.action == "rights")
    async with door.house.database.read() as conn:
        lines = [tuple(line) for line in await conn.execute(statement.where(about).order_by(audit.c.id))]
    assert lines == [
        ("anna", "approval-ask"), ("arno", "approval-read"), ("arno", "approval-grant"), ("anna", "rights"),
    ]  # fmt: skip


async def test_neither_who_asked_nor_a_key_nor_another_zone_decides(door: Persons):
    seen = await ask(door, "anna", launches(door))

    for key, status, code in (
        ("anna", 403, "not-yours-to-decide"),
        ("machine", 403, "person-only"),
        ("b", 404, "no-such-approval"),
        ("officer", 403, "no-right"),
    ):
        answer = await decide(door, key, seen)
        assert (answer.status, answer.json["code"]) == (status, code), key
    assert (await door.get(f"{APPROVALS}/{seen.public_id}", "anna")).json["decidable"] is False
    assert (await door.get(f"{APPROVALS}/{seen.public_id}", "machine")).json["decidable"] is False
    assert (await door.get(f"{APPROVALS}/{seen.public_id}", "b")).status == 404
    assert (await door.get(APPROVALS, "b")).json == {"approvals": []}
    assert await rights(door) == {"read"}


async def test_a_decision_names_what_was_seen_and_is_made_once(door: Persons):
    seen = await ask(door, "anna", launches(door))

    other = await decide(door, "arno", seen, digest="0" * 64)
    none = await door.post(f"{APPROVALS}/{seen.public_id}/decision", "arno", json={"grant": True})
    first = await decide(door, "arno", seen)
    again = await decide(door, "arno", seen)
    late = await decide(door, "all", seen, grant=False)

    assert (other.status, other.json["code"], other.json["digest"]) == (409, "approval-differs", seen.digest)
    assert none.status == 400
    assert (first.status, again.status, again.json) == (200, 200, first.json)
    assert (late.status, late.json["code"]) == (409, "approval-closed")
    assert (late.json["state"], late.json["decided_by"], late.json["decided"]) == (
        "done",
        "arno",
        first.json["decided"],
    )


async def test_what_cannot_be_done_as_it_was_asked_says_why_in_the_readers_language(door: Persons):
    seen = await ask(door, "anna", launches(door))
    await door.house.account("officer")

    answer = await door.post(
        f"{APPROVALS}/{seen.public_id}/decision", "arno",
        json={"grant": True, "digest": seen.digest}, headers={"Accept-Language": "nl"},
    )  # fmt: skip
    read = await door.get(f"{APPROVALS}/{seen.public_id}", "arno")

    [problem] = answer.json["problems"]
    assert (answer.status, answer.json["code"], problem["cause"]) == (409, "approval-moot", "rights")
    assert answer.headers["Content-Language"] == "nl"
    assert (read.json["state"], read.json["moot"]) == ("refused", "rights")


async def test_it_is_withdrawn_by_who_asked_also_with_a_key_and_then_it_is_over(door: Persons):
    seen = await ask(door, "machine", launches(door))

    withdrawn = await door.post(f"{APPROVALS}/{seen.public_id}/withdraw", "machine")
    again = await door.post(f"{APPROVALS}/{seen.public_id}/withdraw", "anna")
    late = await decide(door, "arno", seen)

    assert (withdrawn.status, withdrawn.json["state"]) == (200, "withdrawn")
    assert (again.status, late.status, late.json["state"]) == (200, 409, "withdrawn")
    assert (await door.post(f"{APPROVALS}/{seen.public_id}/withdraw", "b")).status == 404


async def test_of_the_only_administrator_it_is_seen_when_it_will_be_done(door: Persons):
    await door.house.zone("C")
    await door.house.account("clara", ("administer", "C"), type_="administrator")
    await door.house.account("late")
    seen = await ask(door, "clara", SetRights("late", (right(door, "publish", "C"),)))

    [shown] = (await door.get(f"{APPROVALS}?open=1", "clara")).json["approvals"]
    refused = await decide(door, "all", seen, grant=False)

    assert shown["state"] == "granted"
    assert shown["asked"] < shown["not_before"] < shown["ends"]
    assert refused.json["state"] == "refused"
    assert await rights(door, "late") == set()


async def test_the_list_is_read_in_pages(door: Persons):
    for n in range(5):
        await door.house.account(f"p{n}")
        await ask(door, "anna", launches(door, f"p{n}"))

    first = await door.get(f"{APPROVALS}?limit=2&open=1", "arno")
    second = await door.get(first.json["next"], "arno")
    third = await door.get(second.json["next"], "arno")

    pages = [[one["accounts"] for one in page.json["approvals"]] for page in (first, second, third)]
    assert pages == [[["p4"], ["p3"]], [["p2"], ["p1"]], [["p0"]]]
    assert first.headers["Link"] == f'<{first.json["next"]}>; rel="next"'
    assert "next" not in third.json
    assert (await door.get(f"{APPROVALS}?after=nothing", "arno")).status == 404


# ---- what the desks of accounts and keys ask -------------------------------------------------------------------------


@pytest.fixture
async def town(door: Persons) -> Persons:
    """With `ada`, who keeps the accounts of A and may launch there, and `desk`, a system that may."""
    await door.house.account("ada", ("administer", "A"), ("launch", "A"), ("read", "A"), type_="administrator")
    await door.house.account("desk", ("launch", "A"), type_="cic")
    return door


LAUNCH = {"action": "launch", "zone": "A"}
READ = {"action": "read", "zone": "A"}


async def granted(door: Persons, approval: str, key: str = "arno") -> Answer:
    seen = await door.get(f"{APPROVALS}/{approval}", key)
    body = {"grant": True, "digest": seen.json["digest"], "reason": ""}
    return await door.post(f"{APPROVALS}/{approval}/decision", key, json=body)


async def test_an_account_is_made_and_may_send_when_a_second_person_has_said_so(town: Persons) -> None:
    wish = {"code": "jo", "name": "Jo", "type": "officer", "email": "jo@zone.example", "rights": [LAUNCH, READ]}
    made = await town.post("/api/v1/accounts", "ada", json=wish)

    assert (made.status, [r["action"] for r in made.json["rights"]]) == (201, ["read"])
    assert (await granted(town, made.json["approval"], "ada")).status == 403, "never by who has asked"
    assert (await granted(town, made.json["approval"])).status == 200
    seen = await town.get("/api/v1/accounts/jo", "ada")
    assert {r["action"] for r in seen.json["rights"]} == {"launch", "read"}
    assert seen.headers["ETag"] != made.headers["ETag"], "whoever had seen it before sees that it has changed"


async def test_of_a_change_of_rights_what_is_harmless_is_done_at_once(town: Persons) -> None:
    seen = await town.get("/api/v1/accounts/officer", "ada")
    merge = {"Content-Type": "application/merge-patch+json", "If-Match": seen.headers["ETag"]}
    changed = await town.ask(
        "PATCH", "/api/v1/accounts/officer", "ada", json={"name": "Officer Two", "rights": [LAUNCH]}, headers=merge
    )

    assert (changed.status, changed.json["name"], changed.json["rights"]) == (200, "Officer Two", [])
    assert await rights(town) == set(), "the right that is left out is taken at once"
    assert (await granted(town, changed.json["approval"])).status == 200
    assert await rights(town) == {"launch"}


async def test_a_live_key_of_who_may_send_is_worthless_until_it_is_granted(town: Persons) -> None:
    made = await town.post("/api/v1/accounts/desk/keys", "ada", json={"name": "CAD"})
    headers = {"Authorization": f"Bearer {made.json['token']}"}

    assert made.status == 202
    assert (await town.get("/api/v1/whoami", None, headers=headers)).status == 401
    assert (await granted(town, made.json["approval"])).status == 200
    assert (await town.get("/api/v1/whoami", None, headers=headers)).json["account"] == "desk"

    turned = await town.post(f"/api/v1/keys/{made.json['id']}/rotate", "ada", json={"overlap_hours": 1})
    assert turned.status == 202, "who rotates a live key learns a live token"
    assert (await granted(town, turned.json["approval"])).status == 200
    [new, old, *_] = (await town.get("/api/v1/accounts/desk/keys", "ada")).json["keys"]
    assert (new["in_place_of"], new["good"], old["expires"] is not None) == (old["id"], True, True)


async def test_a_test_key_of_who_may_send_waits_for_nobody(town: Persons) -> None:
    made = await town.post("/api/v1/accounts/desk/keys", "ada", json={"name": "CAD test", "test": True})

    assert (made.status, made.json["good"]) == (201, True)


async def test_an_account_that_may_send_is_enabled_again_by_two(town: Persons) -> None:
    await town.post("/api/v1/accounts/desk/disable", "ada", json={"reason": "stolen"})
    enabled = await town.post("/api/v1/accounts/desk/enable", "ada", json={"reason": "found"})

    assert (enabled.status, enabled.json["state"]) == (202, "disabled")
    assert (await granted(town, enabled.json["approval"])).status == 200
    assert (await town.get("/api/v1/accounts/desk", "ada")).json["state"] == "active"


async def test_two_together_take_away_factors_that_were_lost_and_the_person_enrols_anew(town: Persons) -> None:
    await town.get("/api/v1/whoami", "officer")
    asked = await town.post("/api/v1/accounts/officer/reset-factors", "ada", json=None)

    assert asked.status == 202
    assert (await town.get("/api/v1/whoami", "officer")).status == 200, "nothing is done before the second word"
    assert (await granted(town, asked.json["approval"])).status == 200
    lost = town.browsers["officer"]
    assert (await lost.ask("GET", "/api/v1/whoami")).status == 401
    async with town.house.database.read() as conn:
        person = await factors.person_of(conn, "officer")
    assert person is not None
    assert (person.passkeys, person.password_hash) == (0, "")


async def to_another_mailbox(door: Persons, code: str, mail: str) -> Answer:
    seen = await door.get(f"/api/v1/accounts/{code}", "ada")
    merge = {"Content-Type": "application/merge-patch+json", "If-Match": seen.headers["ETag"]}
    return await door.ask("PATCH", f"/api/v1/accounts/{code}", "ada", json={"email": mail}, headers=merge)


async def test_while_a_second_person_looks_at_an_account_its_mailbox_is_nobody_elses(town: Persons) -> None:
    """What they saw stays so: else whoever asks would come in by the rights that they grant to somebody else."""
    wish = {"code": "jo", "name": "Jo", "type": "officer", "email": "jo@zone.example", "rights": [LAUNCH]}
    made = await town.post("/api/v1/accounts", "ada", json=wish)
    seen = await town.get(f"{APPROVALS}/{made.json['approval']}", "arno")
    moved = await to_another_mailbox(town, "jo", "ada@home.example")

    assert [act["email"] for act in seen.json["acts"]] == ["jo@zone.example"]
    assert (moved.status, moved.json["code"], moved.json["approval"]) == (409, "approval-pending", seen.json["id"])


async def test_an_account_that_may_send_has_another_mailbox_by_two(town: Persons) -> None:
    wish = {"code": "jo", "name": "Jo", "type": "officer", "email": "jo@zone.example", "rights": [LAUNCH]}
    await granted(town, (await town.post("/api/v1/accounts", "ada", json=wish)).json["approval"])

    moved = await to_another_mailbox(town, "jo", "Jo@New.example")
    assert (moved.status, moved.json["email"]) == (200, "jo@zone.example"), "nothing has moved yet"
    seen = await town.get(f"{APPROVALS}/{moved.json['approval']}", "arno")
    assert [(act["what"], act["email"]) for act in seen.json["acts"]] == [("set-address", "jo@new.example")]
    assert (await granted(town, moved.json["approval"])).status == 200

    assert (await town.get("/api/v1/accounts/jo", "ada")).json["email"] == "jo@new.example"
    [invitation] = (await town.get("/api/v1/invitations?account=jo", "ada")).json["invitations"]
    assert invitation["state"] == "withdrawn", "the one that went to the old mailbox is worth nothing"
