"""A second person for what is dangerous: asked, decided, done once; and whoever tries to be both, or to slip by."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import msgspec
import pytest
import sqlalchemy as sa

from gateway.access.approval_desk import (
    MOST_ALONE,
    Applied,
    ApprovalDecision,
    ApprovalDesk,
    ApprovalNews,
    AwaitsSecond,
)
from gateway.access.dangerous import (
    MOST_CHANGES,
    ChangeToAccount,
    EnableAccount,
    MakeKey,
    OpenAccount,
    ResetFactors,
    SetRights,
    digest_of,
)
from gateway.access.granting import GRANTING
from gateway.access.keys import as_caller
from gateway.access.rights import Caller, Right, SessionFacts
from gateway.access.second_person import ALONE_MS, LIFE_MS
from gateway.errors import Refusal
from store.access import accounts, approvals
from store.access.accounts import KeyRecord, RightRow
from store.access.approvals import Approval
from store.audit_line import Actor
from store.engine.database import Database
from store.engine.transaction import Transaction
from store.tables import account
from tests.gateway.populated_store import House
from tests.store.broken_line import lost_answer

ADMIN = ("administer", "read")
KEY = ("c" * 12, "a" * 64)
SESSION = SessionFacts(
    number=1, id="s", factors=("passkey",), factor_ms=0, ends_ms=1, locks_ms=1, enrol_only=False, locked=False
)


@dataclass
class Town:
    """Zone A has the administrators anna and arno, B has berta alone, `op` keeps every zone; `officer` only reads."""

    house: House
    desk: ApprovalDesk
    news: list[ApprovalNews] = field(default_factory=list)
    resets: list[str] = field(default_factory=list)
    ahead_ms: int = 0

    async def caller(self, code: str, *, person: bool = True, behalf: str | None = None) -> Caller:
        row = await self._row(code)
        own = as_caller(row)
        if behalf is None:
            return msgspec.structs.replace(own, via="http", session=SESSION if person else None)
        other = as_caller(await self._row(behalf))
        return msgspec.structs.replace(
            own, via="http", session=SESSION if person else None, behalf_id=other.account_id, rights=other.rights
        )

    async def _row(self, code: str):
        async with self.house.database.read() as conn:
            row = await accounts.find_key(conn, code)
        assert row is not None
        return row

    async def ask(self, code: str | Caller, *changes: ChangeToAccount) -> Applied | AwaitsSecond:
        who = await self.caller(code) if isinstance(code, str) else code
        return await self.desk.database.write(lambda tx: self.desk.gate(tx, who, changes))

    async def asked(self, code: str | Caller, *changes: ChangeToAccount) -> Approval:
        outcome = await self.ask(code, *changes)
        assert isinstance(outcome, AwaitsSecond)
        return outcome.approval

    async def decide(self, code: str | Caller, seen: Approval, *, grant: bool = True, digest: str = "") -> Approval:
        who = await self.caller(code) if isinstance(code, str) else code
        return await self.desk.decide(who, seen.public_id, ApprovalDecision(grant, digest or seen.digest, "because"))

    async def rights(self, code: str) -> set[str]:
        return {right.action for right in (await self._row(code)).rights}

    async def state(self, seen: Approval) -> str:
        async with self.house.database.read() as conn:
            found = await approvals.by_public_id(conn, seen.public_id)
        assert found is not None
        return found.state

    async def put(self, code: str, *rights: tuple[str, str | None]) -> None:
        await self.house.account(code, *rights)

    def right(self, action: str, zone: str | None = "A") -> Right:
        return Right(action, self.house.zones[zone] if zone else None, None, "*", "*")

    def grants(self, code: str, *actions: str, zone: str | None = "A") -> SetRights:
        return SetRights(code, tuple(self.right(action, zone) for action in actions))

    def opens(self, code: str, *actions: str, zone: str | None = "A") -> OpenAccount:
        return OpenAccount(code, code.title(), "officer", tuple(self.right(action, zone) for action in actions))

    async def later(self, ms: int) -> None:
        """So much later, by the clock that all nodes share."""
        self.ahead_ms += ms
        await self.desk.run_due()


class LaterDatabase:
    """The same store, some time later."""

    def __init__(self, database: Database, ahead_ms: Callable[[], int]) -> None:
        self._database, self._ahead_ms = database, ahead_ms
        self.clock = self

    def now_ms(self) -> int:
        return self._database.clock.now_ms() + self._ahead_ms()

    def read(self):
        return self._database.read()

    async def write(self, work, **given):
        def later(tx: Transaction):
            return work(replace(tx, now_us=tx.now_us + self._ahead_ms() * 1000))

        return await self._database.write(later, **given)


@pytest.fixture
async def town(database: Database) -> Town:
    house = House(database)
    for code in ("A", "B"):
        await house.zone(code)

    async def note(_tx: Transaction, news: ApprovalNews) -> None:
        made.news.append(news)

    async def reset(_tx: Transaction, change: ResetFactors, _by: Actor) -> None:
        made.resets.append(change.account)

    late = LaterDatabase(database, lambda: made.ahead_ms)
    desk = ApprovalDesk(late, {**GRANTING, ResetFactors: reset}, (note,))  # type: ignore[arg-type]
    made = Town(house, desk)
    for code in ("anna", "arno"):
        await house.account(code, *((action, "A") for action in ADMIN), type_="administrator")
    await house.account("berta", *((action, "B") for action in ADMIN), type_="administrator")
    await house.account("op", ("administer", None), type_="operator")
    await house.account("officer", ("read", "A"))
    await house.account("sender", ("read", "A"), ("launch", "A"))
    return made


async def refused(work) -> Refusal:
    with pytest.raises(Refusal) as caught:
        await work
    return caught.value


# ---- what is harmless, and what is asked ---------------------------------------------------------------------------


async def test_what_is_harmless_is_done_at_once_and_without_anybody(town: Town) -> None:
    outcomes = [
        await town.ask("anna", town.opens("reader", "read")),
        await town.ask("anna", town.grants("sender", "read")),
        await town.ask("anna", MakeKey("officer", *KEY)),
    ]

    assert outcomes == [Applied()] * 3
    assert await town.rights("sender") == {"read"}
    assert (await town._row(KEY[0])).code == "officer"
    assert town.news == []


async def test_what_is_dangerous_is_done_by_the_decision_of_a_second_one(town: Town) -> None:
    seen = await town.asked("anna", town.grants("officer", "read", "launch"))
    before = await town.rights("officer")

    done = await town.decide("arno", seen)

    assert (seen.state, before) == ("asked", {"read"})
    assert (done.state, done.asked_code, done.decided_code) == ("done", "anna", "arno")
    assert await town.rights("officer") == {"read", "launch"}
    assert [news.event for news in town.news] == ["asked", "done"]
    ids = {code: (await town.caller(code)).account_id for code in ("anna", "arno", "op")}
    assert set(town.news[0].to) == {ids["arno"], ids["op"]}
    assert ids["anna"] in town.news[1].to


async def test_what_is_refused_is_not_done(town: Town) -> None:
    seen = await town.asked("anna", town.grants("officer", "launch"))

    no = await town.decide("arno", seen, grant=False)

    assert (no.state, msgspec.json.decode(no.evidence)["reason"]) == ("refused", "because")
    assert await town.rights("officer") == {"read"}
    assert (await refused(town.decide("op", seen))).code == "approval-closed"


async def test_one_decision_covers_a_whole_import(town: Town) -> None:
    codes = [f"person-{n}" for n in range(40)]
    changes = [town.opens(code, *(("read", "launch") if n % 2 else ("read",))) for n, code in enumerate(codes)]
    seen = await town.asked("anna", *changes, MakeKey("sender", *KEY))

    await town.decide("arno", seen)

    async with town.house.database.read() as conn:
        assert {view.code for view in await accounts.views(conn)} > set(codes)
    assert (await town._row(KEY[0])).code == "sender"


async def test_a_live_key_of_who_may_send_waits_and_one_for_simulation_does_not(town: Town) -> None:
    assert await town.ask("anna", MakeKey("sender", *KEY, simulates_only=True)) == Applied()

    seen = await town.asked("anna", MakeKey("sender", "d" * 12, "b" * 64))
    async with town.house.database.read() as conn:
        assert await accounts.find_key(conn, "d" * 12) is None
    await town.decide("arno", seen)

    assert (await town._row("d" * 12)).code == "sender"


async def test_who_was_disabled_and_may_send_comes_back_by_two(town: Town) -> None:
    await town.house.database.write(lambda tx: accounts.set_disabled(tx, "sender", True))

    seen = await town.asked("anna", EnableAccount("sender"))
    await town.decide("arno", seen)

    assert (await town._row("sender")).disabled_ms is None


async def test_an_operator_on_behalf_is_the_second_one_and_both_names_stand_there(town: Town) -> None:
    await town.put("helper")
    seen = await town.asked("berta", town.opens("chief", "launch", zone="B"))
    helper = await town.caller("helper", behalf="berta")

    done = await town.decide(helper, seen)

    assert (done.state, done.decided_code) == ("done", "helper")


# ---- who is no second one ------------------------------------------------------------------------------------------


async def test_whoever_has_asked_does_not_decide(town: Town) -> None:
    seen = await town.asked("anna", town.grants("officer", "launch"))

    for who in ("anna", await town.caller("anna", behalf="arno")):
        no = await refused(town.decide(who, seen))
        assert (no.status, no.code, no.reasons[0].rule) == (403, "not-yours-to-decide", "G-ASKER")
    assert await town.state(seen) == "asked"


async def test_whom_it_gives_something_does_not_decide(town: Town) -> None:
    seen = await town.asked("anna", town.grants("arno", "administer", "launch"))

    assert (await refused(town.decide("arno", seen))).reasons[0].rule == "G-SUBJECT"
    on_behalf = await town.caller("op", behalf="arno")
    assert (await refused(town.decide(on_behalf, seen))).reasons[0].rule == "G-SUBJECT"
    assert (await town.decide("op", seen)).state == "done"


async def test_a_key_does_not_decide(town: Town) -> None:
    seen = await town.asked("anna", town.grants("officer", "launch"))
    key = await town.caller("arno", person=False)

    for grant in (True, False):
        no = await refused(town.desk.decide(key, seen.public_id, ApprovalDecision(grant, seen.digest)))
        assert (no.status, no.reasons[0].rule) == (403, "G-PERSON")


async def test_to_others_it_does_not_exist(town: Town) -> None:
    seen = await town.asked("anna", town.grants("officer", "launch"))

    for who in ("berta", "officer"):
        assert (await refused(town.decide(who, seen))).status == 404
        assert (await refused(town.desk.withdraw(await town.caller(who), seen.public_id))).status == 404
        listed, _ = await town.desk.listing(await town.caller(who), open_only=True, after="", most=10)
        assert listed == []


async def test_who_keeps_one_zone_does_not_give_in_another(town: Town) -> None:
    for change in (
        town.grants("officer", "launch", zone="B"),
        town.grants("officer", "launch", zone=None),
        town.grants("anna", "operate", zone=None),
        ResetFactors("op"),
        MakeKey("op", *KEY),
    ):
        no = await refused(town.ask("anna", change))
        assert (no.status, no.code) == (403, "not-yours-to-grant")


async def test_what_is_of_two_zones_is_decided_by_who_keeps_all(town: Town) -> None:
    await town.put("both", ("administer", "A"), ("administer", "B"))
    seen = await town.asked("both", SetRights("officer", (town.right("launch"), town.right("launch", "B"))))

    assert seen.zone_id is None
    assert (await refused(town.decide("arno", seen))).status == 404
    assert (await town.decide("op", seen)).state == "done"


async def test_the_rights_that_count_are_those_of_now_and_not_those_that_the_door_believes(town: Town) -> None:
    believed = {code: await town.caller(code) for code in ("anna", "arno")}
    seen = await town.asked("anna", town.grants("officer", "launch"))
    await town.put("arno", ("read", "A"))

    assert (await refused(town.decide(believed["arno"], seen))).reasons[0].rule == "G-RIGHT"
    await town.put("anna", ("read", "A"))
    no = await refused(town.ask(believed["anna"], town.grants("sender", "read", "launch", "publish")))
    assert no.code == "not-yours-to-grant"


async def test_a_disabled_account_neither_asks_nor_decides(town: Town) -> None:
    believed = {code: await town.caller(code) for code in ("anna", "arno")}
    seen = await town.asked("anna", town.grants("officer", "launch"))
    for code in believed:
        await town.house.database.write(lambda tx, code=code: accounts.set_disabled(tx, code, True))

    assert (await refused(town.decide(believed["arno"], seen))).code == "not-yours-to-decide"
    assert (await refused(town.ask(believed["anna"], town.opens("x", "launch")))).code == "not-yours-to-grant"


# ---- what is decided is what was seen ------------------------------------------------------------------------------


async def test_a_decision_about_another_act_decides_nothing(town: Town) -> None:
    seen = await town.asked("anna", town.grants("officer", "launch"))

    no = await refused(town.decide("arno", seen, digest=digest_of(seen.act + " ")))

    assert (no.status, no.code, no.members["digest"]) == (409, "approval-differs", seen.digest)
    assert await town.state(seen) == "asked"


async def test_the_same_decision_again_changes_nothing(town: Town) -> None:
    seen = await town.asked("anna", town.grants("officer", "launch"))
    first = await town.decide("arno", seen)
    await town.put("officer", ("read", "A"))

    again = await town.decide("arno", seen)

    assert again == first
    assert await town.rights("officer") == {"read"}, "what was taken away since stays taken away"
    assert (await refused(town.decide("arno", seen, grant=False))).code == "approval-closed"
    no = await refused(town.decide("op", seen))
    assert (no.code, no.members["state"], no.members["decided_by"]) == ("approval-closed", "done", "arno")


async def test_of_two_who_decide_at_once_one_does(town: Town) -> None:
    seen = await town.asked("anna", town.grants("officer", "launch"))

    said = await asyncio.gather(town.decide("arno", seen), town.decide("op", seen, grant=False), return_exceptions=True)

    [no] = [one for one in said if isinstance(one, Refusal)]
    [done] = [one for one in said if isinstance(one, Approval)]
    assert no.code == "approval-closed"
    assert (done.state == "done") == ("launch" in await town.rights("officer"))


async def test_about_one_account_one_thing_is_asked_at_a_time(town: Town) -> None:
    seen = await town.asked("anna", town.grants("officer", "launch"))

    no = await refused(town.ask("arno", MakeKey("sender", *KEY), town.grants("officer", "publish")))

    assert (no.status, no.code, no.members) == (409, "approval-pending", {"approval": seen.public_id})
    listed, _ = await town.desk.listing(await town.caller("op"), open_only=False, after="", most=10)
    assert [one.public_id for one in listed] == [seen.public_id]
    await town.desk.withdraw(await town.caller("anna"), seen.public_id)
    assert isinstance(await town.ask("arno", town.grants("officer", "publish")), AwaitsSecond)


@pytest.mark.parametrize("moot", ["asker", "rights", "account", "opened"])
async def test_what_has_become_untrue_is_not_done(town: Town, moot: str) -> None:
    change = town.opens("new", "launch") if moot == "opened" else town.grants("officer", "launch")
    seen = await town.asked("anna", change)
    if moot == "asker":
        await town.put("anna", ("read", "A"))
    if moot == "rights":
        await town.put("officer")
    if moot == "opened":
        await town.put("new")
    if moot == "account":
        await town.house.database.write(lambda tx: accounts.set_disabled(tx, "anna", True))

    no = await refused(town.decide("arno", seen))

    cause = {"opened": "account", "account": "asker"}.get(moot, moot)
    assert (no.status, no.code, no.reasons[0].cause) == (409, "approval-moot", cause)
    assert await town.state(seen) == "refused"
    assert "launch" not in await town.rights("new" if moot == "opened" else "officer")
    assert isinstance(await town.ask("arno", town.grants("sender", "publish")), AwaitsSecond)


async def test_a_place_that_there_is_not_is_given_to_nobody(town: Town) -> None:
    nowhere = Right("launch", town.house.zones["A"], 4711, "*", "*")
    seen = await town.asked("anna", SetRights("officer", (nowhere,)))

    assert (await refused(town.decide("arno", seen))).reasons[0].cause == "place"
    assert await town.rights("officer") == {"read"}


async def test_what_nobody_decides_ends(town: Town) -> None:
    seen = await town.asked("anna", town.grants("officer", "launch"))
    town.ahead_ms = LIFE_MS

    late = await refused(town.decide("arno", seen))
    await town.later(0)

    assert (late.code, late.members["state"]) == ("approval-closed", "expired")
    assert await town.state(seen) == "expired"
    assert town.news[-1].event == "expired"
    assert isinstance(await town.ask("arno", town.grants("officer", "launch")), AwaitsSecond)


# ---- the only administrator ----------------------------------------------------------------------------------------


async def test_the_only_administrator_of_a_zone_grants_alone_told_and_ten_minutes_later(town: Town) -> None:
    await town.put("chief", ("read", "B"))
    seen = await town.asked("berta", town.grants("chief", "read", "launch", zone="B"))
    await town.later(ALONE_MS - 5_000)
    early = await town.rights("chief")

    await town.later(5_000)
    await town.later(0)

    assert (seen.state, seen.not_before_ms) == ("granted", seen.asked_ms + ALONE_MS)
    assert (early, await town.rights("chief")) == ({"read"}, {"read", "launch"})
    assert [news.event for news in town.news] == ["alone", "done"]
    told = {(await town.caller(code)).account_id for code in ("op", "chief")}
    assert set(town.news[0].to) == told


async def test_in_these_ten_minutes_it_is_withdrawn_refused_or_granted_at_once(town: Town) -> None:
    for code in ("one", "two", "three"):
        await town.put(code)
    seen = [await town.asked("berta", town.grants(code, "launch", zone="B")) for code in ("one", "two", "three")]

    await town.desk.withdraw(await town.caller("op"), seen[0].public_id)
    await town.decide("op", seen[1], grant=False)
    granted = await town.decide("op", seen[2])
    await town.later(ALONE_MS)

    assert [await town.state(one) for one in seen] == ["withdrawn", "refused", "done"]
    assert granted.decided_code == "op"
    assert [await town.rights(code) for code in ("one", "two", "three")] == [set(), set(), {"launch"}]


async def test_alone_so_many_are_granted_an_hour_and_no_more(town: Town) -> None:
    for n in range(MOST_ALONE + 1):
        await town.put(f"n{n}")
    for n in range(MOST_ALONE):
        await town.asked("berta", town.grants(f"n{n}", "launch", zone="B"))

    one_more = town.grants(f"n{MOST_ALONE}", "launch", zone="B")
    too_many = await refused(town.ask("berta", one_more))
    town.ahead_ms = 3_600_001

    assert (too_many.status, too_many.code) == (429, "too-many-grants")
    assert isinstance(await town.ask("berta", one_more), AwaitsSecond)


async def test_two_nodes_whose_time_has_come_do_it_once(town: Town) -> None:
    await town.put("chief")
    await town.asked("berta", town.grants("chief", "launch", zone="B"))
    town.ahead_ms = ALONE_MS

    await asyncio.gather(*(town.desk.run_due() for _ in range(4)))

    assert [news.event for news in town.news] == ["alone", "done"]


async def test_what_is_granted_alone_is_looked_at_again_when_it_is_done(town: Town) -> None:
    await town.put("chief")
    seen = await town.asked("berta", town.grants("chief", "launch", zone="B"))
    await town.house.database.write(lambda tx: accounts.set_disabled(tx, "berta", True))

    await town.later(ALONE_MS)

    assert await town.state(seen) == "refused"
    assert msgspec.json.decode((await town.desk.read(await town.caller("op"), seen.public_id)).evidence) == {
        "by": "alone", "moot": "asker",
    }  # fmt: skip
    assert await town.rights("chief") == set()


async def test_a_factor_is_never_reset_alone(town: Town) -> None:
    await town.put("chief", ("read", "B"))
    seen = await town.asked("berta", ResetFactors("chief"))
    await town.later(ALONE_MS)
    before = list(town.resets)

    await town.decide("op", seen)

    assert (seen.state, before, town.resets) == ("asked", [], ["chief"])


async def test_neither_a_key_nor_an_operator_nor_somebody_on_behalf_grants_alone(town: Town) -> None:
    await town.put("helper")
    askers = [
        await town.caller("berta", person=False),
        await town.caller("op"),
        await town.caller("helper", behalf="berta"),
    ]
    for n, asker in enumerate(askers):
        seen = await town.asked(asker, town.opens(f"new-{n}", "launch", zone="B"))
        assert (seen.state, seen.not_before_ms) == ("asked", None)


@pytest.mark.parametrize("by", ["disabling", "taking the right"])
async def test_who_gets_rid_of_the_others_is_not_the_only_one_for_that(town: Town, by: str) -> None:
    if by == "disabling":
        await town.house.database.write(lambda tx: accounts.set_disabled(tx, "arno", True))
    else:
        assert await town.ask("anna", town.grants("arno", "read")) == Applied()

    at_once = await town.asked("anna", town.opens("friend", "launch"))
    town.ahead_ms = LIFE_MS + 1000
    a_week_later = await town.asked("anna", town.opens("stranger", "launch"))

    assert (at_once.state, a_week_later.state) == ("asked", "granted")


# ---- a line that breaks --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", [pytest.param("postgresql", marks=pytest.mark.peer)])
async def test_what_was_asked_or_decided_when_only_the_commits_answer_was_lost_is_answered_so(
    town: Town, engine: str
) -> None:
    async with lost_answer(town.house.database):
        seen = await town.asked("anna", town.grants("officer", "launch"))
    async with lost_answer(town.house.database):
        done = await town.decide("arno", seen)

    assert (done.state, done.decided_code) == ("done", "arno")
    listed, _ = await town.desk.listing(await town.caller("op"), open_only=False, after="", most=10)
    assert [one.public_id for one in listed] == [seen.public_id]
    assert [news.event for news in town.news] == ["asked", "done"]


@pytest.mark.parametrize("state", ["invited", "ended"])
async def test_who_has_not_come_yet_or_has_left_neither_asks_nor_decides_nor_counts(town: Town, state: str) -> None:
    seen = await town.asked("anna", town.grants("officer", "launch"))
    long_ago = {"joined_ms": None} if state == "invited" else {"ended_ms": 1}

    async def put(tx: Transaction) -> None:
        await tx.run(sa.update(account).where(account.c.code == "arno").values(long_ago))

    arno = await town.caller("arno")
    await town.house.database.write(put)

    assert (await refused(town.decide(arno, seen))).code == "not-yours-to-decide"
    assert (await refused(town.ask(arno, town.opens("x", "launch")))).code == "not-yours-to-grant"
    assert (await town.asked("anna", town.opens("y", "launch"))).state == "granted", "anna is the only one"


# ---- bounds --------------------------------------------------------------------------------------------------------


async def test_accounts_that_there_are_not_or_are_are_told_at_once(town: Town) -> None:
    assert (await refused(town.ask("anna", town.grants("nobody", "launch")))).code == "no-such-account"
    assert (await refused(town.ask("anna", town.opens("officer", "read")))).code == "account-exists"
    assert (await refused(town.ask("anna", town.opens("x", "read"), town.opens("x", "read")))).code == "account-exists"


async def test_one_act_has_so_many_changes_at_most(town: Town) -> None:
    many = [town.opens(f"p{n}", "read") for n in range(MOST_CHANGES + 1)]

    assert (await refused(town.ask("anna", *many))).code == "too-many-changes"


async def test_a_change_that_fails_lets_all_of_the_decision_fail_and_the_others_go_on(town: Town) -> None:
    for code in ("chief", "other"):
        await town.put(code)
    await town.put("thief", ("read", "B"))
    taken = MakeKey("chief", "taken0000000", "b" * 64)
    first = await town.asked("berta", town.grants("chief", "launch", zone="B"), taken)
    second = await town.asked("berta", town.grants("other", "launch", zone="B"))
    record = KeyRecord("taken0000000", "d" * 64)
    await town.house.database.write(lambda tx: accounts.add_key(tx, "thief", record))

    await town.later(ALONE_MS)

    assert [await town.state(one) for one in (first, second)] == ["granted", "done"]
    assert await town.rights("chief") == set()
    assert await town.rights("other") == {"launch"}


def test_a_right_of_the_core_has_the_fields_of_a_row() -> None:
    assert RightRow.__struct_fields__ == Right.__struct_fields__
